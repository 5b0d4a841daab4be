"""Small models of every kind, with sizes that are all different."""

from types import SimpleNamespace

import pytest

from scratchvae.backend.noise import Purpose, Stream, normal, uniform
from scratchvae.likelihoods import Bernoulli, Gaussian, LearnedGaussian
from scratchvae.models import VAE

PIXELS, HIDDEN, LATENT, ROWS = 11, (7, 5), 3, 6

KINDS = {
    "bernoulli": {},
    "bernoulli, 4 samples, beta": {"samples": 4, "beta": 0.6, "activation": "tanh"},
    "log-std head": {"samples": 2, "head": "logstd", "activation": "sigmoid"},
    "gaussian": {"likelihood": lambda: Gaussian(0.5), "samples": 4, "init": "torch"},
    "learned gaussian": {"likelihood": LearnedGaussian, "activation": "tanh", "beta": 2.0},
    "learned a pixel": {
        "likelihood": lambda: LearnedGaussian(True, 0.1, "identity"),
        "samples": 4,
        "head": "logstd",
        "init": "he",
    },
}


def build(kind, **changes):
    options = {**KINDS[kind], **changes}
    likelihood = options.pop("likelihood", Bernoulli)()
    return VAE.mlp(PIXELS, HIDDEN, latent_dim=LATENT, likelihood=likelihood, **options)


@pytest.fixture(scope="session")
def sizes():
    return SimpleNamespace(pixels=PIXELS, hidden=HIDDEN, latent=LATENT, rows=ROWS)


@pytest.fixture(params=KINDS)
def kind(request):
    """The name of one of the models above, one after the other."""
    return request.param


@pytest.fixture(scope="session")
def make():
    """make(kind, **changes): a fresh model of that kind."""
    return build


@pytest.fixture(scope="session")
def batch():
    """batch(vae, rows): images in [0, 1] and noise for the model, float64 on the host."""

    def draw(vae, rows=ROWS, seed=5):
        x = uniform((rows, vae.pixels), Stream(seed, Purpose.FIGURE))
        return x, normal((rows, vae.samples, vae.latent_dim), Stream(seed, Purpose.LATENT))

    return draw
