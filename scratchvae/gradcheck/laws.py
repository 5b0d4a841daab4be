"""Laws that a gradient keeps whatever it computes: shapes, memory, rows, calls in between."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import get_backend
from scratchvae.gradcheck.check import check_subject
from scratchvae.gradcheck.report import Finding, Outcome, Report, UncheckableError
from scratchvae.gradcheck.subjects.base import Arrays
from scratchvae.gradcheck.subjects.function import FunctionSubject
from scratchvae.types import Function

SIZES = (1, 2, 3, 5, 7)  # one, the smallest, and primes: a wrong axis has nowhere to hide
SAME = 1e-12  # of the largest element: the same sums in another order


def check_laws(
    f: Function,
    *arguments: object,
    vjp: Function,
    batched: Sequence[str] = (),
    make: Callable[[int], Sequence[object]] | None = None,
    seed: int = 0,
) -> Report:
    """Check what must hold for every right gradient, beside the gradient itself.

    ``make(n)`` returns arguments of size n: the gradient is checked at 1, 2, 3, 5 and 7, and at 0
    called. Arrays that are transposed, strided, offset or read-only give the same gradient.
    ``batched`` names the arguments that have a row for each example, as has the value: examples in
    another order, and each of them twice, give their own gradients in that order, and parameters
    the same or twice the gradient. Raises as ``check_gradient`` does.
    """
    subject = FunctionSubject(f, vjp, arguments)
    report = check_subject(subject, seed=seed)
    found = [*report.findings, *_layouts(subject, seed)]
    if batched:
        found += _rows(subject, tuple(batched), seed)
    if make is not None:
        found += _sizes(f, vjp, make, seed)
    return Report(subject.name, report.method, "laws and every element", report.evaluations,
                  tuple(found), report.notes)  # fmt: skip


# Memory ------------------------------------------------------------------------------------------


def _layouts(subject: FunctionSubject, seed: int) -> Iterator[Finding]:
    """The same numbers, lying in memory in other ways."""
    w = subject.cotangent(seed)
    here = _gradient(subject, w)
    for words, place in LAYOUTS.items():
        there = subject.at(subject.arguments, _placed(subject.backward, place))
        yield _compared(f"{words} arrays", here, _attempt(there, w))


def _placed(backward: Function, place: Callable[[NDArray], NDArray]) -> Function:
    def moved(a: object) -> object:
        return place(a) if isinstance(a, np.ndarray) and a.ndim else a

    return lambda *arguments, **constants: backward(*map(moved, arguments), **constants)


def _strided(a: NDArray) -> NDArray:
    out = np.full((*a.shape[:-1], 2 * a.shape[-1]), np.nan)[..., ::2]
    out[...] = a
    return out


def _offset(a: NDArray) -> NDArray:
    out = np.full(a.size + 3, np.nan)[3:].reshape(a.shape)
    out[...] = a
    return out


def _read_only(a: NDArray) -> NDArray:
    out = a.copy()
    out.flags.writeable = False
    return out


LAYOUTS: dict[str, Callable[[NDArray], NDArray]] = {
    "transposed": lambda a: np.asfortranarray(a),
    "strided": _strided,
    "offset": _offset,
    "read-only": _read_only,
}


# Rows --------------------------------------------------------------------------------------------


def _rows(subject: FunctionSubject, batched: tuple[str, ...], seed: int) -> Iterator[Finding]:
    unknown = set(batched) - set(subject.args)
    if unknown:
        raise UncheckableError(f"{sorted(unknown)} are no arguments: they are {[*subject.args]}")
    w = subject.cotangent(seed)
    rows = len(subject.args[batched[0]])
    if np.ndim(w) == 0 or len(w) != rows:
        raise UncheckableError(f"the value has no row for each of the {rows} examples")
    here = _gradient(subject, w)
    for words, order in (
        ("examples in another order", np.roll(np.arange(rows)[::-1], 1)),
        ("every example twice", np.repeat(np.arange(rows), 2)),
    ):
        times = len(order) // rows
        args = {n: a[order] if n in batched else a for n, a in subject.args.items()}
        expected = {n: g[order] if n in batched else times * g for n, g in here.items()}
        yield _compared(words, expected, _attempt(_at(subject, args), w[order]))


def _at(subject: FunctionSubject, args: Arrays) -> FunctionSubject:
    arguments = list(subject.arguments)
    for name, (first, *rest) in subject.places.items():
        if rest:
            raise UncheckableError("rows are checked of plain arrays, not of those in containers")
        arguments[first] = args[name]
    return subject.at(arguments)


# Sizes -------------------------------------------------------------------------------------------


def _sizes(
    f: Function, vjp: Function, make: Callable[[int], Sequence[object]], seed: int
) -> Iterator[Finding]:
    for n in SIZES:
        try:
            report = check_subject(FunctionSubject(f, vjp, make(n)), seed=seed)
        except Exception as error:
            yield _failed(f"size {n}", f"{type(error).__name__}: {error}")
            continue
        for finding in report.findings:
            if finding.outcome is Outcome.WRONG:
                yield _failed(f"size {n}, {finding.argument}", finding.verdict)
        if report.ok:
            yield Finding(f"size {n}", (n,), report.worst, SAME, Outcome.RIGHT, "right")
    arguments = make(0)
    try:
        y = f(*arguments)
        vjp(*arguments, np.zeros(np.shape(y)) if np.ndim(y) else 0.0)
    except Exception as error:
        yield _failed("size 0", f"{type(error).__name__}: {error}")
    else:
        yield Finding("size 0", (0,), 0.0, SAME, Outcome.RIGHT, "right: it runs")


# Comparisons -------------------------------------------------------------------------------------


def _gradient(subject: FunctionSubject, w: NDArray) -> Arrays:
    return subject.bind(get_backend("cpu", "float64")).gradient(subject.args, w)


def _attempt(subject: FunctionSubject, w: NDArray) -> Arrays | Exception:
    try:
        return _gradient(subject, w)
    except Exception as error:
        return error


def _compared(words: str, expected: Arrays, found: Arrays | Exception) -> Finding:
    if isinstance(found, Exception):
        return _failed(words, f"{type(found).__name__}: {found}")
    error = 0.0
    for name, g in expected.items():
        if name not in found or found[name].shape != g.shape:
            return _failed(words, f"the gradient of {name} has another shape")
        size = float(np.max(np.abs(g), initial=0.0)) or 1.0
        off = float(np.max(np.abs(found[name] - g), initial=0.0)) / size
        error = max(error, off if np.isfinite(off) else float("inf"))
    if not error <= SAME:
        return Finding(words, (), error, SAME, Outcome.WRONG, "gives another gradient")
    return Finding(words, (), error, SAME, Outcome.RIGHT, "right")


def _failed(words: str, why: str) -> Finding:
    return Finding(words, (), float("inf"), SAME, Outcome.WRONG, why)
