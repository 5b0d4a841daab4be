"""What a layer is: sizes, and three maps on buffers that are handed in."""

from collections.abc import Mapping
from typing import Any

from scratchvae.backend import Array, Backend
from scratchvae.layers.initializers import Initializer
from scratchvae.memory import Shape, Workspace, size_of

WHOLE = slice(None)


class Layer:
    """A map y = f(x; p) with its derivative, as two maps of their own.

    A layer holds sizes and nothing else (but see :meth:`on`): parameters ``p``, gradients ``g``
    and buffers are handed in, so the same code trains in float32, is verified in complex128 and
    runs on any device. Gradients are assigned, never accumulated. Rows are images (or samples of
    them).
    """

    inplace = False  # y may be x, and dx may be dy
    grad_input_reads_y = False  # grad_input reads y, so the next layer may not overwrite it
    scratch_like = ""  # grad_input wants a scratch buffer of the shape of "x" or of "y"
    is_view = False  # y is x in another shape: a Sequential lets them share their memory
    uses_per_row = 1  # how often each image uses each weight: its share of a step's work

    def build(self, shape: Shape) -> Shape:
        """Learn the shape of one row of x; answer with the shape of one row of y."""
        raise NotImplementedError

    def parameters(self) -> Mapping[str, tuple[Shape, Initializer]]:
        """The shape and the initializer of each parameter, by name."""
        return {}

    def multiplications(self) -> int:
        """How many of them a row costs: one for each parameter and position."""
        return self.uses_per_row * sum(size_of(shape) for shape, _ in self.parameters().values())

    def fans(self) -> tuple[int, int]:
        """How many inputs an output has, and how many outputs an input: what initializers ask."""
        raise NotImplementedError

    def on(self, workspace: Workspace, per: int = 1) -> "Layer":
        """This layer with the buffers it works in, taken from the workspace; most need none.

        They belong to one worker. A layer that needs some and was given none makes its own.
        """
        return self

    def forward(self, bk: Backend, p: Any, x: Array, y: Array) -> None:
        """y = f(x; p)."""
        raise NotImplementedError

    def grad_input(
        self, bk: Backend, p: Any, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """dx = (∂y/∂x)ᵀ dy. Leaves ``dy`` as it is unless the layer is ``inplace``.

        ``tmp`` is scratch, of the shape that ``scratch_like`` names. ``tmp`` and ``dx`` may hold
        anything before the call.
        """
        raise NotImplementedError

    def grad_params(self, bk: Backend, x: Array, dy: Array, g: Any, rows: slice = WHOLE) -> None:
        """g = (∂y/∂p)ᵀ dy, summed over the rows.

        ``share``: of the first parameter's rows, those that this worker is to compute; the other
        parameters belong to whoever has the last of them.
        """
