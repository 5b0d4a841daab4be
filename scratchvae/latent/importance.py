"""The importance-weighted bound: a logarithm outside the mean over samples."""

import math

from scratchvae.backend import Array, Backend


def importance_bound(bk: Backend, cost: Array, bound: Array, weights: Array, shift: Array) -> None:
    """bound = −log 1/K Σ_k e^−cost_k and weights = e^−cost_k / Σ_l e^−cost_l  (E50).

    cost = −log w (B, K) -> bound (B,) in nats, weights (B, K). The smallest cost ``shift`` (B, 1)
    is taken out before the exponential, so that nothing overflows and the largest term is 1; of
    costs it is the real part that decides, so that a complex step passes. Burda et al. 2016.
    """
    xp = bk.xp
    shift.fill(0)
    xp.min(cost.real, axis=1, keepdims=True, out=shift.real)
    xp.subtract(shift, cost, out=weights)
    xp.exp(weights, out=weights)
    xp.sum(weights, axis=1, out=bound)
    weights /= bound[:, None]
    xp.log(bound, out=bound)
    xp.subtract(shift[:, 0], bound, out=bound)
    bound += math.log(cost.shape[1])
