"""Likelihoods on logits: value, gradient, mean and sampler of each in one class."""

from scratchvae.likelihoods.base import Likelihood
from scratchvae.likelihoods.bernoulli import Bernoulli
from scratchvae.likelihoods.categorical import Categorical
from scratchvae.likelihoods.gaussian import Gaussian, GaussianLikelihood, LearnedGaussian

__all__ = [
    "Bernoulli",
    "Categorical",
    "Gaussian",
    "GaussianLikelihood",
    "LearnedGaussian",
    "Likelihood",
]
