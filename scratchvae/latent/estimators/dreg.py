"""The doubly reparameterized gradient: Tucker, Lawson, Gu and Maddison 2019."""

from scratchvae.backend import Number
from scratchvae.latent.buffers import LatentNode
from scratchvae.latent.estimators.iwae import ImportanceWeighted
from scratchvae.latent.log_ratio import path_chain
from scratchvae.latent.reparameterize import reparameterize_chain


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
