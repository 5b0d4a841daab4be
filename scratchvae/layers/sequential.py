"""Layers one after the other, and the same once their buffers are known."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from scratchvae.backend import Array
from scratchvae.errors import ConfigError
from scratchvae.layers.base import Layer
from scratchvae.layers.initializers import Initializer
from scratchvae.memory import FlatBuffer, Shape, Workspace


class Sequential:
    """f = f_n ∘ … ∘ f_1. Holds the layers and the shapes between them, nothing else."""

    def __init__(self, *layers: Layer) -> None:
        if not layers:
            raise ConfigError("a Sequential needs at least one layer")
        self.layers = layers
        self.shapes: list[Shape] = []  # of a row, before each layer and after the last

    def build(self, shape: Shape) -> Shape:
        """Infer all shapes from the shape of one row of the input; answer with the output's."""
        self.shapes = [tuple(shape)]
        for layer in self.layers:
            self.shapes.append(layer.build(self.shapes[-1]))
            if layer.inplace and layer.parameters():
                raise ConfigError(
                    f"{layer!r} works in place and has parameters: grad_input, which comes first, "
                    "would overwrite the dy that their gradient needs"
                )
        return self.shapes[-1]

    def parameters(self) -> Iterator[tuple[str, Layer, Shape, Initializer]]:
        """Every parameter: its name (``0.W``, ``0.b``, ``2.W``, …), layer, shape, initializer."""
        for i, layer in enumerate(self.layers):
            for name, (shape, init) in layer.parameters().items():
                yield f"{i}.{name}", layer, shape, init

    def bind(
        self,
        workspace: Workspace,
        name: str,
        x: Array,
        dx: Array | None,
        params: FlatBuffer,
        grads: FlatBuffer | None,
        per: int = 1,
    ) -> "BoundSequential":
        """Give every layer its buffers on the workspace and its views of parameters and gradients.

        ``x`` is the input, (rows · per, …); ``dx`` the buffer for its gradient, None where nobody
        wants it (a first layer then skips that work). Without ``grads`` only forward is possible.
        """
        given = x, dx
        gradients = self._bind_gradients(workspace, name, per) if grads is not None else None
        layers: list[BoundLayer] = []
        keep = True  # the caller's x is never overwritten, nor an output that its layer reads again
        for i, layer in enumerate(self.layers):
            label, shape = f"{name}.{i}", self.shapes[i + 1]
            dy = None if gradients is None else gradients[i]
            tmp = None
            if layer.is_view:  # x is y and dy is dx already
                x = y = x.reshape(-1, *shape)
                dx = dy if i > 0 else dx
            else:
                y = (
                    x
                    if layer.inplace and not keep
                    else workspace.buffer(f"{label}.y", *shape, per=per)
                )
                keep = layer.grad_input_reads_y
            if layer.scratch_like and dx is not None:
                like = self.shapes[i] if layer.scratch_like == "x" else shape
                tmp = workspace.buffer(f"tmp{like}x{per}", *like, per=per)  # one for all of a shape
            p, g = params.part(label), None if grads is None else grads.part(label)
            layers.append(BoundLayer(label, layer.on(workspace, per), p, g, x, y, dy, dx, tmp))
            x, dx = y, dy
        return BoundSequential(workspace, layers, *given)

    def _bind_gradients(self, workspace: Workspace, name: str, per: int) -> list[Array]:
        """A buffer for the gradient of every layer's output; in-place layers hand theirs on."""
        gradients: list[Array] = []
        for i in reversed(range(len(self.layers))):
            after = self.layers[i + 1] if gradients else None
            if after is not None and after.is_view:
                gradients.append(gradients[-1].reshape(-1, *self.shapes[i + 1]))
            elif after is not None and after.inplace:
                gradients.append(gradients[-1])
            else:
                gradients.append(workspace.buffer(f"{name}.{i}.dy", *self.shapes[i + 1], per=per))
        return gradients[::-1]


class BoundLayer(NamedTuple):
    """A layer with everything it reads and writes."""

    label: str
    layer: Layer
    p: Any
    g: Any
    x: Array
    y: Array
    dy: Array | None
    dx: Array | None
    tmp: Array | None


class BoundSequential:
    """A Sequential on its buffers: ``x`` to ``y`` forward, ``dy`` to ``dx`` backward."""

    def __init__(
        self, workspace: Workspace, layers: Sequence[BoundLayer], x: Array, dx: Array | None
    ) -> None:
        self.bk = workspace.bk
        self.layers = tuple(layers)
        self.reversed_layers = self.layers[::-1]
        self.x, self.dx = x, dx
        self.y, self.dy = self.layers[-1].y, self.layers[-1].dy

    def forward(self) -> None:
        """Run all layers."""
        for s in self.layers:
            s.layer.forward(self.bk, s.p, s.x, s.y)

    def backward(self) -> None:
        """From ``dy``: ``dx`` where somebody wants it, and the gradient of every parameter."""
        self.grad_inputs()
        for s in self.reversed_layers:
            s.layer.grad_params(self.bk, s.x, s.dy, s.g)

    def grad_inputs(self) -> None:
        """From ``dy`` to ``dx``; every layer's dy stays behind for its parameter gradient."""
        for s in self.reversed_layers:
            if s.dx is not None:
                s.layer.grad_input(self.bk, s.p, s.x, s.y, s.dy, s.dx, s.tmp)
