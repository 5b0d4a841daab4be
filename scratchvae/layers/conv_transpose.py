"""The transposed convolution: the adjoint of a convolution, as a layer of its own."""

from typing import Any

from scratchvae.backend import Array, Backend
from scratchvae.layers.base import WHOLE
from scratchvae.layers.convolution import Convolution
from scratchvae.layers.correlation import Correlation
from scratchvae.layers.grid import expanding
from scratchvae.memory import Shape


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
        self.positions = y.small * x.small
        return self.map.big

    def forward(self, bk: Backend, p: Any, x: Array, y: Array) -> None:
        """y[n, P, Q, o] = b[o] + Σ W[ijo, c] x[n, p, q, c]  (E38).

        Over all c and all p, q, i, j with s·p − t + i = P and r·q − l + j = Q.
        """
        self.map.up(bk, p.W, p.b, x, y, self._work(bk, x))

    def chain(
        self, bk: Backend, p: Any, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """dx[n, p, q, c] = Σ_ijo dy[n, s·p − t + i, r·q − l + j, o] W[ijo, c]  (E39)."""
        self.map.down(bk, p.W, None, dy, dx, self._work(bk, x))

    def grad(self, bk: Backend, x: Array, dy: Array, g: Any, share: slice = WHOLE) -> None:
        """dW[ijo, c] = Σ_npq dy[n, s·p − t + i, r·q − l + j, o] x[n, p, q, c]  (E40).

        db = Σ_nPQ dy. Of a ``share`` of W's rows; db goes with the last of them.
        """
        work = self._work(bk, x)
        self.map.outer(bk, dy, x, g.W, work, share)
        if share.stop in (None, self.map.rows):
            work.sum_pixels(bk, dy, g.b)
