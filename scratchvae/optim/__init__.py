"""Optimizers on the flat buffers, and learning rates that change."""

from scratchvae.optim.adagrad import Adagrad, BoundAdagrad
from scratchvae.optim.adam import Adam, BoundAdam
from scratchvae.optim.base import BoundOptimizer, Optimizer
from scratchvae.optim.rmsprop import BoundRMSprop, RMSprop
from scratchvae.optim.schedules import SCHEDULES, Rate, Schedule, schedule
from scratchvae.optim.sgd import SGD, BoundSGD

OPTIMIZERS = {rule.name: rule for rule in (Adam, RMSprop, SGD, Adagrad)}

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "SGD",
    "Adagrad",
    "Adam",
    "BoundAdagrad",
    "BoundAdam",
    "BoundOptimizer",
    "BoundRMSprop",
    "BoundSGD",
    "Optimizer",
    "RMSprop",
    "Rate",
    "Schedule",
    "schedule",
]
