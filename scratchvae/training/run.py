"""The folder of a run: its settings, its numbers, its checkpoints, its figures.

config.json       settings, data and versions, written before the first step
metrics.jsonl     one object an epoch
checkpoint.npz    the state after the last epoch
best.npz          the state after the best epoch, where a validation split chose one
film.npz          a few images, reconstructed after more and more epochs
figures/          PNG and SVG
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from scratchvae.backend import Backend
from scratchvae.errors import CheckpointError, ConfigError, RunError
from scratchvae.models import Model
from scratchvae.training.atomic import write_atomically
from scratchvae.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    restore,
    save_checkpoint,
)
from scratchvae.training.config import TrainConfig

METRICS = ("epoch", "train_loss", "test_loss", "test_reconstruction", "test_kl", "seconds")


class RunFolder:
    """A run on disk. ``RunError`` where the folder is not what it should be."""

    def __init__(self, path: Path) -> None:
        self.path = path

    config_path = property(lambda self: self.path / "config.json")
    metrics_path = property(lambda self: self.path / "metrics.jsonl")
    checkpoint_path = property(lambda self: self.path / "checkpoint.npz")
    best_path = property(lambda self: self.path / "best.npz")
    film_path = property(lambda self: self.path / "film.npz")
    figures_path = property(lambda self: self.path / "figures")

    @classmethod
    def create(cls, path: Path, settings: Mapping[str, Any]) -> "RunFolder":
        """A new folder with its config.json; refuses a folder that holds anything already."""
        run = cls(path)
        require_free(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            write_json(run.config_path, settings)
        except OSError as error:
            raise RunError(f"{path} cannot hold a run: {error.strerror or error}") from error
        return run

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run."""
        run = cls(path)
        if not run.config_path.is_file():
            raise RunError(f"{path} holds no run: there is no {run.config_path.name} in it")
        return run

    def settings(self) -> dict[str, Any]:
        """What config.json says."""
        try:
            settings = json.loads(self.config_path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{self.config_path} cannot be read: {error}") from error
        fine = isinstance(settings, dict) and isinstance(settings.get("config"), dict)
        if not fine or not isinstance(settings.setdefault("data", {}), dict):
            raise RunError(f"{self.config_path} is no configuration of a run")
        return settings

    def config(self) -> TrainConfig:
        """The settings of the training."""
        try:
            return TrainConfig.from_json(self.settings()["config"])
        except ConfigError as error:
            raise RunError(f"{self.config_path} does not describe a run: {error}") from error

    def append_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Add the line of one epoch."""
        with self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(metrics) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of all epochs so far."""
        try:
            lines = self.metrics_path.read_text(encoding="utf-8").splitlines()
            metrics = [json.loads(line) for line in lines]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{self.metrics_path} cannot be read: {error}") from error
        for number, line in enumerate(metrics, start=1):
            if not isinstance(line, dict) or any(name not in line for name in METRICS):
                raise RunError(f"{self.metrics_path}: line {number} does not describe an epoch")
        return metrics

    def save(self, checkpoint: Checkpoint, best: bool = False) -> None:
        """Write a checkpoint atomically."""
        save_checkpoint(self.best_path if best else self.checkpoint_path, checkpoint)

    def load(self, bk: Backend) -> tuple[Model, Checkpoint]:
        """The model of the best epoch where one was chosen, else of the last."""
        path = self.best_path if self.best_path.exists() else self.checkpoint_path
        checkpoint = load_checkpoint(path)
        config = self.config()
        if not self._same_settings(checkpoint.config, config):
            raise CheckpointError(f"{path} belongs to another run than {self.config_path}")
        model = Model(config.make_vae(checkpoint.pixels), bk, seed=config.seed)
        restore(path, checkpoint, "params", model.params)
        return model, checkpoint

    @staticmethod
    def _same_settings(saved: Any, config: TrainConfig) -> bool:
        """Settings that a file leaves out, being newer than it, are the defaults."""
        try:
            return TrainConfig.from_json(saved) == config
        except (ConfigError, TypeError, AttributeError):
            return False


def require_free(path: Path) -> None:
    """Raise ``RunError`` where ``path`` holds anything already."""
    try:
        if (path / "config.json").exists():
            raise RunError(f"{path} holds another run already: choose another --out")
        if path.exists() and any(path.iterdir()):
            raise RunError(f"{path} is not empty and holds no run: choose another --out")
    except OSError as error:
        raise RunError(f"{path} cannot hold a run: {error.strerror or error}") from error


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, for people and programs."""

    def write(file: BinaryIO) -> None:
        file.write((json.dumps(content, indent=2) + "\n").encode())

    write_atomically(path, write)


def free_folder(parent: Path, stem: str) -> Path:
    """parent/stem-1, or the first number that is not taken."""
    number = 1
    while (parent / f"{stem}-{number}").exists():
        number += 1
    return parent / f"{stem}-{number}"
