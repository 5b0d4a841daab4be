"""The variational distribution of a partly observed image, on its buffers: value and gradient."""

from scratchvae.backend import Array, HostArray
from scratchvae.errors import ConfigError
from scratchvae.memory import FlatBuffer, Layout, Workspace
from scratchvae.models.vae import VAE

KL_ESTIMATES = ("analytic", "sampled")


class BoundPosterior:
    """q(z) = N(μ, diag σ²) of every image, fitted to its observed pixels through the decoder.

    ``params`` holds the model's parameters; ``q`` the mu and logstd (B, Z) to be fitted, ``dq``
    their gradients. ``images`` (B, D) and ``observed`` (B, D) or (D,) are host arrays. Load ``eps``
    (B, K, Z), call a method; ``objective`` (B,) holds E60 in nats. The decoder is the model's own,
    layer for layer, and only its input gradients run: its parameters receive no gradient.
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
            raise ConfigError(f"the fit needs at least one sample of z a step, not {samples}")
        if kl not in KL_ESTIMATES:
            raise ConfigError(f"the KL estimate {kl!r} is not one of {', '.join(KL_ESTIMATES)}")
        bk, (B, D), K, Z = params.bk, images.shape, samples, vae.latent_dim
        self.bk, self.likelihood = bk, vae.likelihood
        self.samples, self.sampled = K, kl == "sampled"

        layout = Layout({"mu": (B, Z), "logstd": (B, Z)})
        self.q, self.dq = FlatBuffer(bk, layout), FlatBuffer(bk, layout)
        self.mu, self.logstd = self.q["mu"], self.q["logstd"]
        self.dmu, self.dlogstd = self.dq["mu"], self.dq["logstd"]

        workspace = Workspace(bk, B)
        z, dz = workspace.buffer("z", Z, per=K), workspace.buffer("dz", Z, per=K)
        no_grads = FlatBuffer(bk, vae.layout)  # bind wants some where it is to go backward
        self.decoder = vae.decoder.bind(workspace, "decoder", z, dz, params, no_grads, per=K)
        self.z, self.dz = z.reshape(B, K, Z), dz.reshape(B, K, Z)
        self.logits = self.decoder.y.reshape(B, K, -1)
        dlogits: Array = self.decoder.dy
        self.dlogits = dlogits.reshape(B, K, -1)
        self.eps = workspace.buffer("eps", Z, per=K).reshape(B, K, Z)
        self.tmp = workspace.buffer("tmp", Z, per=K).reshape(B, K, Z)
        self.std, self.kl = workspace.buffer("std", Z), workspace.buffer("kl", Z)
        self.kl_tmp = workspace.buffer("kl_tmp", Z)

        self.x = bk.array(images.reshape(B, 1, D))
        self.observed = bk.array(observed.reshape(-1, 1, D))  # 1 or 0
        self.weight = bk.array(observed.reshape(-1, 1, D) / K)
        self.pixel_nll = workspace.buffer("pixel_nll", D, per=K).reshape(B, K, D)
        self.nll = workspace.buffer("nll", per=K).reshape(B, K)
        self.objective = workspace.buffer("objective")
        self.work = self.likelihood.work(workspace, D, K)
        self.p_x, self.g_x = params.namespace("likelihood"), no_grads.namespace("likelihood")

    def value(self) -> None:
        """−ELBO of the observed pixels  (E60).

        1/K Σ_k Σ_{d observed} −log p(x_d|z_k) + Σ_j κ_j with z = μ + σ ε; κ is the divergence of q
        from the prior, in closed form (E16) or its mean over the same samples.
        """
        xp, K = self.bk.xp, self.samples
        self._decode()
        self.likelihood.pixel_nll(self.bk, self.p_x, self.logits, self.x, self.pixel_nll, self.work)
        self.pixel_nll *= self.observed
        xp.sum(self.pixel_nll, axis=2, out=self.nll)
        xp.sum(self.nll, axis=1, out=self.objective)
        self.objective *= 1.0 / K
        if self.sampled:  # ½ (z² − ε²), averaged
            xp.multiply(self.z, self.z, out=self.tmp)
            xp.sum(self.tmp, axis=1, out=self.kl)
            xp.multiply(self.eps, self.eps, out=self.tmp)
            xp.sum(self.tmp, axis=1, out=self.kl_tmp)
            self.kl -= self.kl_tmp
            self.kl *= 1.0 / K
        else:  # ½ (μ² + σ² − 1)
            xp.multiply(self.mu, self.mu, out=self.kl)
            xp.multiply(self.std, self.std, out=self.kl_tmp)
            self.kl += self.kl_tmp
            self.kl -= 1.0
        self.kl *= 0.5
        self.kl -= self.logstd
        xp.sum(self.kl, axis=1, out=self.nll[:, 0])
        self.objective += self.nll[:, 0]

    def gradient(self) -> None:
        """Its gradient by μ and log σ  (E61); images don't mix, so that each has its own.

        With c_k what the decoder sends back to z_k (plus z_k/K for the sampled divergence):
        dμ = Σ_k c_k + μ, d log σ = σ Σ_k c_k ε_k + σ² − 1; sampled: without + μ and + σ².
        Hidden pixels have the weight zero, so that nothing comes from them.
        """
        xp = self.bk.xp
        self._decode()
        self.likelihood.nll_and_grad(
            self.bk, self.p_x, self.logits, self.x, self.weight,
            self.nll, self.dlogits, self.g_x, self.work,
        )  # fmt: skip
        self.decoder.grad_inputs()
        if self.sampled:
            xp.multiply(self.z, 1.0 / self.samples, out=self.tmp)
            self.dz += self.tmp
        xp.sum(self.dz, axis=1, out=self.dmu)
        xp.multiply(self.dz, self.eps, out=self.tmp)
        xp.sum(self.tmp, axis=1, out=self.dlogstd)
        self.dlogstd *= self.std
        self.dlogstd -= 1.0
        if not self.sampled:
            self.dmu += self.mu
            xp.multiply(self.std, self.std, out=self.kl_tmp)
            self.dlogstd += self.kl_tmp

    def _decode(self) -> None:
        """σ = e^log σ, z = μ + σ ε, and the logits."""
        self.bk.xp.exp(self.logstd, out=self.std)
        self.bk.xp.multiply(self.eps, self.std[:, None, :], out=self.z)
        self.z += self.mu[:, None, :]
        self.decoder.forward()
