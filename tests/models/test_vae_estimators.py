"""Whole models under every estimator, against plain formulas differentiated by complex step.

An estimator whose gradient is that of its value is checked against the value. The others are
checked against a surrogate: a function, written out below, whose ordinary gradient is what the
estimator hands to encoder and decoder. What is "frozen" in it is computed at the point itself.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from scratchvae.backend.noise import Purpose, Stream, normal, uniform
from scratchvae.latent import ESTIMATORS, FreeBits
from scratchvae.likelihoods import Bernoulli, LearnedGaussian
from scratchvae.models import VAE

D, H, Z, B, H_STEP = 6, 5, 2, 4, 2.0**-100
FLOOR = 0.01  # of the learned Gaussian's σ


def make(name, samples, beta=1.0, likelihood="bernoulli", free_bits=0.0):
    p_x = Bernoulli() if likelihood == "bernoulli" else LearnedGaussian(True, FLOOR, "identity")
    return VAE.mlp(
        D, (H,), latent_dim=Z, activation="tanh", likelihood=p_x, beta=beta, samples=samples,
        estimator=FreeBits(free_bits) if free_bits else ESTIMATORS[name](),
    )  # fmt: skip


@pytest.fixture
def at(cpu64, assemble):
    """at(vae): the model at a point, its gradient, and everything a formula needs."""

    def run(vae, weight=0.3):
        a = assemble(vae, cpu64, B)
        p = {
            n: normal(s, Stream.named(1, Purpose.INITIAL_WEIGHTS, n)) / (2 if "b" in n else 1.5)
            for n, s in vae.layout.shapes.items()
        }
        a.params.load(p)
        x = uniform((B, D), Stream(2, Purpose.PIXELS))
        eps = normal((B, vae.samples, Z), Stream(3, Purpose.LATENT))
        a.run(x, eps, weight)
        return SimpleNamespace(
            vae=vae, p=p, x=x, eps=eps, weight=weight, bound=a.bound, assembly=a,
            gradient=a.grads.to_host(), beta=vae.beta,
        )  # fmt: skip

    return run


# ---- the model, plainly --------------------------------------------------------------------------


def encode(p, t):
    head = np.tanh(t.x @ p["encoder.0.W"] + p["encoder.0.b"]) @ p["encoder.2.W"] + p["encoder.2.b"]
    return head[:, None, :Z], head[:, None, Z:]


def draw(p, t):
    mu, logvar = encode(p, t)
    return mu + np.exp(0.5 * logvar) * t.eps


def nll(p, z, t):
    """(B, K)."""
    a = np.tanh(z @ p["decoder.0.W"] + p["decoder.0.b"]) @ p["decoder.2.W"] + p["decoder.2.b"]
    x = t.x[:, None]
    if "likelihood.logvar" not in p:
        return (np.log(1 + np.exp(a)) - x * a).sum(axis=-1)
    variance = FLOOR**2 + np.exp(p["likelihood.logvar"])
    return (0.5 * (x - a) ** 2 / variance + 0.5 * np.log(2 * np.pi * variance)).sum(axis=-1)


def log_q(p, z, t):
    mu, logvar = encode(p, t)
    terms = np.log(2 * np.pi) + logvar + (z - mu) ** 2 * np.exp(-logvar)
    return -0.5 * terms.sum(axis=-1)


def log_p(z):
    return -0.5 * (np.log(2 * np.pi) + z**2).sum(axis=-1)


def kl(p, t):
    mu, logvar = encode(p, t)
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar)[:, 0]


def importance(cost):
    """−log 1/K Σ_k e^−cost_k, (B,)."""
    return -np.log(np.exp(-cost).mean(axis=1))


def by_complex_step(f, p):
    """The gradient of a scalar function of named arrays."""
    found = {}
    for name, value in p.items():
        found[name] = np.empty(value.shape)
        for index in np.ndindex(value.shape):
            moved = value.astype(complex)
            moved[index] += 1j * H_STEP
            found[name][index] = f({**p, name: moved}).imag / H_STEP
    return found


def check(t, surrogate, distance, tolerance=1e-13):
    """The estimator's gradient is the surrogate's, in norm, for every parameter."""
    expected = by_complex_step(surrogate, t.p)
    assert set(expected) == set(t.gradient)
    for name, g in expected.items():
        if np.any(g):
            assert distance(t.gradient[name], g) < tolerance, name
        else:
            np.testing.assert_array_equal(t.gradient[name], 0.0)


# ---- gradients of values -------------------------------------------------------------------------

LIKELIHOODS = pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])


@LIKELIHOODS
@pytest.mark.parametrize("samples", [1, 3])
def test_e46_the_monte_carlo_kl_differentiates_its_value(at, distance, likelihood, samples):
    t = at(make("monte-carlo", samples, 0.7, likelihood))

    def value(p):
        z = draw(p, t)
        return nll(p, z, t) + t.beta * (log_q(p, z, t) - log_p(z))

    np.testing.assert_allclose(t.bound.objective, value(t.p).mean(axis=1), rtol=1e-13)
    check(t, lambda p: t.weight * value(p).mean(axis=1).sum(), distance)


@LIKELIHOODS
@pytest.mark.parametrize("samples", [1, 3])
def test_e51_the_importance_weighted_bound_differentiates_its_value(
    at, distance, likelihood, samples
):
    t = at(make("iwae", samples, 1.0, likelihood))

    def value(p):
        z = draw(p, t)
        return importance(nll(p, z, t) + log_q(p, z, t) - log_p(z))

    np.testing.assert_allclose(t.bound.objective, value(t.p), rtol=1e-13)
    check(t, lambda p: t.weight * value(p).sum(), distance)


@pytest.mark.parametrize("nats", [0.02, 0.15, 0.6, 50.0])
def test_e55_free_bits_differentiate_their_value(at, distance, nats):
    t = at(make("analytic", 3, 0.7, free_bits=nats))

    def value(p):
        unit = kl(p, t).mean(axis=0)
        divergence = np.where(unit.real > nats, unit, nats).sum()
        return nll(p, draw(p, t), t).mean() + t.beta * divergence

    np.testing.assert_allclose(t.bound.objective.mean(), value(t.p), rtol=1e-13)
    np.testing.assert_allclose(t.bound.kl, kl(t.p, t), rtol=1e-12)
    check(t, lambda p: t.weight * B * value(p), distance)


def test_e55_the_cases_above_have_units_on_both_sides_of_the_limit(at):
    means = at(make("analytic", 3, 0.7)).bound.kl.mean(axis=0)
    below = [int((means < nats).sum()) for nats in (0.02, 0.15, 0.6, 50.0)]
    assert below[0] == 0
    assert 1 in below
    assert below[-1] == Z


def test_e55_zero_free_bits_are_the_analytic_kl_to_the_bit(at):
    vae = make("analytic", 3, 0.7)
    plain, free = at(vae), at(vae.with_estimator(FreeBits(0.0)))
    for name, g in plain.gradient.items():
        np.testing.assert_array_equal(free.gradient[name], g)


# ---- gradients of surrogates ---------------------------------------------------------------------


def frozen(t):
    """z, the cost of every sample and the normalized weights at the point itself."""
    z = draw(t.p, t)
    cost = nll(t.p, z, t) + t.beta * (log_q(t.p, z, t) - log_p(z))
    weights = np.exp(-cost) / np.exp(-cost).sum(axis=1, keepdims=True)
    return z, cost, weights


@LIKELIHOODS
@pytest.mark.parametrize("samples", [1, 3])
def test_e47_detached_the_encoder_receives_log_q_at_fixed_z(at, distance, likelihood, samples):
    t = at(make("detached", samples, 0.7, likelihood))
    z, cost, _ = frozen(t)
    np.testing.assert_allclose(t.bound.objective, cost.mean(axis=1), rtol=1e-13)
    check(
        t,
        lambda p: t.weight * (nll(p, z, t) + t.beta * log_q(p, z, t)).mean(axis=1).sum(),
        distance,
    )


@LIKELIHOODS
@pytest.mark.parametrize("samples", [1, 3])
def test_e48_the_score_function_weighs_log_q_at_fixed_z_by_its_cost(
    at, distance, likelihood, samples
):
    t = at(make("score", samples, 0.7, likelihood))
    z, cost, _ = frozen(t)
    np.testing.assert_allclose(t.bound.objective, cost.mean(axis=1), rtol=1e-13)
    check(
        t,
        lambda p: t.weight * (nll(p, z, t) + cost * log_q(p, z, t)).mean(axis=1).sum(),
        distance,
    )


@pytest.mark.parametrize("samples", [2, 5])
def test_e49_the_baseline_is_the_mean_cost_of_the_other_samples(at, distance, samples):
    t = at(make("score-baseline", samples, 0.7))
    z, cost, _ = frozen(t)
    others = [np.delete(cost, k, axis=1).mean(axis=1) for k in range(samples)]
    advantage = cost - np.stack(others, axis=1)
    check(
        t,
        lambda p: t.weight * (nll(p, z, t) + advantage * log_q(p, z, t)).mean(axis=1).sum(),
        distance,
    )


@LIKELIHOODS
@pytest.mark.parametrize("samples", [1, 3])
def test_e52_sticking_the_landing_holds_the_parameters_of_log_q(at, distance, likelihood, samples):
    t = at(make("stl", samples, 1.0, likelihood))

    def surrogate(p):
        z = draw(p, t)
        return t.weight * importance(nll(p, z, t) + log_q(t.p, z, t) - log_p(z)).sum()

    np.testing.assert_allclose(t.weight * t.bound.objective.sum(), surrogate(t.p), rtol=1e-13)
    check(t, surrogate, distance)


@LIKELIHOODS
@pytest.mark.parametrize("samples", [1, 3])
def test_e53_the_doubly_reparameterized_encoder_has_squared_weights(
    at, distance, likelihood, samples
):
    t = at(make("dreg", samples, 1.0, likelihood))
    z0, cost0, weights = frozen(t)
    np.testing.assert_allclose(t.bound.objective, importance(cost0), rtol=1e-13)

    def surrogate(p):
        z = draw(p, t)
        path = nll(t.p, z, t) + log_q(t.p, z, t) - log_p(z)  # the encoder's: decoder and q held
        return t.weight * ((weights**2 * path).sum() + (weights * nll(p, z0, t)).sum())

    check(t, surrogate, distance)


# ---- estimators that are one for few samples -----------------------------------------------------


@pytest.mark.parametrize(("one", "other"), [("iwae", "monte-carlo"), ("dreg", "stl")])
def test_e50_e53_with_one_sample_they_are_the_same(at, distance, one, other):
    a, b = at(make(one, 1)), at(make(other, 1))
    np.testing.assert_allclose(a.bound.objective, b.bound.objective, rtol=1e-14)
    for name in a.gradient:
        assert distance(a.gradient[name], b.gradient[name]) < 1e-13


@pytest.mark.parametrize("name", ESTIMATORS)
def test_all_of_them_agree_on_the_terms(at, name):
    t, plain = at(make(name, 3)), at(make("analytic", 3))
    np.testing.assert_array_equal(t.bound.nll, plain.bound.nll)
    if name == "analytic":
        np.testing.assert_allclose(t.bound.kl, kl(t.p, t), rtol=0, atol=1e-14)
    else:
        ratio = log_q(t.p, draw(t.p, t), t) - log_p(draw(t.p, t))
        np.testing.assert_allclose(t.bound.kl.sum(axis=1), ratio.mean(axis=1), rtol=1e-12)
    total = t.bound.nll.mean(axis=1) + t.bound.kl.sum(axis=1)
    if t.vae.estimator.allows_beta:
        np.testing.assert_allclose(t.bound.objective, total, rtol=1e-14)
    else:
        assert (t.bound.objective < total).all()  # Jensen's inequality


@pytest.mark.parametrize("name", ["analytic", "monte-carlo", "detached", "score", "score-baseline"])
def test_e54_a_weight_of_the_kl_for_one_step_is_that_of_a_model_with_it(at, distance, name):
    small, whole = at(make(name, 2, 0.25)), at(make(name, 2, 1.0))
    whole.bound.loss_and_gradient(whole.weight, 0.25)
    np.testing.assert_allclose(whole.bound.objective, small.bound.objective, rtol=1e-14)
    for n, g in small.gradient.items():
        assert distance(whole.assembly.grads[n], g) < 1e-14
    whole.bound.loss(0.25)
    np.testing.assert_allclose(whole.bound.objective, small.bound.objective, rtol=1e-14)
