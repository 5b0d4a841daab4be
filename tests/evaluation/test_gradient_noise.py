"""Bias and variance of gradients: on vectors whose bias and variance are known, and on models."""

import numpy as np
import pytest

from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.data import load_dataset
from scratchvae.errors import ConfigError
from scratchvae.evaluation.gradient_noise import (
    GROUPS,
    BiasVariance,
    Draws,
    bias_and_variance,
    draw_gradients,
    gradient_noise,
    jackknife,
    layers_of,
    squared_norm,
)
from scratchvae.latent import ESTIMATORS
from scratchvae.memory import Layout
from scratchvae.models import VAE, Model

P, N = 30, 400
TRUE = np.linspace(-1.0, 2.0, P)
STD = np.linspace(0.2, 3.0, P)


def vectors(seed, mean, std=1.0, count=N):
    """count draws of N(mean, std²), handed over one by one."""
    noise = normal((count, P), Stream(seed, Purpose.DIRECTION))
    values = mean + std * noise
    draws = Draws(P, count)
    for row in values:
        draws.add(row)
    return draws, values


# ---- the statistics ------------------------------------------------------------------------------


def test_variances_and_group_means_are_those_of_all_vectors_at_once():
    draws, values = vectors(1, 1e6 * TRUE, count=87)  # far from zero: nothing may cancel
    np.testing.assert_allclose(draws.variances, values.var(axis=0, ddof=1), rtol=1e-6)
    group = np.arange(87) * GROUPS // 87
    means = np.stack([values[group == g].mean(axis=0) for g in range(GROUPS)])
    np.testing.assert_allclose(draws.means, means, rtol=1e-12, atol=1e-6)


def test_a_squared_norm_by_hand():
    means = np.array([[1.0, 0.0], [2.0, 1.0], [0.0, 3.0]])
    # products: 1·2 + 0·1 = 2, 0, 3; without a group the product of the two others is left
    value, without = squared_norm(means)
    assert value == pytest.approx((2 + 0 + 3) / 3)
    np.testing.assert_allclose(without, [3.0, 0.0, 2.0])
    assert jackknife(without) == pytest.approx(np.sqrt(2 / 3 * (16 + 25 + 1) / 9))


def test_a_known_variance_and_a_known_bias_are_found():
    shift = np.where(np.arange(P) % 3 == 0, 0.7, 0.0)
    found = bias_and_variance(vectors(1, TRUE + shift, STD)[0], vectors(2, TRUE, 0.5, 4 * N)[0])
    scale = (TRUE**2).sum()
    assert found.variance == pytest.approx((STD**2).sum() / scale, rel=0.05)
    assert found.biased
    assert abs(found.bias_squared - (shift**2).sum() / scale) < 4 * found.bias_squared_error
    assert found.bias_squared_error < 0.25 * found.bias_squared
    assert found.bias == pytest.approx(np.sqrt((shift**2).sum() / scale), rel=0.2)
    assert found.limit > found.bias


def test_the_error_of_a_bias_is_the_scatter_of_its_estimates():
    shift = 0.4 * np.ones(P)
    truth = (shift**2).sum() / (TRUE**2).sum()
    all_found = [
        bias_and_variance(vectors(seed, TRUE + shift, STD)[0], vectors(seed + 500, TRUE, STD)[0])
        for seed in range(60)
    ]
    values = np.array([found.bias_squared for found in all_found])
    errors = np.array([found.bias_squared_error for found in all_found])
    assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(len(values))
    assert 0.7 < errors.mean() / values.std() < 1.5


def test_noise_is_not_called_bias():
    found = [
        bias_and_variance(vectors(seed, TRUE, STD)[0], vectors(seed + 500, TRUE, STD)[0])
        for seed in range(100)
    ]
    assert not any(one.biased for one in found)
    values = np.array([one.bias_squared for one in found])
    assert abs(values.mean()) < 4 * values.std() / 10  # around zero, not above it
    assert (values < 0).any()
    assert all(one.bias == 0 for one in found if one.bias_squared < 0)


def test_one_direction_of_noise_is_not_called_bias_either():
    def along(seed):
        draws = Draws(P, N)
        for a in normal((N, 1), Stream(seed, Purpose.DIRECTION)):
            draws.add(TRUE + 5 * a * STD)
        return draws

    found = [bias_and_variance(along(seed), along(seed + 500)) for seed in range(100)]
    assert sum(one.biased for one in found) <= 2


def test_nothing_is_relative_to_a_gradient_that_cannot_be_told_from_zero():
    found = bias_and_variance(vectors(1, TRUE)[0], vectors(2, 0.0)[0])
    assert not found.known
    assert not found.biased
    assert np.isnan([found.variance, found.bias, found.bias_error, found.limit]).all()
    assert np.isnan([found.bias_squared_error, found.noise_error]).all()


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("spread", "known"), [(0.8, True), (1.3, False)])
def test_a_true_gradient_is_known_when_its_square_exceeds_two_standard_errors(size, spread, known):
    # Group means a ± b: the square is a² − b²/(G − 1), its standard error about 2ab/√G.
    groups = size * (1.0 + spread * np.resize([1.0, -1.0], (GROUPS, 1)))
    reference = Draws(1, GROUPS)
    for vector in groups:
        reference.add(vector)
    assert bias_and_variance(vectors(1, TRUE)[0], vectors(2, TRUE)[0]).known
    assert bias_and_variance(reference, reference).known == known


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_vectors_of_any_type_are_summed_in_float64(dtype):
    values = (1e4 + normal((40, 3), Stream(1, Purpose.DIRECTION))).astype(dtype)
    draws = Draws(3, 40)
    for row in values:
        draws.add(row)
    exact = values.astype(np.float64)
    np.testing.assert_allclose(draws.variances, exact.var(axis=0, ddof=1), rtol=1e-12)


def test_bias_its_error_and_its_limit_follow_from_its_square_by_hand():
    noise = BiasVariance(1.0, bias_squared=0.25, bias_squared_error=0.11, noise_error=0.02)
    assert noise.biased
    assert noise.bias == 0.5
    assert noise.bias_error == pytest.approx((np.sqrt(0.36) - np.sqrt(0.14)) / 2)
    assert noise.limit == pytest.approx(np.sqrt(0.25 + 4 * 0.02))
    below = BiasVariance(1.0, bias_squared=-0.1, bias_squared_error=0.35, noise_error=0.02)
    assert (below.biased, below.bias) == (False, 0.0)
    assert below.bias_error == pytest.approx(np.sqrt(0.25) / 2)
    assert below.limit == pytest.approx(np.sqrt(4 * 0.02))
    assert not BiasVariance(1.0, 0.08, 0.1, 0.02).biased  # it must exceed four errors


def test_too_few_draws_are_refused():
    with pytest.raises(ConfigError, match=f"at least {GROUPS} draws are needed, not 5"):
        Draws(3, 5)


def test_a_layer_is_its_weights_and_biases():
    layout = Layout({"encoder.0.W": (3, 5), "encoder.0.b": (5,), "decoder.2.W": (2, 2)})
    assert layers_of(layout) == {"encoder.0": slice(0, 21), "decoder.2": slice(32, 36)}


# ---- models --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model_and_images():
    from scratchvae.backend import get_backend

    vae = VAE.mlp(64, (9,), latent_dim=2, samples=4)
    images = load_dataset("digits", None, quiet=True).train.values(slice(0, 6))
    return Model(vae, get_backend("cpu", "float64"), seed=3), images


def test_every_estimator_has_a_reference_of_its_bound():
    references = {estimator.reference for estimator in ESTIMATORS.values()}
    assert references == {"analytic", "iwae"} <= set(ESTIMATORS)
    assert all(ESTIMATORS[name].reference == name for name in references)


def test_draws_are_gradients_of_the_mean_over_the_batch(model_and_images):
    model, images = model_and_images
    stream = Stream(5, Purpose.TEST_LATENT, 0, 8)
    draws = draw_gradients(model, images, "analytic", draws=20, stream=stream)
    expected = []
    for step in range(20):
        eps = normal((6, 4, 2), stream._replace(step=step))
        _, gradient = model.loss_and_gradient(images, eps)
        expected.append(gradient["encoder.0.W"].ravel())
    where = slice(0, 64 * 9)
    np.testing.assert_allclose(draws.means[:, where], expected, rtol=1e-10, atol=1e-14)


def test_an_estimator_is_held_against_the_draws_of_its_reference(model_and_images):
    model, images = model_and_images

    def drawn(name, what, draws):
        stream = Stream.named(7, Purpose.TEST_LATENT, f"gradient noise, {what}, epoch 3")
        return draw_gradients(model, images, name, draws=draws, stream=stream)

    own, reference = drawn("dreg", "dreg", 20), drawn("iwae", "reference iwae", 60)
    found = gradient_noise(
        model, images, draws=20, seed=7, moment="epoch 3", reference_factor=3, names=("dreg",)
    )
    for layer, where in layers_of(model.vae.layout).items():
        assert found["dreg"][layer] == bias_and_variance(own, reference, where)


def test_what_is_known_of_each_estimator_is_found(model_and_images):
    model, images = model_and_images
    found = gradient_noise(model, images, draws=200, seed=1)
    assert list(found) == list(ESTIMATORS)
    encoder = {name: by_layer["encoder.0"] for name, by_layer in found.items()}
    assert {name for name, noise in encoder.items() if noise.biased} == {"detached", "stl"}
    assert not any(by_layer["decoder.2"].biased for by_layer in found.values())
    # detached: its mean is zero, so that all of the true gradient is missing
    detached = encoder["detached"]
    assert abs(detached.bias_squared - 1) < 4 * detached.bias_squared_error + 1e-3
    assert encoder["score"].variance > 10 * encoder["score-baseline"].variance
    assert encoder["iwae"].variance > encoder["stl"].variance > encoder["dreg"].variance
    assert encoder["monte-carlo"].variance > encoder["analytic"].variance


def test_the_numbers_are_those_of_seed_and_moment(model_and_images):
    model, images = model_and_images
    names = ("analytic", "dreg")

    def measured(seed=1, moment="x", names=names):
        return gradient_noise(
            model, images, draws=20, seed=seed, moment=moment, reference_factor=1, names=names
        )

    one = measured()
    assert measured() == one
    alone = measured(names=names[1:])
    assert alone["dreg"] == one["dreg"]  # no estimator draws from another's noise
    assert measured(seed=2) != one != measured(moment="y")
    with pytest.raises(ConfigError, match="unknown estimators: vimco"):
        gradient_noise(model, images, draws=20, names=("vimco",))
