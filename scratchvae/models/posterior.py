"""The variational distribution of a partly observed image, on its buffers: value and gradient."""

from scratchvae.backend import HostArray
from scratchvae.errors import ConfigError
from scratchvae.latent import (
    AnalyticKL,
    Estimator,
    MonteCarloKL,
    default_estimator,
    reparameterize,
)
from scratchvae.latent.buffers import BoundFlow
from scratchvae.memory import FlatBuffer, Layout, Workspace
from scratchvae.models.two_layers import TwoLayerVAE
from scratchvae.models.vae import VAE, BoundVAE

KL_ESTIMATES: dict[str, type[Estimator]] = {"analytic": AnalyticKL, "sampled": MonteCarloKL}


def require_completing(vae: VAE) -> None:
    """``ConfigError`` for a model whose decoder reads anything but z."""
    if vae.networks()["decoder"][1] == vae.latent_dim:
        return
    what, instead = "a second layer", "complete images with a model of one layer"
    if vae.condition.kind:
        what = "its condition"
        instead = "Model.sample(n, given=…) draws what is not given, in Python"
    raise ConfigError(
        f"a completion fits q(z) through a decoder of z alone, but this one needs {what}, too: "
        f"{instead}"
    )


class BoundPosterior:
    """q(z) = N(μ, diag σ²) of every image, fitted to its observed pixels through the decoder.

    The bound is that of training, but with the likelihood of the observed pixels alone, and with
    q's own ``mu`` and ``logstd`` (B, Z) in place of the encoder's output. ``q`` holds these two,
    ``dq`` their gradients; ``params`` are the model's. ``images`` (B, D), of a conditional model
    its rows, and ``observed``, (B, D) or (D,) of what it models, are host arrays. Load ``eps``
    (B, K, Z) and call a method; ``objective`` (B,) then holds E60 in nats. The decoder is the
    model's, but its parameters receive no gradient; the encoder's flow is not used.

    Raises ``ConfigError`` for less than one sample, for a ``kl`` that is not one of
    ``KL_ESTIMATES``, and for a model of two stochastic layers.
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
        if isinstance(vae, TwoLayerVAE):
            raise ConfigError(
                "q(z) of an image is one Gaussian here, but the model has two stochastic layers: "
                "take a model with one"
            )
        if kl not in KL_ESTIMATES:
            raise ConfigError(f"the KL estimate {kl!r} is not one of {', '.join(KL_ESTIMATES)}")
        bk, B, K, Z = params.bk, len(images), samples, vae.latent_dim
        self.bk, self.estimator = bk, KL_ESTIMATES[kl]()

        layout = Layout({"mu": (B, Z), "logstd": (B, Z)})
        self.q, self.dq = FlatBuffer(bk, layout), FlatBuffer(bk, layout)
        self.mu, self.logstd = self.q["mu"], self.q["logstd"]
        self.dmu, self.dlogstd = self.dq["mu"], self.dq["logstd"]

        # The model as a training step has it; what its encoder would write, q itself does.
        no_grads = FlatBuffer(bk, vae.layout)  # bind wants some where it is to go backward
        workspace = Workspace(bk, B)
        plain = vae.evaluated.with_estimator(default_estimator(vae.flow)).with_samples(K)
        self.bound = plain.bind(workspace, params, no_grads)
        bk.load(images, self.bound.x)
        self.latent = latent = self.bound.latent
        latent.flow, latent.log_det, latent.z0 = BoundFlow(latent), None, latent.z
        self.head, self.dhead = latent.head, latent.dhead
        self.eps, self.nll, self.objective = latent.eps, latent.nll, latent.objective
        D = vae.modelled
        self.dlogits_by_pixel = self.bound.dlogits.reshape(B, K, -1, D)  # a pixel's weight for all
        self.observed = bk.array(observed.reshape(-1, 1, D))  # 1 or 0
        self.weight = bk.array(observed.reshape(-1, 1, 1, D) / K)
        self.pixel_nll = workspace.buffer("pixel_nll", D, per=K).reshape(B, K, D)

    def value(self) -> None:
        """Compute −ELBO of the observed pixels  (E60).

        1/K Σ_k Σ_{d observed} −log p(x_d|z_k) + Σ_j κ_j with z = μ + σ ε; κ is the divergence of q
        from the prior, in closed form (E16) or its mean over the same samples (E45).
        """
        bound = self._run_decoder()
        bound.likelihood.pixel_nll(
            self.bk, bound.p_x, bound.logits, bound.x_each, self.pixel_nll, bound.work
        )
        self.pixel_nll *= self.observed
        self.bk.xp.sum(self.pixel_nll, axis=2, out=self.nll)
        self.estimator.value(self.latent, 1.0)

    def gradient(self) -> None:
        """Compute the gradient of :meth:`value` with respect to μ and log σ  (E61), per image.

        Hidden pixels have weight zero and contribute nothing. The estimator gives the gradient
        with respect to [μ | log σ²], and log σ² = 2 log σ.
        """
        bound = self._run_decoder()
        bound.likelihood.nll_and_grad(
            self.bk, bound.p_x, bound.logits, bound.x_each, self.nll, bound.dlogits, bound.work
        )
        self.dlogits_by_pixel *= self.weight
        bound.grad_z()
        self.estimator.grad_head(self.latent, 1.0, 1.0)
        Z = self.latent.latent
        self.dmu[...] = self.dhead[:, :Z]
        self.bk.xp.multiply(self.dhead[:, Z:], 2.0, out=self.dlogstd)

    def _run_decoder(self) -> BoundVAE:
        """head = [μ | 2 log σ], σ, z = μ + σ ε, and the logits."""
        Z = self.latent.latent
        self.head[:, :Z] = self.mu
        self.bk.xp.multiply(self.logstd, 2.0, out=self.head[:, Z:])
        reparameterize(self.bk, self.head, self.latent.std, self.eps, self.latent.z)
        self.bound.run_decoder()
        return self.bound
