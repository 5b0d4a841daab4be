"""The update rules in NumPy: in place, in blocks, without a temporary array.

A block is read from memory once and its later passes find it in cache; Adam's measurements
(docs/performance.md) hold for the shorter rules too.
"""

from collections.abc import Iterator
from typing import Any

from scratchvae.backend.updates import FORGET_EVERY, Array, Number, UpdateRules, forget_below

BLOCK = 32_768  # floats; smaller blocks spend their time in calls


def blocks(scratch: Array, *buffers: Array) -> Iterator[tuple[Array, ...]]:
    """The same stretch of every buffer, one after the other, and scratch of its length first."""
    size = buffers[0].size
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        yield scratch[: stop - start], *(a[start:stop] for a in buffers)


class FastUpdateRules(UpdateRules):
    """The same equations, written with ``self.xp`` alone so that the strict device runs them."""

    def rmsprop(
        self, p: Array, g: Array, r: Array, lr: Number, rho: float, eps: float, t: Number,
        scratch: Any,
    ) -> None:  # fmt: skip
        root = (1 - rho) ** 0.5
        for tmp, pb, gb, rb in blocks(scratch, p, g, r):
            rb *= rho
            self.xp.multiply(gb, gb, out=tmp)
            rb += tmp
            if t % FORGET_EVERY == 0:
                self._forget(rb, tmp)
            self.xp.sqrt(rb, out=tmp)
            tmp += eps / root
            self.xp.divide(gb, tmp, out=tmp)
            tmp *= lr / root
            pb -= tmp

    def sgd(
        self, p: Array, g: Array, v: Array, lr: Number, momentum: float, nesterov: bool, t: Number,
        scratch: Any,
    ) -> None:  # fmt: skip
        if v is None:
            for tmp, pb, gb in blocks(scratch, p, g):
                self.xp.multiply(gb, lr, out=tmp)
                pb -= tmp
            return
        for tmp, pb, gb, vb in blocks(scratch, p, g, v):
            vb *= momentum
            vb += gb
            if t % FORGET_EVERY == 0:
                self._forget(vb, tmp)
            if nesterov:
                self.xp.multiply(vb, momentum, out=tmp)
                tmp += gb
                tmp *= lr
            else:
                self.xp.multiply(vb, lr, out=tmp)
            pb -= tmp

    def adagrad(self, p: Array, g: Array, s: Array, lr: Number, eps: float, scratch: Any) -> None:
        for tmp, pb, gb, sb in blocks(scratch, p, g, s):
            self.xp.multiply(gb, gb, out=tmp)
            sb += tmp
            self.xp.sqrt(sb, out=tmp)
            tmp += eps
            self.xp.divide(gb, tmp, out=tmp)
            tmp *= lr
            pb -= tmp

    def sum_squares(self, g: Array, out: Array, tmp: Array, scratch: Any) -> None:
        out.fill(0)
        for squares, gb in blocks(scratch, g):
            # NumPy's pairwise sum, and not BLAS' dot, whose order depends on its threads.
            self.xp.multiply(gb, gb, out=squares)
            self.xp.sum(squares, axis=0, keepdims=True, out=tmp)
            out += tmp

    def clip(self, g: Array, squares: Array, limit: float, factor: Array) -> None:
        self.xp.sum(squares, axis=0, keepdims=True, out=factor)
        self.xp.sqrt(factor, out=factor)
        self.xp.divide(limit, factor, out=factor)
        self.xp.minimum(factor, 1.0, out=factor)
        g *= factor

    def _forget(self, moment: Array, tmp: Array) -> None:
        self.xp.abs(moment, out=tmp)
        self.xp.greater(tmp, forget_below(self.dtype), out=tmp)
        moment *= tmp
