"""The logistic sigmoid."""

from typing import Any

from scratchvae.backend import Array, Backend
from scratchvae.layers.elementwise import Elementwise


def sigmoid(bk: Backend, x: Array, y: Array) -> None:
    """y = 1 / (1 + e⁻ˣ) = ½ tanh(½ x) + ½  (E6).

    The form through tanh cannot overflow and needs no case distinction; ``y`` may be ``x``. Its
    error is a few ulp of 1, in absolute terms: for x below −30 in float64 hardly a digit is left.
    """
    bk.xp.multiply(x, 0.5, out=y)
    bk.xp.tanh(y, out=y)
    y *= 0.5
    y += 0.5


class Sigmoid(Elementwise):
    """y = 1 / (1 + e⁻ˣ), element by element."""

    def forward(self, bk: Backend, p: Any, x: Array, y: Array) -> None:
        """y = 1 / (1 + e⁻ˣ)  (E6)."""
        sigmoid(bk, x, y)

    def chain(
        self, bk: Backend, p: Any, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """dx = dy · y (1 − y)  (E7). In the tails, |x| > 9 in float64, 1 − y has few digits."""
        bk.xp.subtract(1.0, y, out=tmp)
        tmp *= y
        bk.xp.multiply(dy, tmp, out=dx)
