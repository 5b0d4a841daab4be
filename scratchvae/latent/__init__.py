"""Between encoder and decoder: reparameterization, divergence from the prior, estimators."""

from scratchvae.latent.buffers import LatentBuffers
from scratchvae.latent.estimators import AnalyticKL, Estimator, FreeBits, MonteCarloKL
from scratchvae.latent.gaussian import (
    LogStdHead,
    kl_grad,
    kl_per_unit,
    reparameterize,
    reparameterize_grad,
    standard_deviation,
)
from scratchvae.latent.importance_weighted import (
    DoublyReparameterized,
    ImportanceWeighted,
    StickingTheLanding,
)
from scratchvae.latent.score_function import Detached, ScoreFunction, ScoreFunctionBaseline

__all__ = [
    "ESTIMATORS",
    "AnalyticKL",
    "Detached",
    "DoublyReparameterized",
    "Estimator",
    "FreeBits",
    "ImportanceWeighted",
    "LatentBuffers",
    "LogStdHead",
    "MonteCarloKL",
    "ScoreFunction",
    "ScoreFunctionBaseline",
    "StickingTheLanding",
    "kl_grad",
    "kl_per_unit",
    "reparameterize",
    "reparameterize_grad",
    "standard_deviation",
]

# What settings call an estimator.
ESTIMATORS: dict[str, type[Estimator]] = {
    cls.name: cls
    for cls in (
        AnalyticKL,
        MonteCarloKL,
        Detached,
        ScoreFunction,
        ScoreFunctionBaseline,
        ImportanceWeighted,
        StickingTheLanding,
        DoublyReparameterized,
    )
}
