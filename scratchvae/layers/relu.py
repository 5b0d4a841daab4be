"""The rectified linear unit."""

from typing import Any

from scratchvae.backend import Array, Backend
from scratchvae.layers.elementwise import Elementwise


class ReLU(Elementwise):
    """y = x where x is positive, else 0. Its derivative at 0 is taken as 0."""

    def forward(self, bk: Backend, p: Any, x: Array, y: Array) -> None:
        """y = max(x, 0)  (E10)."""
        bk.relu(x, y)

    def chain(
        self, bk: Backend, p: Any, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """dx = dy where y > 0, else 0  (E11)."""
        bk.relu_chain(y, dy, dx, tmp)
