"""ReLU and the Bernoulli in NumPy: in place, without a temporary array, for real numbers.

Each is the fused form of an equation in ``layers/`` or ``likelihoods/``. They are written with
``bk.xp`` alone, so that the strict device runs them as well.
"""

import math

from scratchvae.backend.base import Array, Backend
from scratchvae.types import Function


def relu(bk: Backend, x: Array, y: Array) -> None:
    """y = x where x > 0, else 0  (E10)."""
    # NumPy vectorizes this one for a number; its maximum(x, 0) takes three times as long.
    bk.xp.clip(x, 0, math.inf, out=y)


def relu_grad(bk: Backend, y: Array, dy: Array, dx: Array, tmp: Array) -> None:
    """dx = dy where y > 0, else 0  (E11)."""
    bk.xp.greater(y, 0, out=tmp)  # the mask in y's own dtype
    bk.xp.multiply(dy, tmp, out=dx)


def bernoulli_nll_terms(bk: Backend, a: Array, x: Array, out: Array, tmp: Array) -> None:
    """out = log(1 + eᵃ) − x a  (E18), as max(a, 0) + log(1 + e^−|a|) − x a."""
    xp = bk.xp
    xp.abs(a, out=tmp)
    xp.negative(tmp, out=tmp)
    xp.exp(tmp, out=tmp)
    # log(1 + e) and not log1p(e): NumPy vectorizes log on more processors. e ≤ 1, so what is
    # lost is a rounding of 1 + e: half an ulp of 1 a pixel, in absolute terms.
    tmp += 1.0
    xp.log(tmp, out=tmp)
    relu(bk, a, out)
    out += tmp
    xp.multiply(x, a, out=tmp)
    out -= tmp


def bernoulli_nll_and_grad(
    bk: Backend, a: Array, x: Array, nll: Array, da: Array, tmp: Array
) -> None:
    """nll = Σ_d log(1 + eᵃ) − x a; da = sigmoid(a) − x  (E18, E19)."""
    xp = bk.xp
    bernoulli_nll_terms(bk, a, x, da, tmp)
    xp.sum(da, axis=-1, out=nll)
    xp.multiply(a, 0.5, out=da)
    xp.tanh(da, out=da)
    da *= 0.5
    da += 0.5
    da -= x


FUSED: dict[str, Function] = {
    "relu": relu,
    "relu grad": relu_grad,
    "bernoulli nll terms": bernoulli_nll_terms,
    "bernoulli nll and grad": bernoulli_nll_and_grad,
}
