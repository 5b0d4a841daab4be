"""Samples without reparameterization: a program that draws z and forgets where it came from."""

from scratchvae.backend import Number
from scratchvae.latent.buffers import LatentNode
from scratchvae.latent.estimators.base import Estimator, sampled_kl, sum_terms
from scratchvae.latent.score import score_chain


class Detached(Estimator):
    """E45's value, with z a constant for the encoder.

    Automatic differentiation does this where z comes from a sampler that has no derivative. The
    decoder learns; the encoder receives the gradient of log q(z|x) at fixed z alone, which
    doesn't depend on the image's likelihood and has the mean zero: it can't learn.
    """

    name = "detached"
    words = "ELBO with a Monte-Carlo KL, no gradient through z"
    differentiates = False

    def value(self, n: LatentNode, beta: Number) -> None:
        """objective = 1/K Σ_k (nll + β (log q − log p))  (E45)."""
        sampled_kl(n)
        sum_terms(n, beta)

    def chain(self, n: LatentNode, weight: float, beta: Number) -> None:
        """The gradient of β/K Σ_k log q(z_k|x) at fixed z and of nothing else  (E47)."""
        score_chain(n.bk, n.std, n.eps, n.times(beta, weight / n.samples), n.dhead, n.tmp)
