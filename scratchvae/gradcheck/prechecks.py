"""Before a check: is this a function that can be checked, and by the complex step?"""

from collections.abc import Iterator
from types import CellType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import get_backend
from scratchvae.gradcheck.directions import direction
from scratchvae.gradcheck.methods import COMPLEX_STEP, METHODS, Curve, kink
from scratchvae.gradcheck.report import UncheckableError
from scratchvae.gradcheck.subjects.base import Arrays, Subject
from scratchvae.gradcheck.subjects.buffered import BufferedSubject
from scratchvae.gradcheck.subjects.function import FunctionSubject
from scratchvae.types import JsonView

CONSISTENT = 0.1  # how much closer two differences must be to each other than to the complex step
MARK = (
    0.7390851332151607  # what a buffer holds that was not written: no gradient is this everywhere
)
AGREEMENT = 1e-5  # between the complex step and the second method, a central difference


def checked_gradient(subject: Subject, w: NDArray) -> Arrays:
    """The gradient under test, once everything about it is known to be in order.

    Raises ``UncheckableError`` for NaN, a stateful function, one that draws its own noise or
    overwrites its arguments, and for a backward that returns the wrong shape or dtype.
    """
    if isinstance(subject, BufferedSubject):
        _require_written(subject, w)
    bound = subject.bind(get_backend("cpu", "float64"))
    generators = list(_generators(subject))
    before = [_state(g) for g in generators]
    first, second = (np.array(bound.value(subject.args)) for _ in range(2))
    drew = any(_state(g) != state for g, state in zip(generators, before, strict=True))
    _check_value(subject.name, first)
    if drew:
        raise UncheckableError(
            f"{subject.name} draws its own noise: draw it outside and hand it in as an argument, "
            "so that backward sees the same numbers"
        )
    if first.shape != second.shape or not np.array_equal(first, second):
        raise UncheckableError(
            f"{subject.name} is stateful: twice the same input gave two different results. "
            "Hand in what it remembers, or the noise it draws, as an argument"
        )
    gradient, again = bound.gradient(subject.args, w), bound.gradient(subject.args, w)
    for name, g in gradient.items():
        _check_gradient(subject, name, g)
        if not np.array_equal(g, again[name], equal_nan=True):
            twice = np.allclose(again[name], 2 * g, rtol=1e-9, atol=0)
            why = "it accumulates: assign the gradient" if twice else "it keeps a state"
            raise UncheckableError(
                f"the backward of {subject.name} gave two gradients for {name}: {why}"
            )
    return gradient


def _require_written(subject: BufferedSubject, w: NDArray) -> None:
    """``UncheckableError`` where forward or backward leave a buffer as they were handed it."""
    bound = subject.bind(get_backend("cpu", "float64"))
    for name in subject.written_by:
        bound.buffers[name].fill(MARK)
    bound.value(subject.args)
    bound.gradient(subject.args, w)
    for name, statement in subject.written_by.items():
        if np.all(bound.buffers[name] == MARK):
            raise UncheckableError(
                f"{subject.name} leaves the buffer that it was handed as it was: write {statement}"
            )


def complex_unsafe(subject: Subject, w: NDArray, only: tuple[str, ...]) -> str | None:
    """Why the complex step cannot be used on this subject, or None where it can.

    Found by a second method, a central difference along one direction for each argument. A kink
    between the two points of the difference is no reason, if the slope found lies between those
    of its two sides: the complex step is right there.
    """
    weights = np.asarray(subject.expand_cotangent(w))
    for name in only:
        v = direction(subject.args[name].shape, 0, f"screen {name}")
        try:
            z = curve(subject, name, v, "complex128")(1j * COMPLEX_STEP)
        except Exception as error:  # whatever a foreign function does with complex numbers
            return f"it refuses complex numbers ({type(error).__name__})"
        if z.dtype.kind != "c":
            return "it drops the imaginary part"
        found = float(np.sum(weights * np.imag(z))) / COMPLEX_STEP
        slope = _disagreement(
            found, weights, curve(subject, name, v, "float64"), _size(subject, name)
        )
        if slope is not None:
            return f"along {name} it gives {found:.6g} where a central difference gives {slope:.6g}"
    return None


def _disagreement(found: float, weights: NDArray, phi: Curve, size: float) -> float | None:
    """The slope by central differences where it is another, at a step of 1 and of x's own size."""

    def total(t: complex) -> NDArray:
        return np.sum(weights * phi(t))

    slopes, reach = [], METHODS["central"].reach
    here = float(np.sum(np.abs(weights * phi(0.0))))
    for unit in (1.0, size, size / 16):
        terms = weights * METHODS["central"].derivative(_stretched(phi, unit)) / unit
        slope = float(np.sum(terms))
        slopes.append(slope)
        scale = max(float(np.sum(np.abs(terms))), 1e-4 * here / max(unit, size), 1e-300)
        if abs(found - slope) <= AGREEMENT * scale:
            return None
        sides = kink(total, unit * reach)
        if sides is not None and sides[0] <= found <= sides[1]:
            return None
    # Differences that contradict each other prove nothing: f is too steep for them here.
    consistent = abs(slopes[1] - slopes[2]) <= CONSISTENT * abs(slopes[1] - found)
    return slopes[1] if consistent else None


def _stretched(phi: Curve, unit: float) -> Curve:
    return lambda t: phi(t * unit)


def _size(subject: Subject, name: str) -> float:
    top = float(np.max(np.abs(subject.args[name]), initial=0.0))
    return top if top > 0 else 1.0


def curve(subject: Subject, name: str, v: NDArray, dtype: str) -> Curve:
    """φ(t) = f(…, x + t v, …) for one argument."""
    bound = subject.bind(get_backend("cpu", dtype))

    def phi(t: complex) -> NDArray:
        return bound.value({**subject.args, name: subject.args[name] + t * v})

    return phi


def _check_value(name: str, y: NDArray) -> None:
    if y.dtype.kind != "f":
        raise UncheckableError(f"{name} returns {y.dtype}: return real floating-point numbers")
    if y.size == 0:
        raise UncheckableError(f"{name} returns an empty array of shape {y.shape}")
    if not np.all(np.isfinite(y)):
        raise UncheckableError(f"{name} returns NaN or infinity here: check at another point")


def _check_gradient(subject: Subject, name: str, g: NDArray) -> None:
    x = subject.args[name]
    start = f"the backward of {subject.name} returned, for {name} of shape {x.shape},"
    if g.shape != x.shape:
        turned = ", the transpose's" if g.shape == x.shape[::-1] else ""
        raise UncheckableError(
            f"{start} a gradient of shape {g.shape}{turned}: return the shape of the argument"
        )
    if g.dtype != np.float64:
        raise UncheckableError(f"{start} {g.dtype} for float64: keep the dtype of the argument")


def _generators(subject: Subject) -> Iterator[Any]:
    """NumPy's global generator, and every generator that a function can be seen to hold."""
    yield np.random.mtrand._rand
    if not isinstance(subject, FunctionSubject):
        return
    f = subject.f
    code, cells = getattr(f, "__code__", None), getattr(f, "__closure__", None) or ()
    held = [c.cell_contents for c in cells if _filled(c)]
    held += [*(getattr(f, "__defaults__", None) or ()), *vars(getattr(f, "__self__", f)).values()]
    if code is not None:
        names: JsonView = f.__globals__
        held += [names[n] for n in code.co_names if n in names]
    yield from (h for h in held if isinstance(h, np.random.Generator | np.random.RandomState))


def _filled(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _state(generator: Any) -> str:
    state = generator.get_state() if hasattr(generator, "get_state") else None
    return repr(state if state is not None else generator.bit_generator.state)
