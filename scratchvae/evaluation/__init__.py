"""What a trained model is worth: its ELBO, log p(x), its latent units, and what it can do."""

from scratchvae.evaluation.baselines import histogram_nll, mass_of_levels
from scratchvae.evaluation.classifier import accuracy, classify
from scratchvae.evaluation.completion import Completion, CompletionSettings, complete, log_joint
from scratchvae.evaluation.diagnosis import Diagnosis, DiagnosisSettings, Gaps, diagnose
from scratchvae.evaluation.disentanglement import Disentanglement, measure_disentanglement
from scratchvae.evaluation.elbo import (
    Evaluation,
    Protocol,
    as_seen_by_model,
    describe_protocol,
    evaluate,
)
from scratchvae.evaluation.findings import Finding, interpret
from scratchvae.evaluation.information import Estimate, Information, decompose_kl
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
    "Diagnosis",
    "DiagnosisSettings",
    "Disentanglement",
    "Estimate",
    "Evaluation",
    "Finding",
    "Gaps",
    "ImportanceSampled",
    "Information",
    "LogLikelihood",
    "Protocol",
    "accuracy",
    "active_units",
    "as_seen_by_model",
    "classify",
    "complete",
    "decompose_kl",
    "describe_protocol",
    "diagnose",
    "evaluate",
    "find_mask",
    "histogram_nll",
    "importance_sampled",
    "interpolate",
    "interpret",
    "is_active",
    "log_joint",
    "log_likelihood",
    "mass_of_levels",
    "measure_disentanglement",
    "without_units",
]
