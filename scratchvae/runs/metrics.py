"""metrics.jsonl: one line per epoch, without gaps or duplicates, whatever interrupts a run."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

from scratchvae.config import TrainConfig
from scratchvae.errors import RunError
from scratchvae.storage.atomic import write_bytes
from scratchvae.types import Json, JsonView

NAMES = {"epoch", "train_loss", "seconds"}
EVALUATED = {"test_loss", "test_reconstruction", "test_kl"}  # all or none: see `evaluate_at`


def append_line(path: Path, metrics: JsonView) -> None:
    """Append one epoch's line and fsync; on failure the file is truncated back."""
    line = (json.dumps(metrics) + "\n").encode()
    try:
        with path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                if file.write(line) != len(line):
                    raise OSError(28, "No space left on device")
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(before)
                raise
    except OSError as error:
        raise RunError(
            f"{path} cannot be written: {error.strerror or error}; the last checkpoint stays"
        ) from error


def read_lines(path: Path) -> list[Json]:
    """Read all lines; ``RunError`` names the first that does not describe an epoch."""
    try:
        metrics = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(metrics, start=1):
        _require_epoch(path, number, line)
    return metrics


def keep_lines(path: Path, epochs: int) -> None:
    """Truncate the file after ``epochs`` lines.

    A process killed between a line and its checkpoint leaves a line too many, or part of one; that
    epoch will be trained again.
    """
    _, kept, whole = first_lines(path, epochs)
    if kept != whole:
        write_bytes(path, kept)


def first_lines(path: Path, epochs: int) -> tuple[list[Json], bytes, bytes]:
    """The first ``epochs`` lines, their bytes, and the bytes of the file; ``RunError`` if fewer."""
    try:
        whole = path.read_bytes()
    except FileNotFoundError:
        whole = b""
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from error
    lines = whole.splitlines(keepends=True)[:epochs]
    metrics = []
    for number, line in enumerate(lines, start=1):
        try:
            metrics.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise RunError(f"{path} cannot be read: line {number}: {error}") from error
        _require_epoch(path, number, metrics[-1])
        if metrics[-1]["epoch"] != number or not line.endswith(b"\n"):
            raise RunError(f"{path}: line {number} is not the whole line of epoch {number}")
    if len(lines) < epochs:
        raise RunError(f"{path} ends after epoch {len(lines)}, but {epochs} were completed")
    return metrics, b"".join(lines), whole


def _require_epoch(path: Path, number: int, line: object) -> None:
    whole = isinstance(line, dict) and line.keys() >= NAMES
    if not whole or EVALUATED & line.keys() not in (set(), EVALUATED):  # type: ignore[attr-defined]
        raise RunError(f"{path}: line {number} does not describe an epoch")


def best_of(metrics: Sequence[JsonView], since: int = 0) -> tuple[float, int | None]:
    """The lowest loss on the validation split and the first epoch that had it.

    Only epochs after ``since`` count: the losses before were of another objective
    (:meth:`scratchvae.runs.RunFolder.objective_since`).
    """
    losses = [(line["validation_loss"], line["epoch"]) for line in metrics[since:]
              if "validation_loss" in line]  # fmt: skip
    return min(losses, default=(math.inf, None))


def how_it_ended(config: TrainConfig, epoch: int, best_epoch: int | None) -> str | None:
    """ "early" or "completed" for a run with nothing left to do after ``epoch``; else None."""
    if config.patience and best_epoch is not None and epoch - best_epoch >= config.patience:
        return "early"
    return "completed" if epoch >= config.epochs else None
