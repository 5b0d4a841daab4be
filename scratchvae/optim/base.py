"""What the optimizers have in common: a learning rate that may change, moments, clipping."""

import math
from collections.abc import Sequence
from typing import Any

from scratchvae.backend import Array, Backend, Number
from scratchvae.errors import ConfigError
from scratchvae.memory import FlatBuffer
from scratchvae.optim.schedules import Rate, schedule


class Optimizer:
    """The settings of an update rule, without any buffer.

    ``lr`` is a number, a schedule or its text (:mod:`scratchvae.optim.schedules`); ``clip`` the
    largest norm that a gradient may have, None for any. Raises ``ConfigError`` for settings that
    cannot be.
    """

    name = ""
    moments: tuple[str, ...] = ()  # the flat buffers it keeps beside the parameters

    def __init__(self, lr: Rate, clip: float | None = None) -> None:
        self.schedule = schedule(lr)
        self.lr: Any = lr
        if clip is not None:
            require(math.isfinite(clip) and clip > 0, f"clip must be positive, not {clip}")
        self.clip = clip

    def bind(
        self,
        bk: Backend,
        params: FlatBuffer,
        grads: FlatBuffer,
        parts: Sequence[slice] = (slice(None),),
    ) -> "BoundOptimizer":
        """Give it the buffers it works on, and moments of zero.

        ``parts``: the stretches of the flat buffers that different workers update.
        """
        raise NotImplementedError


class BoundOptimizer:
    """An optimizer on its buffers; ``state`` holds the moments by name.

    With a ``clip`` the gradient is overwritten by the clipped one. Its norm needs all parts: a
    caller with several of them calls :meth:`measure` for each, waits for all, then :meth:`step`.
    """

    def __init__(
        self,
        rule: Any,
        bk: Backend,
        params: FlatBuffer,
        grads: FlatBuffer,
        parts: Sequence[slice],
    ) -> None:
        self.rule, self.bk = rule, bk
        self.state = {name: FlatBuffer(bk, params.layout) for name in rule.moments}
        buffers = (params, grads, *self.state.values())
        self.parts: list[tuple[Array, ...]] = [
            tuple(buffer.flat[part] for buffer in buffers) for part in parts
        ]
        self.scratch = [bk.adam_scratch(part[0].size) for part in self.parts]
        self.squares, self.factors = (bk.zeros((len(self.parts),)) for _ in range(2))

    @property
    def must_meet(self) -> bool:
        """Whether several workers have to :meth:`measure`, and meet, before they step."""
        return self.rule.clip is not None and len(self.parts) > 1

    def measure(self, part: int = 0) -> None:
        """The sum of squares of one part of the gradient, for clipping  (E44)."""
        one = slice(part, part + 1)
        g, scratch = self.parts[part][1], self.scratch[part]
        self.bk.sum_squares(g, self.squares[one], self.factors[one], scratch)

    def clip(self, part: int = 0) -> None:
        """Shorten one part of the gradient as the norm of all parts asks for  (E44)."""
        if self.rule.clip is None:
            return
        if len(self.parts) == 1:
            self.measure()
        factor = self.factors[part : part + 1]
        self.bk.clip(self.parts[part][1], self.squares, self.rule.clip, factor)

    def step(self, t: Number, part: int = 0, lr: Number | None = None) -> None:
        """The update number ``t``, counted from 1, of one part, from the gradient in its buffer.

        ``lr`` is the schedule's rate at ``t``, for a caller who has looked it up already.
        """
        raise NotImplementedError

    def rate(self, t: Number, lr: Number | None) -> Number:
        """The learning rate of an update: ``lr`` where it is given."""
        return self.rule.schedule(t) if lr is None else lr


def require(fine: bool, message: str) -> None:
    """``ConfigError`` with this message unless ``fine``."""
    if not fine:
        raise ConfigError(message)
