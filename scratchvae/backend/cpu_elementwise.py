"""ReLU and the Bernoulli in NumPy: in place, without a temporary array, for real numbers.

Each is the fused form of an equation in ``layers/`` or ``likelihoods/``. They are written with
``bk.xp`` alone, so that the strict device runs them as well.
"""

import math
from collections.abc import Iterator

from scratchvae.backend.allocation import numbers_in_cache
from scratchvae.backend.base import Array, Backend
from scratchvae.types import Function

LOGITS = numbers_in_cache(arrays=5)  # of a block
FOLDS, FEW = 6, 4096  # how often rows of factors are folded, and how few logarithms are cheap


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


def bernoulli_nll(bk: Backend, a: Array, x: Array, nll: Array, tmp: Array, tmp2: Array) -> None:
    """nll = Σ_d log(1 + eᵃ) − x a  (E18)."""
    xp = bk.xp
    for rows, images in blocks(a, x):
        logits, buffer, factors = a[rows], tmp[rows], tmp2[rows]
        exp_of_minus_abs(bk, logits, buffer)
        xp.add(buffer, 1.0, out=factors)
        sum_of_logs(bk, factors, nll[rows], buffer)
        xp.greater(logits, 0, out=buffer)
        buffer -= x[images]
        add_products(bk, buffer, logits, nll[rows], factors[..., 0])


def bernoulli_nll_and_grad(
    bk: Backend, a: Array, x: Array, nll: Array, da: Array, tmp: Array, tmp2: Array
) -> None:
    """nll = Σ_d log(1 + eᵃ) − x a; da = sigmoid(a) − x  (E18, E19).

    One exponential serves both. With e = e^−|a| and q = e / (1 + e), which is sigmoid(−|a|), and
    s = 1 where a > 0, else 0: da = (s − x) + (1 − 2 s) q.
    """
    xp = bk.xp
    for rows, images in blocks(a, x):
        logits, out, q, factors = a[rows], da[rows], tmp[rows], tmp2[rows]
        exp_of_minus_abs(bk, logits, q)
        xp.add(q, 1.0, out=factors)
        q /= factors
        sum_of_logs(bk, factors, nll[rows], out)
        xp.greater(logits, 0, out=out)
        s_minus_x = factors
        xp.subtract(out, x[images], out=s_minus_x)
        out *= -2.0
        out += 1.0
        out *= q
        out += s_minus_x
        add_products(bk, s_minus_x, logits, nll[rows], q[..., 0])


def blocks(a: Array, x: Array) -> Iterator[tuple[Array, Array]]:
    """The parts of the logits that fit in cache, as indices of ``a`` and of the ``x`` beside them.

    For logits (B, K, D) and pixels (B, 1, D); other shapes come in one part.
    """
    if a.ndim != 3 or x.shape != (a.shape[0], 1, a.shape[2]):
        yield ..., ...
        return
    images, samples, pixels = a.shape
    rows = max(1, LOGITS // pixels)
    each, several = min(rows, samples), max(1, rows // samples)
    for i in range(0, images, several):
        for k in range(0, samples, each):
            yield (slice(i, i + several), slice(k, k + each)), slice(i, i + several)


def exp_of_minus_abs(bk: Backend, a: Array, out: Array) -> None:
    """out = e^−|a|, in (0, 1]."""
    bk.xp.abs(a, out=out)
    bk.xp.negative(out, out=out)
    bk.xp.exp(out, out=out)


def sum_of_logs(bk: Backend, factors: Array, out: Array, tmp: Array) -> None:
    """out = Σ_d log of factors in [1, 2], over the last axis. Overwrites them, and ``tmp`` too.

    Takes one logarithm of a product of up to 64 of them, which is at most 2⁶⁴. What a product
    loses is half an ulp of 1 per factor, as much as 1 + e has lost before it.
    """
    width = factors.shape[-1]
    rows = max(1, factors.size // width)
    for _ in range(FOLDS):
        if rows * width <= FEW:
            break
        half, rest = divmod(width, 2)
        bk.xp.multiply(factors[..., :half], factors[..., half + rest : width], out=tmp[..., :half])
        if rest:
            tmp[..., half] = factors[..., half]
        factors, tmp, width = tmp, factors, half + rest
    logs = factors[..., :width]
    bk.xp.log(logs, out=logs)
    bk.xp.sum(logs, axis=-1, out=out)


def add_products(bk: Backend, left: Array, right: Array, out: Array, tmp: Array) -> None:
    """out += Σ_d left · right, over the last axis."""
    bk.xp.einsum("...d,...d->...", left, right, out=tmp)
    out += tmp


FUSED: dict[str, Function] = {
    "relu": relu,
    "relu grad": relu_grad,
    "bernoulli nll terms": bernoulli_nll_terms,
    "bernoulli nll": bernoulli_nll,
    "bernoulli nll and grad": bernoulli_nll_and_grad,
}
