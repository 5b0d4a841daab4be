"""Before a check: is this a function that can be checked, and by the complex step?"""

from collections.abc import Iterator
from types import CellType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import get_backend
from scratchvae.gradcheck.arbiter import settle
from scratchvae.gradcheck.differences import slope
from scratchvae.gradcheck.dual import Watch
from scratchvae.gradcheck.dual_rules import Refused
from scratchvae.gradcheck.methods import COMPLEX_STEP, METHODS
from scratchvae.gradcheck.points import direction, nearby, typical
from scratchvae.gradcheck.probe import Probe
from scratchvae.gradcheck.report import BrokenContractError, UncheckableError, UnsteadyError
from scratchvae.gradcheck.subjects.base import Arrays, Bound, Subject
from scratchvae.gradcheck.subjects.buffered import BoundSubject, BufferedSubject
from scratchvae.gradcheck.subjects.function import BoundFunction, FunctionSubject
from scratchvae.gradcheck.trees import attributes
from scratchvae.types import JsonView

Generator = np.random.Generator | np.random.RandomState

MARK = (
    0.7390851332151607  # what a buffer holds that was not written: no gradient is this everywhere
)
CALLS = 5  # of the backward at the same point: a state may show at the third only
LINEAR = 1e-6  # of the largest element: more is no rounding, in float32 either
SAME = 1e-13  # of the largest element: a sum on several threads may differ in its last digits


def checked_gradient(subject: Subject, w: NDArray) -> Arrays:
    """The gradient under test, once everything about it is known to be in order.

    Raises ``UncheckableError`` for NaN and for a backward that returns the wrong shape or dtype,
    ``UnsteadyError`` for a function that keeps a state or draws its own noise, and
    ``BrokenContractError`` for code that overwrites what it is handed and for a backward that
    accumulates or keeps a state.
    """
    if isinstance(subject, BufferedSubject):
        _require_written(subject, w)
    bound = subject.bind(get_backend("cpu", "float64"))
    declared = isinstance(subject, FunctionSubject) and subject.calls.reseed is not None
    generators = [] if declared else list(_generators(subject))
    before = [_state(g) for g in generators]
    first, second = (np.array(bound.value(subject.args)) for _ in range(2))
    drew = any(_state(g) != state for g, state in zip(generators, before, strict=True))
    _check_value(subject.name, first)
    if drew:
        raise UnsteadyError(
            f"{subject.name} draws its own noise: draw it outside and hand it in as an argument, "
            "so that backward sees the same numbers, or pass reseed=, a function that sets its seed"
        )
    if first.shape != second.shape or not np.array_equal(first, second):
        raise UnsteadyError(
            f"{subject.name} is stateful: twice the same input gave two different results. "
            "Hand in what it remembers, or the noise it draws, as an argument"
        )
    raw = bound.gradient(subject.args, w)
    single = first.dtype.itemsize < 8
    gradient = {n: np.array(g) for n, g in raw.items()}
    for name, g in gradient.items():
        _check_gradient(subject, name, g, single)
    _require_steady(subject, bound, gradient, w)
    return {n: g.astype(np.float64) for n, g in gradient.items()}


def _require_steady(subject: Subject, bound: Bound, gradient: Arrays, w: NDArray) -> None:
    """``BrokenContractError`` unless the same point gives the same gradient again and again."""
    for call in range(2, CALLS + 1):
        if call == 3:  # another batch in between, as in training
            _call_elsewhere(subject, bound, w)
        again = bound.gradient(subject.args, w)
        require_same(subject, gradient, again, call)
    if isinstance(subject, FunctionSubject) and np.ndim(w):
        _require_linear(subject, bound, gradient, np.asarray(w))


def _require_linear(subject: Subject, bound: Bound, gradient: Arrays, w: NDArray) -> None:
    """``BrokenContractError`` for a backward that is not linear in dy.

    A scalar function's may ignore its dy, and is not asked.
    """
    nothing, half = (
        {n: np.array(g) for n, g in bound.gradient(subject.args, part * w).items()}
        for part in (0.0, -0.5)
    )
    for name, g in gradient.items():
        who = f"the backward of {subject.name}"
        if name in nothing and np.any(nothing[name] != 0):
            what = "a gradient" if np.all(np.isfinite(nothing[name])) else "NaN or infinity"
            raise BrokenContractError(f"{who} gives {name} {what} where dy is zero")
        off = np.abs(half.get(name, g) + 0.5 * g)
        if np.max(off, initial=0.0) > LINEAR * np.max(np.abs(g), initial=0.0):
            raise BrokenContractError(
                f"{who} is not linear in dy: with dy halved and negative, the gradient of {name} "
                "is not"
            )


def require_same(subject: Subject, gradient: Arrays, again: Arrays, call: int) -> None:
    """``BrokenContractError`` where a later call of backward gave another gradient."""
    for name, g in gradient.items():
        there = again.get(name, np.full(g.shape, np.nan))
        if np.array_equal(there, g, equal_nan=True):
            continue
        if np.max(np.abs(there - g), initial=0.0) <= SAME * np.max(np.abs(g), initial=0.0):
            continue
        at = int(np.argmax(np.abs(g)))
        factor = float(there.flat[at] / g.flat[at]) if np.any(g) else 0.0
        grows = factor > 1.5 and np.allclose(there, factor * g, rtol=1e-9, atol=0, equal_nan=True)
        why = "it accumulates: assign the gradient" if grows else "it keeps a state"
        if call == 3 and not grows:
            why = "it keeps something of the call before, with other numbers"
        raise BrokenContractError(
            f"the backward of {subject.name} gave another gradient for {name} at call {call} with "
            f"the same numbers: {why}"
        )


def _call_elsewhere(subject: Subject, bound: Bound, w: NDArray) -> None:
    try:
        other = {n: nearby(a, 1, n) for n, a in subject.args.items()}
        bound.value(other)
        bound.gradient(other, -0.5 * np.asarray(w))
    except BrokenContractError:
        raise
    except Exception:  # the numbers may lie outside of what the function takes
        return


def _require_written(subject: BufferedSubject, w: NDArray) -> None:
    """``UncheckableError`` where forward or backward leave a buffer as they were handed it.

    ``BrokenContractError`` where they write into one that they are to read alone.
    """
    bound = subject.bind(get_backend("cpu", "float64"))
    for name in subject.written_by:
        bound.buffers[name].fill(MARK)
    bound.value(subject.args)
    _require_kept(subject, bound, {**subject.args, **subject.constants})
    bound.gradient(subject.args, w)
    _require_kept(subject, bound, {**subject.args, **subject.constants, "w": np.asarray(w)})
    for name, statement in subject.written_by.items():
        if np.all(bound.buffers[name] == MARK):
            raise UncheckableError(
                f"{subject.name} leaves the buffer that it was handed as it was: write {statement}"
            )


def _require_kept(subject: BufferedSubject, bound: BoundSubject, inputs: Arrays) -> None:
    for name, a in inputs.items():
        kept = np.array_equal(bound.buffers[name], a, equal_nan=True)
        if not kept and name not in subject.destroys:
            raise BrokenContractError(
                f"{subject.name} overwrites {'dy' if name == 'w' else name}, which others still "
                "read: work in a copy, or in the buffer for the result"
            )


class Screen(NamedTuple):
    """Whether a complex step can be trusted with a subject."""

    unsafe: str | None  # why not
    watched: Watch | None  # what was met on the way, for a function of anyone's
    confirmed: float  # the relative error down to which differences agree with it


def screen(subject: Subject, w: NDArray, only: tuple[str, ...]) -> Screen:
    """Try the complex step along one direction for each argument, and differences beside it.

    A disagreement at a kink, where the complex step took one of the branches, is no reason
    against it.
    """
    confirmed = 0.0
    probe = Probe(subject, w, METHODS["complex"])
    watch = probe.bound.watch if isinstance(probe.bound, BoundFunction) else None
    for name in only:
        x = subject.args[name]
        if not x.size:
            continue
        v = direction(x.shape, 0, f"screen {name}") * np.where(x == 0, typical(x), np.abs(x))
        try:
            z = probe.curve(name, v)(1j * COMPLEX_STEP)
        except UncheckableError:
            raise
        except Exception as error:  # whatever a foreign function does with complex numbers
            return Screen(refusal(error), watch, 1.0)
        if z.dtype.kind != "c" and watch is None:
            return Screen("it drops the imaginary part", watch, 1.0)
        terms = probe.weights * np.imag(z) / COMPLEX_STEP
        found, scale = float(np.sum(terms)), float(np.sum(np.abs(terms)))
        weighted = probe.weighted(name, v)
        other = slope(weighted, 1.0)
        if not other.agrees(found, 1e-9 * max(scale, abs(other.value))):
            other = slope(weighted, 1.0, probe.noise(name))
        if not np.isfinite(other.error):
            confirmed = 1.0
            continue
        if not other.agrees(found, 1e-9 * max(scale, abs(other.value))):
            margin = 1e-6 * scale
            there = settle(probe, name, v, (1.0, 1.0), found, margin, None)
            if not (there.right and there.kink) and other.error < 0.01 * abs(other.value - found):
                return Screen(
                    f"along {name} it gives {found:.6g} where differences give {other.value:.6g}",
                    watch, 1.0,
                )  # fmt: skip
        elif scale:
            confirmed = max(confirmed, max(other.error, abs(found - other.value)) / scale)
    if watch is not None and watch.single:
        return Screen("it rounds to float32", watch, 1.0)
    return Screen(None, watch, confirmed)


def refusal(error: Exception) -> str:
    """Why a complex step did not come through, in words."""
    if isinstance(error, Refused):
        return f"{error} is another function for complex numbers"
    if isinstance(error, np.exceptions.ComplexWarning):
        return "it drops the imaginary part"
    return f"it refuses complex numbers ({type(error).__name__})"


def _check_value(name: str, y: NDArray) -> None:
    if y.dtype.kind != "f":
        raise UncheckableError(f"{name} returns {y.dtype}: return real floating-point numbers")
    if y.size == 0:
        raise UncheckableError(f"{name} returns an empty array of shape {y.shape}")
    if not np.all(np.isfinite(y)):
        raise UncheckableError(f"{name} returns NaN or infinity here: check at another point")


def _check_gradient(subject: Subject, name: str, g: NDArray, single: bool) -> None:
    x = subject.args[name]
    start = f"the backward of {subject.name} returned, for {name} of shape {x.shape},"
    if g.shape != x.shape:
        turned = ", the transpose's" if g.shape == x.shape[::-1] else ""
        raise UncheckableError(
            f"{start} a gradient of shape {g.shape}{turned}: return the shape of the argument"
        )
    if g.dtype != np.float64 and not (single and g.dtype.kind == "f"):
        raise UncheckableError(f"{start} {g.dtype} for float64: keep the dtype of the argument")


def _generators(subject: Subject) -> Iterator[Generator]:
    """NumPy's global generator, and every generator that a function can be seen to hold."""
    yield np.random.mtrand._rand
    if not isinstance(subject, FunctionSubject):
        return
    f = subject.f
    code, cells = getattr(f, "__code__", None), getattr(f, "__closure__", None) or ()
    held = [c.cell_contents for c in cells if _filled(c)]
    owner = getattr(f, "__self__", f)
    held += [*(getattr(f, "__defaults__", None) or ()), *attributes(owner).values()]
    if code is not None:
        names: JsonView = f.__globals__
        held += [names[n] for n in code.co_names if n in names]
    yield from (h for h in held if isinstance(h, np.random.Generator | np.random.RandomState))


def _filled(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _state(generator: Generator) -> str:
    if isinstance(generator, np.random.Generator):
        return repr(generator.bit_generator.state)
    return repr(generator.get_state())
