"""Gradient descent with momentum on flat buffers."""

from collections.abc import Sequence

from scratchvae.backend import Backend, Number
from scratchvae.memory import FlatBuffer
from scratchvae.optim.base import BoundOptimizer, Optimizer, require
from scratchvae.optim.schedules import Rate


class SGD(Optimizer):
    """v ← μ v + g;  p ← p − lr v, or p ← p − lr (g + μ v) in Nesterov's form  (E42).

    The velocity is free of the learning rate, as in PyTorch: a schedule acts on all of it at
    once. Without momentum there is no velocity, and no buffer for one.
    """

    name = "sgd"

    def __init__(
        self,
        lr: Rate = 1e-2,
        momentum: float = 0.9,
        nesterov: bool = False,
        clip: float | None = None,
    ) -> None:
        super().__init__(lr, clip)
        require(0 <= momentum < 1, f"the momentum lies in [0, 1), not {momentum}")
        require(momentum > 0 or not nesterov, "Nesterov's form needs a momentum above 0")
        self.momentum, self.nesterov = momentum, nesterov
        self.moments = ("v",) if momentum else ()

    def bind(
        self,
        bk: Backend,
        params: FlatBuffer,
        grads: FlatBuffer,
        parts: Sequence[slice] = (slice(None),),
    ) -> "BoundSGD":
        return BoundSGD(self, bk, params, grads, parts)


class BoundSGD(BoundOptimizer):
    """SGD on its buffers."""

    def step(self, t: Number, part: int = 0, lr: Number | None = None) -> None:
        rule = self.rule
        self.clip(part)
        p, g, *moments = self.parts[part]
        v = moments[0] if moments else None
        lr, scratch = self.rate(t, lr), self.scratch[part]
        self.bk.sgd(p, g, v, lr, rule.momentum, rule.nesterov, t, scratch)
