"""The analytic KL, and samples for the rest: Kingma and Welling 2014, their estimator B."""

from scratchvae.backend import Number
from scratchvae.latent.buffers import LatentNode
from scratchvae.latent.estimators.base import Estimator, sum_terms
from scratchvae.latent.kl import kl_chain, kl_per_unit
from scratchvae.latent.reparameterize import reparameterize_chain


class AnalyticKL(Estimator):
    """E2: the mean of nll over the samples, and the KL in closed form."""

    name = "analytic"
    words = "ELBO with the analytic KL"

    def value(self, n: LatentNode, beta: Number) -> None:
        """objective = 1/K Σ_k nll + β Σ_j KL_j  (E2, E16)."""
        kl_per_unit(n.bk, n.head, n.std, n.kl, n.kl_tmp)
        sum_terms(n, beta)

    def chain(self, n: LatentNode, weight: float, beta: Number) -> None:
        """[μ | log σ²] receives from two sides: the likelihood (E13) and the KL (E17)."""
        reparameterize_chain(n.bk, n.std, n.eps, n.dz, n.dhead, n.tmp)
        kl_chain(n.bk, n.head, n.std, n.times(beta, weight), n.dhead, n.kl_tmp)
