"""Likelihoods on logits: value, gradient, mean and sampler of each in one class."""

from scratchvae.likelihoods.base import Likelihood
from scratchvae.likelihoods.bernoulli import Bernoulli
from scratchvae.likelihoods.gaussian import Gaussian, GaussianLikelihood, LearnedGaussian

__all__ = ["Bernoulli", "Gaussian", "GaussianLikelihood", "LearnedGaussian", "Likelihood"]
