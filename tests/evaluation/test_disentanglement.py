"""The mutual information gap: by its definition, and for codes whose gap is known exactly."""

import math

import numpy as np
import pytest
from scipy import special, stats

from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.data import sprite_factors
from scratchvae.errors import ConfigError, DataError
from scratchvae.evaluation import decompose_kl, measure_disentanglement

SPRITES = sprite_factors()
SHARP = -30.0  # log σ² of codes that are as good as certain


def measured(codes, factors, **more):
    codes = np.asarray(codes, dtype=np.float64)
    return measure_disentanglement(codes, np.full_like(codes, SHARP), factors, **more)


def test_e254_information_and_gap_by_definition():
    rng = np.random.default_rng(0)
    mu, logvar = rng.normal(size=(15, 3)), rng.normal(-1, 0.5, size=(15, 3))
    factors = np.stack([np.arange(15) % 2, np.minimum(np.arange(15) % 5, 3)], axis=1)
    stream = Stream.named(4, Purpose.TEST_LATENT, "disentanglement")
    z = mu[:, None] + np.exp(logvar / 2)[:, None] * normal((15, 2, 3), stream)
    expected = np.zeros((2, 3))
    for k, j in np.ndindex(2, 3):
        for n, s in np.ndindex(15, 2):
            logs = stats.norm.logpdf(z[n, s, j], mu[:, j], np.exp(logvar[:, j] / 2))
            alike = logs[factors[:, k] == factors[n, k]]
            of_value = special.logsumexp(alike) - math.log(len(alike))
            expected[k, j] += (of_value - special.logsumexp(logs) + math.log(15)) / 30
    found = measure_disentanglement(mu, logvar, factors, samples=2, seed=4)
    np.testing.assert_allclose(found.information, expected, rtol=1e-12)
    entropy = [stats.entropy(np.unique(f, return_counts=True)[1]) for f in factors.T]
    np.testing.assert_allclose(found.entropy, entropy, rtol=1e-14)
    ordered = np.sort(expected, axis=1)
    np.testing.assert_allclose(found.gaps, (ordered[:, 2] - ordered[:, 1]) / entropy, rtol=1e-11)
    assert found.mig == pytest.approx(found.gaps.mean(), rel=1e-15)


def test_e254_a_unit_for_each_factor_has_the_gap_one_in_any_order_and_scale():
    found = measured(SPRITES[:, [2, 0, 3, 1]] * [-3.0, 0.5, 7.0, 100.0], SPRITES)
    assert found.mig == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(found.information.max(axis=1), found.entropy, rtol=1e-12)
    np.testing.assert_allclose(found.entropy, np.log([3, 3, 8, 8]), rtol=1e-14)
    assert np.count_nonzero(abs(found.information) < 1e-12) == 12


def test_e254_two_units_that_share_a_factor_have_no_gap():
    shape = SPRITES[:, [0]]
    found = measured(np.hstack([shape, 2 * shape]), shape.tolist())
    assert found.mig == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(found.information, [[math.log(3)] * 2], rtol=1e-12)


def test_e254_a_unit_that_holds_two_factors_knows_both():
    both = SPRITES[:, [0]] * 3 + SPRITES[:, [1]]
    found = measured(np.hstack([both, np.zeros_like(both)]), SPRITES[:, :2])
    np.testing.assert_allclose(found.gaps, [1.0, 1.0], atol=1e-12)


def test_e254_a_factor_with_a_rare_value_is_measured_by_its_own_entropy():
    factor = np.array([[0], [0], [0], [1]])
    found = measured(np.hstack([factor, np.zeros_like(factor)]), factor)
    assert found.entropy[0] == pytest.approx(stats.entropy([3, 1]), rel=1e-14)
    assert found.mig == pytest.approx(1.0, abs=1e-12)


def test_e254_half_of_a_factor_is_half_of_the_gap():
    """Of four values the unit tells pairs apart: log 2 of log 4 nats."""
    factor = np.arange(4)[:, None]
    found = measured(np.hstack([factor // 2, np.zeros_like(factor)]), factor)
    assert found.mig == pytest.approx(0.5, abs=1e-12)
    alone = measured(factor // 2, factor)  # of a single unit there is no second
    assert alone.mig == pytest.approx(0.5, abs=1e-12)


def test_e254_a_noisy_unit_by_quadrature():
    """Two values at ±1 with σ = 1: I(z; v) in nats by the trapezoid rule."""
    grid = np.linspace(-9, 9, 2001)
    each = stats.norm.pdf(grid, [[-1.0], [1.0]])
    exact = 0.5 * special.rel_entr(each, each.mean(axis=0)).sum() * (grid[1] - grid[0])
    mu = np.array([[-1.0], [1.0]])
    found = measure_disentanglement(mu, np.zeros((2, 1)), np.array([[0], [1]]), samples=20_000)
    assert found.information[0, 0] == pytest.approx(exact, abs=0.01)


def test_e250_certain_codes_of_the_sprites_have_the_exact_parts():
    """All 576 codes differ: I = log 576; a unit twice: it is all correlation."""
    codes = SPRITES[:, [0, 1, 2, 3, 3]].astype(np.float64)
    found = decompose_kl(codes, np.full_like(codes, SHARP))
    assert found.mutual_information.value == pytest.approx(math.log(576), rel=1e-12)
    assert found.total_correlation.value == pytest.approx(math.log(8), rel=1e-10)


def test_how_many_samples_are_held_at_a_time_does_not_matter(monkeypatch):
    mu = np.random.default_rng(1).normal(size=(9, 2))
    factors = np.arange(9)[:, None] % 3
    found = measure_disentanglement(mu, np.zeros((9, 2)), factors, samples=2)
    monkeypatch.setattr("scratchvae.evaluation.disentanglement.TERMS", 1)
    again = measure_disentanglement(mu, np.zeros((9, 2)), factors, samples=2)
    np.testing.assert_allclose(again.information, found.information, rtol=1e-12)


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        (np.zeros((4, 1), int), "factor 0 is the same for all images"),
        (np.stack([np.arange(4), np.ones(4, int)], axis=1), "factor 1 is the same for all images"),
        (np.zeros((4, 0), int), "factors has no columns"),
        (np.arange(3)[:, None], "factors of 4 images are whole numbers"),
        (np.arange(4), r"\(N, F\), not int64 of shape \(4,\)"),
        (np.arange(4.0)[:, None], "whole numbers .*, not float64"),
    ],
)
def test_factors_that_say_nothing_end_in_a_sentence(factors, words):
    with pytest.raises(DataError, match=words):
        measured(np.arange(4.0)[:, None], factors)


def test_codes_that_are_none_end_in_the_sentences_of_the_information():
    with pytest.raises(DataError, match="at least two images, not of 1"):
        measured(np.zeros((1, 2)), np.zeros((1, 1), int))
    with pytest.raises(ConfigError, match="samples is 0, but it must be"):
        measured(np.zeros((2, 2)), np.arange(2)[:, None], samples=0)
