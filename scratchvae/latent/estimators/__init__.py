"""Estimators of the bound of log p(x) and of its gradient, one a file, by the name of each."""

from scratchvae.errors import ConfigError
from scratchvae.latent.estimators.analytic import AnalyticKL
from scratchvae.latent.estimators.base import Estimator
from scratchvae.latent.estimators.detached import Detached
from scratchvae.latent.estimators.dreg import DoublyReparameterized
from scratchvae.latent.estimators.free_bits import FreeBits
from scratchvae.latent.estimators.iwae import ImportanceWeighted
from scratchvae.latent.estimators.monte_carlo import MonteCarloKL
from scratchvae.latent.estimators.score import ScoreFunction, ScoreFunctionBaseline
from scratchvae.latent.estimators.stl import StickingTheLanding

__all__ = [
    "ESTIMATORS",
    "AnalyticKL",
    "Detached",
    "DoublyReparameterized",
    "Estimator",
    "FreeBits",
    "ImportanceWeighted",
    "MonteCarloKL",
    "ScoreFunction",
    "ScoreFunctionBaseline",
    "StickingTheLanding",
    "estimator_named",
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
