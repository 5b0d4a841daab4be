"""The analytic KL divergence of q(z|x) = N(μ, diag σ²) from p(z) = N(0, I)."""

from typing import Any

from scratchvae.backend import Array, Backend


def kl_per_unit(bk: Backend, head: Array, std: Array, out: Array, tmp: Array) -> None:
    """KL_j = ½ (μ_j² + σ_j² − 1 − log σ_j²) in nats  (E16): head (B, 2Z), std (B, Z) -> (B, Z).

    Kingma and Welling 2014, appendix B.
    """
    latent = std.shape[1]
    mu, logvar = head[:, :latent], head[:, latent:]
    bk.xp.multiply(mu, mu, out=out)
    bk.xp.multiply(std, std, out=tmp)
    out += tmp
    out -= logvar
    out -= 1.0
    out *= 0.5


def kl_chain(bk: Backend, head: Array, std: Array, weight: Any, dhead: Array, tmp: Array) -> None:
    """Add the gradient of weight · KL to dhead (B, 2Z)  (E17).

    dμ += w μ, d log σ² += w ½ (σ² − 1). ``weight``: a number, (B, 1) or (Z,); tmp: (B, Z). The sum
    is meant: μ and log σ² already hold what came from the likelihood.
    """
    latent = std.shape[1]
    mu, dmu, dlogvar = head[:, :latent], dhead[:, :latent], dhead[:, latent:]
    bk.xp.multiply(mu, weight, out=tmp)
    dmu += tmp
    bk.xp.multiply(std, std, out=tmp)
    tmp -= 1.0
    tmp *= 0.5
    tmp *= weight
    dlogvar += tmp
