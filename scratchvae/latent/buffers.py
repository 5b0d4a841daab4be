"""The buffers between encoder and decoder, for the estimators that work on them."""

from scratchvae.backend import Array, Number
from scratchvae.memory import Views, Workspace


class LatentBuffers:
    """The arrays between encoder and decoder, for B images and K samples of Z latent units each.

    head = [μ | log σ²] (B, 2Z), std (B, Z), eps and z (B, K, Z); nll (B, K), kl (B, Z) and
    objective (B,) in nats. If gradients are computed, also dz (B, K, Z) and dhead (B, 2Z). All
    have the float type of the backend. ``work`` holds the buffers that an estimator asked for.
    """

    def __init__(
        self, workspace: Workspace, samples: int, latent: int, head: Array, dhead: Array | None
    ) -> None:
        def a_sample(name: str) -> Array:
            return workspace.buffer(f"latent.{name}", latent, per=samples).reshape(
                -1, samples, latent
            )

        self.bk, self.samples, self.latent = workspace.bk, samples, latent
        self.head: Array = head
        self.dhead: Array = dhead
        self.std = workspace.buffer("latent.std", latent)
        self.eps, self.z, self.tmp = a_sample("eps"), a_sample("z"), a_sample("tmp")
        self.nll = workspace.buffer("likelihood.nll", per=samples).reshape(-1, samples)
        self.kl = workspace.buffer("latent.kl", latent)
        self.kl_tmp = workspace.buffer("latent.kl_tmp", latent)
        self.objective = workspace.buffer("latent.objective")
        self.row_tmp = workspace.buffer("latent.row_tmp")
        self.dz: Array = a_sample("dz") if dhead is not None else None
        self.work = Views()
        self.product = workspace.private("latent.product")  # one number

    def times(self, beta: Number, factor: float) -> Number:
        """factor · beta; in a buffer of this object if beta is a device scalar."""
        if isinstance(beta, float | int):
            return factor * beta
        self.bk.xp.multiply(beta, factor, out=self.product)
        return self.product
