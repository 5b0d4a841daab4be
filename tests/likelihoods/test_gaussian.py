"""Gaussian pixels, σ fixed or learned: densities of SciPy, gradients by hand, and the sampler."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal, uniform
from scratchvae.errors import ConfigError
from scratchvae.likelihoods import Gaussian, LearnedGaussian
from scratchvae.likelihoods.base import LikelihoodSettings
from scratchvae.memory import Workspace

B, K, D = 4, 3, 5
LN3 = np.log(3.0)
LOG_TWO_PI = np.log(2 * np.pi)
LOGVAR = np.array([-1.0, 0.5, 2.0, -3.0, 0.1])

# name -> (likelihood, its logvar, the σ of every pixel)
CASES = {
    "fixed": (lambda mean: Gaussian(0.7, mean), None, np.full(D, 0.7)),
    "one learned": (
        lambda mean: LearnedGaussian(False, 0.2, mean),
        LOGVAR[:1],
        np.full(D, np.sqrt(0.04 + np.exp(LOGVAR[0]))),
    ),
    "one a pixel": (
        lambda mean: LearnedGaussian(True, 0.2, mean),
        LOGVAR,
        np.sqrt(0.04 + np.exp(LOGVAR)),
    ),
    "no floor": (lambda mean: LearnedGaussian(True, 0.0, mean), LOGVAR, np.exp(0.5 * LOGVAR)),
}
each_case = pytest.mark.parametrize(("make", "logvar", "std"), CASES.values(), ids=CASES)
each_mean = pytest.mark.parametrize(
    ("mean", "of"), [("sigmoid", expit), ("identity", lambda a: a)], ids=["sigmoid", "identity"]
)


def draw_inputs():
    logits = 2 * normal((B, K, D), Stream(1, Purpose.DIRECTION))
    return logits, normal((B, 1, D), Stream(1, Purpose.PIXELS))


def evaluate(bk, likelihood, logvar, logits, x, weight=None):
    """−log p(x|z) and, with a weight, the gradients by the logits and by logvar."""
    rows, samples, pixels = logits.shape
    p, g = SimpleNamespace(), SimpleNamespace()
    for name, (shape, _) in likelihood.parameters(pixels).items():
        setattr(p, name, bk.array(logvar))
        setattr(g, name, bk.empty(shape))
    work = likelihood.work(Workspace(bk, rows), pixels, samples)
    a, x, nll, da = bk.array(logits), bk.array(x), bk.empty((rows, samples)), bk.empty(logits.shape)
    if weight is None:
        likelihood.nll(bk, p, a, x, nll, work)
        return bk.to_host(nll)
    likelihood.nll_and_grad(bk, p, a, x, nll, da, work)
    da *= weight
    likelihood.grad_params(bk, p, weight, g, work)
    return bk.to_host(nll), bk.to_host(da), {n: bk.to_host(v) for n, v in vars(g).items()}


@each_case
@each_mean
def test_e21_the_value_is_minus_the_log_density_of_scipy(cpu64, make, logvar, std, mean, of):
    logits, x = draw_inputs()
    expected = -stats.norm.logpdf(x, of(logits), std).sum(axis=-1)
    np.testing.assert_allclose(evaluate(cpu64, make(mean), logvar, logits, x), expected, rtol=1e-13)


@each_case
@each_mean
def test_e21_the_value_beside_the_gradient_is_the_value_alone(cpu64, make, logvar, std, mean, of):
    logits, x = draw_inputs()
    alone = evaluate(cpu64, make(mean), logvar, logits, x)
    beside, _, _ = evaluate(cpu64, make(mean), logvar, logits, x, weight=0.25)
    np.testing.assert_allclose(beside, alone, rtol=1e-15)


def test_e21_the_constant_counts_every_pixel():
    # At x = m the value is Σ_d ½ log 2πσ²: five pixels of σ = 2 have ½ · 5 (log 2π + log 4).
    bk = get_backend("cpu", "float64")
    logits = np.full((1, 1, D), 0.25)
    expected = 2.5 * (LOG_TWO_PI + np.log(4))
    for likelihood, logvar in (
        (Gaussian(2.0, "identity"), None),
        (LearnedGaussian(False, 0.0, "identity"), np.log([4.0])),
        (LearnedGaussian(True, 0.0, "identity"), np.log(np.full(D, 4.0))),
    ):
        nll = evaluate(bk, likelihood, logvar, logits, logits)
        np.testing.assert_allclose(nll, [[expected]], rtol=1e-15)


def test_e22_the_gradient_by_the_logits_by_hand(cpu64):
    # m = (¾, ½, ¼), x = (¼, ½, 1), σ = ½: (m − x)/σ² = (2, 0, −3).
    logits, x = np.array([[[LN3, 0.0, -LN3]]]), np.array([[[0.25, 0.5, 1.0]]])
    nll, da, _ = evaluate(cpu64, Gaussian(0.5), None, logits, x, weight=16.0)
    # ½ Σ r²/σ² = ½ (1 + 0 + 9/4) = 13/8, and 3/2 log(2π/4).
    np.testing.assert_allclose(nll, [[13 / 8 + 1.5 * np.log(np.pi / 2)]], rtol=1e-15)
    # m (1 − m) = 3/16, 1/4, 3/16
    np.testing.assert_allclose(da, [[[6, 0, -9]]], rtol=1e-15, atol=1e-15)
    _, da, _ = evaluate(
        cpu64, Gaussian(0.5, "identity"), None, np.array([[[0.75, 0.5, 0.25]]]), x, weight=16.0
    )
    np.testing.assert_array_equal(da, [[[32, 0, -48]]])


def test_e23_the_gradient_by_a_shared_logvar_by_hand(cpu64):
    # σ² = 4, no floor, residuals (2, −4 | 0, 6): ½ Σ (1 − r²/4) = ½ (0 − 3 + 1 − 8) = −5.
    logits, x = np.zeros((2, 1, 2)), np.array([[[2.0, -4.0]], [[0.0, 6.0]]])
    likelihood = LearnedGaussian(False, 0.0, "identity")
    _, _, g = evaluate(cpu64, likelihood, np.log([4.0]), logits, x, weight=10.0)
    np.testing.assert_allclose(g["logvar"], [-50], rtol=1e-15)


def test_e23_the_gradient_by_a_logvar_of_every_pixel_by_hand(cpu64):
    # Pixel 1: ½ ((1 − 1) + (1 − 0)) = ½; pixel 2: ½ ((1 − 4) + (1 − 9)) = −11/2.
    logits, x = np.zeros((2, 1, 2)), np.array([[[2.0, -4.0]], [[0.0, 6.0]]])
    likelihood = LearnedGaussian(True, 0.0, "identity")
    _, _, g = evaluate(cpu64, likelihood, np.log([4.0, 4.0]), logits, x, weight=10.0)
    np.testing.assert_allclose(g["logvar"], [5, -55], rtol=1e-15)


def test_e23_the_floor_takes_its_share_of_the_variance(cpu64):
    # exp(logvar) = 3 and s² = 1: σ² = 4 as above, and every derivative is ¾ of what it was.
    logits, x = np.zeros((2, 1, 2)), np.array([[[2.0, -4.0]], [[0.0, 6.0]]])
    likelihood = LearnedGaussian(True, 1.0, "identity")
    _, _, g = evaluate(cpu64, likelihood, np.log([3.0, 3.0]), logits, x, weight=10.0)
    np.testing.assert_allclose(g["logvar"], [3.75, -41.25], rtol=1e-15)


@each_case
def test_e22_e23_a_weight_for_every_sample_weighs_that_sample(cpu64, make, logvar, std):
    logits, x = draw_inputs()
    weights = uniform((B, K, 1), Stream(2, Purpose.DIRECTION))
    _, da, g = evaluate(cpu64, make("identity"), logvar, logits, x, weight=weights)
    np.testing.assert_allclose(da, weights * (logits - x) / std**2, rtol=1e-14)
    if logvar is not None:
        share = np.exp(logvar) / std**2 if len(logvar) == D else np.exp(logvar) / std[:1] ** 2
        terms = (weights * 0.5 * (1 - (logits - x) ** 2 / std**2)).sum(axis=(0, 1))
        expected = share * (terms if len(logvar) == D else terms.sum())
        np.testing.assert_allclose(g["logvar"], expected, rtol=1e-13)


@each_case
@each_mean
def test_the_sampler_has_the_mean_and_the_deviation_of_the_density(make, logvar, std, mean, of):
    n, bk = 20_000, get_backend("strict", "float64")
    likelihood, logits = make(mean), np.array([-2.0, 0.5, 0.0, 1.5, -0.3])
    p = SimpleNamespace(logvar=None if logvar is None else bk.array(logvar))
    m, noise, x = bk.empty((D,)), bk.empty((n, D)), bk.empty((n, D))
    likelihood.mean(bk, bk.array(logits), m)
    np.testing.assert_allclose(bk.to_host(m), of(logits), rtol=1e-14)
    assert likelihood.noise == "normal"
    bk.normal(noise, Stream(3, Purpose.PIXELS), bk.noise_scratch(n * D))
    likelihood.sample(bk, p, bk.array(logits), noise, x)
    found = bk.to_host(x)
    assert (np.abs(found.mean(axis=0) - of(logits)) < 5 * std / np.sqrt(n)).all()
    assert (np.abs(found.var(axis=0) - std**2) < 5 * std**2 * np.sqrt(2 / n)).all()


def test_a_learned_deviation_never_falls_below_its_floor(cpu64):
    p = SimpleNamespace(logvar=np.array([-800.0]))
    np.testing.assert_array_equal(LearnedGaussian(False, 0.125).std(cpu64, p), [0.125])
    logits, x = np.zeros((1, 1, D)), np.zeros((1, 1, D))
    nll, da, g = evaluate(
        cpu64, LearnedGaussian(False, 0.125, "identity"), p.logvar, logits, x, weight=1.0
    )
    np.testing.assert_allclose(nll, -stats.norm.logpdf(x, 0, 0.125).sum(-1), rtol=1e-14)
    np.testing.assert_array_equal(da, np.zeros((1, 1, D)))
    np.testing.assert_array_equal(g["logvar"], [0])


def test_a_learned_deviation_starts_at_one_and_has_one_or_as_many_parameters_as_pixels(cpu64):
    for per_pixel, shape in ((False, (1,)), (True, (D,))):
        likelihood = LearnedGaussian(per_pixel, 0.0)
        (name, (found, init)), *others = likelihood.parameters(D).items()
        assert (name, found, others) == ("logvar", shape, [])
        logvar = init(found, 1, 1, Stream(0, Purpose.INITIAL_WEIGHTS))
        np.testing.assert_array_equal(
            likelihood.std(cpu64, SimpleNamespace(logvar=logvar)), np.ones(shape)
        )


@pytest.mark.parametrize("std", [0.0, -1.0, np.inf, np.nan])
def test_a_fixed_deviation_is_positive(std):
    with pytest.raises(ConfigError, match="standard deviation is positive"):
        Gaussian(std)


@pytest.mark.parametrize("floor", [-0.1, np.inf, np.nan])
def test_a_floor_is_not_negative(floor):
    with pytest.raises(ConfigError, match="floor of a standard deviation is not negative"):
        LearnedGaussian(min_std=floor)


def test_an_unknown_mean_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="one of sigmoid, identity, not 'softplus'"):
        Gaussian(mean="softplus")


@pytest.mark.parametrize("std", [1e151, 1e-151])
def test_a_deviation_whose_square_is_no_number_is_refused(std):
    with pytest.raises(ConfigError, match="no room for a standard deviation"):
        Gaussian(std)


def test_the_largest_and_the_smallest_deviation_are_accepted():
    assert Gaussian(1e150).fixed == 1e150
    assert Gaussian(1 / 1e150).fixed == 1 / 1e150
    with pytest.raises(ConfigError, match="no room for a standard deviation"):
        LearnedGaussian(min_std=1e151)


@pytest.mark.parametrize("start", [0.0, -1.0, float("inf"), float("nan"), 1e151])
def test_a_learned_deviation_starts_at_a_positive_number_with_a_square(start):
    with pytest.raises(ConfigError):
        LearnedGaussian(start_std=start)


@pytest.mark.parametrize(("per_pixel", "shape"), [(False, (1,)), (True, (3,))])
def test_a_learned_deviation_starts_where_it_is_told_and_says_for_which_pixels(per_pixel, shape):
    likelihood = LearnedGaussian(per_pixel, start_std=0.25)
    (size, start) = likelihood.parameters(3)["logvar"]
    assert size == shape
    logvar = start(size, 1, 1, Stream(0, Purpose.INITIAL_WEIGHTS))
    np.testing.assert_allclose(logvar, np.full(shape, np.log(0.0625)), rtol=1e-15)
    assert ("per pixel" in likelihood.describe()) is per_pixel


def test_the_settings_of_a_run_reach_the_gaussian_that_they_name():
    said = {"std": 0.5, "start_std": 0.25, "mean": "identity"}
    for kind, name, expected in (
        (Gaussian, "gaussian", Gaussian(0.5, "identity")),
        (LearnedGaussian, "gaussian-learned", LearnedGaussian(False, 0.01, "identity", 0.25)),
        (LearnedGaussian, "gaussian-per-pixel", LearnedGaussian(True, 0.01, "identity", 0.25)),
    ):
        assert repr(kind.from_settings(LikelihoodSettings(name, **said))) == repr(expected)
