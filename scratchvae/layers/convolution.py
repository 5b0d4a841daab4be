"""The convolution y = x ∗ W + b, and the transposed convolution, which is its adjoint."""

import copy
from collections.abc import Mapping
from typing import Any

from scratchvae.backend import Array, Backend
from scratchvae.errors import ConfigError
from scratchvae.layers.base import WHOLE, Layer
from scratchvae.layers.correlation import Correlation, Work
from scratchvae.layers.grid import PADDINGS, contracting, expanding, pair
from scratchvae.layers.initializers import INITIALIZATIONS, Initialization, Initializer
from scratchvae.memory import Shape, Workspace, size_of


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
        self.work: Work | None = None  # known once bound to a workspace

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

    def on(self, workspace: Workspace, per: int = 1) -> "Layer":
        bound = copy.copy(self)
        bound.work = Work(self.map, workspace, per)
        return bound

    def _work(self, bk: Backend, x: Array) -> Work:
        """The buffers of the workspace; new ones for a layer that was not bound to any."""
        return self.work if self.work is not None else Work(self.map, Workspace(bk, x.shape[0]))


class Conv2D(Convolution):
    """The same affine map of every window of an image: (B, H, W, C) -> (B, h, w, O).

    W (kh · kw · C, O) is Keras' kernel (kh, kw, C, O) as a matrix; b (O,). As everywhere in this
    field, the kernel is not flipped: mathematically it is a correlation.
    """

    def build(self, shape: Shape) -> Shape:
        height, width = self._image(shape)
        y = contracting(height, self.kernel[0], self.stride[0], self.padding)
        x = contracting(width, self.kernel[1], self.stride[1], self.padding)
        self.map = Correlation(y, x, self.n_in, self.channels)
        self.uses_per_row = y.small * x.small
        return self.map.small

    def forward(self, bk: Backend, p: Any, x: Array, y: Array) -> None:
        """y[n, p, q, o] = b[o] + Σ_ijc x[n, s·p − t + i, r·q − l + j, c] W[ijc, o]  (E35).

        Strides s and r; t rows and l columns of zeros before the image.
        """
        self.map.down(bk, p.W, p.b, x, y, self._work(bk, x))

    def grad_input(
        self, bk: Backend, p: Any, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """dx: each pixel collects W[ijc, o] dy[n, p, q, o] from the windows it is in  (E36)."""
        self.map.up(bk, p.W, None, dy, dx, self._work(bk, x))

    def grad_params(self, bk: Backend, x: Array, dy: Array, g: Any, rows: slice = WHOLE) -> None:
        """dW[ijc, o] = Σ_npq x[n, s·p − t + i, r·q − l + j, c] dy[n, p, q, o]  (E37).

        db = Σ_npq dy. Of a ``share`` of W's rows; db goes with the last of them.
        """
        work = self._work(bk, x)
        self.map.outer(bk, x, dy, g.W, work, rows)
        if rows.stop in (None, self.map.rows):
            work.sum_pixels(bk, dy, g.b)


class ConvTranspose2D(Convolution):
    """What sends a convolution's output gradient back to its input: (B, h, w, C) -> (B, H, W, O).

    With "same" padding H = h · stride, as in Keras. W (kh · kw · O, C) is Keras' kernel
    (kh, kw, O, C) as a matrix, and the W of the Conv2D that it is the adjoint of; b (O,).
    """

    def build(self, shape: Shape) -> Shape:
        height, width = self._image(shape)
        y = expanding(height, self.kernel[0], self.stride[0], self.padding)
        x = expanding(width, self.kernel[1], self.stride[1], self.padding)
        self.map = Correlation(y, x, self.channels, self.n_in)
        self.uses_per_row = y.small * x.small
        return self.map.big

    def forward(self, bk: Backend, p: Any, x: Array, y: Array) -> None:
        """y[n, P, Q, o] = b[o] + Σ W[ijo, c] x[n, p, q, c]  (E38).

        Over all c and all p, q, i, j with s·p − t + i = P and r·q − l + j = Q.
        """
        self.map.up(bk, p.W, p.b, x, y, self._work(bk, x))

    def grad_input(
        self, bk: Backend, p: Any, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """dx[n, p, q, c] = Σ_ijo dy[n, s·p − t + i, r·q − l + j, o] W[ijo, c]  (E39)."""
        self.map.down(bk, p.W, None, dy, dx, self._work(bk, x))

    def grad_params(self, bk: Backend, x: Array, dy: Array, g: Any, rows: slice = WHOLE) -> None:
        """dW[ijo, c] = Σ_npq dy[n, s·p − t + i, r·q − l + j, o] x[n, p, q, c]  (E40).

        db = Σ_nPQ dy. Of a ``share`` of W's rows; db goes with the last of them.
        """
        work = self._work(bk, x)
        self.map.outer(bk, dy, x, g.W, work, rows)
        if rows.stop in (None, self.map.rows):
            work.sum_pixels(bk, dy, g.b)
