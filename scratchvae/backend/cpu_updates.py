"""The optimizers' updates and clipping in NumPy: in place, in blocks, without a temporary array.

Each is the fused form of an equation in ``optim/``. A block is read from memory once, and its
later passes find it in cache; Adam's measurements (docs/performance.md) hold for the shorter rules
too. The updates are written with ``bk.xp`` alone, so that the strict device runs them as well.
``buffers``: an optimizer's moments, and last the scratch of :func:`blocks`.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from scratchvae.backend.allocation import numbers_in_cache
from scratchvae.backend.base import FLUSH_EVERY, Array, ArrayModule, Backend, Number, Rule

BLOCK = numbers_in_cache(arrays=5)  # scratch, p, g and two moments
NORM_BLOCK = 32_768  # a constant: the last bits of a sum of squares depend on it


def blocks(scratch: Array, *buffers: Array, length: int = BLOCK) -> Iterator[tuple[Array, ...]]:
    """Scratch of a block's length, and that block of every buffer; one block after the other."""
    size = buffers[0].size
    for start in range(0, size, length):
        stop = min(start + length, size)
        yield scratch[: stop - start], *(a[start:stop] for a in buffers)


def adam(
    rule: Rule, bk: Backend, p: Array, g: Array, buffers: Sequence[Array], lr: Number, t: Number
) -> None:
    """The update of Adam  (E24), with √v̂ = root · √v and its factors drawn into two numbers."""
    xp, (*moments, scratch) = bk.xp, buffers
    eps, rate = adam_numbers(rule, lr, t)
    thresholds = rule.flush_thresholds(bk) if t % FLUSH_EVERY == 0 else ()
    for tmp, pb, gb, mb, vb in blocks(scratch, p, g, *moments):
        mb *= rule.beta1
        mb += gb
        vb *= rule.beta2
        xp.multiply(gb, gb, out=tmp)
        vb += tmp
        flush(xp, (mb, vb), thresholds, tmp)
        xp.sqrt(vb, out=tmp)
        tmp += eps
        xp.divide(mb, tmp, out=tmp)
        tmp *= rate
        pb -= tmp


def adam_numbers(rule: Rule, lr: Number, t: Number) -> tuple[Number, Number]:
    """ε beside √v and the rate: p ← p − rate · m / (√v + ε), of moments as the rule keeps them."""
    seen1, seen2 = rule.seen(t)
    root = ((1 - rule.beta2) / seen2) ** 0.5
    return rule.eps_beside_v_hat(t) / root, lr * (1 - rule.beta1) / seen1 / root


def rmsprop(
    rule: Rule, bk: Backend, p: Array, g: Array, buffers: Sequence[Array], lr: Number, t: Number
) -> None:
    """The update of RMSprop  (E41), with the root of 1 − ρ drawn out of the root."""
    xp, (*moments, scratch) = bk.xp, buffers
    eps, rate = rmsprop_numbers(rule, lr)
    thresholds = rule.flush_thresholds(bk) if t % FLUSH_EVERY == 0 else ()
    for tmp, pb, gb, rb in blocks(scratch, p, g, *moments):
        rb *= rule.rho
        xp.multiply(gb, gb, out=tmp)
        rb += tmp
        flush(xp, (rb,), thresholds, tmp)
        if rule.eps_inside:
            xp.add(rb, eps, out=tmp)
            xp.sqrt(tmp, out=tmp)
        else:
            xp.sqrt(rb, out=tmp)
            tmp += eps
        xp.divide(gb, tmp, out=tmp)
        tmp *= rate
        pb -= tmp


def rmsprop_numbers(rule: Rule, lr: Number) -> tuple[float, Number]:
    """ε where it stands, beside r or beside √r, and the rate, for r as the rule keeps it."""
    root = (1 - rule.rho) ** 0.5
    return rule.eps / (1 - rule.rho if rule.eps_inside else root), lr / root


def sgd(
    rule: Rule, bk: Backend, p: Array, g: Array, buffers: Sequence[Array], lr: Number, t: Number
) -> None:
    """The update of gradient descent, with momentum or without  (E42)."""
    xp, (*moments, scratch) = bk.xp, buffers
    thresholds = rule.flush_thresholds(bk) if t % FLUSH_EVERY == 0 else ()
    for tmp, pb, gb, *velocity in blocks(scratch, p, g, *moments):
        move = gb
        for vb in velocity:
            vb *= rule.momentum
            vb += gb
            flush(xp, (vb,), thresholds, tmp)
            move = vb
        if rule.nesterov:
            xp.multiply(move, rule.momentum, out=tmp)
            tmp += gb
            tmp *= lr
        else:
            xp.multiply(move, lr, out=tmp)
        pb -= tmp


def adagrad(
    rule: Rule, bk: Backend, p: Array, g: Array, buffers: Sequence[Array], lr: Number, t: Number
) -> None:
    """The update of Adagrad  (E43)."""
    xp, (*moments, scratch) = bk.xp, buffers
    for tmp, pb, gb, sb in blocks(scratch, p, g, *moments):
        xp.multiply(gb, gb, out=tmp)
        sb += tmp
        xp.sqrt(sb, out=tmp)
        tmp += rule.eps
        xp.divide(gb, tmp, out=tmp)
        tmp *= lr
        pb -= tmp


def flush(
    xp: ArrayModule, moments: Sequence[Array], thresholds: Sequence[float], tmp: Array
) -> None:
    """Zero for what is not above its threshold; nothing where there are no thresholds."""
    for moment, threshold in zip(moments, thresholds, strict=False):
        xp.abs(moment, out=tmp)
        xp.greater(tmp, threshold, out=tmp)
        moment *= tmp


def measure_norm(bk: Backend, g: Array, scale: Array, squares: Array, scratch: Array) -> None:
    """‖g‖ = scale √squares  (E44), with a scale of 1 unless the squares leave the float's range.

    Otherwise it is a power of two near the largest number, by which a division is exact.
    """
    scale.fill(1)
    _sum_squares(g, scale, squares, scratch)
    total = float(squares[0].real)
    if total >= lowest_sum(bk.dtype) and math.isfinite(total):
        return
    peak = max(float(np.abs(gb, out=tmp).real.max()) for tmp, gb in blocks(scratch, g))
    if not math.isfinite(peak):
        squares.fill(math.nan)
    elif peak:
        scale.fill(2.0 ** (math.frexp(peak)[1] - 1))
        _sum_squares(g, scale, squares, scratch)


def lowest_sum(dtype: np.dtype) -> float:
    """Beside a sum of squares above this, squares that underflow are too small to matter."""
    return float(np.finfo(dtype).tiny / np.finfo(dtype).eps ** 2)


def _sum_squares(g: Array, scale: Array, out: Array, scratch: Array) -> None:
    out.fill(0)
    for tmp, gb in blocks(scratch, g, length=NORM_BLOCK):
        if scale[0] != 1:
            np.divide(gb, scale, out=tmp)
            gb = tmp
        # NumPy's pairwise sum, and not BLAS' dot, whose order depends on its threads.
        np.multiply(gb, gb, out=tmp)
        out += np.sum(tmp)


def clip_gradient(
    bk: Backend, g: Array, scales: Array, squares: Array, limit: float, scratch: Array
) -> None:
    """g ← g · min(1, limit / ‖g‖)  (E44)."""
    scales = np.where(squares == 0, 0, scales)  # a part that is zero has no say in the scale
    scale = scales.real.max() or 1.0
    length = np.sqrt(np.sum(squares * (scales / scale) ** 2))  # ‖g‖ / scale
    if (limit / scale / length).real >= 1:
        return
    if scale != 1:
        g /= scale
    g *= limit / length


FUSED: dict[str, Callable[..., None]] = {
    "adam": adam,
    "rmsprop": rmsprop,
    "sgd": sgd,
    "adagrad": adagrad,
    "measure norm": measure_norm,
    "clip gradient": clip_gradient,
}
BRANCH_ON_VALUES = (measure_norm, clip_gradient)  # the others ask nothing of an array's numbers
