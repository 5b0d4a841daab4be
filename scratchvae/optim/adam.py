"""Adam on flat buffers."""

import math
from collections.abc import Sequence

from scratchvae.backend import Backend
from scratchvae.errors import ConfigError
from scratchvae.memory import FlatBuffer


class Adam:
    """Kingma and Ba 2015, algorithm 1, in the form of PyTorch and JAX: ε outside the root.

    m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  p ← p − lr m̂ / (√v̂ + ε)  (E24), with
    m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ). The buffers hold m/(1 − β₁) and v/(1 − β₂).
    Raises ``ConfigError`` for settings that cannot be.
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

    def bind(
        self,
        bk: Backend,
        params: FlatBuffer,
        grads: FlatBuffer,
        parts: Sequence[slice] = (slice(None),),
    ) -> "BoundAdam":
        """Give it the buffers it works on, and moments of zero.

        ``parts``: the stretches of the flat buffers that different workers update.
        """
        return BoundAdam(self, bk, params, grads, parts)


class BoundAdam:
    """Adam on its buffers; ``state`` holds the moments by name."""

    def __init__(
        self,
        rule: Adam,
        bk: Backend,
        params: FlatBuffer,
        grads: FlatBuffer,
        parts: Sequence[slice],
    ) -> None:
        self.rule, self.bk = rule, bk
        self.state = {name: FlatBuffer(bk, params.layout) for name in rule.moments}
        buffers = (params, grads, *self.state.values())
        self.parts = [tuple(buffer.flat[part] for buffer in buffers) for part in parts]
        self.scratch = [bk.adam_scratch(part[0].size) for part in self.parts]

    def step(self, t: int, part: int = 0) -> None:
        """The update number ``t``, counted from 1, of one part, from the gradient in its buffer."""
        r = self.rule
        p, g, m, v = self.parts[part]
        self.bk.adam(p, g, m, v, r.lr, r.beta1, r.beta2, r.eps, t, self.scratch[part])
