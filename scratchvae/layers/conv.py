"""The convolution: y = x ∗ W + b."""

from typing import Any

from scratchvae.backend import Array, Backend
from scratchvae.layers.base import WHOLE
from scratchvae.layers.convolution import Convolution
from scratchvae.layers.correlation import Correlation
from scratchvae.layers.grid import contracting
from scratchvae.memory import Shape


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
        self.positions = y.small * x.small
        return self.map.small

    def forward(self, bk: Backend, p: Any, x: Array, y: Array) -> None:
        """y[n, p, q, o] = b[o] + Σ_ijc x[n, s·p − t + i, r·q − l + j, c] W[ijc, o]  (E35).

        Strides s and r; t rows and l columns of zeros before the image.
        """
        self.map.down(bk, p.W, p.b, x, y, self._work(bk, x))

    def chain(
        self, bk: Backend, p: Any, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """dx: each pixel collects W[ijc, o] dy[n, p, q, o] from the windows it is in  (E36)."""
        self.map.up(bk, p.W, None, dy, dx, self._work(bk, x))

    def grad(self, bk: Backend, x: Array, dy: Array, g: Any, share: slice = WHOLE) -> None:
        """dW[ijc, o] = Σ_npq x[n, s·p − t + i, r·q − l + j, c] dy[n, p, q, o]  (E37).

        db = Σ_npq dy. Of a ``share`` of W's rows; db goes with the last of them.
        """
        work = self._work(bk, x)
        self.map.outer(bk, x, dy, g.W, work, share)
        if share.stop in (None, self.map.rows):
            work.sum_pixels(bk, dy, g.b)
