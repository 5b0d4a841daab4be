"""The score of q(z|x): how its log density at a fixed z changes with μ and log σ²."""

from typing import Any

from scratchvae.backend import Array, Backend


def score_chain(bk: Backend, std: Array, eps: Array, weight: Any, dhead: Array, tmp: Array) -> None:
    """The gradient of Σ_k weight · log q(z_k|x) at fixed z  (E47). Assigns dhead (B, 2Z).

    dμ = Σ_k weight · ε/σ, d log σ² = Σ_k weight · ½ (ε² − 1), with ε = (z − μ)/σ. ``weight``: a
    number or (B, K, 1); tmp is like eps (B, K, Z).
    """
    latent = std.shape[1]
    dmu, dlogvar = dhead[:, :latent], dhead[:, latent:]
    bk.xp.multiply(eps, weight, out=tmp)
    bk.xp.sum(tmp, axis=1, out=dmu)
    dmu /= std
    bk.xp.multiply(eps, eps, out=tmp)
    tmp -= 1.0
    tmp *= weight
    bk.xp.sum(tmp, axis=1, out=dlogvar)
    dlogvar *= 0.5
