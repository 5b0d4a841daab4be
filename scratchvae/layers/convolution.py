"""What a convolution and its transpose have in common: settings, parameters, buffers."""

import copy
from collections.abc import Mapping

from scratchvae.backend import Array, Backend
from scratchvae.errors import ConfigError
from scratchvae.layers.base import Layer
from scratchvae.layers.correlation import Correlation, Work
from scratchvae.layers.grid import PADDINGS, pair
from scratchvae.layers.initializers import INITIALIZATIONS, Initialization, Initializer
from scratchvae.memory import Shape, Tape, size_of


class Convolution(Layer):
    """A layer on images: its rows have the shape (height, width, channels).

    ``kernel`` and ``stride`` are a number or a pair (height, width); ``padding`` is "same" or
    "valid", as Keras defines them. The kernel is stored as a matrix W, whose rows workers can
    share; b is the bias of each output channel. Raises ``ConfigError`` for settings that cannot
    be, and when building for images that the kernel does not fit.
    """

    def __init__(
        self,
        channels: int,
        kernel: int | tuple[int, int] = 3,
        stride: int | tuple[int, int] = 1,
        padding: str = "same",
        init: Initialization = INITIALIZATIONS["glorot-uniform"],
    ) -> None:
        if not isinstance(channels, int) or isinstance(channels, bool) or channels < 1:
            raise ConfigError(f"a convolution needs at least one channel, not {channels!r}")
        if padding not in PADDINGS:
            raise ConfigError(f"padding {padding!r} is not one of {', '.join(PADDINGS)}")
        self.kernel, self.stride = pair(kernel, "kernel"), pair(stride, "stride")
        self.channels, self.padding, self.init = channels, padding, init
        self.n_in = 0  # channels of x, known once built
        self.map: Correlation  # known once built
        self.work: Work | None = None  # known once bound to a tape

    def __repr__(self) -> str:
        size, step = ("×".join(map(str, n)) for n in (self.kernel, self.stride))
        return f"{type(self).__name__}({self.channels}, {size}, stride {step}, {self.padding})"

    def _image(self, shape: Shape) -> tuple[int, int]:
        """The height and width of an image; its channels are remembered."""
        if len(shape) != 3 or size_of(shape) < 1:
            raise ConfigError(
                f"{type(self).__name__} takes rows of the shape (height, width, channels), not "
                f"{shape}: a Reshape makes images of vectors"
            )
        height, width, self.n_in = shape
        return height, width

    def parameters(self) -> Mapping[str, tuple[Shape, Initializer]]:
        return {
            "W": ((self.map.rows, self.map.O), self.init.weights),
            "b": ((self.channels,), self.init.bias),
        }

    def fans(self) -> tuple[int, int]:
        """The channels times the kernel's size, whatever the stride; as Keras."""
        return self.map.taps * self.n_in, self.map.taps * self.channels

    def on(self, tape: Tape, per: int = 1) -> "Layer":
        bound = copy.copy(self)
        bound.work = Work(self.map, tape, per)
        return bound

    def _work(self, bk: Backend, x: Array) -> Work:
        """The buffers of the tape; new ones for a layer that was not bound to any."""
        return self.work if self.work is not None else Work(self.map, Tape(bk, x.shape[0]))
