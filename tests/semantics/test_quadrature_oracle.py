"""Two latent dimensions, where log p(x) and the posterior are integrals that can be computed."""

import numpy as np
import pytest
from scipy.special import logsumexp

from scratchvae.backend.noise import Purpose, Stream, uniform
from scratchvae.likelihoods import Bernoulli, Gaussian
from scratchvae.models import VAE

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
    vae = VAE.mlp(D, (7,), 2, "tanh", likelihood(), init="torch", head=head, samples=len(nodes))
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
    vae = VAE.mlp(4, (7,), 2, "tanh", init="torch")
    params = vae.initial_parameters(cpu64, seed=3)
    params["decoder.2.W"][...] *= 4
    images = ((np.arange(16)[:, None] >> np.arange(4)) & 1).astype(float)
    log_joint = log_likelihood_on_grid(vae, params, cpu64, assemble, images)
    log_joint += -0.5 * (GRID**2).sum(axis=-1) - LOG_TWO_PI
    p = np.exp(logsumexp(log_joint, axis=1) + LOG_CELL)
    assert abs(p.sum() - 1) < 1e-12
    assert p.max() < 0.5
