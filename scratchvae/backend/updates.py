"""The update rules of the optimizers beside Adam, and clipping, as plain equations."""

from typing import Any

import numpy as np

Array = Any
Number = Any  # a number of the host, or an array of no dimension that the device's clock sets

FORGET_EVERY = 128  # steps; 0.9¹²⁸ ≈ 1e-6 keeps what is left far from subnormal


def forget_below(dtype: np.dtype) -> float:
    """Moments smaller than this are as good as zero: 1e8 times the smallest normal number."""
    return 1e8 * float(np.finfo(dtype).tiny)


class UpdateRules:
    """Verbs on flat buffers, in place, part of the contract of a backend.

    ``t`` counts steps from 1; ``scratch`` is what ``adam_scratch`` of the size made. Where a
    backend ``records_steps``, ``lr`` and ``t`` may lie on the device.
    """

    xp: Any
    dtype: np.dtype

    def rmsprop(
        self, p: Array, g: Array, r: Array, lr: Number, rho: float, eps: float, t: Number,
        scratch: Any,
    ) -> None:  # fmt: skip
        """One step of RMSprop  (E41). ``r`` holds Keras' average of squares divided by 1 − ρ.

        As in Adam, entries too small to matter become zero every 128 steps.
        """
        r *= rho
        r += g * g
        if t % FORGET_EVERY == 0:
            r *= self.xp.abs(r) > forget_below(self.dtype)
        p -= lr * g / (self.xp.sqrt((1 - rho) * r) + eps)

    def sgd(
        self, p: Array, g: Array, v: Array, lr: Number, momentum: float, nesterov: bool, t: Number,
        scratch: Any,
    ) -> None:  # fmt: skip
        """One step of gradient descent with momentum  (E42). ``v`` is None where there is none.

        A velocity too small to matter becomes zero every 128 steps.
        """
        if v is None:
            p -= lr * g
            return
        v *= momentum
        v += g
        if t % FORGET_EVERY == 0:
            v *= self.xp.abs(v) > forget_below(self.dtype)
        p -= lr * (g + momentum * v if nesterov else v)

    def adagrad(self, p: Array, g: Array, s: Array, lr: Number, eps: float, scratch: Any) -> None:
        """One step of Adagrad  (E43)."""
        s += g * g
        p -= lr * g / (self.xp.sqrt(s) + eps)

    def sum_squares(self, g: Array, out: Array, tmp: Array, scratch: Any) -> None:
        """out = Σᵢ gᵢ², one number: (n,) -> (1,)  (E44). ``tmp`` has the shape of ``out``."""
        out[...] = self.xp.sum(g * g)

    def clip(self, g: Array, squares: Array, limit: float, factor: Array) -> None:
        """g ← g · min(1, limit / √Σ squares)  (E44). ``factor`` is a buffer (1,).

        ``squares`` (k,) holds the sums of squares of all parts of the gradient. A norm that is
        not finite makes ``g`` so, which the training loop will find.
        """
        factor[...] = limit / self.xp.sqrt(self.xp.sum(squares))
        factor[...] = self.xp.minimum(factor, 1.0)
        g *= factor
