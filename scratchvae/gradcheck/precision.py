"""A gradient in float32 or float16 beside itself in float64, with a bound that is measured."""

import numpy as np
from numpy.typing import DTypeLike, NDArray

from scratchvae.errors import ConfigError
from scratchvae.gradcheck.check import check_subject
from scratchvae.gradcheck.report import Finding, Outcome, Report
from scratchvae.gradcheck.subjects.base import Arrays
from scratchvae.gradcheck.subjects.function import BoundFunction, FunctionSubject
from scratchvae.types import Function

ROOM = 64.0  # times the rounding that was measured in float64, in units of the lower precision


def check_precision(
    f: Function, *arguments: object, vjp: Function, dtype: DTypeLike = "float32", seed: int = 0
) -> Report:
    """The gradient in ``dtype`` against the same code in float64, at the same numbers.

    First it is checked in float64; a gradient that is wrong there has no need of more. The bound
    of each element is the rounding that its computation makes in float64, measured as it moves
    over tiny steps and at least an ulp, times what an ulp of ``dtype`` is to one of float64: where
    terms cancel or a matrix is nearly singular, more is allowed. An overflow is an error. Raises
    ``ConfigError`` for a dtype that is not float32 or float16, and as ``check_gradient`` does.
    """
    low = np.dtype(dtype)
    if low not in (np.dtype("float32"), np.dtype("float16")):
        raise ConfigError(f"a lower precision is float32 or float16, not {low}")
    subject = FunctionSubject(f, vjp, arguments)
    exact = check_subject(subject, seed=seed)
    if not exact.ok:
        return exact
    subject.args = {n: _rounded(a, low) for n, a in subject.args.items()}
    w = _rounded(subject.cotangent(seed), low)
    high = BoundFunction(subject, np.dtype(np.float64)).gradient(subject.args, w)
    magnitudes = subject.magnitudes(w)
    found = BoundFunction(subject, low).gradient(subject.args, w)
    eps = float(np.finfo(low).eps)
    findings = [_finding(n, g, high[n], magnitudes, eps, low) for n, g in found.items()]
    return Report(
        subject.name, f"{low.name} against float64", "every element", 0, tuple(findings),
        exact.notes,
    )  # fmt: skip


def _rounded(a: NDArray, dtype: np.dtype) -> NDArray:
    return np.asarray(np.asarray(a, dtype=dtype), dtype=np.float64)


def _finding(
    name: str, g: NDArray, expected: NDArray, magnitudes: Arrays, eps: float, low: np.dtype
) -> Finding:
    bound = ROOM * eps * np.maximum(magnitudes[name], np.abs(expected))
    off = np.abs(g.astype(np.float64) - expected)
    excess = off / np.maximum(bound, float(np.finfo(low).tiny))
    size = float(np.max(np.abs(expected), initial=0.0)) or 1.0
    error, limit = float(np.max(off, initial=0.0)) / size, float(np.max(bound, initial=0.0)) / size
    if not np.all(np.isfinite(g)):
        words = f"not finite: it leaves the range of {low.name}"
        return Finding(name, g.shape, float("inf"), limit, Outcome.WRONG, words)
    if g.dtype != low:
        words = f"computed in {g.dtype}, not in {low.name}: a constant or a copy promotes it"
        return Finding(name, g.shape, error, limit, Outcome.WRONG, words)
    if np.any(excess > 1):
        k = np.unravel_index(int(np.argmax(excess)), g.shape)
        words = f"loses {np.max(excess):.2g} times the digits that its float64 twin does"
        return Finding(
            name, g.shape, error, limit, Outcome.WRONG, words, tuple(map(int, k)), float(g[k]),
            float(expected[k]),
        )  # fmt: skip
    return Finding(name, g.shape, error, limit, Outcome.RIGHT, "right")
