"""log q(z|x) − log p(z) at the samples themselves: the KL divergence by Monte Carlo.

With z = μ + σ ε, log q(z|x) = −½ ε² − ½ log σ² and log p(z) = −½ z², both less ½ log 2π, which
cancels: a latent unit contributes ½ (z² − ε² − log σ²).
"""

from typing import Any

from scratchvae.backend import Array, Backend


def monte_carlo_kl(bk: Backend, head: Array, z: Array, eps: Array, out: Array, tmp: Any) -> None:
    """KL_j ≈ 1/K Σ_k ½ (z_j² − ε_j² − log σ_j²) in nats  (E45).

    head (B, 2Z), z and eps (B, K, Z) -> out (B, Z). ``tmp``: two buffers, like z and like out.
    """
    samples, latent = z.shape[1:]
    each, sums = tmp
    bk.xp.multiply(z, z, out=each)
    bk.xp.sum(each, axis=1, out=out)
    bk.xp.multiply(eps, eps, out=each)
    bk.xp.sum(each, axis=1, out=sums)
    out -= sums
    out *= 1.0 / samples
    out -= head[:, latent:]
    out *= 0.5


def log_ratio(bk: Backend, head: Array, z: Array, eps: Array, out: Array, tmp: Any) -> None:
    """log q(z_k|x) − log p(z_k) of every sample, summed over the units  (E45).

    As :func:`monte_carlo_kl`, but out is (B, K). ``tmp``: like z, like out, and (B,).
    """
    latent = z.shape[2]
    each, sums, rows = tmp
    bk.xp.multiply(z, z, out=each)
    bk.xp.sum(each, axis=2, out=out)
    bk.xp.multiply(eps, eps, out=each)
    bk.xp.sum(each, axis=2, out=sums)
    out -= sums
    bk.xp.sum(head[:, latent:], axis=1, out=rows)
    out -= rows[:, None]
    out *= 0.5


def log_ratio_chain(bk: Backend, z: Array, weight: Any, dz: Array, tmp: Array) -> None:
    """Add what log q − log p sends to z: dz += weight · z  (E46).

    With z = μ + σ ε, log q does not depend on μ, and on log σ² only through −½ log σ²; whoever
    calls this sends that −½ to log σ². ``weight``: a number or (B, K, 1).
    """
    bk.xp.multiply(z, weight, out=tmp)
    dz += tmp


def path_chain(
    bk: Backend, std: Array, z: Array, eps: Array, weight: Any, dz: Array, tmp: Array
) -> None:
    """Add what log q − log p sends to z while μ and σ inside q are held: dz += weight (z − ε/σ).

    The path derivative  (E52): ∂ log q/∂z = −(z − μ)/σ² = −ε/σ. ``weight`` as above.
    """
    bk.xp.divide(eps, std[:, None, :], out=tmp)
    bk.xp.subtract(z, tmp, out=tmp)
    tmp *= weight
    dz += tmp
