"""The importance-weighted bound: Burda, Grosse and Salakhutdinov 2016."""

from types import SimpleNamespace
from typing import Any

from scratchvae.backend import Array, HostArray, Number
from scratchvae.latent.buffers import LatentNode
from scratchvae.latent.estimators.base import Estimator, sample_cost, sampled_kl
from scratchvae.latent.importance import importance_bound
from scratchvae.latent.log_ratio import log_ratio_chain
from scratchvae.latent.reparameterize import reparameterize_chain
from scratchvae.memory import Tape


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
