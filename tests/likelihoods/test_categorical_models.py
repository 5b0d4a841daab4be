"""A VAE with categorical pixels, and the levels that its settings take from the data."""

import numpy as np
import pytest

from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.config import TrainConfig, require_same_max_level, resolve_max_level
from scratchvae.data import load_dataset
from scratchvae.errors import ConfigError, DataError
from scratchvae.layers import Dense, Sequential
from scratchvae.likelihoods import Bernoulli, Categorical, Gaussian, LearnedGaussian
from scratchvae.models import VAE, Model
from scratchvae.training import train

PIXELS, LEVELS = 7, 5


def a_model(bk, likelihood, **how):
    return Model(VAE.mlp(PIXELS, (6, 4), latent_dim=3, likelihood=likelihood, **how), bk, seed=2)


def images(n):
    return np.random.default_rng(0).integers(0, LEVELS, (n, PIXELS)) / (LEVELS - 1)


def test_e57_the_gradient_of_the_whole_model_is_that_of_its_loss(cpu64, cpu128):
    model, x = a_model(cpu64, Categorical(LEVELS), samples=2, activation="tanh"), images(4)
    eps = normal((4, 2, 3), Stream(0, Purpose.LATENT))
    _, grads = model.loss_and_gradient(x, eps)
    h, direction = 2.0**-80, normal((6, 4), Stream(1, Purpose.DIRECTION))
    for name, shape in model.vae.layout.shapes.items():
        there = model.to(cpu128)
        v = np.resize(direction, shape)
        there.params[name][...] += 1j * h * v
        vae = there.vae.bind(_tape(cpu128, 4), there.params)
        cpu128.load(x, vae.x)
        cpu128.load(eps, vae.eps)
        vae.loss()
        slope = (vae.nll.mean(axis=1) + vae.kl.sum(axis=1)).mean().imag / h
        assert slope == pytest.approx(float((grads[name] * v).sum()), rel=1e-12, abs=1e-14)


def _tape(bk, rows):
    from scratchvae.memory import Workspace

    return Workspace(bk, rows)


def test_the_decoder_has_a_logit_for_every_level_of_every_pixel(cpu64):
    decoder, encoder = Sequential(Dense(PIXELS)), Sequential(Dense(6))
    with pytest.raises(ConfigError, match="expected 7 pixels of 5 logits each"):
        VAE(PIXELS, encoder, decoder, Categorical(LEVELS), latent_dim=3)
    assert a_model(cpu64, Categorical(LEVELS)).vae.decoder.infer_shape((2,)) == (PIXELS * LEVELS,)


def test_e58_decoded_means_and_draws_are_grey_values_of_the_image(cpu32):
    model = a_model(cpu32, Categorical(LEVELS))
    means, draws = model.sample(600, seed=1)
    assert means.shape == draws.shape == (600, PIXELS)
    assert set(np.unique(draws)) == {0, 0.25, 0.5, 0.75, 1}
    assert (np.abs(draws.mean(axis=0) - means.mean(axis=0)) < 5 * 0.5 / np.sqrt(600)).all()


@pytest.mark.parametrize(
    "likelihood",
    [Bernoulli(), Categorical(LEVELS), Gaussian(0.3), Gaussian(2.0, "identity"),
     LearnedGaussian(), LearnedGaussian(True, 0.1)],
    ids=lambda likelihood: likelihood.describe(),
)  # fmt: skip
@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_the_nats_of_the_pixels_add_up_to_those_of_the_image(likelihood, device):
    from scratchvae.backend import get_backend

    model, x = a_model(get_backend(device, "float64"), likelihood), images(300)
    eps = normal((300, 1, 3), Stream(0, Purpose.LATENT))
    mu, logvar = model.encode(x)
    z = mu + np.exp(logvar / 2) * eps[:, 0]
    by_pixel = model.pixel_nll(x, z)
    assert by_pixel.shape == (300, PIXELS)
    expected = model.terms(x, eps).nll[:, 0]
    np.testing.assert_allclose(by_pixel.sum(axis=1), expected, rtol=1e-12)


def test_pixels_and_z_come_in_pairs(cpu64):
    model = a_model(cpu64, Bernoulli())
    with pytest.raises(DataError, match="z has shape"):
        model.pixel_nll(images(4), np.zeros((3, 3)))


# ---- levels from the data ----------------------------------------------------------------------


def test_the_levels_are_those_of_the_data_or_two_of_binary_pixels():
    config = TrainConfig(likelihood="categorical")
    assert resolve_max_level(config, 16).make_likelihood().n_levels == 17
    binary = TrainConfig(likelihood="categorical", binarize="threshold")
    assert resolve_max_level(binary, 16).max_level == 1
    assert resolve_max_level(TrainConfig(), None) == TrainConfig()


def test_levels_that_the_data_do_not_have_are_refused():
    with pytest.raises(ConfigError, match="the pixels have the levels 0 to 16"):
        resolve_max_level(TrainConfig(likelihood="categorical", max_level=15), 16)
    with pytest.raises(ConfigError, match=r"float numbers: choose a Gaussian"):
        resolve_max_level(TrainConfig(likelihood="categorical"), None)
    with pytest.raises(ConfigError, match="those of the data"):
        TrainConfig(likelihood="categorical").make_likelihood()
    with pytest.raises(ConfigError, match="max_level is 300"):
        TrainConfig(max_level=300)


def test_a_model_of_grey_levels_takes_binary_pixels_and_not_the_other_way_round():
    grey = TrainConfig(likelihood="categorical", max_level=16)
    require_same_max_level(grey, 16)
    require_same_max_level(
        TrainConfig(likelihood="categorical", max_level=16, binarize="static"), 16
    )
    with pytest.raises(DataError, match="k / 1, but the pixels have the levels 0 to 16"):
        require_same_max_level(TrainConfig(likelihood="categorical", max_level=1), 16)
    require_same_max_level(TrainConfig(), 16)


def test_training_on_digits_beats_the_uniform_distribution_in_two_epochs(cpu32):
    config = TrainConfig(likelihood="categorical", hidden=(32,), epochs=2, batch_size=50)
    result = train(config, load_dataset("digits"), backend=cpu32)
    assert result.model.vae.likelihood.n_levels == 17
    assert result.metrics[-1]["test_loss"] < 0.8 * 64 * np.log(17)
