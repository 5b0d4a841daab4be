"""Two stochastic layers against a linear-Gaussian model, where log p(x) has a closed form."""

import numpy as np
import pytest
from scipy import stats

from scratchvae import Dataset, TrainConfig, evaluate, load, train
from scratchvae.errors import ConfigError
from scratchvae.evaluation import importance_sampled, log_likelihood, without_units
from scratchvae.evaluation.units import layer_means
from scratchvae.latent import DoublyReparameterized, ImportanceWeighted, Planar
from scratchvae.layers import Dense, Sequential
from scratchvae.likelihoods import Gaussian
from scratchvae.models import VAE, BoundPosterior, Model, SecondLayer, TwoLayerVAE
from scratchvae.optim import Adam
from scratchvae.runs import RunFolder
from scratchvae.training.step import Batches, TrainingStep

D, S = 4, 0.7


def linear(first: int, second: int, samples: int = 1) -> TwoLayerVAE:
    """Every network a single dense layer; p(x|z_1) is Gaussian of deviation S."""
    vae = VAE.mlp(
        D, (), latent_dim=first, likelihood=Gaussian(S, "identity"), samples=samples,
        estimator=ImportanceWeighted(),
    )  # fmt: skip
    return TwoLayerVAE(vae, SecondLayer.mlp(first, second, ()))


def small(samples: int = 1) -> TwoLayerVAE:
    """Networks of one hidden layer."""
    vae = VAE.mlp(9, (7,), latent_dim=3, activation="tanh", samples=samples)
    return TwoLayerVAE(vae, SecondLayer.mlp(3, 2, (5,)))


def log_p(model: Model, first: int, x: np.ndarray) -> np.ndarray:
    """x = W z_1 + b + S ε and z_1 = A z_2 + a + τ ε, with z_2 and ε standard normal."""
    p = model.params
    W, b = p["decoder.0.W"].T, p["decoder.0.b"]
    A, a = p["flow.down.0.W"][:, :first].T, p["flow.down.0.b"][:first]
    of_z1 = A @ A.T + np.diag(np.exp(p["flow.down.0.b"][first:]))
    covariance = W @ of_z1 @ W.T + S**2 * np.eye(D)
    return stats.multivariate_normal(W @ a + b, covariance).logpdf(x)


@pytest.mark.parametrize("samples", [1, 5])
def test_e230_the_bound_is_log_p_of_x_for_every_noise_where_q_is_the_posterior(cpu64, samples):
    model = Model(linear(1, 1, samples), cpu64, seed=3)
    p, rng = model.params, np.random.default_rng(0)
    w, b = p["decoder.0.W"][0], p["decoder.0.b"]
    p["decoder.0.b"][...] = rng.normal(size=D)
    p["flow.down.0.W"][...], p["flow.down.0.b"][...] = [[1.3, 0.0]], [0.4, np.log(0.6)]
    a, c, tau2 = 1.3, 0.4, 0.6
    # z_2 | z_1 and z_1 | x by Gaussian conditioning, in one dimension
    precision = 1 + a**2 / tau2
    p["flow.up.0.W"][...] = [[a / tau2 / precision, 0]]
    p["flow.up.0.b"][...] = [-a * c / tau2 / precision, -np.log(precision)]
    prior = a**2 + tau2
    precision = 1 / prior + w @ w / S**2
    p["encoder.0.W"][:, 0], p["encoder.0.W"][:, 1] = w / S**2 / precision, 0
    p["encoder.0.b"][...] = [(c / prior - w @ b / S**2) / precision, -np.log(precision)]
    x = rng.normal(size=(6, D))
    eps = 2 * rng.normal(size=(6, samples, 2))
    one_by_one = [-model.loss(x[n : n + 1], eps[n : n + 1]).total for n in range(6)]
    np.testing.assert_allclose(one_by_one, log_p(model, 1, x), rtol=0, atol=1e-12)


def test_e230_e231_importance_sampling_finds_log_p_of_x(cpu64):
    model = Model(linear(2, 3), cpu64, seed=3)
    model.params["flow.down.0.W"][:, 2:] = 0  # the variance of z_1 given z_2 does not vary
    model.params["flow.down.0.b"][...] = [0.3, -0.8, -0.5, 0.2]
    x = np.random.default_rng(1).normal(size=(3, D))
    found = importance_sampled(model, x, samples=200_000)
    exact = log_p(model, 2, x)
    assert (np.abs(found.log_p - exact) < 4 * found.error).all()
    assert (found.error < 0.1).all()
    bounds = [model.with_samples(k).loss(np.repeat(x, 3000, axis=0)).total for k in (1, 5)]
    assert bounds[0] - 0.02 > bounds[1] > -exact.mean() + 0.02


def test_e231_images_drawn_from_the_prior_have_the_moments_of_the_closed_form(cpu64):
    model = Model(linear(2, 3), cpu64, seed=3)
    model.params["flow.down.0.W"][:, 2:] = 0
    p, drawn = model.params, model.sample(40_000).draws
    W, A = p["decoder.0.W"].T, p["flow.down.0.W"][:, :2].T
    covariance = W @ (A @ A.T + np.eye(2)) @ W.T + S**2 * np.eye(D)  # the biases are zero
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.05 * covariance.max())


def test_e232_two_workers_compute_the_gradient_of_one(cpu64):
    vae = small(samples=2)
    gradients = []
    rows = np.random.default_rng(0).uniform(size=(11, 9)).astype(np.float32)
    for workers in (1, 2):
        model = Model(vae, cpu64, seed=1)
        step = TrainingStep(model, Adam(), Batches(rows, None, 11, 0), workers=workers)
        step.order[...] = np.arange(11)
        step.gradient(1, 0)
        gradients.append(step.grads.flat.copy())
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=0, atol=1e-15)


@pytest.mark.parametrize(("estimator", "samples"), [("analytic", 1), ("iwae", 5)])
def test_a_run_of_two_layers_is_kept_and_evaluated(tmp_path, estimator, samples):
    images = np.random.default_rng(0).integers(0, 256, (60, 3, 4), np.uint8)
    data = Dataset.from_arrays(images, images[:10])
    config = TrainConfig(hidden=(8,), latent_dim=3, second_units=2, second_hidden=(6,), epochs=5,
                         batch_size=10, head="logstd", estimator=estimator, samples=samples,
                         lr=1e-2, workers=1)  # fmt: skip
    run = RunFolder.create(tmp_path, {"config": config.to_json()})
    trained = train(config, data, run=run, verbose=False)
    losses = [m["train_loss"] for m in trained.metrics]
    assert losses[-1] < losses[0]
    model = load(tmp_path)
    assert model.params.flat.tobytes() == trained.model.params.flat.tobytes()
    elbo = evaluate(model, data.test)
    assert len(elbo.kl_per_unit) == 5
    found = log_likelihood(model, data.test, samples=400)
    assert found.log_p > elbo.elbo - 3 * elbo.elbo_standard_error


def test_e34_a_second_layers_means_are_those_at_the_means_of_the_first(cpu64):
    model = Model(linear(2, 3), cpu64, seed=3)
    x, p = np.random.default_rng(1).normal(size=(7, D)), model.params
    first, second = layer_means(model, x)
    np.testing.assert_allclose(first, x @ p["encoder.0.W"][:, :2] + p["encoder.0.b"][:2])
    expected = first @ p["flow.up.0.W"][:, :3] + p["flow.up.0.b"][:3]
    np.testing.assert_allclose(second, expected, atol=1e-14)


def test_what_does_not_fit_is_refused():
    model = Model(small())
    with pytest.raises(ConfigError, match="none can be cut out"):
        without_units(model, np.zeros(5, bool))
    with pytest.raises(ConfigError, match="has two stochastic layers: take a model with one"):
        BoundPosterior(model.vae, model.params, np.zeros((1, 9)), np.ones(9), 1)
    up, down, plain = Sequential(Dense(4)), Sequential(Dense(6)), VAE.mlp(9, latent_dim=3)
    with pytest.raises(ConfigError, match=r"network 'down' has shape \(6,\), but its"):
        TwoLayerVAE(VAE.mlp(9, latent_dim=2), SecondLayer(up, down, 2))
    with pytest.raises(ConfigError, match="at least one unit each, not 3 and 0"):
        TwoLayerVAE(plain, SecondLayer(up, down, 0))
    with pytest.raises(ConfigError, match="choose monte-carlo or iwae"):
        TwoLayerVAE(plain.with_estimator(DoublyReparameterized()), SecondLayer(up, down, 2))
    with pytest.raises(ConfigError, match="takes the place of a flow"):
        TwoLayerVAE(VAE.mlp(9, latent_dim=3, flow=Planar()), SecondLayer(up, down, 2))
    with pytest.raises(ConfigError, match="initialization 'zeros' is not one of"):
        SecondLayer.mlp(3, 2, init="zeros")
