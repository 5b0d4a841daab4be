"""A VAE whose every integral is known: linear encoder and decoder, Gaussian pixels.

With x = z W + b + s ε and orthogonal rows of W, p(x) and p(z|x) are Gaussian and the posterior is
diagonal, so that the encoder's q(z|x) can be exact. No check of a gradient sees what these do.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.layers import Dense, Sequential
from scratchvae.likelihoods import Gaussian, LearnedGaussian
from scratchvae.models import VAE

D, Z, B = 7, 3, 4
LENGTHS = np.array([1.7, 0.4, 0.9])  # of the rows of W


@dataclass
class Truth:
    """The generative model, and what follows from it in closed form."""

    W: np.ndarray  # (Z, D)
    b: np.ndarray  # (D,)
    s: float

    @property
    def covariance(self):
        """Of x: WᵀW + s² I."""
        return self.W.T @ self.W + self.s**2 * np.eye(D)

    def log_p(self, x):
        """log p(x) of every image, (B,)."""
        return stats.multivariate_normal(self.b, self.covariance).logpdf(x)

    @property
    def posterior_variance(self):
        """(I + WWᵀ/s²)⁻¹, diagonal because the rows of W are orthogonal."""
        return 1 / (1 + LENGTHS**2 / self.s**2)

    def posterior_mean(self, x):
        return (x - self.b) @ self.W.T / self.s**2 * self.posterior_variance


@pytest.fixture
def truth():
    orthogonal = np.linalg.qr(normal((D, D), Stream(1, Purpose.DIRECTION)))[0][:Z]
    return Truth(LENGTHS[:, None] * orthogonal, normal((D,), Stream(2, Purpose.DIRECTION)), 0.6)


@pytest.fixture
def x(truth):
    """Images drawn from the model itself."""
    z, eps = (normal((B, n), Stream(3, Purpose.PIXELS, n)) for n in (Z, D))
    return z @ truth.W + truth.b + truth.s * eps


def exact(truth, samples=1, likelihood=None):
    """The model, and its parameters at the truth and at the exact posterior."""
    likelihood = Gaussian(truth.s, "identity") if likelihood is None else likelihood
    vae = VAE(
        D, Sequential(Dense(2 * Z)), Sequential(Dense(D)), likelihood, latent_dim=Z, samples=samples
    )
    gain = truth.W.T / truth.s**2 * truth.posterior_variance  # (D, Z)
    parameters = {
        "encoder.0.W": np.hstack([gain, np.zeros((D, Z))]),
        "encoder.0.b": np.concatenate([-truth.b @ gain, np.log(truth.posterior_variance)]),
        "decoder.0.W": truth.W,
        "decoder.0.b": truth.b,
    }
    return vae, parameters


def bound_exactly(truth, bk, assemble, rows, samples=1):
    vae, parameters = exact(truth, samples)
    a = assemble(vae, bk, rows)
    a.params.load(parameters)
    return a


def log_weights(a, eps):
    """log p(x, z) − log q(z|x) of every sample, (B, K)."""
    std, z = a.bk.to_host(a.bound.std)[:, None], a.bk.to_host(a.bound.z)
    log_q = stats.norm.logpdf(eps).sum(axis=-1) - np.log(std).sum(axis=-1)
    return -a.bk.to_host(a.bound.nll) + stats.norm.logpdf(z).sum(axis=-1) - log_q


def elbo(a):
    """The model's own ELBO of every image, (B,)."""
    return -a.bound.nll.mean(axis=1) - a.bound.kl.sum(axis=1)


def test_e12_the_encoder_gives_the_exact_posterior(cpu64, truth, x, assemble):
    a = bound_exactly(truth, cpu64, assemble, B).feed(x, np.zeros((B, 1, Z)))
    a.bound.run_encoder()
    np.testing.assert_allclose(a.bound.z[:, 0], truth.posterior_mean(x), rtol=0, atol=1e-14)
    expected = np.broadcast_to(np.sqrt(truth.posterior_variance), (B, Z))
    np.testing.assert_allclose(a.bound.std, expected, rtol=1e-14)


def test_e21_at_the_exact_posterior_every_noise_gives_log_p_of_x(cpu64, truth, x, assemble):
    samples = 500
    eps = 2 * normal((B, samples, Z), Stream(4, Purpose.LATENT))  # far out as well
    a = bound_exactly(truth, cpu64, assemble, B, samples).feed(x, eps)
    a.bound.loss()
    expected = np.broadcast_to(truth.log_p(x)[:, None], (B, samples))
    np.testing.assert_allclose(log_weights(a, eps), expected, rtol=0, atol=1e-10)


def test_e1_at_the_exact_posterior_the_elbo_is_log_p_of_x(cpu64, truth, x, assemble):
    samples = 20_000
    eps = normal((B, samples, Z), Stream(5, Purpose.LATENT))
    a = bound_exactly(truth, cpu64, assemble, B, samples).feed(x, eps)
    a.bound.loss()
    error = a.bound.nll.std(axis=1, ddof=1) / np.sqrt(samples)
    assert (np.abs(elbo(a) - truth.log_p(x)) <= 5 * error).all()
    assert error.max() < 0.02


def expected_elbo(truth, x, mean, std):
    """E_q[log p(x|z)] − KL in closed form for any diagonal Gaussian q, (B,)."""
    residual = x - mean @ truth.W - truth.b
    spread = (std**2 @ (truth.W**2)).sum(axis=-1)  # Σ_d Var[(zW)_d]
    reconstruction = -0.5 * ((residual**2).sum(axis=-1) + spread) / truth.s**2
    reconstruction -= 0.5 * D * np.log(2 * np.pi * truth.s**2)
    return reconstruction - 0.5 * (mean**2 + std**2 - 1 - 2 * np.log(std)).sum(axis=-1)


PERTURBATIONS = {
    "mu": ("encoder.0.b", slice(0, Z), 0.3),
    "wider": ("encoder.0.b", slice(Z, None), 0.5),
    "narrower": ("encoder.0.b", slice(Z, None), -0.5),
    "gain": ("encoder.0.W", (slice(None), slice(0, Z)), -0.1),
    "variance by image": ("encoder.0.W", (slice(None), slice(Z, None)), 0.1),
}


@pytest.mark.parametrize(("name", "where", "shift"), PERTURBATIONS.values(), ids=PERTURBATIONS)
def test_e1_away_from_the_posterior_the_elbo_is_lower_by_the_divergence(
    cpu64, truth, x, assemble, name, where, shift
):
    samples = 20_000
    eps = normal((B, samples, Z), Stream(6, Purpose.LATENT))
    a = bound_exactly(truth, cpu64, assemble, B, samples)
    a.params[name][where] += shift
    a.feed(x, eps).bound.loss()
    mean, std = a.bound.head[:, :Z], a.bound.std
    # KL(q ‖ posterior), a latent unit at a time.
    precision = 1 / truth.posterior_variance
    gap = 0.5 * (
        precision * ((mean - truth.posterior_mean(x)) ** 2 + std**2)
        - 1
        - np.log(precision * std**2)
    ).sum(axis=-1)
    closed = expected_elbo(truth, x, mean, std)
    np.testing.assert_allclose(closed + gap, truth.log_p(x), rtol=0, atol=1e-10)
    error = a.bound.nll.std(axis=1, ddof=1) / np.sqrt(samples)
    assert (np.abs(elbo(a) - closed) <= 5 * error).all()
    assert (elbo(a) < truth.log_p(x) - gap + 5 * error).all()
    assert (gap > 1e-4).all()


def gradients_by_image(truth, cpu64, assemble, image, n):
    """n independent draws of the gradients of one image's loss with respect to head and logits."""
    a = bound_exactly(truth, cpu64, assemble, n)
    a.run(np.tile(image, (n, 1)), normal((n, 1, Z), Stream(7, Purpose.LATENT)), weight=1.0)
    return a.bound.dhead, a.bound.dlogits[:, 0], a.bound.z[:, 0]


@pytest.mark.parametrize("image", range(B))
def test_e13_e17_at_the_exact_posterior_the_encoders_expected_gradient_is_zero(
    cpu64, truth, x, assemble, image
):
    n = 20_000
    dhead, _, _ = gradients_by_image(truth, cpu64, assemble, x[image], n)
    error = dhead.std(axis=0, ddof=1) / np.sqrt(n)
    assert (np.abs(dhead.mean(axis=0)) <= 5 * error).all()
    assert (error < 0.05).all()
    assert (error > 0).all()


def test_e13_e17_the_test_of_a_zero_gradient_sees_an_encoder_that_is_off(cpu64, truth, x, assemble):
    n = 20_000
    a = bound_exactly(truth, cpu64, assemble, n)
    a.params["encoder.0.b"][:] += 0.1
    a.run(np.tile(x[0], (n, 1)), normal((n, 1, Z), Stream(7, Purpose.LATENT)), weight=1.0)
    error = a.bound.dhead.std(axis=0, ddof=1) / np.sqrt(n)
    assert (np.abs(a.bound.dhead.mean(axis=0)) > 5 * error).all()


def test_e5_e22_at_the_exact_posterior_the_decoders_expected_gradient_is_that_of_log_p(
    cpu64, truth, x, assemble
):
    n = 20_000
    _, dlogits, z = gradients_by_image(truth, cpu64, assemble, x[1], n)
    # −∂log p(x)/∂b = −Σ⁻¹ (x − b);  −∂log p(x)/∂W = W Σ⁻¹ − W Σ⁻¹ (x − b)(x − b)ᵀ Σ⁻¹.
    solved = np.linalg.solve(truth.covariance, x[1] - truth.b)
    by_b = -solved
    by_w = truth.W @ (np.linalg.inv(truth.covariance) - np.outer(solved, solved))
    draws_of_w = z[:, :, None] * dlogits[:, None, :]
    for draws, expected in ((dlogits, by_b), (draws_of_w, by_w)):
        error = draws.std(axis=0, ddof=1) / np.sqrt(n)
        assert (np.abs(draws.mean(axis=0) - expected) <= 5 * error).all()
        assert error.max() < 0.15


def test_e23_at_the_exact_posterior_the_expected_gradient_by_logvar_is_that_of_log_p(
    cpu64, truth, x, assemble
):
    # ∂log p(x)/∂s² = −½ tr Σ⁻¹ + ½ |Σ⁻¹ (x − b)|², times ∂s²/∂logvar = s².
    n = 20_000
    vae, parameters = exact(truth, samples=n, likelihood=LearnedGaussian(False, 0.0, "identity"))
    a = assemble(vae, cpu64, 1)
    a.params.load({**parameters, "likelihood.logvar": np.array([2 * np.log(truth.s)])})
    eps = normal((1, n, Z), Stream(8, Purpose.LATENT))
    a.run(x[:1], eps, weight=1.0)
    inverse = np.linalg.inv(truth.covariance)
    solved = inverse @ (x[0] - truth.b)
    expected = -(truth.s**2) * 0.5 * (solved @ solved - np.trace(inverse))
    square = ((x[:1, None] - a.bound.logits) ** 2).sum(axis=-1) / truth.s**2
    error = 0.5 * square.std(ddof=1) / np.sqrt(n)  # of Σ_d ½ (1 − r²/σ²)
    assert abs(a.grads["likelihood.logvar"][0] - expected) <= 5 * error
    assert error < 0.05
