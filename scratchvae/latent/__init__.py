"""Between encoder and decoder: reparameterization, divergence from the prior, estimators."""

from scratchvae.latent.buffers import LatentNode
from scratchvae.latent.estimators import (
    ESTIMATORS,
    AnalyticKL,
    Detached,
    DoublyReparameterized,
    Estimator,
    FreeBits,
    ImportanceWeighted,
    MonteCarloKL,
    ScoreFunction,
    ScoreFunctionBaseline,
    StickingTheLanding,
    estimator_named,
)
from scratchvae.latent.kl import kl_chain, kl_per_unit
from scratchvae.latent.logstd import LogStdHead
from scratchvae.latent.reparameterize import (
    reparameterize,
    reparameterize_chain,
    standard_deviation,
)

__all__ = [
    "ESTIMATORS",
    "AnalyticKL",
    "Detached",
    "DoublyReparameterized",
    "Estimator",
    "FreeBits",
    "ImportanceWeighted",
    "LatentNode",
    "LogStdHead",
    "MonteCarloKL",
    "ScoreFunction",
    "ScoreFunctionBaseline",
    "StickingTheLanding",
    "estimator_named",
    "kl_chain",
    "kl_per_unit",
    "reparameterize",
    "reparameterize_chain",
    "standard_deviation",
]
