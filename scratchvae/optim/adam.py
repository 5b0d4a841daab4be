"""Adam on flat buffers."""

import math

from scratchvae.backend import Backend
from scratchvae.errors import ConfigError
from scratchvae.memory import FlatBuffer


class Adam:
    """Kingma and Ba 2015, algorithm 1, in the form of PyTorch and JAX: ε outside the root.

    m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  p ← p − lr m̂ / (√v̂ + ε)  (E24), with
    m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ). Raises ``ConfigError`` for settings that cannot be.
    """

    moments = ("m", "v")  # the flat buffers it keeps beside the parameters

    def __init__(
        self, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
    ) -> None:
        if not (math.isfinite(lr) and lr > 0):
            raise ConfigError(f"the learning rate must be positive, not {lr}")
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
            raise ConfigError(f"Adam's betas lie in [0, 1), not {beta1} and {beta2}")
        if not (math.isfinite(eps) and eps > 0):
            raise ConfigError(f"Adam's eps must be positive, not {eps}")
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps

    def bind(self, bk: Backend, params: FlatBuffer, grads: FlatBuffer) -> "BoundAdam":
        """Give it the buffers it works on, and moments of zero."""
        return BoundAdam(self, bk, params, grads)


class BoundAdam:
    """Adam on its buffers; ``state`` holds the moments by name."""

    def __init__(self, rule: Adam, bk: Backend, params: FlatBuffer, grads: FlatBuffer) -> None:
        self.rule, self.bk = rule, bk
        self.p, self.g = params.flat, grads.flat
        self.state = {name: FlatBuffer(bk, params.layout) for name in rule.moments}
        self.m, self.v = (self.state[name].flat for name in rule.moments)
        self.scratch = bk.adam_scratch(self.p.size)

    def step(self, t: int) -> None:
        """The update number ``t``, counted from 1, from the gradient in its buffer."""
        r = self.rule
        self.bk.adam(self.p, self.g, self.m, self.v, r.lr, r.beta1, r.beta2, r.eps, t, self.scratch)
