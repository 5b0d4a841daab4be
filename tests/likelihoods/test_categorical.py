"""Categorical pixels: probabilities that sum to one, the gradient, the mean and the sampler."""

from functools import partial
from itertools import product

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal, uniform
from scratchvae.errors import ConfigError
from scratchvae.likelihoods import Categorical
from scratchvae.memory import Workspace

B, K, L, D = 4, 3, 5, 2
H = 2.0**-80


def draw_inputs(levels=L, pixels=D):
    logits = 2 * normal((B, K, levels, pixels), Stream(1, Purpose.DIRECTION))
    level = np.floor(levels * uniform((B, 1, pixels), Stream(1, Purpose.PIXELS)))
    return logits.reshape(B, K, -1), level / (levels - 1)


def evaluate(bk, logits, x, grad=False, levels=L):
    """−log p(x|z), and where it is asked for its gradient with respect to the logits."""
    rows, samples, _ = logits.shape
    likelihood = Categorical(levels)
    work = likelihood.work(Workspace(bk, rows), x.shape[-1], samples)
    a, x, nll, da = bk.array(logits), bk.array(x), bk.empty((rows, samples)), bk.empty(logits.shape)
    if not grad:
        likelihood.nll(bk, None, a, x, nll, work)
        return bk.to_host(nll)
    likelihood.nll_and_grad(bk, None, a, x, nll, da, work)
    return bk.to_host(nll), bk.to_host(da)


def by_level(a, levels=L):
    return a.reshape(*a.shape[:2], levels, -1)


def test_e56_the_value_by_hand(cpu64):
    # One pixel, logits (log 1, log 3, log 4): probabilities 1/8, 3/8, 1/2; levels 0, ½, 1.
    logits = np.log([[[1.0, 3.0, 4.0]]])
    for x, p in ((0.0, 1 / 8), (0.5, 3 / 8), (1.0, 1 / 2)):
        nll = evaluate(cpu64, logits, np.full((1, 1, 1), x), levels=3)
        np.testing.assert_allclose(nll, [[-np.log(p)]], rtol=1e-15)


def test_e56_the_value_is_minus_the_sum_of_scipys_log_softmax(cpu64):
    logits, x = draw_inputs()
    log_p = log_softmax(by_level(logits), axis=2)
    level = np.rint(x * (L - 1)).astype(int)
    chosen = np.take_along_axis(log_p, np.broadcast_to(level[:, :, None], (B, K, 1, D)), axis=2)
    expected = -chosen.sum(axis=(2, 3))
    np.testing.assert_allclose(evaluate(cpu64, logits, x), expected, rtol=1e-14)


def test_e56_the_probabilities_of_all_images_add_up_to_one(cpu64):
    logits = np.broadcast_to(3 * normal((L * 3,), Stream(2, Purpose.DIRECTION)), (L**3, 1, 3 * L))
    images = np.array(list(product(range(L), repeat=3)))[:, None] / (L - 1)
    np.testing.assert_allclose(np.exp(-evaluate(cpu64, logits, images)).sum(), 1, rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("levels", [2, 17, 256])
def test_e56_every_grey_value_finds_its_level(dtype, levels):
    bk = get_backend("cpu", dtype)
    grey = (np.arange(levels) / (levels - 1)).astype(dtype)[:, None, None]
    logits = np.broadcast_to(-np.arange(levels, dtype=dtype), (levels, 1, levels))
    nll = evaluate(bk, logits, grey, levels=levels)[:, 0]
    np.testing.assert_allclose(np.diff(nll), 1, rtol=1e-3)


def test_e56_huge_logits_neither_overflow_nor_lose_the_value(cpu64):
    logits = np.array([[[1e300, 0.0, -1e300]]])
    for x, expected in ((0.0, 0.0), (0.5, 1e300), (1.0, 2e300)):
        nll, da = evaluate(cpu64, logits, np.full((1, 1, 1), x), grad=True, levels=3)
        assert nll[0, 0] == expected
        assert np.isfinite(da).all()


def test_e56_a_common_shift_of_a_pixels_logits_changes_nothing(cpu64):
    logits, x = draw_inputs()
    shifted = by_level(logits) + 50 * normal((B, K, 1, D), Stream(3, Purpose.DIRECTION))
    moved = evaluate(cpu64, shifted.reshape(logits.shape), x)
    np.testing.assert_allclose(moved, evaluate(cpu64, logits, x), rtol=1e-12)


def test_e56_two_levels_are_a_bernoulli(cpu64):
    a, x = draw_inputs(levels=2)
    difference = by_level(a, 2)[:, :, 1] - by_level(a, 2)[:, :, 0]
    expected = (np.logaddexp(0, difference) - x * difference).sum(axis=-1)
    np.testing.assert_allclose(evaluate(cpu64, a, x, levels=2), expected, rtol=1e-13)


def test_e57_the_gradient_is_probability_minus_indicator(cpu64):
    logits, x = draw_inputs()
    shown = np.rint(x * (L - 1))[:, :, None] == np.arange(L)[:, None]
    expected = softmax(by_level(logits), axis=2) - shown
    nll, da = evaluate(cpu64, logits, x, grad=True)
    np.testing.assert_allclose(by_level(da), expected, rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(nll, evaluate(cpu64, logits, x))
    np.testing.assert_allclose(by_level(da).sum(axis=2), 0, atol=1e-14)


def test_e57_the_gradient_is_that_of_the_value_by_complex_step(cpu64, cpu128):
    logits, x = draw_inputs()
    logits.reshape(-1)[:L] = 0.0  # ties for the largest logit
    _, da = evaluate(cpu64, logits, x, grad=True)
    for i in range(L * D):
        step = np.zeros(L * D)
        step[i] = H
        slope = evaluate(cpu128, logits + 1j * step, x).imag / H
        np.testing.assert_allclose(slope, da[:, :, i], rtol=0, atol=1e-15)


def test_e58_the_mean_and_the_sampler_agree_with_the_probabilities():
    for device in ("cpu", "strict"):
        bk = get_backend(device, "float64")
        n, likelihood = 40_000, Categorical(L)
        logits = 1.5 * normal((1, 1, L * D), Stream(6, Purpose.DIRECTION))
        p = softmax(by_level(logits), axis=2)[0, 0]
        mean = bk.empty((1, 1, D))
        likelihood.mean(bk, bk.array(logits), mean)
        grey = np.arange(L) / (L - 1)
        np.testing.assert_allclose(bk.to_host(mean)[0, 0], grey @ p, rtol=1e-14)
        noise, x = bk.empty((n, 1, D)), bk.empty((n, 1, D))
        bk.uniform(noise, Stream(7, Purpose.PIXELS), bk.noise_scratch(n * D))
        assert likelihood.noise == "uniform"
        many = bk.array(np.broadcast_to(logits, (n, 1, L * D)))
        likelihood.sample(bk, None, many, noise, x)
        found = bk.to_host(x)[:, 0]
        for level in range(L):
            share = (found == level / (L - 1)).mean(axis=0)
            error = np.sqrt(p[level] * (1 - p[level]) / n)
            assert (np.abs(share - p[level]) < 5 * error).all()


def test_e58_one_uniform_picks_the_level_whose_stretch_it_falls_into(cpu64):
    logits = np.log([1.0, 3.0, 4.0])  # cumulative: 1/8, 1/2, 1
    u = np.array([0.0, 0.124, 0.126, 0.499, 0.501, 1 - 2.0**-53]).reshape(-1, 1, 1)
    x = np.empty_like(u)
    Categorical(3).sample(cpu64, None, np.tile(logits, (6, 1, 1)), u, x)
    assert x.ravel().tolist() == [0, 0, 0.5, 0.5, 1, 1]


def test_e58_the_size_of_one_pixels_logits_does_not_matter_to_another(cpu64):
    logits = np.array([0.0, -900.0]) + np.log([[1.0, 1.0], [3.0, 3.0], [4.0, 4.0]])
    mean, x = np.empty((1, 1, 2)), np.empty((1, 1, 2))
    Categorical(3).mean(cpu64, logits.reshape(1, 1, 6), mean)
    np.testing.assert_allclose(mean, np.full((1, 1, 2), (0.5 * 3 + 4) / 8), rtol=1e-12)
    Categorical(3).sample(cpu64, None, logits.reshape(1, 1, 6), np.full((1, 1, 2), 0.3), x)
    np.testing.assert_array_equal(x, np.full((1, 1, 2), 0.5))


def test_e58_a_level_of_probability_zero_is_never_drawn(cpu32):
    logits = np.full((2, 1, 4), -1e4, dtype=np.float32)
    logits[:, :, 1] = 0
    u = np.array([0, 1 - 2.0**-24], dtype=np.float32).reshape(2, 1, 1)
    x = np.empty_like(u)
    Categorical(4).sample(cpu32, None, logits, u, x)
    np.testing.assert_array_equal(x, np.full((2, 1, 1), np.float32(1 / 3)))


def test_a_training_step_on_the_strict_device_allocates_nothing_and_agrees_with_numpy():
    logits, x = draw_inputs()
    bk, likelihood = get_backend("strict", "float32"), Categorical(L)
    work = likelihood.work(Workspace(bk, B), D, K)
    a, pixels = bk.array(logits.astype("f4")), bk.array(x.astype("f4"))
    nll, da = bk.empty((B, K)), bk.empty(logits.shape)
    before = bk.device.allocations
    arguments = bk, None, a, pixels, nll, da, work
    bk.capture(partial(likelihood.nll_and_grad, *arguments))()
    assert bk.device.allocations == before
    expected = evaluate(get_backend("cpu", "float32"), logits, x, grad=True)
    np.testing.assert_array_equal(bk.to_host(nll), expected[0])
    np.testing.assert_array_equal(bk.to_host(da), expected[1])


@pytest.mark.parametrize("levels", [1, 0, -3])
def test_a_categorical_has_at_least_two_levels(levels):
    with pytest.raises(ConfigError, match="at least two levels"):
        Categorical(levels)


def test_a_categorical_names_itself_and_has_no_parameters():
    likelihood = Categorical(17)
    assert likelihood.describe() == "categorical over 17 levels"
    assert dict(likelihood.parameters(9)) == {}
    assert likelihood.logits_per_pixel == 17


@pytest.mark.parametrize("levels", [50, 256])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_grey_value_is_its_level_although_the_division_rounds(levels, dtype):
    bk, k = get_backend("cpu", dtype), np.arange(levels)
    logits = normal((levels, 1, levels), Stream(3, Purpose.DIRECTION)).astype(dtype)
    x = (k / np.array(levels - 1, dtype)).astype(dtype).reshape(levels, 1, 1)
    expected = -log_softmax(logits[:, 0].astype(float), axis=1)[k, k]
    found = evaluate(bk, logits, x, levels=levels)[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
