"""The dense layer: y = xW + b."""

from collections.abc import Mapping
from typing import Any

from scratchvae.backend import Array, Backend
from scratchvae.errors import ConfigError
from scratchvae.layers.base import WHOLE, Layer
from scratchvae.layers.initializers import INITIALIZATIONS, Initialization, Initializer
from scratchvae.memory import Shape


class Dense(Layer):
    """An affine map of each row: (B, I) -> (B, O). Parameters: W (I, O) and b (O,)."""

    scratch_like = "x"

    def __init__(
        self, units: int, init: Initialization = INITIALIZATIONS["glorot-uniform"]
    ) -> None:
        if units < 1:
            raise ConfigError(f"a dense layer needs at least one unit, not {units}")
        self.n_in = 0  # known once built
        self.n_out = units
        self.init = init

    def __repr__(self) -> str:
        return f"Dense({self.n_out})"

    def build(self, shape: Shape) -> Shape:
        if len(shape) != 1 or shape[0] < 1:
            raise ConfigError(f"a dense layer takes rows of one dimension, not of shape {shape}")
        (self.n_in,) = shape
        return (self.n_out,)

    def parameters(self) -> Mapping[str, tuple[Shape, Initializer]]:
        return {
            "W": ((self.n_in, self.n_out), self.init.weights),
            "b": ((self.n_out,), self.init.bias),
        }

    def fans(self) -> tuple[int, int]:
        return self.n_in, self.n_out

    def forward(self, bk: Backend, p: Any, x: Array, y: Array) -> None:
        """y = x W + b  (E3): (B, I) -> (B, O)."""
        bk.gemm(x, p.W, y)
        y += p.b

    def grad_input(
        self, bk: Backend, p: Any, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """dx = dy Wᵀ  (E4): (B, O) -> (B, I)."""
        bk.gemm_nt(dy, p.W, dx, tmp)

    def grad_params(self, bk: Backend, x: Array, dy: Array, g: Any, rows: slice = WHOLE) -> None:
        """dW = xᵀ dy, db = Σ_rows dy  (E5); of a ``share`` of W's rows, and db with the last."""
        bk.gemm(x.T[rows], dy, g.W[rows])
        if rows.stop in (None, self.n_in):
            bk.sum_rows(dy, g.b)
