"""The KL from the samples that the decoder sees: Kingma and Welling 2014, their estimator A."""

from scratchvae.backend import Number
from scratchvae.latent.buffers import LatentNode
from scratchvae.latent.estimators.base import Estimator, sampled_kl, sum_terms
from scratchvae.latent.log_ratio import log_ratio_chain
from scratchvae.latent.reparameterize import reparameterize_chain


class MonteCarloKL(Estimator):
    """E2 with KL_j replaced by the mean of log q(z_j|x) − log p(z_j) over the K samples."""

    name = "monte-carlo"
    words = "ELBO with a Monte-Carlo KL"

    def value(self, n: LatentNode, beta: Number) -> None:
        """objective = 1/K Σ_k (nll + β (log q − log p))  (E45)."""
        sampled_kl(n)
        sum_terms(n, beta)

    def chain(self, n: LatentNode, weight: float, beta: Number) -> None:
        """dz receives + z from −log p(z), log σ² receives −½ from log q  (E46)."""
        log_ratio_chain(n.bk, n.z, n.times(beta, weight / n.samples), n.dz, n.tmp)
        reparameterize_chain(n.bk, n.std, n.eps, n.dz, n.dhead, n.tmp)
        dlogvar = n.dhead[:, n.latent :]
        dlogvar -= n.times(beta, 0.5 * weight)
