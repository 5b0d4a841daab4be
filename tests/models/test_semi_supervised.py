"""M2: the label summed out exactly, and the conditional model where every label is known."""

import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp

from scratchvae import Dataset, TrainConfig, evaluate, get_backend, train
from scratchvae.data import Split
from scratchvae.errors import ConfigError, DataError
from scratchvae.evaluation import accuracy, classify, importance_sampled
from scratchvae.layers import Dense, Sequential, Tanh
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models import M2, VAE, ConditionalVAE, Label, Model
from scratchvae.optim import Adam
from scratchvae.training.step import Batches, TrainingStep

D, C, Z, B, ALPHA = 9, 3, 2, 6, 1.7


def m2(**how) -> M2:
    plain = VAE.mlp(D, (7,), latent_dim=Z, activation="tanh", **how)
    return M2(plain, D, Sequential(Dense(5), Tanh(), Dense(C)), C, classifier_weight=ALPHA)


def bound_at(vae: M2, rows: np.ndarray, seed: int = 0):
    """The model on its buffers, with its parameters and noise (B, C, Z), after a gradient."""
    bk = get_backend("cpu", "float64")
    params, grads = vae.initial_parameters(bk, seed=1), FlatBuffer(bk, vae.layout)
    bound = vae.bind(Workspace(bk, len(rows)), params, grads)
    bound.x[...] = rows
    bound.eps[...] = np.random.default_rng(seed).normal(size=bound.eps.shape)
    bound.loss_and_gradient(1 / len(rows))
    return bound, params, grads


def images(n: int = B) -> np.ndarray:
    return (np.random.default_rng(5).uniform(size=(n, D)) < 0.5).astype(float)


def log_q(params: FlatBuffer, x: np.ndarray) -> np.ndarray:
    p = params.namespace("classifier")
    hidden = np.tanh(x @ vars(p)["0.W"] + vars(p)["0.b"])
    return log_softmax(hidden @ vars(p)["2.W"] + vars(p)["2.b"], axis=1)


def given_label(vae: M2, params: FlatBuffer) -> Model:
    """The conditional model, made anew from the same layers and parameters."""
    plain = VAE.mlp(D, (7,), latent_dim=Z, activation="tanh", beta=vae.beta)
    model = Model(ConditionalVAE(plain, D, Label(C)), get_backend("cpu", "float64"))
    own = {name: a for name, a in params.to_host().items() if not name.startswith("classifier")}
    model.params.load(own)
    return model


def test_e223_with_every_label_known_it_is_the_conditional_model_and_the_classifier() -> None:
    x, y = images(), np.arange(B) % C
    vae = m2(beta=0.6)
    rows = vae.condition.rows(x, y)
    bound, params, grads = bound_at(vae, rows)
    model = given_label(vae, params)
    eps = bound.eps[np.arange(B), y][:, None]
    loss, gradient = model.loss_and_gradient(Label(C).rows(x, y), eps)
    classified = -log_q(params, x)[np.arange(B), y].mean()
    assert abs(bound.objective.mean() - loss.total - np.log(C) - ALPHA * classified) < 1e-13
    for name, a in gradient.items():
        np.testing.assert_allclose(grads[name], a, rtol=0, atol=1e-15)


def test_e224_with_no_label_known_it_is_the_sum_over_the_labels() -> None:
    x, vae = images(), m2()
    bound, params, _ = bound_at(vae, vae.condition.rows(x, np.full(B, -1)))
    model, logs = given_label(vae, params), log_q(params, x)
    terms = [model.terms(Label(C).rows(x, np.full(B, y)), bound.eps[:, y][:, None])
             for y in range(C)]  # fmt: skip
    cost = np.stack([t.nll[:, 0] + t.kl.sum(axis=1) for t in terms], axis=1) + np.log(C) + logs
    np.testing.assert_allclose(bound.objective, (np.exp(logs) * cost).sum(axis=1), atol=1e-13)
    kl = np.stack([t.kl for t in terms], axis=1)
    np.testing.assert_allclose(bound.kl, (np.exp(logs)[:, :, None] * kl).sum(axis=1), atol=1e-14)

    # and drawing the label, as without the sum, has this mean
    drawn = np.random.default_rng(1).random((100_000, 1)) > np.exp(logs[0]).cumsum()[:-1]
    costs = cost[0][drawn.sum(axis=1)]
    error = costs.std() / np.sqrt(len(costs))
    assert abs(costs.mean() - bound.objective[0]) < 4 * error < 0.05


def test_e224_it_bounds_log_p_of_x_which_is_a_sum_over_labels_too() -> None:
    x, vae = images(2), m2()
    many = np.repeat(x, 4_000, axis=0)
    bound, params, _ = bound_at(vae, vae.condition.rows(many, np.full(len(many), -1)))
    model = given_label(vae, params)
    of_label = [importance_sampled(model, Label(C).rows(x, np.full(2, y)), samples=20_000).log_p
                for y in range(C)]  # fmt: skip
    log_p = logsumexp(of_label, axis=0) - np.log(C)
    bounds = -bound.objective.reshape(2, -1).mean(axis=1)
    assert (bounds < log_p).all()
    assert (bounds > log_p - 3).all()


def test_e225_the_classifier_learns_from_images_without_labels() -> None:
    """By hand: q_y (c_y − Σ q c), through a classifier of one layer."""
    plain = VAE.mlp(D, (7,), latent_dim=Z, activation="tanh")
    vae, x = M2(plain, D, Sequential(Dense(C)), C), images()
    bound, params, grads = bound_at(vae, vae.condition.rows(x, np.full(B, -1)))
    logs = log_softmax(x @ params["classifier.0.W"] + params["classifier.0.b"], axis=1)
    cost, q = bound.given.objective.reshape(B, C) + logs, np.exp(logs)
    expected = q * (cost - (q * cost).sum(axis=1, keepdims=True)) / B
    np.testing.assert_allclose(grads["classifier.0.W"], x.T @ expected, atol=1e-14)
    assert np.abs(expected).max() > 1e-3


def test_two_workers_compute_the_gradient_of_one() -> None:
    vae, x = m2(), images(11).astype(np.float32)
    rows = vae.condition.rows(x, np.arange(11) % 4 - 1)
    gradients = []
    for workers in (1, 2):
        model = Model(vae, get_backend("cpu", "float64"), seed=1)
        step = TrainingStep(model, Adam(), Batches(rows, None, 11, 0), workers=workers)
        step.order[...] = np.arange(11)
        step.gradient(1, 0)
        gradients.append(step.grads.flat.copy())
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=0, atol=1e-15)


def stripes(n: int, labels: np.ndarray | None = None) -> Split:
    """Images of which one row of pixels is bright, the one that the label says."""
    y = np.arange(n) % C
    x = np.random.default_rng(n).integers(0, 60, (n, C, 3))
    x[np.arange(n), y] += 190
    return Split(x.reshape(n, D).astype(np.uint8), y if labels is None else labels, 255)


def test_few_labels_suffice_where_the_images_fall_apart(tmp_path) -> None:
    data = Dataset("stripes", stripes(300), stripes(60), (3, 3))
    config = TrainConfig(condition="some-labels", labels=3, hidden=(20,), epochs=15, lr=1e-2,
                         batch_size=20, latent_dim=2, classifier_weight=5, workers=1)  # fmt: skip
    model = train(config, data, verbose=False).model
    assert accuracy(model, data.test) > 0.95
    q = classify(model, data.test.values())
    np.testing.assert_allclose(q.sum(axis=1), 1, atol=1e-6)
    assert "given the label" in evaluate(model, data.test).protocol
    assert model.sample(3, given=[0, 1, 2]).means.shape == (3, D)
    model.save(tmp_path / "m2.npz")
    again = Model.load(tmp_path / "m2.npz")
    np.testing.assert_array_equal(classify(again, data.test.values()), q)


def test_what_cannot_be_is_refused() -> None:
    data = Dataset("stripes", stripes(30), stripes(9), (3, 3))
    settings = TrainConfig(condition="some-labels", labels=31, batch_size=5)
    with pytest.raises(ConfigError, match="31 labels cannot be kept: the training images have 30"):
        train(settings, data)
    with pytest.raises(ConfigError, match=r"output has shape \(4,\), but there are 3 labels"):
        M2(VAE.mlp(D), D, Sequential(Dense(4)), 3)
    with pytest.raises(ConfigError, match="one sample of z for each label"):
        TrainConfig(condition="some-labels", samples=3)
    with pytest.raises(ConfigError, match="set condition to some-labels"):
        TrainConfig(labels=100)
    with pytest.raises(ConfigError, match="classifier_weight is -1"):
        M2(VAE.mlp(D), D, Sequential(Dense(3)), 3, classifier_weight=-1)
    with pytest.raises(ConfigError, match="the model has no classifier"):
        classify(Model(VAE.mlp(D)), images())
    with pytest.raises(DataError, match="label 2 is unknown to this model, whose 2 labels"):
        M2(VAE.mlp(D), D, Sequential(Dense(2)), 2).condition.rows(images(3), np.array([0, -1, 2]))
    with pytest.raises(DataError, match="image 1 has no label"):
        evaluate(Model(m2()), stripes(3, np.array([0, -1, 2])))
