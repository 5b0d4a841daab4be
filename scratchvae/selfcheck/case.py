"""An entry at a point, and what a check of it measures."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from scratchvae.backend import get_backend
from scratchvae.gradcheck.measure import gradient_error, norm
from scratchvae.gradcheck.subjects import BoundSubject
from scratchvae.gradcheck.subjects.base import Arrays
from scratchvae.selfcheck.entries import ROWS, Entry

EXACT = 1e-14  # the same sums in another order, float64
SINGLE = 2e-6  # float32 against float64


@dataclass
class Case:
    """An entry at one point: what the checks share."""

    entry: Entry
    method: str = "complex"
    seed: int = 0

    def __post_init__(self) -> None:
        self.subject = self.entry.make(ROWS, self.seed)
        self.w = self.subject.cotangent(self.seed)
        self.gradient = self.run()
        self._magnitudes: Arrays | None = None

    def bind(self, dtype: DTypeLike = "float64") -> BoundSubject:
        return self.subject.bind(get_backend("cpu", dtype))

    def run(self, w: NDArray | None = None) -> Arrays:
        return self.bind().gradient(self.subject.args, self.w if w is None else w)

    def error(self, found: Arrays, expected: Arrays | None = None) -> float:
        """The largest E27 of any gradient, against this case's own unless told otherwise."""
        expected = self.gradient if expected is None else expected
        if self._magnitudes is None:
            self._magnitudes = self.subject.magnitudes(self.w)
        m = self._magnitudes
        return max(gradient_error(found[n], expected[n], norm(m[n])) for n in expected)


class Measured(NamedTuple):
    """What a check measured, what it may be at most, and a word where it is not a number."""

    error: float
    limit: float
    detail: str = ""

    @property
    def ok(self) -> bool:
        return self.error <= self.limit


def yes_or_no(ok: bool, detail: str = "") -> Measured:
    """A check that measures nothing."""
    return Measured(0.0, 0.0) if ok else Measured(float("inf"), 0.0, detail)


def same_bits(found: Arrays, expected: Arrays) -> Measured:
    """Whether two computations of the same gradients agree to the bit."""
    differ = [n for n in expected if not np.array_equal(found[n], expected[n])]
    return yes_or_no(not differ, f"other bits in {', '.join(differ)}")
