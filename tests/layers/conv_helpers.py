"""Convolutions drawn at random, and the same in four loops."""

from types import SimpleNamespace

import numpy as np
from hypothesis import strategies as st

from scratchvae.layers import Conv2D, ConvTranspose2D

STEP = 2.0**-70  # of a complex derivative


def normal(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape)


class Case:
    """A built layer at a random point, with a cotangent; all float64 on the host."""

    def __init__(self, layer, shape, rows=3, seed=0):
        self.layer, self.out = layer, layer.infer_shape(shape)
        self.x, self.dy = normal((rows, *shape), seed), normal((rows, *self.out), seed + 1)
        shapes = {n: size for n, (size, _) in layer.parameters(shape).items()}
        self.W, self.b = normal(shapes["W"], seed + 2), normal(shapes["b"], seed + 3)

    def forward(self, bk, x=None, W=None, b=None, work=None):
        x, W, b = (
            bk.array(mine if given is None else given)
            for mine, given in ((self.x, x), (self.W, W), (self.b, b))
        )
        y = bk.empty((x.shape[0], *self.out))
        layer = self.layer if work is None else work
        layer.forward(bk, SimpleNamespace(W=W, b=b), x, y)
        return bk.to_host(y)

    def backward(self, bk, shares=(slice(None),)):
        """(dx, dW, db)."""
        x, dy, W = (bk.array(a) for a in (self.x, self.dy, self.W))
        dx = bk.empty(self.x.shape)
        g = SimpleNamespace(W=bk.empty(self.W.shape), b=bk.empty(self.b.shape))
        for a in (dx, g.W, g.b):
            a.fill(np.nan)
        self.layer.grad_input(bk, SimpleNamespace(W=W), x, None, dy, dx, None)
        for share in shares:
            self.layer.grad_params(bk, x, dy, g, share)
        return tuple(bk.to_host(a) for a in (dx, g.W, g.b))


def four_loops(x, kernel, stride, before, out):
    """The correlation of images with a kernel (kh, kw, C, O): E35 as it is written."""
    y = np.zeros((len(x), *out, kernel.shape[3]))
    for p, q in np.ndindex(*out):
        for i, j in np.ndindex(*kernel.shape[:2]):
            P, Q = p * stride[0] - before[0] + i, q * stride[1] - before[1] + j
            if 0 <= P < x.shape[1] and 0 <= Q < x.shape[2]:
                y[:, p, q] += x[:, P, Q] @ kernel[i, j]
    return y


def padding_before(size, kernel, stride):
    """TensorFlow's definition of "same", from its documentation."""
    last = stride if size % stride == 0 else size % stride
    return max(kernel - last, 0) // 2


@st.composite
def cases(draw, kinds=(Conv2D, ConvTranspose2D)):
    """A layer of any size, kernel, stride and padding, both axes apart; few channels or many."""
    kind = draw(st.sampled_from(kinds))
    height, width = draw(st.integers(1, 7)), draw(st.integers(1, 8))
    kernel = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    fits = kind is ConvTranspose2D or (kernel[0] <= height and kernel[1] <= width)
    padding = draw(st.sampled_from(("same", "valid") if fits else ("same",)))
    channels, n_in = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    layer = kind(channels, kernel, stride, padding)
    return Case(layer, (height, width, n_in), draw(st.integers(1, 3)), draw(st.integers(0, 99)))
