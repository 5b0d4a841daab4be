"""Training: settings, the step, the loop, the run folder and its checkpoints."""

from scratchvae.training.checkpoint import Checkpoint, load_checkpoint
from scratchvae.training.config import (
    HEADS,
    LIKELIHOODS,
    TrainConfig,
    require_same_levels,
    resolve_levels,
)
from scratchvae.training.film import Film
from scratchvae.training.loop import Training
from scratchvae.training.order import epoch_order
from scratchvae.training.progress import Progress, choose_progress
from scratchvae.training.resume import changed_settings, environment
from scratchvae.training.run import RunFolder, free_folder, require_free, write_json
from scratchvae.training.shares import resolve_workers
from scratchvae.training.start import train
from scratchvae.training.state import best_of, how_it_ended
from scratchvae.training.step import TrainingStep
from scratchvae.training.verification import Findings, inspect
from scratchvae.training.views import Views, prepare

__all__ = [
    "HEADS",
    "LIKELIHOODS",
    "Checkpoint",
    "Film",
    "Findings",
    "Progress",
    "RunFolder",
    "TrainConfig",
    "Training",
    "TrainingStep",
    "Views",
    "best_of",
    "changed_settings",
    "choose_progress",
    "environment",
    "epoch_order",
    "free_folder",
    "how_it_ended",
    "inspect",
    "load_checkpoint",
    "prepare",
    "require_free",
    "require_same_levels",
    "resolve_levels",
    "resolve_workers",
    "train",
    "write_json",
]
