"""Two latent dimensions, where log p(x) and the posterior are integrals that can be computed."""

import numpy as np
import pytest
from scipy import special, stats
from scipy.special import logsumexp

from scratchvae.backend.noise import Purpose, Stream, uniform
from scratchvae.evaluation import importance_sampled
from scratchvae.latent import ImportanceWeighted
from scratchvae.layers import Dense, Sequential, Tanh
from scratchvae.likelihoods import Bernoulli, Gaussian
from scratchvae.models import VAE, ConditionalVAE, Label, Model

D, B = 9, 5
LOG_TWO_PI = np.log(2 * np.pi)


def plane(reach, points):
    """Nodes (G, 2) of the trapezoidal rule on a square, and the logarithm of the weight of one.

    For smooth functions that fall like a Gaussian the rule is exact to rounding.
    """
    side, step = np.linspace(-reach, reach, points, retstep=True)
    mesh = np.meshgrid(side, side, indexing="ij")
    return np.stack(mesh, axis=-1).reshape(-1, 2), 2 * np.log(step)


GRID, LOG_CELL = plane(9.0, 361)


def log_likelihood_on_grid(vae, params, bk, assemble, x):
    """log p(x|z) of every image at every point of the grid, (B, G), by the model's own code."""
    on_grid = assemble(vae.with_samples(len(GRID)), bk, 1, params=params)
    found = []
    for image in x:
        on_grid.bk.load(GRID[None], on_grid.bound.z)
        on_grid.bk.load(image[None], on_grid.bound.x)
        on_grid.bound.run_decoder()
        b = on_grid.bound
        b.likelihood.nll(bk, b.p_x, b.logits, b.x_each, b.nll, b.work)
        found.append(-b.nll[0].copy())
    return np.array(found)


LIKELIHOODS = {"bernoulli": Bernoulli, "gaussian": lambda: Gaussian(0.8)}


@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)
@pytest.mark.parametrize("head", ["logvar", "logstd"])
def test_e1_the_elbo_and_the_divergence_from_the_posterior_add_up_to_log_p_of_x(
    cpu64, assemble, likelihood, head
):
    nodes, log_cell = plane(8.5, 171)
    weights = np.exp(-0.5 * (nodes**2).sum(axis=-1) - LOG_TWO_PI + log_cell)  # of ε ~ N(0, I)
    vae = VAE.mlp(
        D,
        (7,),
        latent_dim=2,
        activation="tanh",
        likelihood=likelihood(),
        init="torch",
        head=head,
        samples=len(nodes),
    )
    x = (uniform((B, D), Stream(1, Purpose.PIXELS)) < 0.5).astype(float)
    params = vae.initial_parameters(cpu64, seed=3)
    params["encoder.2.b"][2:] -= 0.5  # no σ so wide that q leaves the grid
    params["encoder.2.W"][:, 2:] *= 0.5
    params["decoder.0.W"][...] *= 3  # so that the posterior is not the prior
    params["decoder.2.W"][...] *= 3
    a = assemble(vae, cpu64, B, params=params)
    a.feed(x, np.broadcast_to(nodes, (B, *nodes.shape))).bound.loss()
    elbo = -(a.bound.nll * weights).sum(axis=1) - a.bound.kl.sum(axis=1)

    log_joint = log_likelihood_on_grid(vae, params, cpu64, assemble, x)
    log_joint += -0.5 * (GRID**2).sum(axis=-1) - LOG_TWO_PI
    log_p = logsumexp(log_joint, axis=1) + LOG_CELL
    mean, std = a.bound.head[:, None, :2], a.bound.std[:, None]
    log_q = (-0.5 * ((GRID - mean) / std) ** 2 - np.log(std) - 0.5 * LOG_TWO_PI).sum(axis=-1)
    q = np.exp(log_q + LOG_CELL)
    np.testing.assert_allclose(q.sum(axis=1), 1.0, rtol=0, atol=1e-10)  # the grid is fine enough
    divergence = (q * (log_q - (log_joint - log_p[:, None]))).sum(axis=1)

    assert (divergence > 0.01).all()
    np.testing.assert_allclose(elbo + divergence, log_p, rtol=0, atol=1e-6)
    assert (elbo < log_p).all()


def test_e1_the_probabilities_of_all_images_add_up_to_one(cpu64, assemble):
    # p(x) = ∫ p(x|z) p(z) dz, summed over all 2⁴ binary images.
    vae = VAE.mlp(4, (7,), latent_dim=2, activation="tanh", init="torch")
    params = vae.initial_parameters(cpu64, seed=3)
    params["decoder.2.W"][...] *= 4
    images = ((np.arange(16)[:, None] >> np.arange(4)) & 1).astype(float)
    log_joint = log_likelihood_on_grid(vae, params, cpu64, assemble, images)
    log_joint += -0.5 * (GRID**2).sum(axis=-1) - LOG_TWO_PI
    p = np.exp(logsumexp(log_joint, axis=1) + LOG_CELL)
    assert abs(p.sum() - 1) < 1e-12
    assert p.max() < 0.5


def test_e50_e59_the_weighted_bound_is_its_integral_and_rises_to_log_p_of_x(cpu64):
    """E log ½(w₁ + w₂) over four dimensions, and log E w over two; w by SciPy's densities."""
    vae = VAE.mlp(D, (7,), latent_dim=2, activation="tanh", init="torch")
    model = Model(vae, cpu64, seed=3)
    model.params["encoder.2.b"][:2] += 0.7  # far enough from the posterior for the bounds to differ
    model.params["decoder.0.W"][...] *= 3
    model.params["decoder.2.W"][...] *= 3
    x = (uniform((1, D), Stream(1, Purpose.PIXELS)) < 0.5).astype(float)
    (mean,), (logvar,) = model.encode(x)
    std = np.exp(logvar / 2)

    def log_w(eps):
        z = mean + std * eps
        likelihood = stats.bernoulli.logpmf(x.astype(int), model.decode(z)).sum(axis=1)
        prior, q = stats.norm.logpdf(z), stats.norm.logpdf(z, mean, std)
        return likelihood + prior.sum(axis=1) - q.sum(axis=1)

    nodes, log_cell = plane(6.5, 27)
    weights = np.exp(-0.5 * (nodes**2).sum(axis=1) - LOG_TWO_PI + log_cell)
    a = log_w(nodes)
    elbo, log_p = weights @ a, np.log(weights @ np.exp(a))
    of_two = weights @ (np.logaddexp(a[:, None], a) - np.log(2)) @ weights
    assert elbo < of_two - 0.02 < of_two < log_p - 0.02

    rows = np.repeat(x, 20_000, axis=0)  # each with noise of its own
    for samples, exact in ((1, elbo), (2, of_two)):
        found = importance_sampled(model, rows, samples=samples, seed=1).log_p
        assert abs(found.mean() - exact) < 4 * found.std() / np.sqrt(len(rows))
        weighted = Model(vae.with_samples(samples).with_estimator(ImportanceWeighted()), cpu64,
                         params=model.params)  # fmt: skip
        trained = -weighted.loss(rows, seed=2).total
        assert abs(trained - exact) < 4 * found.std() / np.sqrt(len(rows))
    many = importance_sampled(model, x, samples=100_000)
    assert abs(many.log_p[0] - log_p) < 4 * many.error[0] < 0.05


def test_e220_e221_the_conditional_bound_and_its_gap_add_up_to_log_p_of_x_given_c(cpu64):
    """z itself, not u: NumPy's networks and SciPy's densities, over the plane of z."""
    condition, hidden = Label(3), 7
    vae = ConditionalVAE(
        VAE.mlp(D, (hidden,), latent_dim=2, activation="tanh", init="torch"), D, condition,
        Sequential(Dense(5), Tanh(), Dense(4)),
    )  # fmt: skip
    model = Model(vae, cpu64, seed=3)
    for name in ("prior.2.W", "decoder.0.W", "decoder.2.W"):
        model.params[name][...] *= 3
    x = (uniform((1, D), Stream(1, Purpose.PIXELS)) < 0.5).astype(float)
    c = np.eye(3)[[1]]

    def network(name, a):
        p = {n: model.params[f"{name}.{n}"] for n in ("0.W", "0.b", "2.W", "2.b")}
        return np.tanh(a @ p["0.W"] + p["0.b"]) @ p["2.W"] + p["2.b"]

    prior, head = network("prior", c)[0], network("encoder", np.hstack([x, c]))[0]
    prior_mean, prior_std = prior[:2], np.exp(prior[2:] / 2)
    mean, std = prior_mean + prior_std * head[:2], prior_std * np.exp(head[2:] / 2)
    assert np.abs(prior_mean).max() > 0.1
    assert np.abs(prior_std - 1).max() > 0.1

    z = prior_mean + prior_std * GRID
    cell = LOG_CELL + np.log(prior_std).sum()
    logits = network("decoder", np.hstack([z, np.repeat(c, len(z), axis=0)]))
    log_likelihood = stats.bernoulli.logpmf(x.astype(int), special.expit(logits)).sum(axis=1)
    log_joint = log_likelihood + stats.norm.logpdf(z, prior_mean, prior_std).sum(axis=1)
    log_q = stats.norm.logpdf(z, mean, std).sum(axis=1)
    log_p = logsumexp(log_joint) + cell
    q = np.exp(log_q + cell)
    assert abs(q.sum() - 1) < 1e-10
    elbo, gap = (q * (log_joint - log_q)).sum(), (q * (log_q - log_joint + log_p)).sum()
    assert gap > 0.01

    nodes, log_cell = plane(8.5, 171)
    weights = np.exp(-0.5 * (nodes**2).sum(axis=1) - LOG_TWO_PI + log_cell)
    rows = condition.rows(x, np.array([1]))
    terms = model.with_samples(len(nodes)).terms(rows, nodes[None])
    assert abs(-(terms.nll[0] * weights).sum() - terms.kl.sum() - elbo) < 1e-9
    found = importance_sampled(model, rows, samples=100_000)
    assert abs(found.log_p[0] - log_p) < 4 * found.error[0] < 0.05
