"""Layers one after the other, and the same once their buffers are known."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from scratchvae.backend import Array, Backend
from scratchvae.errors import ConfigError, value_is_lost
from scratchvae.layers.base import Layer
from scratchvae.layers.initializers import Initializer
from scratchvae.memory import FlatBuffer, Shape, Views, Workspace


class Parameter(NamedTuple):
    """A parameter of a Sequential, named after its layer: ``0.W``, ``0.b``, ``2.W``, …"""

    name: str
    shape: Shape
    init: Initializer
    fans: tuple[int, int]  # fan_in and fan_out of its layer


class Sequential:
    """The composition f = f_n ∘ … ∘ f_1 of layers. Holds the layers and nothing else."""

    def __init__(self, *layers: Layer) -> None:
        if not layers:
            raise ConfigError("a Sequential needs at least one layer")
        for thing in layers:
            _require_layer(thing)
        self.layers = layers

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"

    def shapes(self, shape: Shape) -> list[Shape]:
        """The shape of a row before each layer and after the last, for input rows of ``shape``.

        ``ConfigError`` if a layer cannot take the rows that it receives.
        """
        shapes = [tuple(shape)]
        for layer in self.layers:
            after = tuple(layer.infer_shape(shapes[-1]))  # first: it refuses rows that do not fit
            if layer.parameters(shapes[-1]):
                _require_trainable(layer)
            shapes.append(after)
        return shapes

    def infer_shape(self, shape: Shape) -> Shape:
        """The shape of an output row, for input rows of ``shape``."""
        return self.shapes(shape)[-1]

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        """Every parameter, in order, for input rows of ``shape``."""
        for i, (layer, before) in enumerate(zip(self.layers, self.shapes(shape), strict=False)):
            for name, (size, init) in layer.parameters(before).items():
                yield Parameter(f"{i}.{name}", size, init, layer.fans(before))

    def macs_per_row(self, shape: Shape) -> int:
        """Multiply–accumulates of the forward pass per row of the input."""
        pairs = zip(self.layers, self.shapes(shape), strict=False)
        return sum(layer.macs_per_row(before) for layer, before in pairs)

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
        """Give every layer its buffers in the workspace and its views of parameters and gradients.

        ``x`` is the input, (rows · per, …); ``dx`` the buffer for its gradient, or None if it is
        not needed, in which case the first layer skips it. Without ``grads`` only the forward
        pass is possible.
        """
        given = x, dx
        shapes = self.shapes(tuple(x.shape[1:]))
        gradients = None
        if grads is not None:
            gradients = self._bind_gradients(workspace, name, shapes, per)
        layers: list[BoundLayer] = []
        keep = True  # the caller's x is never overwritten, nor an output that its layer reads again
        for i, layer in enumerate(self.layers):
            label, before, shape = f"{name}.{i}", shapes[i], shapes[i + 1]
            dy = None if gradients is None else gradients[i]
            tmp = None
            if layer.is_view:  # x is y and dy is dx already
                x = y = x.reshape(-1, *shape)
                dx = dy if i > 0 else dx
            else:
                y = x
                if keep or not layer.inplace:
                    y = workspace.buffer(f"{label}.y", *shape, per=per)
                keep = layer.grad_input_reads_y
            if layer.scratch_like and dx is not None:
                like = before if layer.scratch_like == "x" else shape
                tmp = workspace.buffer(f"tmp{like}x{per}", *like, per=per)  # one for all of a shape
            p, g = params.namespace(label), Views() if grads is None else grads.namespace(label)
            bound = layer.bound_to(workspace, before, per)
            layers.append(BoundLayer(label, bound, p, g, x, y, dy, dx, tmp))
            x, dx = y, dy
        return BoundSequential(workspace.bk, layers, *given)

    def _bind_gradients(
        self, workspace: Workspace, name: str, shapes: list[Shape], per: int
    ) -> list[Array]:
        """A buffer for the gradient of every layer's output; in-place layers hand theirs on."""
        gradients: list[Array] = []
        for i in reversed(range(len(self.layers))):
            after = self.layers[i + 1] if gradients else None
            if after is not None and after.is_view:
                gradients.append(gradients[-1].reshape(-1, *shapes[i + 1]))
            elif after is not None and after.inplace:
                gradients.append(gradients[-1])
            else:
                gradients.append(workspace.buffer(f"{name}.{i}.dy", *shapes[i + 1], per=per))
        return gradients[::-1]


def _require_layer(thing: object) -> None:
    if not isinstance(thing, Layer):
        made = f": write {thing.__name__}(…)" if isinstance(thing, type) else ""
        if isinstance(thing, list | tuple):
            made = ": write Sequential(*layers)"
        raise ConfigError(f"a Sequential is made of layers, not of {thing!r}{made}")


def _require_trainable(layer: Layer) -> None:
    """``ConfigError`` unless a layer with parameters has what their gradient needs."""
    if layer.inplace:
        raise ConfigError(
            f"{layer!r} works in place and has parameters: grad_input, which comes first, "
            "would overwrite the dy that their gradient needs"
        )
    if type(layer).grad_params is Layer.grad_params:
        raise ConfigError(
            f"{layer!r} has parameters but no gradient for them: it needs "
            "grad_params(self, bk, x, dy, g, rows), which writes into g.W[...] (and so on)"
        )


class BoundLayer(NamedTuple):
    """A layer with all the arrays that it reads and writes."""

    label: str
    layer: Layer
    p: Views
    g: Views
    x: Array
    y: Array
    dy: Array | None
    dx: Array | None
    tmp: Array | None


class Turn(NamedTuple):
    """What a worker does next in a network that is divided: meet the others, then run a layer."""

    meets: bool
    layer: BoundLayer | None  # on the rows or the units of this worker; None at the end


# What workers compute together: at each step of this iterator they wait for what all have written.
# A worker that is alone runs it to its end.
Meetings = Iterator[None]


def complete(meetings: Meetings) -> None:
    """Run to its end what one worker computes alone."""
    for _ in meetings:
        pass


class BoundSequential:
    """A Sequential on its buffers: ``x`` to ``y`` forward, ``dy`` to ``dx`` backward.

    Where workers divide a batch, each has some of its rows. In ``forward_turns`` and
    ``backward_turns`` a layer may have been given some units of all rows instead.
    """

    def __init__(
        self, bk: Backend, layers: Sequence[BoundLayer], x: Array, dx: Array | None
    ) -> None:
        self.bk = bk
        self.layers = tuple(layers)
        self.reversed_layers = self.layers[::-1]
        self.x, self.dx = x, dx
        self.y, self.dy = self.layers[-1].y, self.layers[-1].dy
        self._forward_alone = [Turn(False, s) for s in self.layers]
        self._backward_alone = [Turn(False, s) for s in self.reversed_layers if s.dx is not None]
        self.forward_turns: Sequence[Turn] = self._forward_alone
        self.backward_turns: Sequence[Turn] = self._backward_alone

    def forward(self) -> None:
        """Run all layers."""
        complete(self._forward(self._forward_alone))

    def forward_together(self) -> Meetings:
        """:meth:`forward`, by the workers among which the network is divided."""
        return self._forward(self.forward_turns)

    def _forward(self, turns: Sequence[Turn]) -> Meetings:
        for meets, s in turns:
            if meets:
                yield
            if s is not None:
                forward: Callable[..., object] = s.layer.forward
                if forward(self.bk, s.p, s.x, s.y) is not None:
                    raise ConfigError(value_is_lost(forward, "y[...] = …"))

    def backward(self) -> None:
        """From ``dy``, compute ``dx`` if needed, and the gradient of every parameter."""
        self.grad_inputs()
        for s in self.reversed_layers:
            s.layer.grad_params(self.bk, s.x, s.dy, s.g)

    def grad_inputs(self) -> None:
        """From ``dy``, compute ``dx``; every layer's dy is kept for its parameter gradient."""
        complete(self._grad_inputs(self._backward_alone))

    def grad_inputs_together(self) -> Meetings:
        """:meth:`grad_inputs`, by the workers among which the network is divided."""
        return self._grad_inputs(self.backward_turns)

    def _grad_inputs(self, turns: Sequence[Turn]) -> Meetings:
        for meets, s in turns:
            if meets:
                yield
            if s is not None:
                grad_input: Callable[..., object] = s.layer.grad_input
                if grad_input(self.bk, s.p, s.x, s.y, s.dy, s.dx, s.tmp) is not None:
                    raise ConfigError(value_is_lost(grad_input, "dx[...] = …"))
