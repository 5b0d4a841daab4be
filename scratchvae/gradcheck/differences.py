"""A slope from values alone whose step and error come from the function itself.

Central differences of steps h, h/4, h/16, … are extrapolated to h = 0 (Richardson, E31), and the
entry of the table with the smallest error is the answer (C. J. F. Ridders, 1982). The first step
is a part of the number that moves: an element of 10⁻⁶ is not thrown across zero. The error that is
claimed adds the rounding of the values, measured on the function (as by J. J. Moré and S. M. Wild,
2011), so that a function that computes in float32 gets the wide steps and the errors it deserves.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Terms = Callable[[float], NDArray]  # t -> the terms w_j y_j(x + t v), whose sum is differentiated

RATIO = 4.0  # between one step and the next
LEVELS = 14  # from a quarter of an element down to 10⁻⁹ of it
AHEAD = 4  # levels: the last entry is held against a difference this much nearer
COLUMNS = 5  # of the table: beyond h¹⁰ nothing is gained
SURE = 10.0  # times the estimated error: a difference beyond is no error of the estimate
GOOD = 1e-10  # a relative error that needs no better one
EPS = float(np.finfo(np.float64).eps)


class Slope(NamedTuple):
    """A derivative and the error it may have."""

    value: float
    error: float

    def agrees(self, other: float, slack: float = 0.0) -> bool:
        """Whether another value lies within the error, ten times over, and a slack."""
        return abs(other - self.value) <= SURE * self.error + slack


def slope(terms: Terms, size: float, noise: float = 0.0, wide: float | None = None) -> Slope:
    """d/dt Σ terms(t) at 0, from two sides; ``size`` is a t at which much may have changed.

    ``noise``: the rounding error of the sum relative to ‖terms‖, where it is more than float64's.
    Terms that stay the same at ``wide``, or ``size``, do not depend on t and have no rounding.
    """
    moving = _moving(terms, max(size, wide or 0.0))

    def difference(h: float) -> tuple[float, float]:
        up, down = terms(h), terms(-h)
        return float(np.sum(up - down)) / (2 * h), _rounding(up, down, moving, noise) / (2 * h)

    return _extrapolated(difference, size / 4, RATIO**2)


def one_sided(terms: Terms, size: float, noise: float = 0.0) -> Slope:
    """The same from the right alone: with t negative in ``terms``, from the left."""
    here, moving = terms(0.0), _moving(terms, size)

    def difference(h: float) -> tuple[float, float]:
        there = terms(h)
        return float(np.sum(there - here)) / h, _rounding(there, here, moving, noise) / h

    return _extrapolated(difference, size / 4, RATIO)


def nearest(terms: Terms, own: float, typical: float, noise: float = 0.0) -> Slope:
    """The slope with steps of an element's own size, or wider ones where those are consistent.

    Wider steps drown less in rounding, but may look across a kink: then the narrow ones count.
    """
    narrow = slope(terms, own, noise, typical)
    enough = 1e-4 if own >= typical / 2 else 1e-7
    if narrow.error <= enough * abs(narrow.value):
        return narrow
    wide = slope(terms, 4 * typical, noise)
    better = wide.error < narrow.error and narrow.agrees(wide.value, wide.error)
    return wide if better else narrow


def noise_of(terms: Terms, size: float) -> float:
    """The rounding error of Σ terms(t) relative to ‖terms‖₂, from values at nearly the same t.

    Fourth differences of a smooth function vanish at steps this small; what is left is rounding.
    They are taken on one side, for a kink at t = 0 would look like rounding.
    """
    found = []
    for step in (2.0**-17 * size, 2.0**-20 * size, 2.0**-23 * size):
        values = np.array([np.sum(terms(k * step)) for k in range(1, 10)])
        left = np.diff(values, 4) / np.sqrt(70.0)
        found.append(float(np.sqrt(np.mean(left**2))))
    scale = float(np.sqrt(np.sum(terms(0.0) ** 2)))
    most = max(found)  # a step that changes no value of float32 shows no noise
    return most / scale if scale > 0 and np.isfinite(most) else 0.0


def _moving(terms: Terms, size: float) -> NDArray:
    """The terms that a wide step moves, and those so large that their rounding would hide it."""
    here = terms(0.0)
    moved = np.asarray((terms(size) != here) | (terms(-size) != here))
    largest = float(np.max(np.abs(here), where=moved, initial=0.0))
    return np.asarray(moved | (np.abs(here) > 1e3 * largest))


def _rounding(up: NDArray, down: NDArray, moving: NDArray, noise: float) -> float:
    """Of float64 in every term, and of coarser numbers where the roundings do not conspire."""
    own = float(np.sum(np.abs(up), where=moving) + np.sum(np.abs(down), where=moving))
    squares = float(np.sum(up * up, where=moving) + np.sum(down * down, where=moving))
    return EPS * own + noise * float(np.sqrt(squares))


def _extrapolated(
    difference: Callable[[float], tuple[float, float]], first: float, power: float
) -> Slope:
    """Richardson's table down to the steps where rounding outweighs what is gained.

    An entry is believed only while smaller steps bear it out: across a pole or a kink, wide steps
    may agree with each other on something else.
    """
    nothing = Slope(float("nan"), float("inf"))
    best, gap, row = nothing, 0.0, list[float]()

    def borne_out(level: int) -> bool:
        value, rounding = difference(first / RATIO**level)
        return abs(value - best.value) <= 2 * gap + SURE * (rounding + best.error)

    for level in range(LEVELS):
        value, rounding = difference(first / RATIO**level)
        if abs(value - best.value) > 2 * gap + SURE * (rounding + best.error):
            best = nothing
        new = [value]
        for m in range(1, min(level, COLUMNS) + 1):
            new.append(new[m - 1] + (new[m - 1] - row[m - 1]) / (power**m - 1))
            error = max(abs(new[m] - new[m - 1]), abs(new[m] - row[m - 1])) + rounding
            if error < best.error:  # never true of NaN: steps out of the domain are passed over
                best, gap = Slope(new[m], error), abs(value - new[m])
        row = new
        if level >= 2 and (rounding >= best.error or best.error <= GOOD * abs(best.value)):
            if borne_out(level + AHEAD):
                return best
            best = nothing
    return best if borne_out(LEVELS + 2 * AHEAD) else nothing
