"""Another shape for the same numbers: vectors to images and back."""

import math

from scratchvae.backend import Array, Backend
from scratchvae.errors import ConfigError
from scratchvae.layers.base import Layer
from scratchvae.layers.initializers import Initialization
from scratchvae.memory import Shape, Views


class View(Layer):
    """The same numbers in another shape. In a Sequential, x and y share their memory."""

    is_view = True

    def forward(self, bk: Backend, p: Views, x: Array, y: Array) -> None:
        """y = x, in another shape."""
        if y is not x:
            y[...] = x.reshape(y.shape)

    def grad_input(
        self, bk: Backend, p: Views, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """dx = dy, in the shape of x."""
        if dx is not dy:
            dx[...] = dy.reshape(dx.shape)

    def torch_module(self, shape: Shape) -> dict[str, object] | None:
        """nn.Flatten or nn.Unflatten between images and vectors; None for all other shapes."""
        after = self.infer_shape(shape)
        if len(after) == 1:
            return {"module": "Flatten"}
        if len(shape) == 1 and len(after) == 3:
            size = [after[2], *after[:2]]
            return {"module": "Unflatten", "dim": 1, "unflattened_size": size}
        return None


class Reshape(View):
    """Rows of the given shape."""

    numbers = "N …"

    @classmethod
    def from_numbers(cls, *numbers: int, init: Initialization) -> "Reshape":
        return cls(numbers)

    def __init__(self, shape: Shape) -> None:
        self.shape = tuple(shape)
        if not self.shape or not all(isinstance(n, int) and n >= 1 for n in self.shape):
            raise ConfigError(f"a shape is made of whole numbers of at least 1, not {shape}")

    def __repr__(self) -> str:
        return f"Reshape{self.shape}"

    def infer_shape(self, shape: Shape) -> Shape:
        if math.prod(shape) != math.prod(self.shape):
            raise ConfigError(
                f"rows of shape {shape} have {math.prod(shape)} numbers, which cannot become "
                f"{self.shape} with {math.prod(self.shape)}"
            )
        return self.shape


class Flatten(View):
    """Rows as vectors, in C order: (B, H, W, C) -> (B, H · W · C)."""

    def infer_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)
