"""Sticking the landing: Roeder, Wu and Duvenaud 2017."""

from scratchvae.backend import Number
from scratchvae.latent.buffers import LatentNode
from scratchvae.latent.estimators.iwae import ImportanceWeighted
from scratchvae.latent.log_ratio import path_chain
from scratchvae.latent.reparameterize import reparameterize_chain


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
