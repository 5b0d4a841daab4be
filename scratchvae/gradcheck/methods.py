"""Derivatives by evaluation alone: the complex step, difference formulas, and kinks.

Each method takes φ(t) = f(x + t v), an array for a number t, and answers with φ′(0).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.errors import ConfigError

Curve = Callable[[complex], NDArray]

COMPLEX_STEP = 2.0**-100  # nothing is subtracted, so it may be this small: h² is 10⁻⁶⁰


def complex_step(phi: Curve) -> NDArray:
    """φ′(0) ≈ Im φ(ih) / h  (E28): no difference, so no cancellation, and an error of h² φ‴/6.

    Squire and Trapp 1998. Exact to rounding for analytic φ; h is a power of two, so that the
    division is exact.
    """
    return np.imag(phi(1j * COMPLEX_STEP)) / COMPLEX_STEP


def central(phi: Curve, h: float = 2.0**-17) -> NDArray:
    """φ′(0) ≈ (φ(h) − φ(−h)) / 2h  (E29), h near the cube root of the float64 epsilon."""
    return (phi(h) - phi(-h)) / (2 * h)


def five_point(phi: Curve, h: float = 2.0**-10) -> NDArray:
    """φ′(0) ≈ (8 (φ(h) − φ(−h)) − (φ(2h) − φ(−2h))) / 12h  (E30), with an error of h⁴ φ⁗′/30."""
    return (8 * (phi(h) - phi(-h)) - (phi(2 * h) - phi(-2 * h))) / (12 * h)


def richardson(phi: Curve, h: float = 2.0**-8, levels: int = 3) -> NDArray:
    """Central differences of steps h, h/2, …, extrapolated to h = 0  (E31).

    D(k, m) = D(k, m−1) + (D(k, m−1) − D(k−1, m−1)) / (4ᵐ − 1): each column of Richardson's table
    cancels one more even power of h.
    """
    row: list[NDArray] = []
    for k in range(levels):
        step = h / 2**k
        new = [(phi(step) - phi(-step)) / (2 * step)]
        for m in range(1, k + 1):
            new.append(new[m - 1] + (new[m - 1] - row[m - 1]) / (4**m - 1))
        row = new
    return row[-1]


class Method(NamedTuple):
    """A way to differentiate by evaluation, with the tolerance it deserves in float64."""

    name: str
    derivative: Callable[[Curve], NDArray]
    dtype: str
    tolerance: float
    evaluations: int  # a derivative along one direction costs this many
    reach: float  # it looks this far from the point: closer kinks disturb it
    adapts: bool = False  # steps and errors are each element's own: see ``differences``


METHODS = {
    m.name: m
    for m in (
        Method("complex", complex_step, "complex128", 1e-13, 1, 0.0),
        Method("central", central, "float64", 1e-6, 2, 2.0**-17),
        Method("five_point", five_point, "float64", 1e-8, 4, 2.0**-9),
        Method("richardson", richardson, "float64", 1e-8, 6, 2.0**-8),
        Method("ridders", richardson, "float64", 1e-7, 6, 2.0**-8, adapts=True),
    )
}


def method_named(name: str) -> Method:
    """The method of this name; ``ConfigError`` for another."""
    if name not in METHODS:
        raise ConfigError(f"method {name!r} is not one of {', '.join(METHODS)}")
    return METHODS[name]


@dataclass(frozen=True)
class Plan:
    """How a gradient is checked: every element, or along random directions of each argument.

    Raises ``ConfigError`` for a tolerance that is not positive and for no directions.
    """

    method: Method
    tolerance: float | None = None  # None: what the method deserves
    directions: int | None = None  # None: every element
    seed: int = 0  # of the directions

    def __post_init__(self) -> None:
        if not 0 < self.limit < float("inf"):
            raise ConfigError(f"a tolerance is a positive number, not {self.tolerance}")
        if self.directions is not None and self.directions < 1:
            raise ConfigError(f"the number of directions must be at least 1, not {self.directions}")

    @property
    def limit(self) -> float:
        """The error that is allowed."""
        return self.method.tolerance if self.tolerance is None else self.tolerance


def kink(phi: Curve, reach: float) -> tuple[float, float] | None:
    """The least and greatest slope beside a kink of a scalar φ within ``reach`` of 0, else None.

    With c(h) = φ(h) − 2 φ(0) + φ(−h), 4 c(h/2) − c(h) falls with h⁴ on a smooth curve: a half step
    leaves 1/16 of it. Across a kink it leaves another part. Seven evaluations, no retries.
    """
    here = float(phi(0.0))
    right, left = ([float(phi(s * reach / k)) for k in (1, 2, 4)] for s in (1, -1))
    c = [r - 2 * here + m for r, m in zip(right, left, strict=True)]
    wide, narrow = 4 * c[1] - c[0], 4 * c[2] - c[1]
    noise = 256 * float(np.finfo(np.float64).eps) * max(map(abs, (here, *right, *left)))
    if abs(wide) <= noise and abs(narrow) <= noise:
        return None
    if abs(narrow - wide / 16) <= max(noise, abs(wide) / 32):
        return None
    along = [*left, here, *right[::-1]]  # at −h, −h/2, −h/4, 0, h/4, h/2, h
    widths = [reach / k for k in (2, 4, 4, 4, 4, 2)]
    slopes = [(b - a) / w for a, b, w in zip(along, along[1:], widths, strict=False)]
    slack = 1e-3 * max(map(abs, slopes))  # for the curve's own curvature
    return min(slopes) - slack, max(slopes) + slack
