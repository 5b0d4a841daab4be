"""Training: the step, the loop, and everything that a training needs while it runs."""

from scratchvae.training.loop import (
    Training,
    pass_on_signal,
    resume_prepared,
    train,
    train_prepared,
)
from scratchvae.training.partition import resolve_workers
from scratchvae.training.prepared import Prepared, epoch_order, prepare
from scratchvae.training.progress import Progress, choose_progress
from scratchvae.training.state import changed_settings, environment
from scratchvae.training.step import Batches, TrainingStep, Weighting

__all__ = [
    "Batches",
    "Prepared",
    "Progress",
    "Training",
    "TrainingStep",
    "Weighting",
    "changed_settings",
    "choose_progress",
    "environment",
    "epoch_order",
    "pass_on_signal",
    "prepare",
    "resolve_workers",
    "resume_prepared",
    "train",
    "train_prepared",
]
