"""Latent units that are cut out of a model: what is left is the model of the others."""

import numpy as np
import pytest
from scipy import stats

from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.config import TrainConfig
from scratchvae.errors import ConfigError
from scratchvae.evaluation import importance_sampled, is_active, without_units
from scratchvae.layers import Dense, Sequential
from scratchvae.likelihoods import Gaussian
from scratchvae.models import VAE, Model

CPU = get_backend("cpu", "float64")


def test_without_a_unit_log_p_of_x_is_that_of_the_linear_gaussian_of_the_others() -> None:
    """x = z W + b + s ε with orthogonal rows of W: the exact posterior has a factor per unit."""
    D, s, lengths = 6, 0.7, np.array([1.5, 0.8, 1.1])
    W = lengths[:, None] * np.linalg.qr(normal((D, D), Stream(1, Purpose.DIRECTION)))[0][:3]
    b, x = normal((D,), Stream(2, Purpose.DIRECTION)), normal((9, D), Stream(3, Purpose.PIXELS))
    variance = 1 / (1 + lengths**2 / s**2)
    gain = W.T / s**2 * variance
    vae = VAE(D, Sequential(Dense(6)), Sequential(Dense(D)), Gaussian(s, "identity"), latent_dim=3)
    model = Model(vae, CPU)
    model.params.load(
        {
            "encoder.0.W": np.hstack([gain, np.zeros((D, 3))]),
            "encoder.0.b": np.concatenate([-b @ gain, np.log(variance)]),
            "decoder.0.W": W,
            "decoder.0.b": b,
        }
    )
    before = model.params.to_host()
    cut = without_units(model, np.array([False, True, False]))
    rest = W[[0, 2]]
    expected = stats.multivariate_normal(b, rest.T @ rest + s**2 * np.eye(D)).logpdf(x)
    np.testing.assert_allclose(importance_sampled(cut, x, samples=4).log_p, expected, atol=1e-11)
    for name, array in before.items():
        np.testing.assert_array_equal(model.params.to_host()[name], array)


@pytest.mark.parametrize("head", ["logvar", "logstd"])
def test_a_unit_that_is_cut_out_has_the_prior_and_moves_no_image(head) -> None:
    model = Model(TrainConfig(hidden=(8,), latent_dim=3, head=head).make_vae(12), CPU, seed=1)
    cut = without_units(model, np.array([True, False, True]))
    x, z = normal((5, 12), Stream(0, Purpose.PIXELS)), normal((5, 3), Stream(0, Purpose.PRIOR))
    mu, logvar = cut.encode(abs(np.tanh(x)))
    assert not mu[:, [0, 2]].any()
    assert not logvar[:, [0, 2]].any()
    np.testing.assert_array_equal(is_active(mu), [False, bool(mu[:, 1].var() > 0.01), False])
    np.testing.assert_array_equal(cut.decode(z), cut.decode(z * [-5, 1, 7]))
    assert not np.allclose(cut.decode(z), cut.decode(z * [1, 2, 1]))


def test_units_of_a_decoder_that_begins_otherwise_cannot_be_cut_out() -> None:
    config = TrainConfig(encoder=("dense 4",), decoder=("tanh", "dense 12"))
    with pytest.raises(ConfigError, match="cut out of decoders that begin with a dense layer"):
        without_units(Model(config.make_vae(12), CPU), np.array([True, False]))
