"""The importance-weighted bound, and two gradients of it that differ in a line each."""

import math

from scratchvae.backend import Array, Backend, HostArray, Number, invisible_weight
from scratchvae.latent.buffers import LatentBuffers
from scratchvae.latent.estimators import Estimator, grad_through_z, sample_cost, sampled_kl
from scratchvae.latent.gaussian import log_ratio_grad, path_grad, reparameterize_grad
from scratchvae.memory import Views, Workspace


def importance_bound(bk: Backend, cost: Array, bound: Array, weights: Array, shift: Array) -> None:
    """bound = −log 1/K Σ_k e^−cost_k and weights = e^−cost_k / Σ_l e^−cost_l  (E50).

    cost = −log w (B, K) -> bound (B,) in nats, weights (B, K). The smallest cost, ``shift`` (B, 1),
    is subtracted before the exponential, so that the largest term is 1 and nothing overflows. Real
    parts are compared, so that a complex step passes. Source: Burda et al. 2016.
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


def copy_visible(bk: Backend, weights: Array, out: Array) -> None:
    """out = those weights that can be seen beside their sum, 1, and 0 for the others."""
    bk.xp.greater(weights.real, invisible_weight(bk.dtype), out=out)
    out *= weights


class ImportanceWeighted(Estimator):
    """−log 1/K Σ_k w_k with w = p(x|z) p(z) / q(z|x), a bound that tightens with every sample.

    With one sample it is the ELBO by Monte Carlo. kl (B, Z) holds E45 as well.
    """

    name = "iwae"
    label = "importance-weighted bound"
    reference = "iwae"
    kl_labels = ("E45",)
    value_writes = ("cost", "weights")
    allows_beta = False
    allows_flow = True
    sums_terms = False

    def work(self, workspace: Workspace, samples: int, latent: int) -> Views:
        """cost = −log w, weights = w_k / Σ_l w_l, dcost (B, K); shift (B, 1)."""
        names = ("cost", "weights", "dcost")
        buffers = {
            name: workspace.buffer(f"latent.{name}", per=samples).reshape(-1, samples)
            for name in names
        }
        return Views(**buffers, shift=workspace.buffer("latent.shift", 1))

    def value(self, latent: LatentBuffers, beta: Number) -> None:
        """objective = −log 1/K Σ_k w_k, −log w = nll + log q − log p  (E50)."""
        sampled_kl(latent)
        sample_cost(latent, 1.0, latent.work.cost, latent.work.weights)
        importance_bound(
            latent.bk, latent.work.cost, latent.objective, latent.work.weights, latent.work.shift
        )

    def sample_weight(self, latent: LatentBuffers, weight: float) -> Array:
        """The gradient with respect to −log w_k: weight · w_k / Σ_l w_l, (B, K, 1)  (E51).

        An invisible weight, below 1e-19 in float32, counts as 0.
        """
        copy_visible(latent.bk, latent.work.weights, latent.work.dcost)
        latent.work.dcost *= weight
        return latent.work.dcost[:, :, None]

    def grad_head(self, latent: LatentBuffers, weight: float, beta: Number) -> None:
        """As E46 with the normalized weights, which add up to 1  (E51)."""
        dcost = latent.work.dcost[:, :, None]
        log_ratio_grad(latent.bk, latent.z, dcost, latent.dz, latent.tmp)
        grad_through_z(latent, dcost)
        dlogvar = latent.dhead[:, latent.latent :]
        dlogvar -= 0.5 * weight

    def total(self, nll: HostArray, kl: HostArray, objective: HostArray, beta: float) -> float:
        """The mean of the bound over the images."""
        return float(objective.mean(dtype="float64"))


class StickingTheLanding(ImportanceWeighted):
    """E50's value; the encoder receives the path derivative alone.

    The score of q, which is left out, has mean zero for one sample: the gradient is then unbiased,
    and zero for every ε if q is the posterior. With K > 1 samples the weights w_k depend on the
    same sample as the score, and leaving it out is a bias: Tucker et al. 2019.
    """

    name = "stl"
    allows_flow = False  # its path derivative is that of a Gaussian q
    label = "importance-weighted bound, sticking-the-landing gradient"
    gradient_matches_value = False

    def grad_head(self, latent: LatentBuffers, weight: float, beta: Number) -> None:
        """dz = dcost · ∂(−log w)/∂z with μ and σ inside q held  (E52)."""
        path_grad(
            latent.bk,
            latent.std,
            latent.z,
            latent.eps,
            latent.work.dcost[:, :, None],
            latent.dz,
            latent.tmp,
        )
        latent.bk.compute(
            reparameterize_grad, latent.std, latent.eps, latent.dz, latent.dhead, latent.tmp
        )


class DoublyReparameterized(ImportanceWeighted):
    """E50's value; the encoder receives the path derivative with squared normalized weights.

    Reparameterized a second time, the score of q becomes a path derivative, too, so that nothing
    is left out, and the gradient is that of the bound in expectation. The decoder's gradient is
    the usual one. With one sample this is sticking the landing.
    """

    name = "dreg"
    allows_flow = False  # its path derivative is that of a Gaussian q
    label = "importance-weighted bound, doubly reparameterized gradient"
    gradient_matches_value = False

    def grad_head(self, latent: LatentBuffers, weight: float, beta: Number) -> None:
        """dz = weight · ω_k² ∂(−log w_k)/∂z with μ and σ inside q held  (E53)."""
        path_grad(
            latent.bk,
            latent.std,
            latent.z,
            latent.eps,
            latent.work.dcost[:, :, None],
            latent.dz,
            latent.tmp,
        )
        latent.dz *= latent.work.weights[:, :, None]
        latent.bk.compute(
            reparameterize_grad, latent.std, latent.eps, latent.dz, latent.dhead, latent.tmp
        )
