"""Estimators of the bound where log p(x), the posterior and every expectation are known.

The model is linear with Gaussian pixels, as in test_linear_gaussian_oracle. One image is repeated
over the rows of a batch, so that each row of ``dhead`` is one independent draw of its gradient.
"""

from itertools import pairwise

import numpy as np
import pytest
from test_linear_gaussian_oracle import LENGTHS, D, Truth, Z, exact

from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.latent import ESTIMATORS

SHIFT = np.array([0.5, -0.3, 0.2])  # of μ, in posterior standard deviations
WIDER = np.array([0.5, -0.4, 0.3])  # of log σ²


@pytest.fixture(scope="module")
def truth():
    orthogonal = np.linalg.qr(normal((D, D), Stream(1, Purpose.DIRECTION)))[0][:Z]
    return Truth(LENGTHS[:, None] * orthogonal, normal((D,), Stream(2, Purpose.DIRECTION)), 0.6)


@pytest.fixture(scope="module")
def image(truth):
    z, eps = (normal((1, n), Stream(3, Purpose.PIXELS, n)) for n in (Z, D))
    return z @ truth.W + truth.b + truth.s * eps


@pytest.fixture
def run(truth, image, cpu64, assemble):
    """run(name, samples, n, off=True): the bound model after n draws of the gradient."""

    def draws(name, samples=1, n=20_000, off=True, spread=1.0, seed=7):
        vae, parameters = exact(truth, samples)
        a = assemble(vae.with_estimator(ESTIMATORS[name]()), cpu64, n)
        a.params.load(parameters)
        if off:
            shift = SHIFT * np.sqrt(truth.posterior_variance)
            a.params["encoder.0.b"][...] += np.concatenate([shift, WIDER])
        eps = spread * normal((n, samples, Z), Stream(seed, Purpose.LATENT))
        return a.run(np.tile(image, (n, 1)), eps, weight=1.0).bound

    return draws


def mean_and_error(draws):
    """The mean over the rows and its standard error."""
    return draws.mean(axis=0), draws.std(axis=0, ddof=1) / np.sqrt(len(draws))


def exact_gradient(truth, image, bound):
    """Of KL(q ‖ posterior) by [μ | log σ²]: that of −ELBO, since log p(x) has none."""
    mu, std, v = bound.head[0, :Z], bound.std[0], truth.posterior_variance
    by_mu = (mu - truth.posterior_mean(image)[0]) / v
    return np.concatenate([by_mu, 0.5 * (std**2 / v - 1)])


# ---- what is unbiased for the ELBO ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "samples", "n"),
    [
        ("analytic", 1, 20_000),
        ("analytic", 3, 20_000),
        ("monte-carlo", 1, 20_000),
        ("monte-carlo", 3, 20_000),
        ("score", 1, 200_000),
        ("score", 3, 100_000),
        ("score-baseline", 2, 100_000),
        ("score-baseline", 5, 40_000),
        ("iwae", 1, 20_000),
        ("stl", 1, 20_000),
        ("dreg", 1, 20_000),
    ],
)
def test_e46_e48_e49_e52_the_expected_gradient_is_that_of_the_elbo(
    run, truth, image, name, samples, n
):
    bound = run(name, samples, n)
    expected = exact_gradient(truth, image, bound)
    mean, error = mean_and_error(bound.dhead)
    assert (np.abs(mean - expected) <= 5 * error).all()
    assert (np.abs(expected) > 5 * error).all()  # so a gradient of zero would be noticed


def test_e47_detached_the_expected_gradient_is_zero_however_wrong_the_encoder_is(run, truth, image):
    bound = run("detached", 1, 100_000)
    mean, error = mean_and_error(bound.dhead)
    assert (np.abs(mean) <= 5 * error).all()
    assert (np.abs(exact_gradient(truth, image, bound)) > 10 * error).all()
    reparameterized = run("monte-carlo", 1, 100_000)
    np.testing.assert_array_equal(bound.dlogits, reparameterized.dlogits)  # the decoder does learn


def test_e49_the_baseline_takes_most_of_the_variance_away(run):
    alone, baseline = (run(name, 5).dhead.var(axis=0) for name in ("score", "score-baseline"))
    assert (baseline < 0.5 * alone).all()


# ---- sticking the landing ------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 5])
@pytest.mark.parametrize("name", ["stl", "dreg"])
def test_e52_e53_at_the_posterior_the_gradient_is_zero_for_every_noise(run, name, samples):
    bound = run(name, samples, 500, off=False, spread=2.0)  # far out as well
    reparameterized = run("iwae", samples, 500, off=False, spread=2.0)
    assert np.abs(bound.dhead).max() < 1e-11
    assert np.abs(reparameterized.dhead).max() > 1


@pytest.mark.parametrize("name", ["iwae", "stl", "dreg"])
def test_e50_at_the_posterior_the_bound_is_log_p_of_x_for_every_noise(run, truth, image, name):
    bound = run(name, 4, 500, off=False, spread=2.0)
    np.testing.assert_allclose(-bound.objective, truth.log_p(image), rtol=0, atol=1e-10)


# ---- the importance-weighted bound ---------------------------------------------------------------


def test_e50_the_bound_rises_with_the_samples_and_stays_below_log_p_of_x(run, truth, image):
    log_p, found = float(truth.log_p(image)), []
    for samples in (1, 2, 4, 16):
        bound = -run("iwae", samples, seed=samples).objective
        found.append(mean_and_error(bound))
    for (low, low_error), (high, high_error) in pairwise(found):
        assert high - low > 5 * np.hypot(low_error, high_error)
    for mean, error in found:
        assert mean < log_p + 5 * error
    assert log_p - found[0][0] > 0.3
    assert log_p - found[-1][0] < 0.05


def test_e50_with_one_sample_its_mean_is_the_elbo_in_closed_form(run, truth, image):
    bound = run("iwae", 1)
    mu, var, v = bound.head[0, :Z], bound.std[0] ** 2, truth.posterior_variance
    gap = 0.5 * ((mu - truth.posterior_mean(image)[0]) ** 2 / v + var / v - 1 - np.log(var / v))
    mean, error = mean_and_error(-bound.objective)
    assert abs(mean - (float(truth.log_p(image)) - gap.sum())) <= 5 * error


@pytest.mark.parametrize("samples", [2, 5])
def test_e53_the_doubly_reparameterized_gradient_is_unbiased_and_sticking_the_landing_is_not(
    run, samples
):
    n = 40_000
    usual, stl, dreg = (run(name, samples, n) for name in ("iwae", "stl", "dreg"))
    off, error = mean_and_error(dreg.dhead - usual.dhead)
    assert (np.abs(off) <= 5 * error).all()
    off, error = mean_and_error(stl.dhead - usual.dhead)
    assert (np.abs(off) > 5 * error).all()
    for other in (stl, dreg):
        np.testing.assert_array_equal(other.dlogits, usual.dlogits)  # of the decoder: the same
        assert (other.dhead.var(axis=0) < usual.dhead.var(axis=0)).all()
