"""What a likelihood over grey levels has to beat, scored as probability of whole levels."""

import numpy as np
from numpy.typing import NDArray

from scratchvae.data import Split
from scratchvae.errors import ConfigError
from scratchvae.evaluation.nll import Float64, Score, reparameterized
from scratchvae.likelihoods import GaussianLikelihood
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
    for level in range(levels):
        counts[level] += np.count_nonzero(train.images == level, axis=0)
    nll = -np.log(counts / (len(train) + levels))
    return nll[split.images, np.arange(pixels)].sum(axis=1)


def mass_of_levels(max_level: int) -> Score:
    """A score for ``log_likelihood``: the probability a Gaussian gives to the level of each pixel.

    Level k of 0 … ``max_level`` stands for the grey values within half a level of k / max_level,
    the first and the last level also for everything beyond. So the probabilities of a pixel add
    up to one, and the nats are comparable with those of a categorical likelihood.
    """

    def score(model: Model, x: NDArray, eps: NDArray) -> NDArray:
        likelihood = model.vae.likelihood
        if not isinstance(likelihood, GaussianLikelihood):
            raise ConfigError(f"mass of levels is for Gaussians, not for {likelihood.describe()}")
        std = likelihood.std(model.bk, model.params.namespace("likelihood"))
        std = np.float64(std) if isinstance(std, float) else model.bk.to_host(std)
        z = reparameterized(np.hstack(model.encode(x)).astype(np.float64), eps)
        nll = np.empty(eps.shape[:2])
        for k in range(eps.shape[1]):
            mean = model.decode(z[:, k])
            nll[:, k] = -log_mass(x, mean, std, max_level).sum(axis=1)
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
