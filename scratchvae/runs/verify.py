"""What of a run's folder is whole, and what is not: every file against what vouches for it."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scratchvae.backend import get_backend
from scratchvae.errors import CheckpointError, RunError
from scratchvae.memory import FlatBuffer
from scratchvae.runs.checkpoint import Checkpoint, digest_of, load_checkpoint, restore
from scratchvae.runs.folder import RunFolder
from scratchvae.runs.metrics import best_of, first_lines
from scratchvae.runs.snapshots import Film


@dataclass
class Findings:
    """Of a run: what each good file holds, a sentence for each damage, and what else to know."""

    files: dict[str, str] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def inspect(run: RunFolder) -> Findings:
    """Read everything that a run has left; nothing is changed."""
    found = Findings()
    try:
        config = run.config()
        found.files[run.config_path.name] = f"the settings of a run on {config.data}"
    except RunError as error:
        found.damage.append(str(error))
    states = {}
    for path in (run.checkpoint_path, run.previous_path, run.best_path):
        if path.exists():
            states[path] = _state(run, path, found)
    _metrics(run, states, found)
    try:
        film = Film.load(run.film_path)
        if film is not None:
            found.files[run.film_path.name] = f"{len(film.frames)} frames"
    except RunError as error:
        found.damage.append(str(error))
    for file in sorted(run.path.glob(".*.tmp")):
        found.notes.append(f"{file} is what a killed process left: --resume removes it")
    return found


def _state(run: RunFolder, path: Path, found: Findings) -> Checkpoint | None:
    """A checkpoint whose every byte is vouched for, of this run, and finite."""
    try:
        checkpoint = load_checkpoint(path)
        run.require_own(path, checkpoint)
        config = run.config()
        bk = get_backend("cpu", config.dtype)
        params = FlatBuffer(bk, config.make_vae(checkpoint.pixels).layout)
        restore(path, checkpoint, "params", params)
        if not np.isfinite(params.flat).all():
            raise CheckpointError(f"{path} holds parameters that are not finite")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        where = f"{checkpoint.step} steps, {checkpoint.epoch} epochs completed"
        found.files[path.name] = f"{where}, SHA-256 {digest}"
    except (RunError, OSError) as error:
        found.damage.append(str(error))
        return None
    return checkpoint


def _metrics(run: RunFolder, states: dict[Path, Checkpoint | None], found: Findings) -> None:
    """The lines of the completed epochs are those that the checkpoints vouch for."""
    path, last = run.metrics_path, states.get(run.checkpoint_path)
    if run.checkpoint_path not in states:
        found.notes.append(f"{run.path} has no checkpoint yet: --resume would begin at step 0")
    epochs = 0 if last is None else last.epoch
    try:
        metrics, kept, whole = first_lines(path, epochs)
        for file, state in states.items():
            if state is None:
                continue
            if state.epoch > epochs:  # best.npz is written before its epoch's checkpoint
                found.notes.append(f"{file} is ahead of {run.checkpoint_path.name}")
            elif state.metrics != digest_of(metrics[: state.epoch]):
                raise RunError(f"{path}: its numbers are not those that {file.name} was saved with")
        _best(run, metrics, states, epochs)
    except RunError as error:
        found.damage.append(str(error))
        return
    surplus = whole[len(kept) :].splitlines()
    if last is not None and len(surplus) > 1:
        found.damage.append(f"{path} has {len(surplus)} lines more than epochs were completed")
    elif surplus:
        found.notes.append(f"{path} has more than the checkpoint: --resume makes it again")
    if path.exists():
        found.files[path.name] = f"{epochs} epochs"


def _best(
    run: RunFolder,
    metrics: list[dict[str, Any]],
    states: dict[Path, Checkpoint | None],
    epochs: int,
) -> None:
    """best.npz is there, and of the best epoch."""
    _, epoch = best_of(metrics)
    if epoch is None:
        return
    if run.best_path not in states:
        raise RunError(f"{run.best_path} is missing: the best epoch was {epoch}")
    best = states[run.best_path]
    if best is not None and best.epoch <= epochs and best.epoch != epoch:
        raise RunError(f"{run.best_path} is of epoch {best.epoch}, but the best was {epoch}")
