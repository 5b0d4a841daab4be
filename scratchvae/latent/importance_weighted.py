"""The importance-weighted bound, and two gradients of it that differ in a line each."""

import math
from types import SimpleNamespace
from typing import Any

from scratchvae.backend import Array, Backend, HostArray, Number
from scratchvae.latent.buffers import LatentNode
from scratchvae.latent.estimators import Estimator, sample_cost, sampled_kl
from scratchvae.latent.gaussian import log_ratio_chain, path_chain, reparameterize_chain
from scratchvae.memory import Tape


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


class ImportanceWeighted(Estimator):
    """−log 1/K Σ_k w_k with w = p(x|z) p(z) / q(z|x), tighter with every sample.

    With one sample it is the ELBO by Monte Carlo. kl (B, Z) holds E45 all the same.
    """

    name = "iwae"
    words = "importance-weighted bound"
    any_beta = False
    sums_terms = False
    weighs_samples = True

    def work(self, tape: Tape, samples: int, latent: int) -> Any:
        """cost = −log w, weights = w_k / Σ_l w_l, dcost (B, K); shift (B, 1)."""
        names = ("cost", "weights", "dcost")
        buffers = {
            name: tape.buffer(f"latent.{name}", per=samples).reshape(-1, samples) for name in names
        }
        return SimpleNamespace(**buffers, shift=tape.buffer("latent.shift", 1))

    def value(self, n: LatentNode, beta: Number) -> None:
        """objective = −log 1/K Σ_k w_k, −log w = nll + log q − log p  (E50)."""
        sampled_kl(n)
        sample_cost(n, 1.0, n.work.cost, n.work.weights)
        importance_bound(n.bk, n.work.cost, n.objective, n.work.weights, n.work.shift)

    def sample_weights(self, n: LatentNode, weight: float) -> Array:
        """d(−log w_k) = weight · w_k / Σ_l w_l, (B, K, 1)  (E51)."""
        n.bk.xp.multiply(n.work.weights, weight, out=n.work.dcost)
        return n.work.dcost[:, :, None]

    def chain(self, n: LatentNode, weight: float, beta: Number) -> None:
        """As E46 with the normalized weights, which add up to 1  (E51)."""
        log_ratio_chain(n.bk, n.z, n.work.dcost[:, :, None], n.dz, n.tmp)
        reparameterize_chain(n.bk, n.std, n.eps, n.dz, n.dhead, n.tmp)
        dlogvar = n.dhead[:, n.latent :]
        dlogvar -= 0.5 * weight

    def total(self, nll: HostArray, kl: HostArray, objective: HostArray, beta: float) -> float:
        """The mean of the bound over the images."""
        return float(objective.mean(dtype="float64"))


class StickingTheLanding(ImportanceWeighted):
    """E50's value; the encoder receives the path derivative alone.

    What it leaves out, the score of q, has mean zero for one sample; then the gradient is unbiased
    and vanishes for every ε where q is the posterior. With K > 1 samples the weights w_k depend on
    the score's own sample, and leaving it out is a bias: Tucker et al. 2019.
    """

    name = "stl"
    words = "importance-weighted bound, sticking-the-landing gradient"
    differentiates = False

    def chain(self, n: LatentNode, weight: float, beta: Number) -> None:
        """dz = dcost · ∂(−log w)/∂z with μ and σ inside q held  (E52)."""
        path_chain(n.bk, n.std, n.z, n.eps, n.work.dcost[:, :, None], n.dz, n.tmp)
        reparameterize_chain(n.bk, n.std, n.eps, n.dz, n.dhead, n.tmp)


class DoublyReparameterized(ImportanceWeighted):
    """E50's value; the encoder receives the path derivative with squared normalized weights.

    The score of q, reparameterized once more, turns into a path derivative, too: nothing is left
    out, and the gradient is that of the bound in expectation. The decoder's weights are the usual
    ones. With one sample it is sticking the landing.
    """

    name = "dreg"
    words = "importance-weighted bound, doubly reparameterized gradient"
    differentiates = False

    def chain(self, n: LatentNode, weight: float, beta: Number) -> None:
        """dz = weight · ω_k² ∂(−log w_k)/∂z with μ and σ inside q held  (E53)."""
        path_chain(n.bk, n.std, n.z, n.eps, n.work.dcost[:, :, None], n.dz, n.tmp)
        n.dz *= n.work.weights[:, :, None]
        reparameterize_chain(n.bk, n.std, n.eps, n.dz, n.dhead, n.tmp)
