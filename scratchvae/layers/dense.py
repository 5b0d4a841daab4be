"""The dense layer: y = xW + b."""

from collections.abc import Mapping

from scratchvae.backend import Array, Backend
from scratchvae.errors import ConfigError, whole_number
from scratchvae.layers.base import WHOLE, Layer, TorchTensor
from scratchvae.layers.initializers import INITIALIZATIONS, Initialization, Initializer
from scratchvae.memory import Shape, Views


class Dense(Layer):
    """An affine map of each row: (B, I) -> (B, O). Parameters: W (I, O) and b (O,)."""

    numbers = "N"
    scratch_like = "x"

    @classmethod
    def from_numbers(cls, *numbers: int, init: Initialization) -> "Dense":
        (units,) = numbers
        return cls(units, init)

    def __init__(
        self, units: int, init: Initialization = INITIALIZATIONS["glorot-uniform"]
    ) -> None:
        self.units = whole_number(units, "the units of a dense layer")
        self.init = init

    def __repr__(self) -> str:
        return f"Dense({self.units})"

    def infer_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1 or shape[0] < 1:
            raise ConfigError(f"a dense layer takes rows of one dimension, not of shape {shape}")
        return (self.units,)

    def parameters(self, shape: Shape) -> Mapping[str, tuple[Shape, Initializer]]:
        (inputs,) = shape
        return {
            "W": ((inputs, self.units), self.init.weights),
            "b": ((self.units,), self.init.bias),
        }

    def fans(self, shape: Shape) -> tuple[int, int]:
        return shape[0], self.units

    def forward(self, bk: Backend, p: Views, x: Array, y: Array) -> None:
        """y = x W + b  (E3): (B, I) -> (B, O)."""
        bk.gemm(x, p.W, y)
        y += p.b

    def grad_input(
        self, bk: Backend, p: Views, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """dx = dy Wᵀ  (E4): (B, O) -> (B, I)."""
        bk.gemm_nt(dy, p.W, dx, tmp)

    def grad_params(self, bk: Backend, x: Array, dy: Array, g: Views, rows: slice = WHOLE) -> None:
        """dW = xᵀ dy, db = Σ_rows dy  (E5); only ``rows`` of dW, and db with the last of them."""
        bk.gemm(x.T[rows], dy, g.W[rows])
        if rows.stop in (None, x.shape[1]):
            bk.sum_rows(dy, g.b)

    def for_units(self, p: Views, units: slice) -> Views | None:
        is_mine = type(self).forward is Dense.forward  # a subclass may need more
        return Views(W=p.W[:, units], b=p.b[units]) if is_mine else None

    def for_inputs(self, p: Views, inputs: slice) -> Views | None:
        is_mine = type(self).grad_input is Dense.grad_input
        return Views(W=p.W[inputs]) if is_mine else None

    def torch_module(self, shape: Shape) -> dict[str, object]:
        return {"module": "Linear", "in_features": shape[0], "out_features": self.units}

    def torch_tensors(self, shape: Shape) -> Mapping[str, TorchTensor]:
        """weight: Wᵀ (O, I); bias: b."""
        return {
            "W": TorchTensor("weight", (shape[0], self.units), (1, 0), x_axis=1, y_axis=0),
            "b": TorchTensor("bias", (self.units,), (0,), y_axis=0),
        }
