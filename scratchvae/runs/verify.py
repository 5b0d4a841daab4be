"""Verification of a run's folder: every file against its checksums and against the others."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from scratchvae.backend import get_backend
from scratchvae.errors import CheckpointError, RunError
from scratchvae.memory import FlatBuffer
from scratchvae.runs.checkpoint import Checkpoint, digest_of, load_checkpoint, restore
from scratchvae.runs.folder import RunFolder
from scratchvae.runs.metrics import best_of, first_lines
from scratchvae.runs.snapshots import Snapshots
from scratchvae.storage.archive import sha256
from scratchvae.types import Json


@dataclass
class VerificationReport:
    """What each intact file holds, a sentence for each damage, and notes on what is harmless."""

    files: dict[str, str] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify_run(run: RunFolder) -> VerificationReport:
    """Read and check every file of a run; nothing is changed."""
    report = VerificationReport()
    try:
        config = run.config()
        report.files[run.config_path.name] = f"the settings of a run on {config.data}"
    except RunError as error:
        report.damage.append(str(error))
    states = {}
    for path in (run.checkpoint_path, run.previous_path, run.best_path):
        if path.exists():
            states[path] = _state(run, path, report)
    _metrics(run, states, report)
    try:
        snapshots = Snapshots.load(run.snapshots_path)
        if snapshots is not None:
            report.files[run.snapshots_path.name] = f"{len(snapshots.frames)} frames"
    except RunError as error:
        report.damage.append(str(error))
    for file in sorted(run.path.glob(".*.tmp")):
        report.notes.append(f"{file} is what a killed process left: --resume removes it")
    return report


def _state(run: RunFolder, path: Path, report: VerificationReport) -> Checkpoint | None:
    """Load one checkpoint and check that it is intact, of this run, and finite; None if not."""
    try:
        checkpoint = load_checkpoint(path)
        run.require_own(path, checkpoint)
        config = run.config()
        bk = get_backend("cpu", config.dtype)
        params = FlatBuffer(bk, run.make_vae(checkpoint.pixels).layout)
        restore(path, checkpoint, "params", params)
        if not np.isfinite(params.flat).all():
            raise CheckpointError(f"{path} holds parameters that are not finite")
        digest = sha256(path.read_bytes())
        where = f"{checkpoint.step} steps, {checkpoint.epoch} epochs completed"
        report.files[path.name] = f"{where}, SHA-256 {digest}"
    except (RunError, OSError) as error:
        report.damage.append(str(error))
        return None
    return checkpoint


def _metrics(
    run: RunFolder, states: dict[Path, Checkpoint | None], report: VerificationReport
) -> None:
    """Check metrics.jsonl against the digests that the checkpoints hold."""
    path, last = run.metrics_path, states.get(run.checkpoint_path)
    if run.checkpoint_path not in states:
        report.notes.append(f"{run.path} has no checkpoint yet: --resume would begin at step 0")
    epochs = 0 if last is None else last.epoch
    try:
        metrics, kept, whole = first_lines(path, epochs)
        for file, state in states.items():
            if state is None:
                continue
            if state.epoch > epochs:  # best.npz is written before its epoch's checkpoint
                report.notes.append(f"{file} is ahead of {run.checkpoint_path.name}")
            elif state.metrics != digest_of(metrics[: state.epoch]):
                raise RunError(f"{path}: its numbers are not those that {file.name} was saved with")
        _best(run, metrics[run.objective_since(run.config(), epochs) :], states, epochs)
    except RunError as error:
        report.damage.append(str(error))
        return
    surplus = whole[len(kept) :].splitlines()
    if last is not None and len(surplus) > 1:
        report.damage.append(f"{path} has {len(surplus)} lines more than epochs were completed")
    elif surplus:
        report.notes.append(f"{path} has more than the checkpoint: --resume makes it again")
    if path.exists():
        report.files[path.name] = f"{epochs} epochs"


def _best(
    run: RunFolder,
    metrics: list[Json],
    states: dict[Path, Checkpoint | None],
    epochs: int,
) -> None:
    """Check that best.npz exists and is of the best epoch."""
    _, epoch = best_of(metrics)
    if epoch is None:
        return
    if run.best_path not in states:
        raise RunError(f"{run.best_path} is missing: the best epoch was {epoch}")
    best = states[run.best_path]
    if best is not None and best.epoch <= epochs and best.epoch != epoch:
        raise RunError(f"{run.best_path} is of epoch {best.epoch}, but the best was {epoch}")
