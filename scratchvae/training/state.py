"""What a checkpoint holds of a run in progress, and how a run takes it up again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scratchvae.config import TrainConfig
from scratchvae.data import Dataset
from scratchvae.errors import CheckpointError, DataError
from scratchvae.memory import FlatBuffer
from scratchvae.runs.checkpoint import Checkpoint, digest_of, restore
from scratchvae.runs.folder import named
from scratchvae.training.resume import environment, require_same_epoch
from scratchvae.training.step import TrainingStep


class State:
    """The buffers of a step, the settings and data they belong to, and how far the run has come.

    ``epoch``: epochs completed; ``position``: steps done of the epoch that has begun.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset, step: TrainingStep) -> None:
        self.config, self.step = named(config), step
        self.data = {"name": dataset.name, "fingerprint": dataset.fingerprint}
        self.environment = environment(step.bk, step.team.size)
        self.buffers: dict[str, FlatBuffer] = {"params": step.params} | {
            f"{config.optimizer}.{name}": buffer for name, buffer in step.optimizer.state.items()
        }
        self.epoch = self.position = 0
        self.kept = {n: step.bk.zeros(b.flat.shape) for n, b in self.buffers.items()}
        self.kept_at = 0  # the position of the state that is kept

    def checkpoint(self, steps: int, metrics: Sequence[Mapping[str, Any]]) -> Checkpoint:
        """The state after so many steps of the run, with the numbers of the completed epochs."""
        losses = self.step.bk.to_host(self.step.losses)[: self.position]
        return Checkpoint(
            self.config,
            self.step.vae.pixels,
            self.epoch,
            steps,
            {name: buffer.to_host() for name, buffer in self.buffers.items()},
            losses,
            self.data,
            self.environment,
            digest_of(metrics),
        )

    def take_up(self, path: Path, saved: Checkpoint, metrics: Sequence[Mapping[str, Any]]) -> None:
        """Go back to where a checkpoint was; refuses one of other data, model or numbers."""
        if saved.data.get("fingerprint") != self.data["fingerprint"]:
            raise DataError(
                f"the data set {self.data['name']} is not the one that {path} was trained on: "
                "its fingerprint differs"
            )
        require_same_epoch(saved, self.config)
        if set(saved.buffers) != set(self.buffers):
            raise CheckpointError(
                f"{path} holds {', '.join(sorted(saved.buffers))}, but this optimizer needs "
                f"{', '.join(sorted(self.buffers))}: it cannot be changed on the way"
            )
        if saved.metrics != digest_of(metrics):
            raise CheckpointError(
                f"{path} and metrics.jsonl do not belong together: "
                f"the numbers of the first {saved.epoch} epochs are not those that were saved"
            )
        if len(saved.losses) > self.step.steps_per_epoch:
            raise CheckpointError(
                f"{path} is {len(saved.losses)} steps into an epoch, "
                f"which has only {self.step.steps_per_epoch}"
            )
        for name, buffer in self.buffers.items():
            restore(path, saved, name, buffer)
        self.epoch, self.position = saved.epoch, len(saved.losses)
        if self.position:
            losses = self.step.losses[: self.position]
            self.step.bk.load(saved.losses.astype(losses.dtype), losses)

    def keep(self) -> None:
        """Remember the state at the beginning of an epoch, or of what is left of it."""
        self.kept_at = self.position
        for name, buffer in self.buffers.items():
            self.kept[name][...] = buffer.flat

    def bring_back(self) -> None:
        """Return to the state that was kept."""
        for name, buffer in self.buffers.items():
            buffer.flat[...] = self.kept[name]

    def parameters_are_finite(self) -> bool:
        """Whether no parameter is an infinity or NaN; waits for the device."""
        return bool(np.isfinite(self.step.bk.to_host(self.step.params.flat)).all())
