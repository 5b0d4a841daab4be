"""Training: settings, the step, the loop, the run folder and its checkpoints."""

from scratchvae.training.config import LIKELIHOODS, TrainConfig
from scratchvae.training.loop import Training, Views, prepare, train
from scratchvae.training.order import epoch_order
from scratchvae.training.progress import Progress, choose_progress
from scratchvae.training.run import RunFolder, free_folder, write_json
from scratchvae.training.step import TrainingStep

__all__ = [
    "LIKELIHOODS",
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
    "train",
    "write_json",
]
