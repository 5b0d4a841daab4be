"""The optimizers' updates and clipping as CUDA kernels: one pass, nothing beside the buffers.

Each is the fused form of an equation in ``optim/``. ``buffers``: an optimizer's moments, and last
the scratch of a norm, which an update has no use for.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from scratchvae.backend.base import FLUSH_EVERY, Array, Number, Rule
from scratchvae.backend.cuda.kernels import given

if TYPE_CHECKING:
    from scratchvae.backend.cuda.operations import CudaOperations

PARTIAL_SUMS = 256  # blocks of a norm: always as many, so that the order of the sum is fixed


def adam(
    rule: Rule,
    bk: "CudaOperations",
    p: Array,
    g: Array,
    buffers: Sequence[Array],
    lr: Number,
    t: Number,
) -> None:
    """The update of Adam  (E24)."""
    m, v, _ = buffers
    settings = rule.beta1, rule.beta2, rule.eps, rule.bias_correction, rule.eps_hat
    rest = *given(lr, float), *settings, *given(t, int), FLUSH_EVERY, *rule.flush_thresholds(bk)
    bk.kernels.each("adam", p.size, p, g, m, v, p.size, *rest)


def rmsprop(
    rule: Rule,
    bk: "CudaOperations",
    p: Array,
    g: Array,
    buffers: Sequence[Array],
    lr: Number,
    t: Number,
) -> None:
    """The update of RMSprop  (E41)."""
    r, _ = buffers
    settings = rule.rho, rule.eps, rule.eps_inside
    rest = *given(lr, float), *settings, *given(t, int), FLUSH_EVERY, *rule.flush_thresholds(bk)
    bk.kernels.each("rmsprop", p.size, p, g, r, p.size, *rest)


def sgd(
    rule: Rule,
    bk: "CudaOperations",
    p: Array,
    g: Array,
    buffers: Sequence[Array],
    lr: Number,
    t: Number,
) -> None:
    """The update of gradient descent, with momentum or without  (E42)."""
    *velocity, _ = buffers
    v, threshold = (*velocity, *rule.flush_thresholds(bk)) if velocity else (None, 0.0)
    rest = *given(lr, float), rule.momentum, rule.nesterov, *given(t, int), FLUSH_EVERY, threshold
    bk.kernels.each("sgd", p.size, p, g, v, p.size, *rest)


def adagrad(
    rule: Rule,
    bk: "CudaOperations",
    p: Array,
    g: Array,
    buffers: Sequence[Array],
    lr: Number,
    t: Number,
) -> None:
    """The update of Adagrad  (E43)."""
    s, _ = buffers
    bk.kernels.each("adagrad", p.size, p, g, s, p.size, *given(lr, float), rule.eps)


def measure_norm(
    bk: "CudaOperations", g: Array, scale: Array, squares: Array, scratch: Array
) -> None:
    """‖g‖ = scale √squares  (E44), with powers of two as scales, by which a division is exact."""
    bk.kernels.launch("norm_by_block", PARTIAL_SUMS, g, g.size, scratch)
    bk.kernels.launch("join_norms", 1, scratch, PARTIAL_SUMS, scale, squares)


def clip_gradient(
    bk: "CudaOperations", g: Array, scales: Array, squares: Array, limit: float, scratch: Array
) -> None:
    """g ← g · min(1, limit / ‖g‖)  (E44)."""
    bk.kernels.each("clip", g.size, g, g.size, scales, squares, squares.size, limit)


FUSED: dict[str, Callable[..., None]] = {
    "adam": adam,
    "rmsprop": rmsprop,
    "sgd": sgd,
    "adagrad": adagrad,
    "measure norm": measure_norm,
    "clip gradient": clip_gradient,
}
