"""What a trained model is worth: its ELBO, log p(x), its latent units, and what it can do."""

from scratchvae.evaluation.baselines import histogram_nll, mass_of_levels
from scratchvae.evaluation.completion import Completion, CompletionSettings, complete, log_joint
from scratchvae.evaluation.elbo import (
    Evaluation,
    Protocol,
    as_seen_by_model,
    describe_protocol,
    evaluate,
)
from scratchvae.evaluation.interpolation import interpolate
from scratchvae.evaluation.masks import HALVES, find_mask
from scratchvae.evaluation.nll import (
    ImportanceSampled,
    LogLikelihood,
    importance_sampled,
    log_likelihood,
)
from scratchvae.evaluation.units import active_units, is_active, without_units

__all__ = [
    "HALVES",
    "Completion",
    "CompletionSettings",
    "Evaluation",
    "ImportanceSampled",
    "LogLikelihood",
    "Protocol",
    "active_units",
    "as_seen_by_model",
    "complete",
    "describe_protocol",
    "evaluate",
    "find_mask",
    "histogram_nll",
    "importance_sampled",
    "interpolate",
    "is_active",
    "log_joint",
    "log_likelihood",
    "mass_of_levels",
    "without_units",
]
