"""The convolution y = x ∗ W + b, and the transposed convolution, which is its adjoint."""

import copy
import math
from collections.abc import Mapping
from typing import Self

from scratchvae.backend import Array, Backend
from scratchvae.errors import ConfigError, whole_number
from scratchvae.layers.base import WHOLE, Layer, TorchTensor
from scratchvae.layers.correlation import Correlation, Work
from scratchvae.layers.grid import PADDINGS, contracting, expanding, pair
from scratchvae.layers.initializers import INITIALIZATIONS, Initialization, Initializer
from scratchvae.memory import Shape, Views, Workspace


class Convolution(Layer):
    """A layer on images, whose rows have the shape (height, width, channels).

    ``kernel`` and ``stride`` are one number or a pair (height, width); ``padding`` is "same" or
    "valid", as defined by Keras. The kernel is stored as a matrix W, so that workers can divide
    its rows; b is the bias of each output channel. Raises ``ConfigError`` for invalid settings and
    for images smaller than the kernel.
    """

    numbers = "N K [S]"

    @classmethod
    def from_numbers(cls, *numbers: int, init: Initialization) -> Self:
        channels, kernel, stride = numbers if len(numbers) == 3 else (*numbers, 1)
        return cls(channels, kernel, stride, init=init)

    def __init__(
        self,
        channels: int,
        kernel: int | tuple[int, int] = 3,
        stride: int | tuple[int, int] = 1,
        padding: str = "same",
        init: Initialization = INITIALIZATIONS["glorot-uniform"],
    ) -> None:
        if padding not in PADDINGS:
            raise ConfigError(f"padding {padding!r} is not one of {', '.join(PADDINGS)}")
        self.kernel, self.stride = pair(kernel, "kernel"), pair(stride, "stride")
        self.channels = whole_number(channels, "the channels of a convolution")
        self.padding, self.init = padding, init
        self.work: Work | None = None  # the buffers, once bound to a workspace

    def __repr__(self) -> str:
        size, step = ("×".join(map(str, n)) for n in (self.kernel, self.stride))
        return f"{type(self).__name__}({self.channels}, {size}, stride {step}, {self.padding})"

    def correlation(self, shape: Shape) -> Correlation:
        """The linear map between the two grids of pixels, for rows of x of ``shape``."""
        raise NotImplementedError

    def parameters(self, shape: Shape) -> Mapping[str, tuple[Shape, Initializer]]:
        c = self.correlation(shape)
        return {"W": ((c.rows, c.O), self.init.weights), "b": ((self.channels,), self.init.bias)}

    def fans(self, shape: Shape) -> tuple[int, int]:
        """(kh · kw · C, kh · kw · O) for a kernel (kh, kw, C, O), whatever the stride.

        As in Keras and PyTorch, the fan-in of a transposed convolution, whose kernel has its
        output channels first, counts the output channels.
        """
        c = self.correlation(shape)
        return c.rows, c.taps * c.O

    def uses_per_row(self, shape: Shape) -> int:
        return math.prod(self.correlation(shape).small[:2])

    def bound_to(self, workspace: Workspace, shape: Shape, per: int = 1) -> Self:
        bound = copy.copy(self)
        bound.work = Work(self.correlation(shape), workspace, per)
        return bound

    def _work(self, bk: Backend, x: Array) -> Work:
        """The buffers of the workspace; new ones for a layer that is not bound to any."""
        if self.work is not None:
            return self.work
        return Work(self.correlation(x.shape[1:]), Workspace(bk, x.shape[0]))

    def torch_tensors(self, shape: Shape) -> Mapping[str, TorchTensor]:
        """weight: the kernel (kh, kw, C, O) as (O, C, kh, kw); bias: b."""
        c = self.correlation(shape)
        return {
            "W": TorchTensor("weight", (*self.kernel, c.C, c.O), (3, 2, 0, 1)),
            "b": TorchTensor("bias", (self.channels,), (0,)),
        }

    def _torch_sizes(self, shape: Shape) -> dict[str, object]:
        return {
            "in_channels": shape[2],
            "out_channels": self.channels,
            "kernel_size": list(self.kernel),
            "stride": list(self.stride),
        }

    def _require_image(self, shape: Shape) -> None:
        if len(shape) != 3 or math.prod(shape) < 1:
            raise ConfigError(
                f"{type(self).__name__} takes rows of the shape (height, width, channels), not "
                f"{shape}: a Reshape makes images of vectors"
            )


class Conv2D(Convolution):
    """The same affine map of every window of an image: (B, H, W, C) -> (B, h, w, O).

    W (kh · kw · C, O) is Keras' kernel (kh, kw, C, O) as a matrix; b (O,). As usual in deep
    learning, the kernel is not flipped: mathematically this is a correlation.
    """

    def correlation(self, shape: Shape) -> Correlation:
        self._require_image(shape)
        height, width, inputs = shape
        y = contracting(height, self.kernel[0], self.stride[0], self.padding)
        x = contracting(width, self.kernel[1], self.stride[1], self.padding)
        return Correlation(y, x, inputs, self.channels)

    def infer_shape(self, shape: Shape) -> Shape:
        return self.correlation(shape).small

    def forward(self, bk: Backend, p: Views, x: Array, y: Array) -> None:
        """y[n, p, q, o] = b[o] + Σ_ijc x[n, s·p − t + i, r·q − l + j, c] W[ijc, o]  (E35).

        Strides s and r; t rows and l columns of zeros before the image.
        """
        work = self._work(bk, x)
        work.map.forward(bk, p.W, p.b, x, y, work)

    def grad_input(
        self, bk: Backend, p: Views, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """dx: each pixel collects W[ijc, o] dy[n, p, q, o] from the windows it is in  (E36)."""
        work = self._work(bk, x)
        work.map.adjoint(bk, p.W, None, dy, dx, work)

    def grad_params(self, bk: Backend, x: Array, dy: Array, g: Views, rows: slice = WHOLE) -> None:
        """dW[ijc, o] = Σ_npq x[n, s·p − t + i, r·q − l + j, c] dy[n, p, q, o]  (E37).

        db = Σ_npq dy. Of some ``rows`` of W; db goes with the last of them.
        """
        work = self._work(bk, x)
        work.map.kernel_grad(bk, x, dy, g.W, work, rows)
        if rows.stop in (None, work.map.rows):
            work.sum_pixels(bk, dy, g.b)

    def torch_module(self, shape: Shape) -> dict[str, object]:
        """nn.Conv2d; ``pad``: the zeros (left, right, top, bottom) to add to the image first."""
        y, x = self.correlation(shape).y, self.correlation(shape).x
        below, right = (axis.padded - axis.before - axis.big for axis in (y, x))
        pad = [x.before, right, y.before, below]
        return {"module": "Conv2d"} | self._torch_sizes(shape) | {"pad": pad}


class ConvTranspose2D(Convolution):
    """The adjoint of a convolution, plus a bias: (B, h, w, C) -> (B, H, W, O).

    With "same" padding H = h · stride, as in Keras. W (kh · kw · O, C) is Keras' kernel
    (kh, kw, O, C) as a matrix, and equals the W of the Conv2D whose adjoint this is; b (O,).
    """

    def correlation(self, shape: Shape) -> Correlation:
        self._require_image(shape)
        height, width, inputs = shape
        y = expanding(height, self.kernel[0], self.stride[0], self.padding)
        x = expanding(width, self.kernel[1], self.stride[1], self.padding)
        return Correlation(y, x, self.channels, inputs)

    def infer_shape(self, shape: Shape) -> Shape:
        return self.correlation(shape).big

    def forward(self, bk: Backend, p: Views, x: Array, y: Array) -> None:
        """y[n, P, Q, o] = b[o] + Σ W[ijo, c] x[n, p, q, c]  (E38).

        Over all c and all p, q, i, j with s·p − t + i = P and r·q − l + j = Q.
        """
        work = self._work(bk, x)
        work.map.adjoint(bk, p.W, p.b, x, y, work)

    def grad_input(
        self, bk: Backend, p: Views, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """dx[n, p, q, c] = Σ_ijo dy[n, s·p − t + i, r·q − l + j, o] W[ijo, c]  (E39)."""
        work = self._work(bk, x)
        work.map.forward(bk, p.W, None, dy, dx, work)

    def grad_params(self, bk: Backend, x: Array, dy: Array, g: Views, rows: slice = WHOLE) -> None:
        """dW[ijo, c] = Σ_npq dy[n, s·p − t + i, r·q − l + j, o] x[n, p, q, c]  (E40).

        db = Σ_nPQ dy. Of some ``rows`` of W; db goes with the last of them.
        """
        work = self._work(bk, x)
        work.map.kernel_grad(bk, dy, x, g.W, work, rows)
        if rows.stop in (None, work.map.rows):
            work.sum_pixels(bk, dy, g.b)

    def torch_module(self, shape: Shape) -> dict[str, object]:
        """nn.ConvTranspose2d; ``crop``: the pixels (left, right, top, bottom) to cut off."""
        axes = y, x = self.correlation(shape).y, self.correlation(shape).x
        # PyTorch's output ends with the last tap of the last kernel, unless it is asked for more.
        ends = [(axis.small - 1) * axis.stride + axis.kernel for axis in axes]
        wanted = [axis.before + axis.big for axis in axes]
        more = [max(0, end - last) for end, last in zip(wanted, ends, strict=True)]
        below, right = (max(0, last - end) for end, last in zip(wanted, ends, strict=True))
        sizes = self._torch_sizes(shape) | {"output_padding": more}
        return {"module": "ConvTranspose2d"} | sizes | {"crop": [x.before, right, y.before, below]}
