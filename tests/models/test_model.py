"""A model from the outside: host arrays in, host arrays out."""

import copy
import io
import pickle
import re

import joblib
import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logsumexp

from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal, uniform
from scratchvae.errors import DataError
from scratchvae.latent import ESTIMATORS
from scratchvae.likelihoods import Gaussian
from scratchvae.models import VAE, Model
from scratchvae.models.model import BLOCK


def pickled(model):
    return pickle.loads(pickle.dumps(model))


def dumped(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


@pytest.fixture
def model(cpu64, make, kind):
    return Model(make(kind), cpu64, seed=4)


def by_hand(model, part, x):
    """A dense network from its parameters alone, as a reader would write it."""
    p = model.params.to_host()
    squash = {"ReLU()": lambda a: np.maximum(a, 0), "Tanh()": np.tanh, "Sigmoid()": expit}
    for i, layer in enumerate(getattr(model.vae, part).layers):
        if f"{part}.{i}.W" in p:
            x = x @ p[f"{part}.{i}.W"] + p[f"{part}.{i}.b"]
        elif repr(layer) == "LogStdHead()":
            x = np.hstack([x[:, :3], 2 * x[:, 3:]])
        else:
            x = squash[repr(layer)](x)
    return x


def test_encoding_gives_mu_and_logvar_of_every_image(model, batch):
    x, _ = batch(model.vae)
    mu, logvar = model.encode(x)
    expected = by_hand(model, "encoder", x)
    np.testing.assert_allclose(mu, expected[:, :3], rtol=0, atol=1e-14)
    np.testing.assert_allclose(logvar, expected[:, 3:], rtol=0, atol=1e-14)


def test_decoding_gives_the_mean_of_the_likelihood(model):
    z = normal((7, 3), Stream(2, Purpose.PRIOR))
    logits = by_hand(model, "decoder", z)
    identity = getattr(model.vae.likelihood, "mean_map", "sigmoid") == "identity"
    expected = logits if identity else expit(logits)
    np.testing.assert_allclose(model.decode(z), expected, rtol=0, atol=1e-14)


def test_a_reconstruction_is_the_decoded_mean(model, batch):
    x, _ = batch(model.vae)
    np.testing.assert_array_equal(model.reconstruct(x), model.decode(model.encode(x)[0]))


def test_results_are_arrays_of_their_own(model, batch):
    x, _ = batch(model.vae)
    mu, logvar = model.encode(x)
    for array in (mu, logvar, *model.sample(3), model.reconstruct(x)):
        assert array.flags.c_contiguous
        assert array.flags.owndata
    assert not np.shares_memory(mu, logvar)
    found = model.loss_and_gradient(x)
    assert (found.loss, model.sample(3)._fields) == (model.loss(x), ("means", "draws"))


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, pickled, dumped])
def test_a_copied_model_gives_the_same_numbers_and_has_its_own_parameters(model, batch, clone):
    x, eps = batch(model.vae)
    other = clone(model)
    assert (other.bk.name, other.bk.dtype) == (model.bk.name, model.bk.dtype)
    assert other.loss(x, eps) == model.loss(x, eps)
    expected = model.loss_and_gradient(x, eps).gradient
    for name, gradient in other.loss_and_gradient(x, eps).gradient.items():
        np.testing.assert_array_equal(gradient, expected[name])
    other.params.flat[...] = 0.0
    assert not other.params["encoder.0.W"].any()
    assert model.params.flat.any()


def test_without_a_backend_a_model_is_on_the_cpu_in_float32(make):
    model = Model(make("bernoulli"))
    assert (model.bk.name, model.bk.dtype) == ("cpu", np.float32)


def test_more_images_than_a_block_are_treated_like_few(cpu64, make, batch):
    model = Model(make("bernoulli, 4 samples, beta"), cpu64)
    x, eps = batch(model.vae, rows=2 * BLOCK + 3)
    mu, logvar = model.encode(x)
    for rows in (slice(0, 2), slice(BLOCK - 1, BLOCK + 1), slice(2 * BLOCK, None)):
        few = model.encode(x[rows])
        np.testing.assert_allclose(mu[rows], few[0], rtol=0, atol=1e-15)
        np.testing.assert_allclose(logvar[rows], few[1], rtol=0, atol=1e-15)
        terms = model.terms(x[rows], eps[rows])
        whole = model.terms(x, eps)
        np.testing.assert_allclose(whole.nll[rows], terms.nll, rtol=1e-14)
        np.testing.assert_allclose(whole.kl[rows], terms.kl, rtol=0, atol=1e-14)
    np.testing.assert_allclose(model.decode(mu)[-1], model.decode(mu[-1:])[0], rtol=0, atol=1e-15)


@pytest.mark.parametrize("rows", [BLOCK, BLOCK + 3, 2 * BLOCK + 1])
def test_the_nats_of_the_pixels_of_many_images_add_up_to_the_nats_of_each(cpu64, make, batch, rows):
    model = Model(make("bernoulli"), cpu64)
    x, _ = batch(model.vae, rows=rows)
    nll = model.pixel_nll(x, model.encode(x).mu).sum(axis=1)
    at_the_mean = model.terms(x, np.zeros((rows, 1, model.vae.latent_dim))).nll[:, 0]
    np.testing.assert_allclose(nll, at_the_mean, rtol=1e-13)


def test_the_loss_is_an_average_over_images_and_samples_with_its_beta(model, batch):
    x, eps = batch(model.vae)
    loss = model.loss(x, eps)
    terms = model.terms(x, eps)
    assert terms.nll.shape == (len(x), model.vae.samples)
    np.testing.assert_allclose(loss.reconstruction, terms.nll.mean(), rtol=1e-14)
    np.testing.assert_allclose(loss.kl, terms.kl.sum() / len(x), rtol=1e-14)
    assert loss.total == loss.reconstruction + model.vae.beta * loss.kl


def test_the_terms_of_a_float32_model_are_averaged_in_float64(cpu32, make, batch):
    model = Model(make("bernoulli, 4 samples, beta"), cpu32, seed=4)
    x, eps = batch(model.vae, rows=200)
    loss, terms = model.loss(x, eps), model.terms(x, eps)
    assert loss.reconstruction == pytest.approx(terms.nll.astype(np.float64).mean(), rel=1e-14)
    assert loss.kl == pytest.approx(terms.kl.astype(np.float64).sum() / len(x), rel=1e-14)


def test_e50_the_loss_of_an_importance_weighted_model_is_its_bound_by_hand(cpu64):
    vae = VAE.mlp(7, (6,), latent_dim=3, activation="tanh", samples=4).with_estimator(
        ESTIMATORS["iwae"]()
    )
    model, x = Model(vae, cpu64, seed=1), uniform((5, 7), Stream(1, Purpose.PIXELS))
    eps = normal((5, 4, 3), Stream(2, Purpose.PRIOR))
    mu, logvar = (a[:, None] for a in model.encode(x))
    std = np.exp(logvar / 2)
    z = mu + std * eps
    log_w = -model.terms(x, eps).nll + stats.norm.logpdf(z).sum(axis=2)
    log_w -= stats.norm.logpdf(z, mu, std).sum(axis=2)
    loss = model.loss(x, eps)
    expected = -(logsumexp(log_w, axis=1) - np.log(4)).mean()
    assert loss.total == pytest.approx(expected, rel=1e-12)
    assert model.loss_and_gradient(x, eps).loss.total == pytest.approx(expected, rel=1e-12)


def test_the_gradient_is_that_of_the_average_loss(model, batch, assemble, cpu64):
    x, eps = batch(model.vae)
    loss, gradient = model.loss_and_gradient(x, eps)
    a = assemble(model.vae, cpu64, len(x), params=model.params).run(x, eps, 1 / len(x))
    np.testing.assert_allclose(loss.total, a.total / len(x), rtol=1e-14)
    assert list(gradient) == list(model.params)
    for name, value in gradient.items():
        np.testing.assert_array_equal(value, a.grads[name])


def test_without_noise_the_seed_decides_and_more_images_do_not_change_the_first(cpu64, make, batch):
    model = Model(make("bernoulli"), cpu64)
    x, _ = batch(model.vae, rows=BLOCK + 5)
    assert model.loss(x, seed=1) == model.loss(x, seed=1)
    assert model.loss(x, seed=1) != model.loss(x, seed=2)
    stream = Stream(1, Purpose.TEST_LATENT)
    all_of_them, first = (model.terms(images, stream=stream) for images in (x, x[:BLOCK]))
    np.testing.assert_array_equal(all_of_them.nll[:BLOCK], first.nll)
    twice = model.terms(np.vstack([x[:BLOCK], x[:BLOCK]]), stream=stream).nll
    assert not np.isclose(twice[:BLOCK], twice[BLOCK:]).any()  # no block repeats another's noise
    loss, _ = model.loss_and_gradient(x[:9], seed=3)
    assert loss == model.loss(x[:9], seed=3)


def test_samples_of_a_bernoulli_are_binary_and_follow_their_means(cpu64, make):
    model = Model(make("bernoulli, 4 samples, beta"), cpu64)
    means, draws = model.sample(4000, seed=3)
    assert means.shape == draws.shape == (4000, 11)
    assert set(np.unique(draws)) == {0.0, 1.0}
    error = np.sqrt((means * (1 - means)).sum(axis=0)) / 4000
    assert (np.abs((draws - means).mean(axis=0)) < 5 * error).all()
    again, other = model.sample(4000, seed=3), model.sample(4000, seed=4)
    np.testing.assert_array_equal(again[0], means)
    np.testing.assert_array_equal(again[1], draws)
    assert not np.isclose(other[0], means).all()


def test_samples_of_a_gaussian_scatter_about_their_means(cpu64):
    model = Model(VAE.mlp(11, (7,), latent_dim=3, likelihood=Gaussian(0.25)), cpu64)
    means, draws = model.sample(4000, seed=3)
    n = draws.size
    assert abs((draws - means).mean()) < 5 * 0.25 / np.sqrt(n)
    assert abs((draws - means).var() - 0.0625) < 5 * 0.0625 * np.sqrt(2 / n)
    z = normal((4000, 3), Stream(3, Purpose.PRIOR))
    np.testing.assert_array_equal(means, model.decode(z))


def test_the_pixels_of_prior_samples_have_the_noise_of_their_seed(cpu64):
    model = Model(VAE.mlp(11, (7,), latent_dim=3, likelihood=Gaussian(0.25)), cpu64)
    for seed in (3, 4):
        means, draws = model.sample(5, seed=seed)
        noise = normal((5, 11), Stream(seed, Purpose.PIXELS))
        np.testing.assert_allclose((draws - means) / 0.25, noise, rtol=0, atol=1e-13)


def test_binary_pixels_of_prior_samples_are_lit_below_their_means(cpu64, make):
    model = Model(make("bernoulli"), cpu64)
    for seed in (3, 4):
        means, draws = model.sample(50, seed=seed)
        u = uniform((50, 11), Stream(seed, Purpose.PIXELS))
        np.testing.assert_array_equal(draws, u < means)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_on_the_strict_device_gives_the_same_numbers_as_on_the_cpu(
    make, batch, kind, dtype
):
    cpu = Model(make(kind), get_backend("cpu", dtype), seed=4)
    strict = cpu.to(get_backend("strict", dtype))
    x, eps = batch(cpu.vae)
    np.testing.assert_array_equal(strict.reconstruct(x), cpu.reconstruct(x))
    np.testing.assert_array_equal(strict.sample(5, seed=1).draws, cpu.sample(5, seed=1).draws)
    assert strict.loss(x, eps) == cpu.loss(x, eps)
    assert strict.loss_and_gradient(x, eps)[0] == cpu.loss_and_gradient(x, eps)[0]


def test_a_copy_with_other_samples_shares_the_parameters_and_a_copy_on_a_backend_does_not(model):
    assert model.with_samples(3).params is model.params
    copy = model.to(model.bk)
    copy.params.flat[...] = 0.0
    assert model.params.flat.any()


@pytest.mark.parametrize("shape", [(12,), (0, 11), (4, 12), (2, 11, 2), (11, 2), ()])
def test_images_of_another_shape_are_refused(cpu64, make, shape):
    model = Model(make("bernoulli"), cpu64)
    for use in (model.encode, model.loss, model.reconstruct, model.loss_and_gradient):
        with pytest.raises(DataError, match=r"images have shape .*, expected \(N, 11\)"):
            use(np.zeros(shape))


@pytest.mark.parametrize("shape", [(2, 4), (0, 3), (2, 3, 3), (4,)])
def test_latent_vectors_of_another_shape_are_refused(cpu64, make, shape):
    model = Model(make("bernoulli"), cpu64)
    complaint = re.escape(f"latent vectors have shape {shape}, expected (N, 3)")
    with pytest.raises(DataError, match=complaint):
        model.decode(np.zeros(shape))


def test_noise_of_another_shape_is_refused(cpu64, make):
    model = Model(make("bernoulli"), cpu64)
    with pytest.raises(DataError, match=r"eps has shape \(5, 2, 3\), expected \(5, 1, 3\)"):
        model.loss(np.zeros((5, 11)), np.zeros((5, 2, 3)).tolist())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_latent_vectors_and_noise_are_finite(cpu64, make, bad):
    model = Model(make("bernoulli"), cpu64)
    z = np.zeros((5, 3))
    z[4, 1] = bad
    with pytest.raises(DataError, match=r"latent vectors hold 1 values of 15 .* index \(4, 1\)"):
        model.decode(z)
    with pytest.raises(DataError, match=r"eps hold 1 values of 15 .* index \(4, 0, 1\)"):
        model.loss(np.zeros((5, 11)), z[:, None].tolist())
