"""Adagrad on flat buffers."""

import math
from collections.abc import Sequence

from scratchvae.backend import Backend, Number
from scratchvae.memory import FlatBuffer
from scratchvae.optim.base import BoundOptimizer, Optimizer, require
from scratchvae.optim.schedules import Rate


class Adagrad(Optimizer):
    """Duchi, Hazan and Singer 2011, in PyTorch's form: ε outside the root, s started at zero.

    s ← s + g²;  p ← p − lr g / (√s + ε)  (E43).
    """

    name = "adagrad"
    moments = ("s",)

    def __init__(self, lr: Rate = 1e-2, eps: float = 1e-10, clip: float | None = None) -> None:
        super().__init__(lr, clip)
        require(math.isfinite(eps) and eps > 0, f"Adagrad's eps must be positive, not {eps}")
        self.eps = eps

    def bind(
        self,
        bk: Backend,
        params: FlatBuffer,
        grads: FlatBuffer,
        parts: Sequence[slice] = (slice(None),),
    ) -> "BoundAdagrad":
        return BoundAdagrad(self, bk, params, grads, parts)


class BoundAdagrad(BoundOptimizer):
    """Adagrad on its buffers."""

    def step(self, t: Number, part: int = 0, lr: Number | None = None) -> None:
        self.clip(part)
        p, g, s = self.parts[part]
        lr, scratch = self.rate(t, lr), self.scratch[part]
        self.bk.adagrad(p, g, s, lr, self.rule.eps, scratch)
