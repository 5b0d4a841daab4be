"""RMSprop on flat buffers."""

import math
from collections.abc import Sequence

from scratchvae.backend import Backend, Number
from scratchvae.memory import FlatBuffer
from scratchvae.optim.base import BoundOptimizer, Optimizer, require
from scratchvae.optim.schedules import Rate


class RMSprop(Optimizer):
    """Keras' form, without momentum and not centred: ε outside the root, r started at zero.

    r ← ρ r + (1 − ρ) g²;  p ← p − lr g / (√r + ε)  (E41). The buffer holds r/(1 − ρ). PyTorch's
    is the same update with other defaults (ρ 0.99, ε 1e-8, lr 1e-2).
    """

    name = "rmsprop"
    moments = ("r",)

    def __init__(
        self, lr: Rate = 1e-3, rho: float = 0.9, eps: float = 1e-7, clip: float | None = None
    ) -> None:
        super().__init__(lr, clip)
        require(0 <= rho < 1, f"RMSprop's rho lies in [0, 1), not {rho}")
        require(math.isfinite(eps) and eps > 0, f"RMSprop's eps must be positive, not {eps}")
        self.rho, self.eps = rho, eps

    def bind(
        self,
        bk: Backend,
        params: FlatBuffer,
        grads: FlatBuffer,
        parts: Sequence[slice] = (slice(None),),
    ) -> "BoundRMSprop":
        return BoundRMSprop(self, bk, params, grads, parts)


class BoundRMSprop(BoundOptimizer):
    """RMSprop on its buffers."""

    def step(self, t: Number, part: int = 0, lr: Number | None = None) -> None:
        rule = self.rule
        self.clip(part)
        p, g, r = self.parts[part]
        lr, scratch = self.rate(t, lr), self.scratch[part]
        self.bk.rmsprop(p, g, r, lr, rule.rho, rule.eps, t, scratch)
