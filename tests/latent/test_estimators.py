"""The pieces of the estimators worked out by hand, and their names."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.config import TrainConfig
from scratchvae.errors import ConfigError
from scratchvae.latent import (
    ESTIMATORS,
    AnalyticKL,
    FreeBits,
    kl_per_unit,
    reparameterize,
)
from scratchvae.latent.gaussian import (
    log_ratio,
    log_ratio_grad,
    monte_carlo_kl,
    path_grad,
    score_grad,
)
from scratchvae.latent.importance_weighted import ImportanceWeighted, importance_bound
from scratchvae.optim.schedules import kl_weight

B, K, Z = 4, 5, 3


@pytest.fixture
def point(cpu64):
    """head, std, eps, z of B images with K samples each."""
    head = normal((B, 2 * Z), Stream(1, Purpose.DIRECTION))
    eps = normal((B, K, Z), Stream(2, Purpose.LATENT))
    std, z = np.empty((B, Z)), np.empty((B, K, Z))
    reparameterize(cpu64, head, std, eps, z)
    return head, std, eps, z


def log_q_minus_log_p(head, std, z):
    """By SciPy's densities, (B, K, Z)."""
    return stats.norm.logpdf(z, head[:, None, :Z], std[:, None]) - stats.norm.logpdf(z)


def test_e45_a_monte_carlo_kl_by_hand(cpu64):
    # σ = 2, μ = 1; ε = ½ and −1 give z = 2 and −1: ½ (4 − ¼ − ln 4) and ½ (1 − 1 − ln 4).
    head, eps = np.array([[1.0, math.log(4)]]), np.array([[[0.5], [-1.0]]])
    z, out = np.array([[[2.0], [-1.0]]]), np.empty((1, 1))
    monte_carlo_kl(cpu64, head, z, eps, out, (np.empty((1, 2, 1)), np.empty((1, 1))))
    np.testing.assert_allclose(out, [[15 / 16 - math.log(2)]], rtol=1e-15)
    each = np.empty((1, 2))
    log_ratio(cpu64, head, z, eps, each, (np.empty((1, 2, 1)), np.empty((1, 2)), np.empty(1)))
    np.testing.assert_allclose(each, [[15 / 8 - math.log(2), -math.log(2)]], rtol=1e-15)


def test_e45_it_is_the_difference_of_the_log_densities_by_scipy(cpu64, point):
    head, std, eps, z = point
    expected = log_q_minus_log_p(head, std, z)
    out, tmp = np.empty((B, Z)), (np.empty((B, K, Z)), np.empty((B, Z)))
    monte_carlo_kl(cpu64, head, z, eps, out, tmp)
    np.testing.assert_allclose(out, expected.mean(axis=1), rtol=0, atol=1e-14)
    each = np.empty((B, K))
    log_ratio(cpu64, head, z, eps, each, (tmp[0], np.empty((B, K)), np.empty(B)))
    np.testing.assert_allclose(each, expected.sum(axis=2), rtol=0, atol=1e-14)


def test_e45_its_mean_is_the_analytic_kl(cpu64, point):
    head, n = point[0], 50_000
    eps = normal((B, n, Z), Stream(3, Purpose.LATENT))
    std, z, tmp = np.empty((B, Z)), np.empty((B, n, Z)), np.empty((B, n, Z))
    reparameterize(cpu64, head, std, eps, z)
    sampled, exact, small = np.empty((B, Z)), np.empty((B, Z)), np.empty((B, Z))
    monte_carlo_kl(cpu64, head, z, eps, sampled, (tmp, small))
    kl_per_unit(cpu64, head, std, exact, small)
    error = (0.5 * (z**2 - eps**2)).std(axis=1, ddof=1) / math.sqrt(n)
    assert (np.abs(sampled - exact) <= 5 * error).all()
    assert error.max() < 0.05


def test_e46_the_ratio_sends_z_to_z_and_adds_it_to_what_is_there(cpu64, point):
    z = point[3]
    dz, weight = np.ones((B, K, Z)), normal((B, K, 1), Stream(4, Purpose.LATENT))
    log_ratio_grad(cpu64, z, weight, dz, np.empty_like(z))
    np.testing.assert_array_equal(dz, 1 + weight * z)


def test_e47_the_score_by_hand(cpu64):
    # ε/σ and ½ (ε² − 1), weights 2 and 3: dμ = (2·½ − 3·1)/2 = −1; dℓ = ½ (2·(¼ − 1) + 0).
    std, eps = np.array([[2.0]]), np.array([[[0.5], [-1.0]]])
    dhead = np.full((1, 2), np.nan)
    score_grad(cpu64, std, eps, np.array([[[2.0], [3.0]]]), dhead, np.empty((1, 2, 1)))
    np.testing.assert_array_equal(dhead, [[-1.0, -0.75]])


def test_e47_the_score_is_the_derivative_of_log_q_at_fixed_z(cpu64, cpu128, point):
    head, std, eps, z = point
    weight = normal((B, K, 1), Stream(5, Purpose.LATENT))
    dhead, h = np.empty((B, 2 * Z)), 2.0**-100
    score_grad(cpu64, std, eps, weight, dhead, np.empty_like(z))
    for column in range(2 * Z):
        moved = head.astype(complex)
        moved[:, column] += 1j * h
        mu, logvar = moved[:, None, :Z], moved[:, None, Z:]
        log_q = -0.5 * (z - mu) ** 2 * np.exp(-logvar) - 0.5 * logvar
        expected = (weight * log_q).sum(axis=(1, 2)).imag / h
        np.testing.assert_allclose(dhead[:, column], expected, rtol=1e-12, atol=1e-13)


def test_e47_the_mean_of_the_score_is_zero(cpu64):
    n, std = 100_000, np.tile([[0.3, 2.0]], (100_000, 1))
    eps, dhead = normal((n, 1, 2), Stream(6, Purpose.LATENT)), np.empty((n, 4))
    score_grad(cpu64, std, eps, 1.0, dhead, np.empty_like(eps))
    error = dhead.std(axis=0, ddof=1) / math.sqrt(n)
    assert (np.abs(dhead.mean(axis=0)) <= 5 * error).all()


def bound_of(bk, cost):
    out, weights = np.empty(len(cost), cost.dtype), np.empty_like(cost)
    importance_bound(bk, cost, out, weights, np.empty((len(cost), 1), cost.dtype))
    return out, weights


def test_e50_the_bound_by_hand(cpu64):
    # Weights ½ and ⅛: −log 5/16, shares ⅘ and ⅕.
    out, weights = bound_of(cpu64, np.log([[2.0, 8.0]]))
    np.testing.assert_allclose(out, [math.log(16 / 5)], rtol=1e-15)
    np.testing.assert_allclose(weights, [[0.8, 0.2]], rtol=1e-15)


def test_e50_the_bound_of_costs_that_overflow_an_exponential_is_scipys(cpu64):
    cost = 2000 * normal((7, 4), Stream(7, Purpose.LATENT)) + np.array([-1e5, 0, 1e5, 30])
    out, weights = bound_of(cpu64, cost)
    np.testing.assert_allclose(out, math.log(4) - logsumexp(-cost, axis=1), rtol=1e-15)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-15)


def test_e50_the_bound_of_one_sample_is_its_cost_and_of_equal_ones_theirs(cpu64):
    cost = np.array([[812.5], [-3.25]])
    np.testing.assert_array_equal(bound_of(cpu64, cost)[0], cost[:, 0])
    np.testing.assert_allclose(bound_of(cpu64, np.tile(cost, 8))[0], cost[:, 0], rtol=1e-15)


def test_e51_the_derivative_of_the_bound_by_a_cost_is_its_normalized_weight(cpu128):
    cost, h = normal((3, 4), Stream(8, Purpose.LATENT)), 2.0**-100
    for k in range(4):
        moved = cost.astype(complex)
        moved[:, k] += 1j * h
        out, weights = bound_of(cpu128, moved)
        np.testing.assert_allclose(out.imag / h, weights[:, k].real, rtol=1e-15)


def test_e52_the_path_derivative_holds_the_density(cpu64, point):
    head, std, eps, z = point
    dz, weight = np.ones((B, K, Z)), normal((B, K, 1), Stream(9, Purpose.LATENT))
    path_grad(cpu64, std, z, eps, weight, dz, np.empty_like(z))
    score_of_z = -(z - head[:, None, :Z]) / std[:, None] ** 2
    np.testing.assert_allclose(dz, 1 + weight * (score_of_z + z), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("step", "expected"), [(1, 0.0), (2, 0.25), (5, 1.0), (6, 1.25), (60, 1.25)]
)
def test_e54_the_weight_of_the_kl_grows_from_zero_in_equal_steps(step, expected):
    assert kl_weight(1.25, step, 5) == expected


def test_e54_without_warm_up_every_step_has_the_whole_weight():
    assert [kl_weight(0.7, step, 0) for step in (1, 2, 1000)] == [0.7] * 3
    assert isinstance(kl_weight(1.0, 3, 7), float)


def test_every_estimator_answers_to_its_name():
    assert list(ESTIMATORS) == [
        "analytic", "monte-carlo", "detached", "score", "score-baseline", "iwae", "stl", "dreg",
    ]  # fmt: skip
    for name, cls in ESTIMATORS.items():
        made = ESTIMATORS[name].from_settings(0.0)
        assert type(made) is cls
        assert made.name == name
        assert made.describe(3).endswith(", 3 samples per image")
    assert AnalyticKL().describe(1) == "ELBO with the analytic KL, 1 sample per image"


def test_free_bits_come_with_the_analytic_kl():
    made = TrainConfig(free_bits=0.25).make_estimator()
    assert isinstance(made, FreeBits)
    assert made.nats == 0.25
    assert "0.25 free nats per unit" in made.describe(1)


def test_names_and_numbers_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="estimator is 'magic', but it must be one of analytic"):
        TrainConfig(estimator="magic")
    with pytest.raises(ConfigError, match=r"free bits .* need the estimator 'analytic', not"):
        TrainConfig(estimator="iwae", free_bits=0.5)
    for nats in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="free bits are a number of nats"):
            FreeBits(nats)


def test_e51_a_weight_that_cannot_be_seen_beside_the_others_leaves_no_subnormal_number(cpu32):
    # Of two samples, one is e^−60 as likely: 9e-27 times a small gradient would be subnormal.
    latent = SimpleNamespace(bk=cpu32, work=SimpleNamespace())
    cost = np.array([[0.0, 60.0], [0.0, 5.0]], np.float32)
    weights, bound, shift = np.empty_like(cost), np.empty(2, "f4"), np.empty((2, 1), "f4")
    importance_bound(cpu32, cost, bound, weights, shift)
    latent.work.weights, latent.work.dcost = weights, np.empty_like(cost)
    found = ImportanceWeighted().sample_weight(latent, 0.5)[:, :, 0]
    share = 1 / (1 + np.exp(-5.0))
    np.testing.assert_allclose(found, [[0.5, 0], [share / 2, (1 - share) / 2]], rtol=1e-6)
