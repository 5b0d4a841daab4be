"""Checkpoints: all that a run needs to continue as if nothing had happened, in one file.

The arrays are named ``params/encoder.0.W``, ``adam.m/encoder.0.W`` and so on; ``losses`` holds the
steps of an epoch that has begun. Nothing random is in it: order, pixels and noise are functions of
seed and step. Nor is a time, a host or a path: the same run leaves the same bytes anywhere.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scratchvae.errors import CheckpointError
from scratchvae.memory import FlatBuffer, Layout
from scratchvae.storage.archive import load_archive, save_archive, sha256
from scratchvae.types import Json, JsonView

LOSSES = "losses"
KINDS = {
    "config": dict, "data": dict, "environment": dict, "pixels": int, "epoch": int, "step": int,
    "metrics": str,
}  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run: its settings, its arrays by buffer and name, and where it stands."""

    config: Json  # TrainConfig.to_json, with the data's name instead of a path
    pixels: int
    epoch: int  # epochs completed
    step: int  # optimizer steps completed
    buffers: dict[str, dict[str, NDArray]] = field(repr=False)  # "params", "adam.m", …
    losses: NDArray = field(default_factory=lambda: np.zeros((0, 1)), repr=False)  # (i, 1) sums
    data: Json = field(default_factory=dict)  # name and fingerprint
    environment: Json = field(default_factory=dict)  # versions, workers, BLAS kernel
    metrics: str = ""  # digest of the completed epochs' numbers, see :func:`digest_of`


def digest_of(metrics: Iterable[JsonView]) -> str:
    """SHA-256 of the numbers of some epochs; not of their seconds, which no two runs share."""
    lines = [{k: v for k, v in line.items() if k != "seconds"} for line in metrics]
    return sha256(json.dumps(lines, sort_keys=True).encode())


def save_checkpoint(path: Path, checkpoint: Checkpoint, previous: Path | None = None) -> None:
    """Write it atomically; an older file at ``path`` stays whole until the new one is.

    It then becomes ``previous``, where that is given. ``CheckpointError`` if it cannot be written.
    """
    arrays = {
        f"{buffer}/{name}": a
        for buffer, views in checkpoint.buffers.items()
        for name, a in views.items()
    }
    if len(checkpoint.losses):
        arrays[LOSSES] = checkpoint.losses
    content = {name: getattr(checkpoint, name) for name in KINDS}
    save_archive(path, content, arrays, previous)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and verify; ``CheckpointError`` says what is wrong, and with which array."""
    manifest, arrays = load_archive(path, KINDS)
    losses = arrays.pop(LOSSES, np.zeros((0, 1)))
    buffers: dict[str, dict[str, NDArray]] = {}
    for name, a in arrays.items():
        buffer, _, view = name.partition("/")
        buffers.setdefault(buffer, {})[view] = a
    content = {name: manifest[name] for name in KINDS}
    return Checkpoint(**content, buffers=buffers, losses=losses)


def restore(path: Path | str, checkpoint: Checkpoint, buffer: str, into: FlatBuffer) -> None:
    """Copy one of a checkpoint's buffers; refuses one that was made for another model."""
    saved = checkpoint.buffers.get(buffer, {})
    found = Layout({name: a.shape for name, a in saved.items()})
    if dict(found.shapes) != dict(into.layout.shapes):
        raise CheckpointError(
            f"{path} belongs to another model: it holds {_sizes(found.shapes)}, "
            f"but this model has {_sizes(into.layout.shapes)}"
        )
    into.load(saved)


def _sizes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "no parameters"
