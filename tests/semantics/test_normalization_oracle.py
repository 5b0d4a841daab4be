"""A likelihood is a probability: summed or integrated over all images it gives one."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.polynomial.hermite import hermgauss

from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.likelihoods import Bernoulli, Gaussian, LearnedGaussian
from scratchvae.memory import Workspace


def density(bk, likelihood, logvar, logits, x):
    """p(x|z) for images (N, D) and one row of logits (D,)."""
    n, pixels = x.shape
    work = likelihood.work(Workspace(bk, n), pixels, 1)
    nll = np.empty((n, 1))
    a = np.ascontiguousarray(np.broadcast_to(logits, (n, 1, pixels)))
    likelihood.nll(bk, SimpleNamespace(logvar=logvar), a, x[:, None], nll, work)
    return np.exp(-nll[:, 0])


def test_e18_the_probabilities_of_all_binary_images_add_up_to_one(cpu64):
    images = ((np.arange(64)[:, None] >> np.arange(6)) & 1).astype(float)
    for scale in (0.1, 2.0, 40.0):
        logits = scale * normal((6,), Stream(1, Purpose.DIRECTION))
        assert abs(density(cpu64, Bernoulli(), None, logits, images).sum() - 1) < 1e-14


# A likelihood, its logvar, and how far the integral must reach.
GAUSSIANS = {
    "fixed": (lambda mean: Gaussian(0.3, mean), None, 4.0),
    "wide": (lambda mean: Gaussian(5.0, mean), None, 50.0),
    "one learned": (lambda mean: LearnedGaussian(False, 0.2, mean), np.array([-0.9]), 8.0),
    "one a pixel": (lambda mean: LearnedGaussian(True, 0.2, mean), np.array([-0.9, 1.1]), 20.0),
}
each_gaussian = pytest.mark.parametrize(
    ("make", "logvar", "reach"), GAUSSIANS.values(), ids=GAUSSIANS
)


@each_gaussian
@pytest.mark.parametrize("mean", ["sigmoid", "identity"])
def test_e21_a_gaussian_density_of_two_pixels_integrates_to_one(cpu64, make, logvar, reach, mean):
    side, step = np.linspace(-reach, reach, 401, retstep=True)  # the trapezoidal rule
    logits = np.array([0.4, -1.3])
    total = 0.0
    for first in side:  # a line of the plane at a time
        x = np.stack([np.full_like(side, first), side], axis=1)
        total += density(cpu64, make(mean), logvar, logits, x).sum()
    assert abs(total * step**2 - 1) < 1e-12


@each_gaussian
def test_e21_the_mean_and_the_deviation_are_those_of_the_density(cpu64, make, logvar, reach):
    # Gauss–Hermite over both pixels at once, for moments up to the second: exact.
    likelihood = make("sigmoid")
    logits, mean = np.array([0.4, -1.3]), np.empty(2)
    likelihood.mean(cpu64, logits, mean)
    std = np.broadcast_to(likelihood.std(cpu64, SimpleNamespace(logvar=logvar)), (2,))
    nodes, weights = hermgauss(12)
    u = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    w = np.outer(weights, weights).ravel() * np.exp((u**2).sum(axis=-1)) * 2 * std.prod()
    x = mean + np.sqrt(2) * std * u
    p = w * density(cpu64, make("sigmoid"), logvar, logits, x)
    np.testing.assert_allclose(p.sum(), 1.0, rtol=1e-13)
    np.testing.assert_allclose(p @ x, mean, rtol=0, atol=1e-13 * std.max())
    np.testing.assert_allclose(p @ (x - mean) ** 2, std**2, rtol=1e-12)
