"""Likelihoods on logits: value, gradient, mean and sampler of each in one class."""

from scratchvae.likelihoods.base import Likelihood
from scratchvae.likelihoods.bernoulli import Bernoulli
from scratchvae.likelihoods.categorical import Categorical
from scratchvae.likelihoods.continuous_bernoulli import ContinuousBernoulli
from scratchvae.likelihoods.gaussian import Gaussian, GaussianLikelihood, LearnedGaussian

# What settings call a likelihood.
LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "continuous-bernoulli": ContinuousBernoulli,
    "gaussian": Gaussian,
    "gaussian-learned": LearnedGaussian,
    "gaussian-per-pixel": LearnedGaussian,
}

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "Gaussian",
    "GaussianLikelihood",
    "LearnedGaussian",
    "Likelihood",
]
