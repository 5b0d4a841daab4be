"""The dot test: a linear map and its adjoint, without any derivative."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scratchvae.gradcheck.points import direction
from scratchvae.gradcheck.report import Finding, Outcome, Report, UncheckableError

TOLERANCE = 1e-12  # of ‖w‖ ‖A v‖ and ‖Aᵀ w‖ ‖v‖: sums of some thousand terms in any order
DRAWS = 3

Map = Callable[[NDArray], ArrayLike]


def dot_test(
    forward: Map, adjoint: Map, x: ArrayLike, tolerance: float = TOLERANCE, seed: int = 0
) -> Report:
    """⟨w, A v⟩ = ⟨Aᵀ w, v⟩ for random v and w, and the linearity of both.

    ``x`` is an example of what ``forward`` takes: its shape and its dtype. Over complex numbers
    the pairing is the real one, Re Σ conj(a) b, and the adjoint the conjugate transpose. Returns a
    report on the pairing and on the two linearities; raises ``UncheckableError`` where the adjoint
    does not return the shape of x.
    """
    example = np.asarray(x)
    example = example if example.dtype.kind == "c" else example.astype(np.float64)
    findings = []
    worst = {"⟨w, A v⟩ = ⟨Aᵀ w, v⟩": 0.0, "A is linear": 0.0, "Aᵀ is linear": 0.0}
    with np.errstate(all="ignore"):
        for draw in range(DRAWS):
            v, other = (_random(example, seed, f"v{draw}{k}") for k in "ab")
            y = np.asarray(forward(v.copy()))
            w, second = (_random(y, seed, f"w{draw}{k}") for k in "ab")
            back = np.asarray(adjoint(w.copy()))
            if back.shape != example.shape:
                raise UncheckableError(
                    f"the adjoint returns shape {back.shape} for w of shape {w.shape}, expected "
                    f"the shape of x, {example.shape}"
                )
            errors = (
                pairing_error(v, y, w, back),
                _nonlinearity(forward, v, other),
                _nonlinearity(adjoint, w, second),
            )
            worst = {n: max(e, new) for (n, e), new in zip(worst.items(), errors, strict=True)}
    words = ("Aᵀ is not the adjoint of A", "A is not linear", "Aᵀ is not linear")
    for (name, error), said in zip(worst.items(), words, strict=True):
        right = error <= tolerance
        findings.append(
            Finding(
                name, example.shape, error, tolerance,
                Outcome.RIGHT if right else Outcome.WRONG, "right" if right else said,
            )
        )  # fmt: skip
    label = getattr(forward, "__name__", type(forward).__name__)
    return Report(label, "dot test", f"{DRAWS} pairs", 4 * DRAWS, tuple(findings))


def pairing_error(v: NDArray, y: NDArray, w: NDArray, back: NDArray) -> float:
    """|⟨w, y⟩ − ⟨back, v⟩| for y = A v and back = Aᵀ w  (E32).

    Relative to the larger of ‖w‖ ‖y‖ and ‖back‖ ‖v‖; the pairing is Re Σ conj(a) b.
    """
    size = max(_norm(w) * _norm(y), _norm(back) * _norm(v), 1e-300)
    return abs(_pair(w, y) - _pair(back, v)) / size


def _random(like: NDArray, seed: int, name: str) -> NDArray:
    real = direction(like.shape, seed, f"dot {name}")
    return real + 1j * direction(like.shape, seed, f"dot i {name}") if like.dtype.kind == "c" else (
        real
    )  # fmt: skip


def _pair(a: NDArray, b: NDArray) -> float:
    return float(np.real(np.vdot(a, b)))


def _norm(a: NDArray) -> float:
    return float(np.sqrt(_pair(a, a)))


def _nonlinearity(f: Map, a: NDArray, b: NDArray) -> float:
    """‖f(2a − 3b) − 2 f(a) + 3 f(b)‖ over the size of its terms."""
    parts = 2.0 * np.asarray(f(a.copy())), 3.0 * np.asarray(f(b.copy()))
    off = np.asarray(f(2.0 * a - 3.0 * b)) - parts[0] + parts[1]
    return _norm(off) / max(_norm(parts[0]) + _norm(parts[1]), 1e-300)
