"""Adam on flat buffers."""

import math
from collections.abc import Sequence

from scratchvae.backend import Backend, Number
from scratchvae.memory import FlatBuffer
from scratchvae.optim.base import BoundOptimizer, Optimizer, require
from scratchvae.optim.schedules import Rate


class Adam(Optimizer):
    """Kingma and Ba 2015, algorithm 1, in the form of PyTorch and JAX: ε outside the root.

    m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  p ← p − lr m̂ / (√v̂ + ε)  (E24), with
    m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ). The buffers hold m/(1 − β₁) and v/(1 − β₂).
    """

    name = "adam"
    moments = ("m", "v")

    def __init__(
        self,
        lr: Rate = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        clip: float | None = None,
    ) -> None:
        super().__init__(lr, clip)
        betas = 0 <= beta1 < 1 and 0 <= beta2 < 1
        require(betas, f"Adam's betas lie in [0, 1), not {beta1} and {beta2}")
        require(math.isfinite(eps) and eps > 0, f"Adam's eps must be positive, not {eps}")
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    def bind(
        self,
        bk: Backend,
        params: FlatBuffer,
        grads: FlatBuffer,
        parts: Sequence[slice] = (slice(None),),
    ) -> "BoundAdam":
        return BoundAdam(self, bk, params, grads, parts)


class BoundAdam(BoundOptimizer):
    """Adam on its buffers."""

    def step(self, t: Number, part: int = 0, lr: Number | None = None) -> None:
        r = self.rule
        self.clip(part)
        p, g, m, v = self.parts[part]
        lr = self.rate(t, lr)
        self.bk.adam(p, g, m, v, lr, r.beta1, r.beta2, r.eps, t, self.scratch[part])
