"""Baselines for likelihoods over grey levels, scored as probability of whole levels."""

import numpy as np
from numpy.typing import NDArray

from scratchvae.data import Split
from scratchvae.data.mapped import blocks
from scratchvae.errors import ConfigError
from scratchvae.evaluation.nll import Float64, Score, draw_z
from scratchvae.likelihoods import ContinuousBernoulli, GaussianLikelihood
from scratchvae.models import Model


def histogram_nll(train: Split, split: Split) -> Float64:
    """−log p(x) of every image under one histogram per pixel, in nats: (N,) float64.

    The histograms count the levels of the training images, plus one of each level (Laplace's
    rule), so that no level has probability zero. Pixels are independent: this is the number that
    a model of images has to beat. Raises ``ConfigError`` for pixels that are not whole levels.
    """
    if train.max_level is None or train.max_level != split.max_level:
        raise ConfigError("a histogram needs pixels of whole levels, the same in both splits")
    levels, pixels = train.max_level + 1, train.images.shape[1]
    counts = np.ones((levels, pixels))
    for _, block in blocks(train.images):
        for level in range(levels):
            counts[level] += np.count_nonzero(block == level, axis=0)
    nll = -np.log(counts / (len(train) + levels))
    each = [nll[block, np.arange(pixels)].sum(axis=1) for _, block in blocks(split.images)]
    return np.concatenate(each)


def mass_of_levels(max_level: int) -> Score:
    """A score for ``log_likelihood``: the probability that a density gives to each pixel's level.

    Level k of 0 … ``max_level`` stands for the grey values within half a level of k / max_level,
    the first and the last level of a Gaussian also for everything beyond. So the probabilities of
    a pixel add up to one, and the nats are comparable with those of a categorical likelihood. For
    Gaussians and the continuous Bernoulli; ``ConfigError`` for others.
    """

    def score(model: Model, x: NDArray, eps: NDArray) -> NDArray:
        likelihood = model.vae.likelihood
        if isinstance(likelihood, GaussianLikelihood):
            own = likelihood.std(model.bk, model.params.namespace("likelihood"))
            std = np.float64(own) if isinstance(own, float) else model.bk.to_host(own)

            def log_masses(z: NDArray) -> Float64:
                return log_mass(x, model.decode(z), std, max_level)

        elif isinstance(likelihood, ContinuousBernoulli):

            def log_masses(z: NDArray) -> Float64:
                return continuous_bernoulli_log_mass(x, model.logits(z), max_level)

        else:
            raise ConfigError(
                "mass of levels is for Gaussians and the continuous Bernoulli, not for "
                f"{likelihood.describe()}"
            )
        z = draw_z(model, x, eps).z
        nll = np.empty(eps.shape[:2])
        for k in range(eps.shape[1]):
            nll[:, k] = -log_masses(z[:, k]).sum(axis=1)
        return nll

    return score


def log_mass(x: NDArray, mean: NDArray, std: NDArray | np.float64, max_level: int) -> Float64:
    """log(Φ(b) − Φ(a)) for the edges a, b of each pixel's level; accurate in both tails.

    ``x``, ``mean`` and ``std`` broadcast against each other; the result is float64, in nats.
    """
    from scipy.special import log_ndtr

    level = np.rint(np.asarray(x, np.float64) * max_level)
    low = ((level - 0.5) / max_level - mean) / std
    high = ((level + 0.5) / max_level - mean) / std
    low, high = np.where(level == 0, -np.inf, low), np.where(level == max_level, np.inf, high)
    right = low > 0  # there Φ is close to 1: use the mirror image
    low, high = np.where(right, -high, low), np.where(right, -low, high)
    larger = log_ndtr(high)
    with np.errstate(divide="ignore"):
        return np.asarray(larger + np.log1p(-np.exp(log_ndtr(low) - larger)))


def continuous_bernoulli_log_mass(x: NDArray, logits: NDArray, max_level: int) -> Float64:
    """The logarithm of the integral of E200's density over each pixel's level, in nats: float64.

    With A(a) = log (e^a − 1)/a it is a · low + log width + A(a · width) − A(a). The first and the
    last level are half as wide as the others.
    """
    a = np.asarray(logits, np.float64)
    level = np.rint(np.asarray(x, np.float64) * max_level)
    low = np.maximum((level - 0.5) / max_level, 0.0)
    width = np.minimum((level + 0.5) / max_level, 1.0) - low

    def log_integral(a: NDArray) -> NDArray:
        n = np.minimum(-np.abs(a), -1e-30)  # where the quotient is 1 in place of 0/0
        return np.log(np.expm1(n) / n) + np.maximum(a, 0.0)

    return np.asarray(a * low + np.log(width) + log_integral(a * width) - log_integral(a))
