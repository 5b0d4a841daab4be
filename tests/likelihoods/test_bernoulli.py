"""Bernoulli pixels: value, gradient, mean and sampler agree with one another and with SciPy."""

import numpy as np
from scipy import stats
from scipy.special import expit

from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal, uniform
from scratchvae.likelihoods import Bernoulli
from scratchvae.memory import Workspace

B, K, D = 4, 3, 5
LN3 = np.log(3.0)


def draw_inputs():
    logits = 2 * normal((B, K, D), Stream(1, Purpose.DIRECTION))
    x = (uniform((B, 1, D), Stream(1, Purpose.PIXELS)) < 0.5).astype(float)
    return logits, x


def evaluate(bk, logits, x, grad=False):
    """−log p(x|z) (B, K) and, where it is asked for, its gradient (B, K, D)."""
    rows, samples, pixels = logits.shape
    likelihood = Bernoulli()
    work = likelihood.work(Workspace(bk, rows), pixels, samples)
    a, x, nll, da = bk.array(logits), bk.array(x), bk.empty((rows, samples)), bk.empty(logits.shape)
    if not grad:
        likelihood.nll(bk, None, a, x, nll, work)
        return bk.to_host(nll)
    likelihood.nll_and_grad(bk, None, a, x, nll, da, work)
    return bk.to_host(nll), bk.to_host(da)


def test_e18_the_value_is_minus_the_log_probability_of_scipy(cpu64):
    logits, x = draw_inputs()
    expected = -stats.bernoulli.logpmf(x, expit(logits)).sum(axis=-1)
    np.testing.assert_allclose(evaluate(cpu64, logits, x), expected, rtol=1e-13)


def test_e18_the_value_keeps_its_digits_where_a_probability_is_nearly_one(cpu64):
    logits, x = np.array([[[-40.0, -20.0, 20.0, 40.0]]]), np.array([[[0.0, 0.0, 1.0, 1.0]]])
    expected = [[2 * np.log1p(np.exp(-20.0)) + 2 * np.log1p(np.exp(-40.0))]]
    np.testing.assert_allclose(evaluate(cpu64, logits, x), expected, rtol=0, atol=4 * 2.0**-52)
    np.testing.assert_array_equal(evaluate(cpu64, 1e4 * logits, 1 - x), [[1.2e6]])


def test_e18_a_grey_pixel_mixes_the_values_of_black_and_white(cpu64):
    logits, _ = draw_inputs()
    black, white, grey = (
        evaluate(cpu64, logits, np.full((B, 1, D), level)) for level in (0.0, 1.0, 0.25)
    )
    np.testing.assert_allclose(grey, 0.75 * black + 0.25 * white, rtol=1e-14)


def test_e18_e19_value_and_gradient_by_hand(cpu64):
    # sigmoid(ln 3, 0, −ln 3) = ¾, ½, ¼. For x = (1, 0, 1) the probability is ¾ · ½ · ¼ = 3/32.
    logits, x = np.array([[[LN3, 0.0, -LN3]]]), np.array([[[1.0, 0.0, 1.0]]])
    nll, da = evaluate(cpu64, logits, x, grad=True)
    np.testing.assert_allclose(nll, [[np.log(32 / 3)]], rtol=1e-15)
    np.testing.assert_allclose(da, [[[-0.25, 0.5, -0.75]]], rtol=1e-15)


def test_e19_the_gradient_is_mean_minus_pixel_beside_the_value_as_it_is_alone(cpu64):
    logits, x = draw_inputs()
    nll, da = evaluate(cpu64, logits, x, grad=True)
    np.testing.assert_allclose(da, expit(logits) - x, rtol=0, atol=4e-16)
    np.testing.assert_array_equal(nll, evaluate(cpu64, logits, x))


def test_e20_the_mean_is_the_sigmoid_of_the_logits_also_in_place(cpu64):
    logits, _ = draw_inputs()
    mean = np.empty_like(logits)
    Bernoulli().mean(cpu64, logits, mean)
    np.testing.assert_allclose(mean, expit(logits), rtol=0, atol=4e-16)
    Bernoulli().mean(cpu64, logits, logits)
    np.testing.assert_array_equal(logits, mean)


def test_e20_the_sampler_draws_ones_as_often_as_the_mean_says():
    for device in ("cpu", "strict"):
        bk = get_backend(device, "float64")
        n, logits = 40_000, np.array([-4.0, -1.0, 0.0, 0.3, 2.5])
        mean, noise, x = bk.empty((5,)), bk.empty((n, 5)), bk.empty((n, 5))
        Bernoulli().mean(bk, bk.array(logits), mean)
        bk.uniform(noise, Stream(3, Purpose.PIXELS), bk.noise_scratch(n * 5))
        assert Bernoulli.noise == "uniform"
        Bernoulli().sample(bk, None, bk.array(logits), noise, x)
        found, p = bk.to_host(x), bk.to_host(mean)
        assert set(np.unique(found)) == {0.0, 1.0}
        assert (np.abs(found.mean(axis=0) - p) < 5 * np.sqrt(p * (1 - p) / n)).all()


def test_e20_the_sampler_and_the_value_describe_the_same_distribution(cpu64):
    # E[−log p(x|z)] over the sampler's draws is the entropy of the pixels.
    n, logits = 20_000, np.array([[[-2.0, 0.5, 1.5, -0.2, 3.0]]])
    x = np.empty((n, 1, 5))
    noise = uniform((n, 1, 5), Stream(4, Purpose.PIXELS))
    Bernoulli().sample(cpu64, None, logits.copy(), noise, x)
    nll = evaluate(cpu64, np.broadcast_to(logits, (n, 1, 5)), x)[:, 0]
    entropy = stats.bernoulli.entropy(expit(logits)).sum()
    assert abs(nll.mean() - entropy) < 5 * nll.std() / np.sqrt(n)


def test_a_pixel_of_certain_probability_is_never_drawn_otherwise(cpu64):
    logits, x = np.array([-800.0, 800.0]), np.empty((1000, 2))
    Bernoulli().sample(cpu64, None, logits, uniform((1000, 2), Stream(4, Purpose.PIXELS)), x)
    np.testing.assert_array_equal(x, np.broadcast_to([0.0, 1.0], (1000, 2)))


def test_a_bernoulli_wants_pixels_between_zero_and_one_and_has_no_parameters():
    assert Bernoulli.unit_interval
    assert dict(Bernoulli().parameters(9)) == {}
    assert Bernoulli().describe() == "Bernoulli"
