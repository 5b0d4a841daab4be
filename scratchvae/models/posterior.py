"""The variational distribution of a partly observed image, on its buffers: value and gradient."""

from scratchvae.backend import Array, HostArray
from scratchvae.errors import ConfigError
from scratchvae.latent import AnalyticKL, Estimator, LatentBuffers, MonteCarloKL, reparameterize
from scratchvae.memory import FlatBuffer, Layout, Workspace
from scratchvae.models.vae import VAE

KL_ESTIMATES: dict[str, type[Estimator]] = {"analytic": AnalyticKL, "sampled": MonteCarloKL}


def require_completing(vae: VAE) -> None:
    """``ConfigError`` for a model whose decoder reads anything but z."""
    if vae.networks()["decoder"][1] != vae.latent_dim:
        raise ConfigError(
            "a completion fits q(z) through a decoder of z alone, but this one needs its "
            "condition, too, or a second layer: complete images with a model that has neither"
        )


class BoundPosterior:
    """q(z) = N(μ, diag σ²) of every image, fitted to its observed pixels through the decoder.

    The bound is that of training, but with the likelihood of the observed pixels alone, and with
    q's own ``mu`` and ``logstd`` (B, Z) in place of the encoder's output. ``q`` holds these two,
    ``dq`` their gradients; ``params`` are the model's. ``images`` (B, D) and ``observed`` (B, D)
    or (D,) are host arrays. Load ``eps`` (B, K, Z) and call a method; ``objective`` (B,) then
    holds E60 in nats. The decoder is the model's, but its parameters receive no gradient.

    Raises ``ConfigError`` for less than one sample and for a ``kl`` that is not one of
    ``KL_ESTIMATES``.
    """

    def __init__(
        self,
        vae: VAE,
        params: FlatBuffer,
        images: HostArray,
        observed: HostArray,
        samples: int,
        kl: str = "analytic",
    ) -> None:
        if samples < 1:
            raise ConfigError(f"the fit needs at least one sample of z per step, not {samples}")
        require_completing(vae)
        if kl not in KL_ESTIMATES:
            raise ConfigError(f"the KL estimate {kl!r} is not one of {', '.join(KL_ESTIMATES)}")
        bk, (B, D), K, Z = params.bk, images.shape, samples, vae.latent_dim
        self.bk, self.likelihood, self.estimator = bk, vae.likelihood, KL_ESTIMATES[kl]()

        layout = Layout({"mu": (B, Z), "logstd": (B, Z)})
        self.q, self.dq = FlatBuffer(bk, layout), FlatBuffer(bk, layout)
        self.mu, self.logstd = self.q["mu"], self.q["logstd"]
        self.dmu, self.dlogstd = self.dq["mu"], self.dq["logstd"]

        workspace = Workspace(bk, B)
        self.head, self.dhead = (workspace.buffer(name, 2 * Z) for name in ("head", "dhead"))
        self.latent = latent = LatentBuffers(workspace, K, Z, self.head, self.dhead)
        self.eps, self.nll, self.objective = latent.eps, latent.nll, latent.objective
        z, dz = latent.z.reshape(-1, Z), latent.dz.reshape(-1, Z)
        no_grads = FlatBuffer(bk, vae.layout)  # bind wants some where it is to go backward
        self.decoder = vae.decoder.bind(workspace, "decoder", z, dz, params, no_grads, per=K)
        self.logits = self.decoder.y.reshape(B, K, -1)
        dlogits: Array = self.decoder.dy
        self.dlogits = dlogits.reshape(B, K, -1)
        self.dlogits_by_pixel = dlogits.reshape(B, K, -1, D)  # the weight of a pixel is for all

        self.x = bk.array(images.reshape(B, 1, D))
        self.observed = bk.array(observed.reshape(-1, 1, D))  # 1 or 0
        self.weight = bk.array(observed.reshape(-1, 1, 1, D) / K)
        self.pixel_nll = workspace.buffer("pixel_nll", D, per=K).reshape(B, K, D)
        self.work = self.likelihood.work(workspace, D, K)
        self.p_x = params.namespace("likelihood")

    def value(self) -> None:
        """Compute −ELBO of the observed pixels  (E60).

        1/K Σ_k Σ_{d observed} −log p(x_d|z_k) + Σ_j κ_j with z = μ + σ ε; κ is the divergence of q
        from the prior, in closed form (E16) or its mean over the same samples (E45).
        """
        self._run_decoder()
        self.likelihood.pixel_nll(self.bk, self.p_x, self.logits, self.x, self.pixel_nll, self.work)
        self.pixel_nll *= self.observed
        self.bk.xp.sum(self.pixel_nll, axis=2, out=self.nll)
        self.estimator.value(self.latent, 1.0)

    def gradient(self) -> None:
        """Compute the gradient of :meth:`value` with respect to μ and log σ  (E61), per image.

        Hidden pixels have weight zero and contribute nothing. The estimator gives the gradient
        with respect to [μ | log σ²], and log σ² = 2 log σ.
        """
        self._run_decoder()
        self.likelihood.nll_and_grad(
            self.bk, self.p_x, self.logits, self.x, self.nll, self.dlogits, self.work
        )
        self.dlogits_by_pixel *= self.weight
        self.decoder.grad_inputs()
        self.estimator.grad_head(self.latent, 1.0, 1.0)
        Z = self.latent.latent
        self.dmu[...] = self.dhead[:, :Z]
        self.bk.xp.multiply(self.dhead[:, Z:], 2.0, out=self.dlogstd)

    def _run_decoder(self) -> None:
        """head = [μ | 2 log σ], σ, z = μ + σ ε, and the logits."""
        Z = self.latent.latent
        self.head[:, :Z] = self.mu
        self.bk.xp.multiply(self.logstd, 2.0, out=self.head[:, Z:])
        reparameterize(self.bk, self.head, self.latent.std, self.eps, self.latent.z)
        self.decoder.forward()
