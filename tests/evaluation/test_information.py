"""The KL in three parts: by hand, and against codes whose information is known exactly."""

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.errors import ConfigError, DataError
from scratchvae.evaluation import decompose_kl
from scratchvae.evaluation.information import change_without, log_mean_exp, log_normal, mean_of

PARTS = ("mutual_information", "total_correlation", "dimensionwise_kl", "kl", "leave_one_out")


def some_codes(n=12, units=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, units)), rng.normal(-1.0, 0.7, size=(n, units))


def samples_of(mu, logvar, samples, seed=0):
    """The z that information draws, (N, S, Z)."""
    stream = Stream.named(seed, Purpose.TEST_LATENT, "information")
    eps = normal((len(mu), samples, mu.shape[1]), stream)
    return mu[:, None] + np.exp(logvar / 2)[:, None] * eps


def by_definition(mu, logvar, z):
    """Every part of E250 with SciPy, in the order of PARTS."""
    n, found = len(mu), []
    for i in range(n):
        for z_one in z[i]:
            each = stats.norm.logpdf(z_one, mu, np.exp(logvar / 2))  # (N, Z)
            joint = special.logsumexp(each.sum(axis=1)) - math.log(n)
            marginals = (special.logsumexp(each, axis=0) - math.log(n)).sum()
            prior = stats.norm.logpdf(z_one).sum()
            own = each[i].sum()
            others = special.logsumexp(np.delete(each.sum(axis=1), i)) - math.log(n - 1)
            found.append((own - joint, joint - marginals, marginals - prior, own - prior,
                          own - others))  # fmt: skip
    return np.mean(found, axis=0)


def channel(n, covariance, seed=1):
    """q(z|x) = N(x, I) of n images x ~ N(0, C): then q(z) = N(0, C + I) for n → ∞."""
    root = np.linalg.cholesky(covariance)
    mu = normal((n, len(covariance)), Stream(seed, Purpose.PIXELS)) @ root.T
    return mu, np.zeros_like(mu)


@pytest.mark.parametrize("samples", [1, 3])
def test_e250_e251_every_part_by_its_definition(samples):
    mu, logvar = some_codes()
    found = decompose_kl(mu, logvar, samples=samples)
    expected = by_definition(mu, logvar, samples_of(mu, logvar, samples))
    np.testing.assert_allclose([getattr(found, p).value for p in PARTS], expected, rtol=1e-12)


def test_e250_the_three_parts_add_up_to_the_kl_and_that_is_the_analytic_one():
    mu, logvar = some_codes(40)
    found = decompose_kl(mu, logvar, samples=200)
    parts = sum(getattr(found, part).value for part in PARTS[:3])
    assert parts == pytest.approx(found.kl.value, rel=1e-13)
    kl = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1)
    assert found.kl.value == pytest.approx(kl.mean(), abs=0.05)


@pytest.mark.parametrize("part", range(3))
def test_e250_the_errors_are_those_of_leaving_out_one_image_after_the_other(part):
    mu, logvar = some_codes()
    z, n = samples_of(mu, logvar, 2), len(mu)
    left_out = [
        by_definition(*(np.delete(a, i, axis=0) for a in (mu, logvar, z)))[part] for i in range(n)
    ]
    error = math.sqrt((n - 1) * np.var(left_out))
    found = getattr(decompose_kl(mu, logvar, samples=2), PARTS[part])
    assert found.error == pytest.approx(error, rel=1e-10)


def test_e250_images_with_one_and_the_same_code_have_no_information():
    found = decompose_kl(np.full((30, 2), 0.7), np.full((30, 2), -1.0))
    assert abs(found.mutual_information.value) < 1e-14
    assert abs(found.mutual_information.error) < 1e-14
    assert abs(found.leave_one_out.value) < 1e-14


def test_e250_images_with_codes_far_apart_have_log_n_nats_and_not_more():
    mu = 1e3 * np.arange(50.0)[:, None]
    found = decompose_kl(mu, np.zeros((50, 1)))
    assert found.mutual_information.value == pytest.approx(math.log(50), rel=1e-14)
    assert found.limit == math.log(50)
    assert found.upper is found.leave_one_out or found.upper is found.kl
    assert found.upper.value > 1e5


def test_e251_two_images_in_one_dimension_by_quadrature():
    mu, std = np.array([[-0.6], [0.9]]), np.array([[0.8], [0.5]])

    def q(z):
        return stats.norm.pdf(z, mu[:, 0], std[:, 0])

    def integrand(z):
        return 0.5 * special.rel_entr(q(z), q(z).mean()).sum()

    exact, _ = integrate.quad(integrand, -8, 8, points=(-0.6, 0.9))
    found = decompose_kl(mu, 2 * np.log(std), samples=4_000)
    assert found.mutual_information.value == pytest.approx(exact, abs=0.02)
    assert found.mutual_information.value < math.log(2)


@pytest.mark.parametrize("gain", [0.2, 0.6, 1.0])
def test_e250_the_capacity_of_gaussian_channels_is_found(gain):
    """½ log(1 + snr) nats for each unit: Shannon 1948."""
    snr = gain**2 * np.array([1.0, 0.5])
    found = decompose_kl(*channel(800, np.diag(snr)), samples=2)
    exact = 0.5 * np.log1p(snr).sum()
    here = found.mutual_information
    assert abs(here.value - exact) < 4 * here.error
    assert here.value <= found.leave_one_out.value
    assert here.error < 0.05


def test_e250_the_total_correlation_of_gaussian_codes_is_that_of_their_correlations():
    """−½ log det R, and Σ_j ½ (v_j − 1 − log v_j) for the variances v of q(z)."""
    covariance = np.array([[1.0, 0.9, 0.0], [0.9, 1.2, 0.3], [0.0, 0.3, 0.5]])
    found = decompose_kl(*channel(1000, covariance), samples=2)
    of_z = covariance + np.eye(3)
    v = np.diag(of_z)
    correlations = of_z / np.sqrt(np.outer(v, v))
    for part, exact in (
        ("mutual_information", 0.5 * math.log(np.linalg.det(of_z))),
        ("total_correlation", -0.5 * math.log(np.linalg.det(correlations))),
        ("dimensionwise_kl", 0.5 * (v - 1 - np.log(v)).sum()),
    ):
        here = getattr(found, part)
        assert abs(here.value - exact) < 4 * here.error, part
        assert here.error < 0.05, part


def test_the_information_of_many_images_lies_between_its_bounds():
    """Where log N is too small, the lower bound is below the truth and the upper above."""
    exact = 2 * 0.5 * math.log(1 + 900)
    mu, logvar = channel(200, 900 * np.eye(2))
    found = decompose_kl(mu, logvar)
    assert found.mutual_information.value < found.limit < exact < found.upper.value


def test_information_is_a_function_of_its_seed_and_blocks_do_not_matter(monkeypatch):
    mu, logvar = some_codes(30)
    found = decompose_kl(mu, logvar, samples=2, seed=3)
    assert decompose_kl(mu, logvar, samples=2, seed=3) == found
    assert decompose_kl(mu, logvar, samples=2, seed=4) != found
    monkeypatch.setattr("scratchvae.evaluation.information.TERMS", 1)
    again = decompose_kl(mu, logvar, samples=2, seed=3)
    for part in PARTS:
        here, there = getattr(found, part), getattr(again, part)
        assert (there.value, there.error) == pytest.approx((here.value, here.error), rel=1e-12)


def test_the_log_density_of_a_normal_is_that_of_scipy():
    z, mu, logvar = np.random.default_rng(4).normal(size=(3, 5))
    expected = stats.norm.logpdf(z, mu, np.exp(logvar / 2))
    np.testing.assert_allclose(log_normal(z, mu, logvar), expected, rtol=1e-13)


def test_where_one_other_image_has_the_whole_share_its_absence_is_finite():
    found = change_without(np.array([[1.0, 0.0]]), (np.arange(1), np.array([1])))
    np.testing.assert_allclose(found, [[math.log(np.finfo(np.float64).tiny), 0.0]], rtol=1e-15)


def test_codes_in_float32_are_decomposed_in_float64():
    rng = np.random.default_rng(2)
    codes = [rng.normal(size=(6, 2)).astype(np.float32) for _ in range(2)]
    found, expected = decompose_kl(*codes), decompose_kl(*(c.astype(np.float64) for c in codes))
    assert found == expected


@pytest.mark.parametrize("which", [0, 1])
def test_a_mean_or_a_variance_that_is_not_finite_is_refused(which):
    codes = np.zeros((2, 3, 2))
    codes[which, 1, 1] = np.inf
    with pytest.raises(DataError, match="mu or logvar is not finite"):
        decompose_kl(*codes)


def test_a_mean_of_float32_loses_no_small_value_beside_large_ones():
    assert mean_of(np.array([1e8, 1.0, -1e8], np.float32)).value == pytest.approx(1 / 3, rel=1e-12)


def test_e251_the_mean_of_exponentials_far_out_and_its_shares():
    a = np.array([[-1e4, -1e4 - 1.0], [800.0, 800.0]])
    value, shares = log_mean_exp(a)
    expected = special.logsumexp(a, axis=1) - math.log(2)
    np.testing.assert_allclose(value, expected, rtol=1e-15)
    np.testing.assert_allclose(shares, special.softmax(a, axis=1), rtol=1e-14)


def test_what_is_left_without_a_term_that_is_nearly_all_is_the_images_own():
    shares = np.array([[1e-20, 1.0]])
    own = (np.array([0]), np.array([0]))
    np.testing.assert_allclose(change_without(shares, own), [[0.0, math.log(1e-20)]], rtol=1e-14)


def test_the_mean_of_values_with_its_standard_error():
    values = np.array([1.0, 2.0, 4.0, 9.0])
    found = mean_of(values)
    assert found.value == 4.0
    assert found.error == pytest.approx(stats.sem(values), rel=1e-15)
    assert math.isnan(mean_of(values[:1]).error)
    difference = found - mean_of(values / 2)
    assert difference.value == 2.0
    assert difference.error == pytest.approx(found.error * math.sqrt(1.25), rel=1e-15)
    assert str(-found) == "-4.000 ± 1.780"


@pytest.mark.parametrize(
    ("mu", "logvar", "samples", "error", "words"),
    [
        (np.zeros((1, 2)), np.zeros((1, 2)), 1, DataError, "at least two images, not of 1"),
        (np.zeros((3, 2)), np.zeros((3, 1)), 1, DataError, r"not \(3, 2\) and \(3, 1\)"),
        (np.zeros(3), np.zeros(3), 1, DataError, r"\(N, Z\) each, not \(3,\)"),
        (np.full((3, 2), np.nan), np.zeros((3, 2)), 1, DataError, "the model has diverged"),
        (np.zeros((3, 2)), np.zeros((3, 2)), 0, ConfigError, "samples is 0, but it must be"),
    ],
)
def test_bad_input_ends_in_a_sentence(mu, logvar, samples, error, words):
    with pytest.raises(error, match=words):
        decompose_kl(mu, logvar, samples=samples)
