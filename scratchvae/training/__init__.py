"""Training: settings, the step, the loop, the run folder and its checkpoints."""

from scratchvae.training.config import (
    HEADS,
    LIKELIHOODS,
    TrainConfig,
    require_same_levels,
    resolve_levels,
)
from scratchvae.training.film import Film
from scratchvae.training.loop import Training, Views, prepare, train
from scratchvae.training.order import epoch_order
from scratchvae.training.progress import Progress, choose_progress
from scratchvae.training.run import RunFolder, free_folder, require_free, write_json
from scratchvae.training.shares import resolve_workers
from scratchvae.training.step import TrainingStep

__all__ = [
    "HEADS",
    "LIKELIHOODS",
    "Film",
    "Progress",
    "RunFolder",
    "TrainConfig",
    "Training",
    "TrainingStep",
    "Views",
    "choose_progress",
    "epoch_order",
    "free_folder",
    "prepare",
    "require_free",
    "require_same_levels",
    "resolve_levels",
    "resolve_workers",
    "train",
    "write_json",
]
