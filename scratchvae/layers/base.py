"""What a layer is: settings, and three maps on buffers that are handed in."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from scratchvae.backend import Array, Backend
from scratchvae.errors import MissingMethodError
from scratchvae.layers.initializers import Initialization, Initializer
from scratchvae.memory import Shape, Views, Workspace

WHOLE = slice(None)


class TorchTensor(NamedTuple):
    """How PyTorch holds a parameter: our array in the shape ``view``, its axes in another order.

    PyTorch orders the numbers of a flattened image differently. ``x_axis`` and ``y_axis`` are the
    axes there that run over the numbers of a row of x and of y, if rows are vectors.
    """

    name: str  # "weight"
    view: Shape
    axes: tuple[int, ...]
    x_axis: int | None = None
    y_axis: int | None = None


class Layer:
    """A map y = f(x; p) with its derivative, as two maps of their own.

    A layer holds its settings and nothing else: shapes are inferred from the shape of one row of
    x, and parameters ``p``, gradients ``g`` and buffers are handed in. So one layer may stand in
    several models, and the same code trains in float32, is verified in complex128 and runs on any
    device. Gradients are assigned, never accumulated. Rows are images (or samples of them).

    A layer of your own needs ``infer_shape`` (unless y has the shape of x), ``forward`` and
    ``grad_input``; with parameters also ``parameters``, ``fans`` and ``grad_params``.
    """

    numbers = ""  # what follows its name in settings, for example "N K [S]" (see from_numbers)
    inplace = False  # y may be x, and dx may be dy
    grad_input_reads_y = False  # so the next layer may not overwrite y
    scratch_like = ""  # grad_input wants a scratch buffer of the shape of "x" or of "y"
    is_view = False  # y is x in another shape: a Sequential lets them share their memory
    torch_class = ""  # the class in torch.nn that computes the same, where there is one

    @classmethod
    def from_numbers(cls, *numbers: int, init: Initialization) -> "Layer":
        """The layer that settings describe by its name and ``numbers``, with initial weights.

        ``TypeError`` or ``ConfigError`` for numbers that make no layer.
        """
        return cls(*numbers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def infer_shape(self, shape: Shape) -> Shape:
        """The shape of one row of y, given that of one row of x; ``ConfigError`` if none fits."""
        return shape

    def parameters(self, shape: Shape) -> Mapping[str, tuple[Shape, Initializer]]:
        """The shape and the initializer of each parameter by name, for rows of x of ``shape``."""
        return {}

    def fans(self, shape: Shape) -> tuple[int, int]:
        """(fan_in, fan_out) for the initializers: inputs per output, outputs per input."""
        raise MissingMethodError(
            f"{type(self).__name__} has parameters, so it needs fans(self, shape): the inputs of "
            "each output and the outputs of each input, for the initializers"
        )

    def uses_per_row(self, shape: Shape) -> int:
        """How many times a weight is used per row: 1 for dense layers, h · w for convolutions."""
        return 1

    def macs_per_row(self, shape: Shape) -> int:
        """Multiply–accumulates of the forward map per row: one per parameter and use of it."""
        numbers = sum(math.prod(size) for size, _ in self.parameters(shape).values())
        return self.uses_per_row(shape) * numbers

    def bound_to(self, workspace: Workspace, shape: Shape, per: int = 1) -> "Layer":
        """This layer with the private buffers that it works in; most layers need none.

        The buffers come from the workspace, whose rows have ``per`` rows of x each. A layer that
        is not bound makes its own at every call.
        """
        return self

    def forward(self, bk: Backend, p: Views, x: Array, y: Array) -> None:
        """Write y = f(x; p)."""
        raise MissingMethodError(
            f"{type(self).__name__} needs forward(self, bk, p, x, y), which writes f(x) into y: "
            "y[...] = …"
        )

    def grad_input(
        self, bk: Backend, p: Views, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """Write dx = (∂y/∂x)ᵀ dy. Leaves ``dy`` as it is unless the layer is ``inplace``.

        ``tmp`` is scratch, of the shape that ``scratch_like`` names. ``tmp`` and ``dx`` may hold
        anything before the call.
        """
        raise MissingMethodError(
            f"{type(self).__name__} needs grad_input(self, bk, p, x, y, dy, dx, tmp), which writes "
            "the gradient with respect to x into dx: dx[...] = …"
        )

    def grad_params(self, bk: Backend, x: Array, dy: Array, g: Views, rows: slice = WHOLE) -> None:
        """Write g = (∂y/∂p)ᵀ dy, summed over the rows of x and dy.

        ``rows``: the rows of the first parameter whose gradient is wanted, where several workers
        divide a layer. The other parameters belong to the worker that has the last of them.
        """

    def torch_module(self, shape: Shape) -> dict[str, object] | None:
        """PyTorch's module for rows of x of ``shape``, as JSON can hold it; None: there is none.

        {"module": its class, and its arguments by name}. PyTorch's images are (C, H, W).
        """
        return {"module": self.torch_class} if self.torch_class else None

    def torch_tensors(self, shape: Shape) -> Mapping[str, TorchTensor]:
        """How that module holds each parameter, by our name of it."""
        return {}
