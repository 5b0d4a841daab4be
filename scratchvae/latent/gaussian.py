"""q(z|x) = N(μ, diag σ²): samples, divergence from the prior, log density, and their gradients.

What is marked ``fusible`` a backend may compute in a faster form; a test holds the two equal.
"""

from scratchvae.backend import Array, Backend, Weight, fusible
from scratchvae.errors import ConfigError
from scratchvae.layers import Layer
from scratchvae.memory import Shape, Views


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


@fusible("reparameterize grad")
def reparameterize_grad(
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


@fusible("kl per unit")
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


@fusible("kl grad")
def kl_grad(bk: Backend, head: Array, std: Array, weight: Weight, dhead: Array, tmp: Array) -> None:
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


@fusible("monte carlo kl")
def monte_carlo_kl(
    bk: Backend, head: Array, z: Array, eps: Array, out: Array, tmp: tuple[Array, Array]
) -> None:
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


@fusible("log ratio")
def log_ratio(
    bk: Backend, head: Array, z: Array, eps: Array, out: Array, tmp: tuple[Array, Array, Array]
) -> None:
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


def log_ratio_grad(bk: Backend, z: Array, weight: Weight, dz: Array, tmp: Array) -> None:
    """Add the gradient of log q − log p with respect to z: dz += weight · z  (E46).

    With z = μ + σ ε, log q does not depend on μ, and on log σ² only through −½ log σ²; the
    caller adds that −½ to the gradient of log σ². z, dz and tmp (B, K, Z); ``weight``: a number or
    (B, K, 1).
    """
    bk.xp.multiply(z, weight, out=tmp)
    dz += tmp


def path_grad(
    bk: Backend, std: Array, z: Array, eps: Array, weight: Weight, dz: Array, tmp: Array
) -> None:
    """Add the path derivative of log q − log p: dz += weight (z − ε/σ)  (E52).

    μ and σ inside q are held constant: ∂ log q/∂z = −(z − μ)/σ² = −ε/σ. z, eps and dz (B, K, Z),
    std (B, Z); ``weight``: a number or (B, K, 1); tmp is like dz.
    """
    bk.xp.divide(eps, std[:, None, :], out=tmp)
    bk.xp.subtract(z, tmp, out=tmp)
    tmp *= weight
    dz += tmp


def score_grad(
    bk: Backend, std: Array, eps: Array, weight: Weight, dhead: Array, tmp: Array
) -> None:
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


class LogStdHead(Layer):
    """[μ | log σ] -> [μ | log σ²], the last layer of an encoder that declares it: (B, 2Z)."""

    inplace = True
    torch_class = "LogStdHead"  # none of PyTorch's: docs/pytorch.md has it

    def infer_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1 or shape[0] % 2:
            raise ConfigError(f"[mu | logstd] has an even number of columns, not shape {shape}")
        return shape

    def forward(self, bk: Backend, p: Views, x: Array, y: Array) -> None:
        """log σ² = 2 log σ; μ as it is  (E14)."""
        if y is not x:
            y[...] = x
        logvar = y[:, y.shape[1] // 2 :]
        logvar *= 2.0

    def grad_input(
        self, bk: Backend, p: Views, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """d log σ = 2 d log σ²; dμ as it is  (E15)."""
        if dx is not dy:
            dx[...] = dy
        dlogstd = dx[:, dx.shape[1] // 2 :]
        dlogstd *= 2.0
