"""The conditional VAE: Sohn, Lee and Yan 2015. It models x given c, a label or part of the image.

A row of what it takes holds both (:mod:`scratchvae.models.condition`). The encoder reads the row,
the decoder [z | c], so that beside a plain VAE there is one network more, of the prior p(z|c), and
that one may be left out.
"""

from scratchvae.backend import Array
from scratchvae.errors import ConfigError, require_instance
from scratchvae.latent import reparameterize, reparameterize_grad
from scratchvae.layers import BoundSequential, Sequential
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models.condition import Condition
from scratchvae.models.vae import VAE, BoundVAE


class ConditionalVAE(VAE):
    """log p(x|c) ≥ E_q log p(x|z, c) − KL(q(z|x, c) ‖ p(z|c))  (E220).

    Parameters
    ----------
    vae : VAE
        Gives the layers, the likelihood and the settings. Its encoder then reads rows, its decoder
        [z | c], and its pixels are those that are modelled.
    pixels : int
        D, the numbers per image. What the model takes are rows, which may have more:
        ``condition.rows(images, labels)`` makes them.
    condition : Condition
        What is given: ``Label(10)``, or ``Quadrants(1, (28, 28))``.
    prior : Sequential, optional
        Maps c to [μ_p | log σ_p²] of p(z|c) = N(μ_p, diag σ_p²). Unless given, p(z|c) = N(0, I).
        The encoder's output is relative to it (E221): q(z|x, c) = N(μ_p + σ_p μ, diag (σ_p σ)²).

    Raises
    ------
    ConfigError, DataError
        For sizes that do not fit each other, or images that do not fit the condition.
    """

    def __init__(
        self, vae: VAE, pixels: int, condition: Condition, prior: Sequential | None = None
    ) -> None:
        require_instance(vae, VAE, "vae", "scratchvae.VAE.mlp(784, (500,), latent_dim=50)")
        require_instance(condition, Condition, "condition", "scratchvae.models.Label(10)")
        if prior is not None:
            require_instance(prior, Sequential, "prior", "Sequential(Dense(16), ReLU(), …)")
        self.condition, self.prior = condition, prior
        self.given = condition.given(condition.row_size(pixels))
        if prior is not None:
            head = prior.infer_shape((self.given,))
            if head != (2 * vae.latent_dim,):
                raise ConfigError(
                    f"the prior's output has shape {head}, but [mu | logvar] of {vae.latent_dim} "
                    f"latent units has {2 * vae.latent_dim} columns"
                )
        super().__init__(
            condition.row_size(pixels),
            vae.encoder,
            vae.decoder,
            vae.likelihood,
            latent_dim=vae.latent_dim,
            beta=vae.beta,
            samples=vae.samples,
            estimator=vae.estimator,
            flow=vae.flow,
        )

    def __repr__(self) -> str:
        prior = "" if self.prior is None else f", prior={self.prior!r}"
        return f"Conditional{super().__repr__()[:-1]}, condition={self.condition!r}{prior})"

    @property
    def modelled(self) -> int:
        return self.condition.modelled(self.pixels)

    def networks(self) -> dict[str, tuple[Sequential, int]]:
        networks = super().networks()
        networks["decoder"] = (self.decoder, self.latent_dim + self.given)
        if self.prior is not None:
            networks["prior"] = (self.prior, self.given)
        return networks

    def bind(
        self, workspace: Workspace, params: FlatBuffer, grads: FlatBuffer | None = None
    ) -> "BoundConditionalVAE":
        if grads is not None:
            self.estimator.require(self.samples, self.beta, self.flow)
        return BoundConditionalVAE(self, workspace, params, grads)


class BoundConditionalVAE(BoundVAE):
    """A conditional VAE on its buffers; ``x`` holds rows, and the latent node u of E221.

    Beside what :class:`BoundVAE` has: c (B, C), the code [z | c] of each sample (B, K, Z + C); with
    a prior network its head [μ_p | log σ_p²] (B, 2Z) and σ_p (B, Z).
    """

    vae: ConditionalVAE
    prior: BoundSequential

    def __init__(
        self,
        vae: ConditionalVAE,
        workspace: Workspace,
        params: FlatBuffer,
        grads: FlatBuffer | None,
    ) -> None:
        K, Z = vae.samples, vae.latent_dim
        self.c = workspace.buffer("condition.c", vae.given)
        super().__init__(vae, workspace, params, grads)
        if vae.prior is not None:
            self.prior = vae.prior.bind(workspace, "prior", self.c, None, params, grads)
            self.networks = (*self.networks, self.prior)
            self.prior_std = workspace.buffer("prior.std", Z)
            self.prior_z = workspace.buffer("prior.z", Z, per=K).reshape(-1, K, Z)

    def bind_code(self, workspace: Workspace) -> tuple[Array, Array | None]:
        """[z | c] of every sample, and its gradient."""
        K, width = self.vae.samples, self.vae.latent_dim + self.vae.given
        code = workspace.buffer("condition.code", width, per=K)
        self.code = code.reshape(-1, K, width)
        if self.latent.dz is None:
            return code, None
        dcode = workspace.buffer("condition.dcode", width, per=K)
        self.dcode = dcode.reshape(-1, K, width)
        return code, dcode

    def bind_modelled(self, workspace: Workspace) -> Array:
        modelled = workspace.buffer("condition.modelled", self.vae.modelled)
        return modelled.reshape(-1, 1, self.vae.modelled)

    def make_code(self) -> None:
        """[z | c] of every sample, with z = u, or z = μ_p(c) + σ_p(c) ⊙ u  (E221)."""
        bk, Z, z = self.bk, self.vae.latent_dim, self.z
        self.vae.condition.split(bk, self.x, self.x_each[:, 0], self.c)
        if self.vae.prior is not None:
            self.prior.forward()
            z = self.prior_z
            reparameterize(bk, self.prior.y, self.prior_std, self.z, z)
        self.code[:, :, :Z] = z
        self.code[:, :, Z:] = self.c[:, None]

    def grad_code(self) -> None:
        """du = σ_p ⊙ dz, and to the prior's head dμ_p = Σ_k dz, dℓ_p = ½ σ_p ⊙ Σ_k dz ⊙ u  (E222).

        The last two are E13 with u for ε. Without a prior network du = dz. c needs no gradient.
        """
        bk, dz = self.bk, self.dz
        dz[...] = self.dcode[:, :, : self.vae.latent_dim]
        if self.vae.prior is None:
            return
        std = self.prior_std
        bk.compute(reparameterize_grad, std, self.z, dz, self.prior.dy, self.latent.tmp)
        self.prior.grad_inputs()
        dz *= std[:, None]
