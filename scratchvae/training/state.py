"""The state of a run in progress, how a run resumes from it, and what must be the same.

Nothing random is stored, so a run resumes exactly: the state is parameters, moments and the number
of the step. What is left are the settings, which must be the same unless a change is asked for,
and the machine, whose kernels add in their own order.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scratchvae.backend import Backend
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset
from scratchvae.errors import CheckpointError, RunError
from scratchvae.memory import FlatBuffer
from scratchvae.runs.checkpoint import Checkpoint, digest_of, restore
from scratchvae.runs.folder import portable_settings, require_fingerprint
from scratchvae.training.step import TrainingStep
from scratchvae.types import Json, JsonView
from scratchvae.versions import kernel, versions


class State:
    """Everything a checkpoint holds: a step's buffers, settings and data, and the run's position.

    ``epoch``: epochs completed; ``position``: steps done in the epoch after that.
    """

    def __init__(
        self, config: TrainConfig, dataset: Dataset, step: TrainingStep, optimizer: str
    ) -> None:
        """``optimizer``: the name of its buffers in a checkpoint."""
        self.config, self.step = portable_settings(config), step
        self.dataset = dataset
        self.data = {"name": dataset.name, "fingerprint": dataset.fingerprint}
        self.environment = environment(step.bk, step.workers, step.blas_threads)
        self.buffers: dict[str, FlatBuffer] = {"params": step.params} | {
            f"{optimizer}.{name}": buffer for name, buffer in step.optimizer.state.items()
        }
        self.epoch = self.position = 0
        self.kept = {n: step.bk.zeros(b.flat.shape) for n, b in self.buffers.items()}
        self.kept_at: int  # the position of the state that is kept

    def checkpoint(self, steps: int, metrics: Sequence[JsonView]) -> Checkpoint:
        """The state after ``steps`` steps of the run, with the metrics of the completed epochs."""
        losses = self.step.bk.to_host(self.step.losses)[: self.position]
        return Checkpoint(
            self.config,
            self.step.vae.condition.pixels(self.step.vae.pixels),
            self.epoch,
            steps,
            {name: buffer.to_host() for name, buffer in self.buffers.items()},
            losses,
            self.data,
            self.environment,
            digest_of(metrics),
        )

    def restore(self, path: Path, saved: Checkpoint, metrics: Sequence[JsonView]) -> None:
        """Load a checkpoint; ``RunError`` if its data, model or metrics are not this run's."""
        require_fingerprint(self.dataset, saved.data.get("fingerprint"), path)
        require_same_epoch(saved, self.config)
        self.require_buffers(path, saved)
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
        self.load_buffers(path, saved)
        self.epoch, self.position = saved.epoch, len(saved.losses)
        if self.position:
            losses = self.step.losses[: self.position]
            self.step.bk.load(saved.losses.astype(losses.dtype), losses)

    def start_from(self, earlier: Checkpoint) -> None:
        """Take parameters, moments and epoch of another training, whatever its data were.

        Raises ``CheckpointError`` if its model or optimizer is another one.
        """
        self.require_buffers("the state to start from", earlier)
        self.load_buffers("the state to start from", earlier)
        self.epoch = earlier.epoch

    def require_buffers(self, where: Path | str, saved: Checkpoint) -> None:
        """``CheckpointError`` if ``saved`` holds the moments of another optimizer."""
        if set(saved.buffers) != set(self.buffers):
            raise CheckpointError(
                f"{where} holds {', '.join(sorted(saved.buffers))}, but this optimizer needs "
                f"{', '.join(sorted(self.buffers))}: it cannot be changed on the way"
            )

    def load_buffers(self, where: Path | str, saved: Checkpoint) -> None:
        """Copy parameters and moments; ``CheckpointError`` for those of another model."""
        for name, buffer in self.buffers.items():
            restore(where, saved, name, buffer)

    def keep(self) -> None:
        """Keep a copy of the state, at the start of an epoch or of its remainder."""
        self.kept_at = self.position
        for name, buffer in self.buffers.items():
            self.kept[name][...] = buffer.flat

    def rewind(self) -> None:
        """Go back to the state that :meth:`keep` copied."""
        for name, buffer in self.buffers.items():
            buffer.flat[...] = self.kept[name]

    def parameters_are_finite(self) -> bool:
        """Whether no parameter is an infinity or NaN; waits for the device."""
        return bool(np.isfinite(self.step.bk.to_host(self.step.params.flat)).all())


# These decide which images the rest of an epoch visits.
NOT_USED = "not used"
OF_AN_EPOCH = ("data", "subset", "validation", "batch_size", "shuffle", "seed")


def used_compiled(recorded: Json) -> bool:
    """Whether what ``environment`` recorded says that compiled loops took part."""
    return recorded.get("versions", {}).get("numba", NOT_USED) != NOT_USED


def possible_blas_threads(bk: Backend, saved: Checkpoint | None) -> int:
    """The number of BLAS threads of a run: that of ``saved``, as far as this machine allows it."""
    wanted = None if saved is None else saved.environment.get("blas_threads")
    with bk.limit_blas(wanted):
        return bk.blas_threads()


def environment(bk: Backend, workers: int, blas_threads: int | None = None) -> Json:
    """The software and settings that the last bits depend on, as every checkpoint records them.

    ``blas_threads``: the number of a run; by default that of BLAS now.
    """
    about = bk.describe()
    found = versions() | {k: v for k, v in about.items() if k not in ("name", "memory")}
    if bk.name == "cuda":  # the device multiplies
        return {"versions": found, "kernel": about["name"], "workers": workers}
    blas = kernel()
    found["blas"] = blas["blas"]
    found.setdefault("numba", NOT_USED)
    threads = bk.blas_threads() if blas_threads is None else blas_threads
    return {
        "versions": found,
        "kernel": blas["kernel"],
        "workers": workers,
        "blas_threads": threads,
    }


def differences(before: Json, now: Json) -> list[str]:
    """In words, the entries that two environments or machines have in common and that differ."""
    words = []
    for name in sorted(set(before) & set(now)):
        old, new = before[name], now[name]
        if isinstance(old, dict) and isinstance(new, dict):
            words += differences(old, new)
        elif old != new:
            words.append(f"{name} was {old} and is {new}")
    return words


def changed_settings(old: TrainConfig, new: TrainConfig) -> list[str]:
    """The settings that differ, in words."""
    before, after = old.to_json(), new.to_json()
    return [f"{k} was {before[k]!r} and is {after[k]!r}" for k in before if before[k] != after[k]]


def require_same_epoch(checkpoint: Checkpoint, config: Json) -> None:
    """``RunError`` if changed settings would give the rest of an epoch other images."""
    moved = [name for name in OF_AN_EPOCH if checkpoint.config.get(name) != config[name]]
    if len(checkpoint.losses) and moved:
        raise RunError(
            f"the checkpoint is in the middle of epoch {checkpoint.epoch + 1}, whose images follow "
            f"from {', '.join(moved)}: these can change between two epochs only"
        )
