"""Training: the step, the loop, and everything that a training needs while it runs."""

from scratchvae.training.loop import Training
from scratchvae.training.order import epoch_order
from scratchvae.training.partition import resolve_workers
from scratchvae.training.progress import Progress, choose_progress
from scratchvae.training.resume import changed_settings, environment
from scratchvae.training.start import train
from scratchvae.training.step import TrainingStep
from scratchvae.training.views import Views, prepare

__all__ = [
    "Progress",
    "Training",
    "TrainingStep",
    "Views",
    "changed_settings",
    "choose_progress",
    "environment",
    "epoch_order",
    "prepare",
    "resolve_workers",
    "train",
]
