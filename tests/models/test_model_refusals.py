"""What a model refuses before it computes: parameters of another shape, no images, other noise."""

import numpy as np
import pytest

from scratchvae.backend import get_backend
from scratchvae.errors import ConfigError, DataError
from scratchvae.likelihoods import Gaussian
from scratchvae.models import VAE, Model

CPU = get_backend("cpu", "float64")
IMAGES = np.linspace(0.0, 1.0, 15).reshape(3, 5)


def model():
    return Model(VAE.mlp(5, (4,), latent_dim=2), CPU)


def test_parameters_of_another_model():
    with pytest.raises(ConfigError, match="the parameters have the shapes"):
        Model(VAE.mlp(5, (3,), latent_dim=2), CPU, params=model().params)


@pytest.mark.parametrize("count", [0, -2, 2.5, "3", None])
def test_a_number_of_drawn_images_that_is_none(count):
    with pytest.raises(ConfigError):
        model().sample(count)


def test_noise_may_be_a_list_and_has_its_shape():
    eps = np.linspace(-1.0, 1.0, 6).reshape(3, 1, 2)
    made, listed = (model().loss_and_gradient(IMAGES, e) for e in (eps, eps.tolist()))
    assert made.loss == listed.loss
    with pytest.raises(DataError):
        model().loss_and_gradient(IMAGES, eps[:2])


def test_images_and_latent_vectors_come_in_pairs():
    z = np.zeros((3, 2))
    assert model().pixel_nll(IMAGES, z).shape == (3, 5)
    for few, many in ((IMAGES[:2], z), (IMAGES, z[:2])):
        with pytest.raises(DataError, match="z has shape"):
            model().pixel_nll(few, many)


class ReturnsMean(Gaussian):
    def mean(self, bk, logits, out):
        return logits


class ReturnsDraws(Gaussian):
    def sample(self, bk, p, logits, noise, out):
        return logits + noise


@pytest.mark.parametrize(
    ("likelihood", "method"), [(ReturnsMean, "mean"), (ReturnsDraws, "sample")]
)
def test_a_mean_or_a_sampler_that_returns_its_result_is_refused_not_ignored(likelihood, method):
    vae = VAE.mlp(5, (4,), likelihood=likelihood(1.0))
    lost = rf"^{likelihood.__name__}.{method} returns a value, which is lost: .* out\[...\] = …"
    with pytest.raises(ConfigError, match=lost):
        Model(vae, CPU).sample(2)
