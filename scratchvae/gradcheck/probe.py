"""A subject evaluated along directions, by one method; and what else its numbers can tell."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import get_backend
from scratchvae.gradcheck.differences import EPS, SURE, nearest, noise_of, slope
from scratchvae.gradcheck.dual import TIES
from scratchvae.gradcheck.measure import norm
from scratchvae.gradcheck.methods import COMPLEX_STEP, Curve, Method
from scratchvae.gradcheck.points import direction, rays, rounding_along, typical, typical_rounding
from scratchvae.gradcheck.report import BrokenContractError
from scratchvae.gradcheck.subjects.base import Arrays, Bound, Subject
from scratchvae.gradcheck.subjects.function import BoundFunction

COARSEST = 2.0**-8  # no format rounds as coarsely: values that jump by more are a fast wave
SINGLE = 2.0**-24  # what rounding to float32 leaves
ROUNDING = 1e-13  # of the sum of the magnitudes of an element's terms: what rounding may leave


@dataclass(frozen=True)
class Estimate:
    """The derivatives with respect to some elements, as a method has them.

    ``scale``: the sum of the magnitudes of each one's terms; ``error``: what the method itself may
    be off by, none for a complex step.
    """

    value: NDArray
    scale: NDArray
    error: NDArray

    def limit(self, tolerance: float) -> NDArray:
        """The difference that each element may have."""
        return np.asarray(
            tolerance * np.abs(self.value) + ROUNDING * self.scale + SURE * self.error
        )


class Probe:
    """Evaluates a subject along directions and counts how often."""

    def __init__(self, subject: Subject, w: NDArray, method: Method) -> None:
        self.subject, self.w, self.method = subject, w, method
        self.weights = np.asarray(subject.expand_cotangent(w))
        self.bound: Bound = subject.bind(get_backend("cpu", method.dtype))
        self.real: Bound = subject.bind(get_backend("cpu", "float64"))
        self.evaluations = 0
        self.notes: list[str] = []
        self.contradicted = False  # by differences, where the complex step was
        self._magnitudes: Arrays | None = None
        self._noise: dict[str, float] = {}

    # The method ----------------------------------------------------------------------------------

    def elements(self, name: str, at: NDArray) -> Estimate:
        """The derivatives with respect to the elements at flat indices."""
        found = [self.element(name, int(i)) for i in at]
        return Estimate(*(np.array(column, dtype=float) for column in zip(*found, strict=True)))

    def element(self, name: str, i: int) -> tuple[float, float, float]:
        """Value, scale and error of one element."""
        x = self.subject.args[name]
        v = np.zeros(x.size)
        v[i] = 1.0
        own, usual = self.sizes(name, i)
        if self.method.adapts:
            found = nearest(self.weighted(name, v.reshape(x.shape)), own, usual, self.noise(name))
            return found.value, abs(found.value), found.error
        return self._fixed(name, v.reshape(x.shape))

    def along(self, name: str, v: NDArray) -> Estimate:
        """The derivative along a direction, as arrays of one number."""
        if self.method.adapts:
            found = slope(
                self.weighted(name, v), typical(self.subject.args[name]), self.noise(name)
            )
            columns = (found.value, abs(found.value), found.error)
        else:
            columns = self._fixed(name, v)
        return Estimate(*(np.array([c]) for c in columns))

    def _fixed(self, name: str, v: NDArray) -> tuple[float, float, float]:
        unit = self._unit(name)
        phi = self.curve(name, v, unit)
        terms = self.weights * self.method.derivative(phi) / unit
        value, magnitude = float(np.sum(terms)), float(np.sum(np.abs(terms)))
        if not self.method.reach:
            return value, magnitude, 0.0
        size = float(np.sum(np.abs(self.weights * phi(0.0))))
        self.evaluations -= 1  # of the method's own
        rounding = EPS * size / (self.method.reach * unit)
        return value, magnitude, rounding + self.method.tolerance * magnitude / SURE

    def curve(self, name: str, v: NDArray, unit: float = 1.0) -> Curve:
        """φ(t) = f(…, x + t unit v, …) in the dtype of the method."""
        return self._curve(self.bound, name, v, unit)

    def weighted(self, name: str, v: NDArray) -> Callable[[float], NDArray]:
        """t -> the terms w_j y_j(x + t v), in float64."""
        phi = self._curve(self.real, name, v, 1.0)

        def terms(t: float) -> NDArray:
            try:
                return np.asarray(self.weights * phi(t), dtype=np.float64)
            except BrokenContractError:
                raise
            except Exception:  # outside of what the function takes: no such step
                return np.full(self.weights.shape, np.nan)

        return terms

    def _curve(self, bound: Bound, name: str, v: NDArray, unit: float) -> Curve:
        x = self.subject.args[name]

        def phi(t: complex) -> NDArray:
            self.evaluations += 1
            return bound.value({**self.subject.args, name: x + (t * unit) * v})

        return phi

    # Sizes and noise -----------------------------------------------------------------------------

    def _unit(self, name: str) -> float:
        """A power of two near the largest element of an argument, at least 1."""
        top = float(np.max(np.abs(self.subject.args[name]), initial=1.0))
        return 2.0 ** float(np.floor(np.log2(top)))

    def sizes(self, name: str, i: int) -> tuple[float, float]:
        """The size of an element, and what is usual in its argument, at least its own."""
        x = self.subject.args[name]
        usual = typical(x)
        own = abs(float(x.flat[i])) or usual
        return own, max(own, usual, 1.0)

    def noise(self, name: str) -> float:
        """How coarsely the function rounds: 0 for float64, some 10⁻⁸ for float32 inside."""
        if name not in self._noise:
            x = self.subject.args[name]
            size = np.abs(x) if np.any(x) else np.ones(x.shape)
            rays = (size * direction(x.shape, k, f"noise {name}") for k in range(2))
            found = min(noise_of(self.weighted(name, v), 1.0) for v in rays)  # but for kinks
            found = max(found, SINGLE if is_single(self.real.value(self.subject.args)) else 0.0)
            self._noise[name] = found if 16 * EPS < found < COARSEST else 0.0
        return self._noise[name]

    def cancelled(self, name: str, at: NDArray) -> NDArray:
        """The s of elements of a gradient, from the code that computes it.

        Asked for only where the s that the method itself shows, Σ_j |w_j ∂y_j/∂x|, is not enough:
        terms that cancel inside the backward, such as saturated units, where 1 − y² has few digits
        left.
        """
        if self._magnitudes is None:
            try:
                self._magnitudes = self.subject.magnitudes(self.w) or {}
            except Exception as error:  # the code may use what arrays of magnitudes have not
                self._magnitudes = {}
                self.notes.append(
                    "terms that cancel inside the backward were not measured "
                    f"({type(error).__name__}: {error}): a saturated unit may be called wrong"
                )
        found = self._magnitudes.get(name)
        return np.zeros(at.size) if found is None else np.asarray(found).reshape(-1)[at]

    def cancelled_norm(self, name: str) -> float:
        """The same for a whole argument."""
        size = self.subject.args[name].size
        return norm(self.cancelled(name, np.arange(size)))

    def rounding_of_reference(self, name: str, i: int) -> float:
        """The rounding in the method's own answer, in units of its size.

        From answers along rays; and where the function is linear, and they are all alike, from
        those along a third and a seventh of the direction.
        """
        found = []
        for ray in rays(self.subject.args):
            values = [at_other_numbers(self, ray(k)).element(name, i)[0] for k in range(1, 8)]
            found.append(rounding_along([np.asarray(v) for v in values]))
        v = np.zeros(self.subject.args[name].shape)
        v.reshape(-1)[i] = 1.0
        here, *parts = (p * self._fixed(name, v / p)[0] for p in (1.0, 3.0, 7.0))
        linear = max(abs(here - part) for part in parts)
        return max(float(typical_rounding(found)), linear) / EPS

    def resolution(self, name: str, i: int) -> float:
        """The slope that an ulp of the outputs which an element moves is: none of a scalar.

        A saturated unit's derivative falls below it, and 1 − y² is zero there; so may all that a
        complex step finds, and then wide steps show what would move.
        """
        if np.ndim(self.weights) == 0:
            return 0.0
        x = self.subject.args[name]
        v = np.zeros(x.shape)
        v.reshape(-1)[i] = 1.0
        y = self.curve(name, v)(1j * COMPLEX_STEP)
        moved = np.asarray(np.imag(y) != 0)
        if not np.any(moved):
            terms, usual = self.weighted(name, v), self.sizes(name, i)[1]
            steps = [sign * 2.0**k * usual for k in range(-2, 3) for sign in (1, -1)]
            moved = np.asarray(np.any([terms(t) != terms(0.0) for t in steps], axis=0))
        size = float(np.sum(np.abs(self.weights * np.real(y)), where=moved))
        return EPS * size / (abs(float(x.flat[i])) or 1.0)

    # Kinks ---------------------------------------------------------------------------------------

    def branches(self, name: str, v: NDArray) -> tuple[float, float] | None:
        """The least and greatest slope over the branches at a tie, or None where nothing ties.

        Only a function of anyone's shows its ties; code on buffers is looked at from both sides.
        """
        if self.method.name != "complex" or not isinstance(self.bound, BoundFunction):
            return None
        watch, found = self.bound.watch, []
        watch.tied = 0
        try:
            for sign, ties in [(1.0, t) for t in TIES] + [(-1.0, "along")]:
                watch.ties = ties
                y = self.curve(name, sign * v)(1j * COMPLEX_STEP)
                found.append(self.weights * (sign * np.imag(y) / COMPLEX_STEP))
        finally:
            watch.ties = "plain"
        if not watch.tied:
            return None
        least = float(np.sum(np.min(found, axis=0)))
        return least, float(np.sum(np.max(found, axis=0)))


def is_single(y: NDArray) -> bool:
    """Whether values were rounded to float32 on the way: no digit of theirs is beyond it."""
    if y.dtype.itemsize < 8:
        return True
    short = y == y.astype(np.float32)
    plain = y == np.round(y * 1024) / 1024  # ones and halves are short in any precision
    return bool(np.all(short) and not np.all(plain))


def at_other_numbers(probe: Probe, args: Arrays) -> Probe:
    """A probe of the same subject at other numbers."""
    subject = copy(probe.subject)
    subject.args = args
    return Probe(subject, probe.w, probe.method)
