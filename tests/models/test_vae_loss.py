"""The loss of the VAE, put together once more from its definition."""

import numpy as np
from scipy import stats
from scipy.special import expit

from scratchvae.backend.noise import Purpose, Stream, normal


def pieces(assembled):
    """μ, σ, z and the logits, as the model computed them, on the host."""
    bound, bk = assembled.bound, assembled.bk
    head = bk.to_host(bound.head)
    latent = assembled.vae.latent_dim
    std = np.exp(0.5 * head[:, latent:])
    return head[:, :latent], std, bk.to_host(bound.z), bk.to_host(bound.logits)


def log_density(vae, params, x, logits):
    """log p(x|z) by SciPy, (B, K)."""
    x, likelihood = x[:, None, :], vae.likelihood
    if likelihood.noise == "uniform":
        return (x * np.log(expit(logits)) + (1 - x) * np.log(expit(-logits))).sum(axis=-1)
    mean = expit(logits) if likelihood.mean_map == "sigmoid" else logits
    if hasattr(likelihood, "fixed"):
        std = likelihood.fixed
    else:
        std = np.sqrt(likelihood.min_std**2 + np.exp(params["likelihood.logvar"]))
    return stats.norm.logpdf(x, mean, std).sum(axis=-1)


def test_e2_the_loss_is_reconstruction_plus_beta_times_the_divergence(
    cpu64, make, kind, batch, assemble, sizes
):
    vae = make(kind)
    x, eps = batch(vae)
    a = assemble(vae, cpu64, sizes.rows).feed(x, eps)
    if "likelihood.logvar" in set(a.params):
        a.params["likelihood.logvar"][...] = -0.7
    a.bound.loss()
    mu, std, z, logits = pieces(a)
    np.testing.assert_allclose(z, mu[:, None] + std[:, None] * eps, rtol=1e-14)
    reconstruction = -log_density(vae, a.params, x, logits)
    divergence = 0.5 * (mu**2 + std**2 - 1 - np.log(std**2))
    np.testing.assert_allclose(a.bound.nll, reconstruction, rtol=1e-13)
    np.testing.assert_allclose(a.bound.kl, divergence, rtol=0, atol=1e-14)
    assert a.bound.nll.shape == (sizes.rows, vae.samples)
    expected = reconstruction.mean(axis=1).sum() + vae.beta * divergence.sum()
    np.testing.assert_allclose(a.total, expected, rtol=1e-14)


def test_e1_the_elbo_is_the_expectation_of_log_p_of_x_and_z_minus_log_q(
    cpu64, make, batch, assemble
):
    n = 20_000
    vae = make("bernoulli", samples=n, init="torch")
    x, _ = batch(vae, rows=2)
    eps = normal((2, n, vae.latent_dim), Stream(8, Purpose.LATENT))
    a = assemble(vae, cpu64, 2).feed(x, eps)
    a.params["encoder.4.b"][...] = [1.0, -0.8, 0.4, -1.5, 0.6, -0.3]  # far from the prior
    a.bound.loss()
    mu, std, z, _ = pieces(a)
    log_q = stats.norm.logpdf(z, mu[:, None], std[:, None]).sum(axis=-1)
    log_joint = stats.norm.logpdf(z).sum(axis=-1) - a.bound.nll
    draws = log_joint - log_q  # each an unbiased estimate of the ELBO
    elbo = -a.bound.nll.mean(axis=1) - a.bound.kl.sum(axis=1)
    difference = draws - (-a.bound.nll - a.bound.kl.sum(axis=1, keepdims=True))
    error = difference.std(axis=1, ddof=1) / np.sqrt(n)
    assert (np.abs(draws.mean(axis=1) - elbo) <= 5 * error).all()
    assert error.max() < 0.02


def test_the_terms_beside_the_gradient_are_the_terms_alone(
    cpu64, make, kind, batch, assemble, sizes
):
    vae = make(kind)
    x, eps = batch(vae)
    alone, beside = assemble(vae, cpu64, sizes.rows), assemble(vae, cpu64, sizes.rows)
    alone.feed(x, eps).bound.loss()
    beside.run(x, eps, weight=0.25)
    np.testing.assert_allclose(beside.bound.nll, alone.bound.nll, rtol=1e-15)
    np.testing.assert_array_equal(beside.bound.kl, alone.bound.kl)


def test_a_model_without_gradient_buffers_computes_the_same_loss(
    cpu64, make, kind, batch, assemble, sizes
):
    vae = make(kind)
    x, eps = batch(vae)
    a = assemble(vae, cpu64, sizes.rows)
    a.feed(x, eps).bound.loss()
    forward_only = vae.bind(type(a.workspace)(cpu64, sizes.rows), a.params)
    forward_only.x[...], forward_only.eps[...] = x, eps
    forward_only.loss()
    np.testing.assert_array_equal(forward_only.nll, a.bound.nll)
    np.testing.assert_array_equal(forward_only.kl, a.bound.kl)


def test_a_step_against_the_gradient_lowers_the_loss_by_its_squared_length(
    cpu64, make, kind, batch, assemble, sizes
):
    vae = make(kind, activation="tanh")  # smooth: no kink within the step
    x, eps = batch(vae)
    a = assemble(vae, cpu64, sizes.rows).run(x, eps, weight=1.0)
    g, before, h = a.gradient, a.total, 1e-6
    totals = []
    start = a.params.flat.copy()
    for sign in (1, -1):
        a.params.flat[...] = start + sign * h * g
        a.bound.loss()
        totals.append(a.total)
    assert totals[1] < before < totals[0]
    slope = (totals[0] - totals[1]) / (2 * h)
    np.testing.assert_allclose(slope, g @ g, rtol=1e-6)
