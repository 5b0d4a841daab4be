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
    """How PyTorch stores a parameter: our array reshaped to ``view``, with its axes permuted.

    PyTorch flattens images in another order. ``x_axis`` and ``y_axis`` are the axes of its tensor
    that run over the numbers of a row of x and of y, if these rows are vectors.
    """

    name: str  # "weight"
    view: Shape
    axes: tuple[int, ...]
    x_axis: int | None = None
    y_axis: int | None = None


class Layer:
    """A map y = f(x; p) and its backward pass, as two maps: ``grad_input`` and ``grad_params``.

    A layer holds its settings and nothing else: shapes are inferred from the shape of one row of
    x, and parameters ``p``, gradients ``g`` and buffers are passed in. So one layer may be part of
    several models, and the same code trains in float32, is verified in complex128 and runs on any
    device. All arrays have the float type of the backend. Gradients are assigned, never
    accumulated. Rows are images (or samples of them).

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
        """The layer that a text such as "conv 32 3 2" describes by its ``numbers``.

        ``init`` says how its weights start. ``TypeError`` or ``ConfigError`` for numbers that
        describe no layer.
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
        """This layer with private scratch buffers from ``workspace``; most layers need none.

        Each row of the workspace has ``per`` rows of x. A layer that is not bound allocates its
        scratch at every call.
        """
        return self

    def forward(self, bk: Backend, p: Views, x: Array, y: Array) -> None:
        """Write y = f(x; p); the rows of x and y have the shapes of :meth:`infer_shape`."""
        raise MissingMethodError(
            f"{type(self).__name__} needs forward(self, bk, p, x, y), which writes f(x) into y: "
            "y[...] = …"
        )

    def grad_input(
        self, bk: Backend, p: Views, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """Write dx = (∂y/∂x)ᵀ dy, of the shape of x. ``dy`` stays unless the layer is ``inplace``.

        ``tmp`` is scratch like the array that ``scratch_like`` names. The contents of ``tmp`` and
        ``dx`` before the call are arbitrary.
        """
        raise MissingMethodError(
            f"{type(self).__name__} needs grad_input(self, bk, p, x, y, dy, dx, tmp), which writes "
            "the gradient with respect to x into dx: dx[...] = …"
        )

    def grad_params(self, bk: Backend, x: Array, dy: Array, g: Views, rows: slice = WHOLE) -> None:
        """Write g = (∂y/∂p)ᵀ dy, summed over the rows of x and dy.

        ``rows``: the rows of the first parameter to compute, when several workers divide a layer;
        the worker with the last of them also computes the other parameters.
        """

    def for_units(self, p: Views, units: slice) -> Views | None:
        """The parameters of some units of y, when several workers divide a layer.

        The layer must compute these units from all of x with them; None if it cannot.
        """
        return None

    def for_inputs(self, p: Views, inputs: slice) -> Views | None:
        """The parameters with which the layer computes some numbers of dx from all of dy."""
        return None

    def torch_module(self, shape: Shape) -> dict[str, object] | None:
        """The equivalent PyTorch module for rows of x of ``shape``, as JSON; None if there is none.

        {"module": its class, and its arguments by name}. PyTorch's images are (C, H, W).
        """
        return {"module": self.torch_class} if self.torch_class else None

    def torch_tensors(self, shape: Shape) -> Mapping[str, TorchTensor]:
        """How that module stores each parameter, by our name for it."""
        return {}
