"""The reparameterization node: z = μ + σ ε, with ε handed in."""

from scratchvae.backend import Array, Backend

# ``head`` is the encoder's output [mu | logvar], (B, 2Z). Samples are image-major: eps, z and dz
# are (B, K, Z), so that a slice of images is a slice of memory.


def standard_deviation(bk: Backend, head: Array, std: Array) -> None:
    """σ = exp(½ log σ²): the second half of head (B, 2Z) -> std (B, Z)  (E12)."""
    bk.xp.multiply(head[:, std.shape[1] :], 0.5, out=std)
    bk.xp.exp(std, out=std)


def reparameterize(bk: Backend, head: Array, std: Array, eps: Array, z: Array) -> None:
    """z = μ + σ ⊙ ε  (E12): Kingma and Welling 2014, section 2.4.

    Writes std (B, Z) and z (B, K, Z).
    """
    standard_deviation(bk, head, std)
    bk.xp.multiply(eps, std[:, None, :], out=z)
    z += head[:, None, : std.shape[1]]


def reparameterize_chain(
    bk: Backend, std: Array, eps: Array, dz: Array, dhead: Array, tmp: Array
) -> None:
    """dμ = Σ_k dz, d log σ² = ½ σ ⊙ Σ_k dz ⊙ ε  (E13). Assigns dhead (B, 2Z); tmp is like dz."""
    latent = std.shape[1]
    dmu, dlogvar = dhead[:, :latent], dhead[:, latent:]
    bk.xp.sum(dz, axis=1, out=dmu)
    bk.xp.multiply(dz, eps, out=tmp)
    bk.xp.sum(tmp, axis=1, out=dlogvar)
    dlogvar *= std
    dlogvar *= 0.5
