"""Models that cannot be are refused in words, when they are built."""

import numpy as np
import pytest

from scratchvae.errors import ConfigError
from scratchvae.latent import LogStdHead
from scratchvae.layers import Dense, ReLU, Sequential, Sigmoid, Tanh
from scratchvae.likelihoods import Bernoulli, Gaussian, LearnedGaussian
from scratchvae.models import VAE, Model


def parts(head=6, pixels=11):
    return Sequential(Dense(7), Tanh(), Dense(head)), Sequential(Dense(5), Dense(pixels))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pixels": 0}, "must be at least 1, not 0, 3 and 1"),
        ({"latent_dim": -3}, "must be at least 1, not 11, -3 and 1"),
        ({"samples": 0}, "must be at least 1, not 11, 3 and 0"),
        ({"beta": -0.5}, "not negative, not -0.5"),
        ({"beta": float("nan")}, "not negative, not nan"),
        ({"beta": float("inf")}, "not negative, not inf"),
    ],
)
def test_sizes_and_beta_out_of_range_are_refused(settings, message):
    encoder, decoder = parts()
    options = {"pixels": 11, "latent_dim": 3, **settings}
    with pytest.raises(ConfigError, match=message):
        VAE(encoder=encoder, decoder=decoder, likelihood=Bernoulli(), **options)


def test_an_encoder_without_two_columns_a_latent_unit_is_refused():
    encoder, decoder = parts(head=5)
    with pytest.raises(ConfigError, match=r"shape \(5,\), but .* 3 latent units has 6 columns"):
        VAE(11, encoder, decoder, Bernoulli(), latent_dim=3)


def test_a_decoder_with_another_number_of_pixels_is_refused():
    encoder, decoder = parts(pixels=12)
    with pytest.raises(ConfigError, match=r"decoder's output has shape \(12,\), expected 11"):
        VAE(11, encoder, decoder, Bernoulli(), latent_dim=3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "gelu"}, "activation is 'gelu', but it must be one of relu, tanh, sigmoid"),
        ({"init": "zeros"}, "initialization 'zeros' is not one of glorot-uniform, "),
        ({"head": "std"}, "head 'std' is not one of logvar, logstd"),
        ({"hidden": (7, 0)}, "at least 1, not 0"),
        ({"latent_dim": 0}, "latent_dim must be at least 1, not 0"),
        ({"pixels": -1}, "at least"),
    ],
)
def test_the_shortcut_for_dense_models_refuses_unknown_names_and_sizes(settings, message):
    with pytest.raises(ConfigError, match=message):
        VAE.mlp(**{"pixels": 11, **settings})


def test_the_decoder_of_a_dense_model_mirrors_its_encoder():
    vae = VAE.mlp(11, (7, 5), latent_dim=3, activation="sigmoid")
    assert [repr(layer) for layer in vae.encoder.layers] == [
        "Dense(7)", "Sigmoid()", "Dense(5)", "Sigmoid()", "Dense(6)",
    ]  # fmt: skip
    assert [repr(layer) for layer in vae.decoder.layers] == [
        "Dense(5)", "Sigmoid()", "Dense(7)", "Sigmoid()", "Dense(11)",
    ]  # fmt: skip
    assert isinstance(vae.encoder.layers[1], Sigmoid)
    assert isinstance(VAE.mlp(11, (7,), latent_dim=3).encoder.layers[1], ReLU)
    assert repr(VAE.mlp(11, 7)) == repr(VAE.mlp(11, (7,)))


def test_a_head_of_log_sigma_is_one_more_node_and_no_more_parameters():
    plain, declared = (
        VAE.mlp(11, (7,), latent_dim=3),
        VAE.mlp(11, (7,), latent_dim=3, head="logstd"),
    )
    assert isinstance(declared.encoder.layers[-1], LogStdHead)
    assert declared.layout == plain.layout


def test_a_model_without_hidden_layers_is_linear_on_both_sides():
    vae = VAE.mlp(11, (), latent_dim=3)
    assert vae.layout.shapes == {
        "encoder.0.W": (11, 6),
        "encoder.0.b": (6,),
        "decoder.0.W": (3, 11),
        "decoder.0.b": (11,),
    }


def test_the_parameters_of_the_likelihood_are_parameters_of_the_model():
    assert VAE.mlp(11, likelihood=LearnedGaussian()).layout.shapes["likelihood.logvar"] == (1,)
    per_pixel = VAE.mlp(11, likelihood=LearnedGaussian(True))
    assert per_pixel.layout.shapes["likelihood.logvar"] == (11,)


def test_a_model_with_no_samples_is_refused_also_when_samples_change():
    with pytest.raises(ConfigError, match="samples must be at least 1, not 0"):
        VAE.mlp(11).with_samples(0)


@pytest.mark.parametrize("likelihood", [Gaussian(0.5), LearnedGaussian(per_pixel=True)])
def test_a_likelihood_and_layers_may_stand_in_two_models_of_different_sizes(cpu64, likelihood):
    """Sizes are inferred, never stored: what a second model is built of does not change a first."""
    hidden = Dense(5)

    def loss(model):
        return model.loss(np.full((2, model.vae.pixels), 0.25), seed=0).total

    def vae(pixels):
        decoder = Sequential(Dense(pixels))
        return VAE(pixels, Sequential(hidden, Dense(4)), decoder, likelihood, latent_dim=2)

    alone = loss(Model(vae(6), cpu64, seed=1))
    first = Model(vae(6), cpu64, seed=1)
    Model(vae(9), cpu64, seed=2)
    assert loss(first) == alone
