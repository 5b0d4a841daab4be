"""The hyperbolic tangent."""

from typing import Any

from scratchvae.backend import Array, Backend
from scratchvae.layers.elementwise import Elementwise


class Tanh(Elementwise):
    """y = tanh x, element by element."""

    def forward(self, bk: Backend, p: Any, x: Array, y: Array) -> None:
        """y = tanh x  (E8)."""
        bk.xp.tanh(x, out=y)

    def chain(
        self, bk: Backend, p: Any, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """dx = dy · (1 − y²)  (E9). In the tails, |x| > 5 in float64, 1 − y² has few digits.

        Computed as dy (1 − y)(1 + y): y² would be rounded before it is subtracted.
        """
        bk.xp.subtract(1.0, y, out=tmp)
        bk.xp.multiply(dy, tmp, out=dx)
        bk.xp.add(y, 1.0, out=tmp)
        dx *= tmp
