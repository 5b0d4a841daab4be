"""Between encoder and decoder: reparameterization, divergence from the prior, estimators."""

from scratchvae.latent.autoregressive import InverseAutoregressive
from scratchvae.latent.buffers import BoundFlow, LatentBuffers
from scratchvae.latent.estimators import (
    AnalyticKL,
    Estimator,
    FreeBits,
    MonteCarloKL,
    default_estimator,
)
from scratchvae.latent.flows import Flow, FlowSettings, Planar, Radial
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
    "FLOWS",
    "AnalyticKL",
    "BoundFlow",
    "Detached",
    "DoublyReparameterized",
    "Estimator",
    "Flow",
    "FlowSettings",
    "FreeBits",
    "ImportanceWeighted",
    "InverseAutoregressive",
    "LatentBuffers",
    "LogStdHead",
    "MonteCarloKL",
    "Planar",
    "Radial",
    "ScoreFunction",
    "ScoreFunctionBaseline",
    "StickingTheLanding",
    "default_estimator",
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

# What settings call a posterior: the flow that carries a Gaussian to it.
FLOWS: dict[str, type[Flow]] = {
    cls.name: cls for cls in (Flow, Planar, Radial, InverseAutoregressive)
}
