"""Optimizers on the flat buffers, and learning rates that change."""

from scratchvae.optim.base import BoundOptimizer, Optimizer
from scratchvae.optim.rules import SGD, Adagrad, Adam, RMSprop
from scratchvae.optim.schedules import SCHEDULES, Rate, Schedule, schedule

OPTIMIZERS: dict[str, type[Optimizer]] = {rule.name: rule for rule in (Adam, RMSprop, SGD, Adagrad)}

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "SGD",
    "Adagrad",
    "Adam",
    "BoundOptimizer",
    "Optimizer",
    "RMSprop",
    "Rate",
    "Schedule",
    "schedule",
]
