"""The noise behind an evaluated or drawn number is a function of its names alone."""

from functools import partial

import numpy as np
import pytest

import scratchvae.evaluation.nll as nll
from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal, uniform
from scratchvae.data import Split, binarize
from scratchvae.errors import DataError
from scratchvae.evaluation import evaluate, log_likelihood
from scratchvae.likelihoods import Gaussian
from scratchvae.models import VAE, Model

CPU = get_backend("cpu", "float64")
D = 6


def grey(count):
    return Split(uniform((count, D), Stream(1, Purpose.PIXELS)).astype(np.float32), None, None)


def test_log_p_does_not_depend_on_how_many_images_are_held_at_one_time(monkeypatch):
    model, split = Model(VAE.mlp(D, (5,), latent_dim=2), CPU), grey(11)
    whole = log_likelihood(model, split, samples=4, seed=3)
    monkeypatch.setattr(nll, "CHUNK", 4)
    parts = log_likelihood(model, split, samples=4, seed=3)
    assert parts.images == 11
    assert parts.log_p == pytest.approx(whole.log_p, rel=1e-13)
    assert parts.standard_error == pytest.approx(whole.standard_error, rel=1e-12)
    assert parts.effective_samples == pytest.approx(whole.effective_samples, rel=1e-12)


@pytest.mark.parametrize("seed", [0, 5])
def test_a_drawn_bernoulli_pixel_is_lit_where_its_uniform_is_below_its_mean(seed):
    means, draws = Model(VAE.mlp(D, (5,), latent_dim=2), CPU).sample(7, seed=seed)
    u = uniform((7, D), Stream(seed, Purpose.PIXELS))
    np.testing.assert_array_equal(draws, u < means)


def test_a_drawn_gaussian_pixel_is_its_mean_and_its_normal():
    model = Model(VAE.mlp(D, (5,), latent_dim=2, likelihood=Gaussian(0.5)), CPU)
    means, draws = model.sample(7, seed=5)
    z = normal((7, D), Stream(5, Purpose.PIXELS))
    np.testing.assert_allclose(draws, means + 0.5 * z, rtol=1e-13)


def test_the_mean_of_a_draw_is_the_decoder_of_its_prior_sample():
    model = Model(VAE.mlp(D, (5,), latent_dim=2), CPU)
    z = normal((7, 2), Stream(5, Purpose.PRIOR))
    np.testing.assert_array_equal(model.sample(7, seed=5).means, model.decode(z))


def test_log_p_names_the_seed_of_the_pixels_it_is_about():
    pixels = binarize(grey(5), "static", seed=7, lane=0)
    assert (
        "seed 7"
        in log_likelihood(Model(VAE.mlp(D, (5,), latent_dim=2), CPU), pixels, samples=2).protocol
    )


@pytest.mark.parametrize("measure", [evaluate, partial(log_likelihood, samples=2)])
def test_only_a_split_with_images_is_evaluated(measure):
    model = Model(VAE.mlp(D, (5,), latent_dim=2), CPU)
    with pytest.raises(DataError, match="evaluated on a Split"):
        measure(model, grey(3).images)
    with pytest.raises(DataError, match="no images"):
        measure(model, grey(0))


def test_a_block_of_impossible_samples_leaves_room_for_improbable_ones():
    mean = nll.LogMeanExp(1)
    mean.add(np.array([[-np.inf]]))
    mean.add(np.array([[-800.0, -800.0]]))
    np.testing.assert_allclose(mean.value(), np.log(2 / 3) - 800.0, rtol=1e-15)
