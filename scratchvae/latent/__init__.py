"""Between encoder and decoder: reparameterization, divergence from the prior, estimators."""

from scratchvae.errors import ConfigError
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
    "estimator_named",
    "kl_grad",
    "kl_per_unit",
    "reparameterize",
    "reparameterize_grad",
    "standard_deviation",
]

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


def estimator_named(name: str, free_bits: float = 0.0) -> Estimator:
    """The estimator of this name; ``free_bits`` (nats a latent unit) go with ``analytic`` alone."""
    if name not in ESTIMATORS:
        raise ConfigError(f"estimator {name!r} is not one of {', '.join(ESTIMATORS)}")
    if not free_bits:
        return ESTIMATORS[name]()
    if name != "analytic":
        raise ConfigError(
            f"free bits limit the KL of a latent unit in closed form: they need the estimator "
            f"'analytic', not {name!r}"
        )
    return FreeBits(free_bits)
