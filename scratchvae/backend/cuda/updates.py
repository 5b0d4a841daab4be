"""The update rules as CUDA kernels: one pass over the flat buffers, nothing beside them."""

from typing import Any

from scratchvae.backend.cuda.kernels import given
from scratchvae.backend.cuda.operations import CudaVerbs
from scratchvae.backend.updates import FORGET_EVERY, Array, Number, forget_below

SHARES = 256  # blocks of a sum of squares: always as many, so that the order of the sum is fixed


class CudaUpdates(CudaVerbs):
    """Every optimizer's step, and clipping."""

    def _forgetting(self, t: Number) -> tuple[Any, ...]:
        return *given(t, int), FORGET_EVERY, forget_below(self.dtype)

    def adam_scratch(self, size: int) -> Any:
        return self.empty((SHARES,))

    def adam(
        self,
        p: Array,
        g: Array,
        m: Array,
        v: Array,
        lr: Number,
        beta1: float,
        beta2: float,
        eps: float,
        t: Number,
        scratch: Any,
    ) -> None:
        if not self._can(p, g, m, v):
            return super().adam(p, g, m, v, lr, beta1, beta2, eps, t, scratch)
        rest = *given(lr, float), beta1, beta2, eps, *self._forgetting(t)
        self.kernels.each("adam", p.size, p, g, m, v, p.size, *rest)

    def rmsprop(
        self, p: Array, g: Array, r: Array, lr: Number, rho: float, eps: float, t: Number,
        scratch: Any,
    ) -> None:  # fmt: skip
        if not self._can(p, g, r):
            return super().rmsprop(p, g, r, lr, rho, eps, t, scratch)
        rest = *given(lr, float), rho, eps, *self._forgetting(t)
        self.kernels.each("rmsprop", p.size, p, g, r, p.size, *rest)

    def sgd(
        self, p: Array, g: Array, v: Array, lr: Number, momentum: float, nesterov: bool, t: Number,
        scratch: Any,
    ) -> None:  # fmt: skip
        if not self._can(p, g, v):
            return super().sgd(p, g, v, lr, momentum, nesterov, t, scratch)
        rest = *given(lr, float), float(momentum), bool(nesterov), *self._forgetting(t)
        self.kernels.each("sgd", p.size, p, g, v, p.size, *rest)

    def adagrad(self, p: Array, g: Array, s: Array, lr: Number, eps: float, scratch: Any) -> None:
        if not self._can(p, g, s):
            return super().adagrad(p, g, s, lr, eps, scratch)
        self.kernels.each("adagrad", p.size, p, g, s, p.size, *given(lr, float), eps)

    def sum_squares(self, g: Array, out: Array, tmp: Array, scratch: Any) -> None:
        if not self._can(g, out):
            return super().sum_squares(g, out, tmp, scratch)
        self.kernels.launch("squares_by_block", SHARES, g, g.size, scratch)
        self.kernels.launch("sum_shares", 1, scratch, SHARES, out)

    def clip(self, g: Array, squares: Array, limit: float, factor: Array) -> None:
        if not self._can(g, squares, factor):
            return super().clip(g, squares, limit, factor)
        rest = squares, squares.size, float(limit), factor
        self.kernels.each("clip", g.size, g, g.size, *rest)
