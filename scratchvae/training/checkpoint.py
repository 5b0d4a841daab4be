"""Checkpoints: one uncompressed npz with a manifest that vouches for every array.

The arrays are named ``params/encoder.0.W``, ``adam.m/encoder.0.W`` and so on. The manifest, a JSON
text, holds the settings, how far the run has come, and shape, dtype and SHA-256 of every array.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from scratchvae.errors import CheckpointError
from scratchvae.memory import FlatBuffer, Layout
from scratchvae.training.atomic import write_atomically

FORMAT = 1
MANIFEST = "manifest"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run: its settings, its arrays by buffer and name, and where it stands."""

    config: dict[str, Any]
    pixels: int
    epoch: int  # epochs completed
    step: int  # optimizer steps completed
    buffers: dict[str, dict[str, NDArray]] = field(repr=False)  # "params", "adam.m", …


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write it atomically; an older file at ``path`` stays whole until the new one is."""
    arrays = {
        f"{buffer}/{name}": np.ascontiguousarray(a)
        for buffer, views in checkpoint.buffers.items()
        for name, a in views.items()
    }
    manifest = {
        "format": FORMAT,
        "config": checkpoint.config,
        "pixels": checkpoint.pixels,
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "arrays": {name: _describe(a) for name, a in arrays.items()},
    }
    text = np.frombuffer(json.dumps(manifest, sort_keys=True).encode(), dtype=np.uint8)

    def write(file: BinaryIO) -> None:
        np.savez(file, **{MANIFEST: text, **arrays})  # type: ignore[arg-type]

    try:
        write_atomically(path, write)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror or error}") from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and verify; ``CheckpointError`` says what is wrong, and with which array."""
    try:
        # opened here, because np.load forgets to close a file that is no zip
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            manifest = json.loads(bytes(file[MANIFEST]).decode())
            _check_names(path, manifest, set(file.files) - {MANIFEST})
            arrays = {name: np.asarray(file[name]) for name in manifest["arrays"]}
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint at {path}") from None
    except CheckpointError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy have no common type for damaged bytes
        raise CheckpointError(f"{path} is no checkpoint of scratchvae, or damaged: {error}") from (
            error
        )
    for name, expected in manifest["arrays"].items():
        if _describe(arrays[name]) != expected:
            raise CheckpointError(f"{path} is damaged: the array {name} is not what was saved")
    buffers: dict[str, dict[str, NDArray]] = {}
    for name, a in arrays.items():
        buffer, _, view = name.partition("/")
        buffers.setdefault(buffer, {})[view] = a
    return Checkpoint(
        manifest["config"], manifest["pixels"], manifest["epoch"], manifest["step"], buffers
    )


def restore(path: Path, checkpoint: Checkpoint, buffer: str, into: FlatBuffer) -> None:
    """Copy one of a checkpoint's buffers; refuses one that was made for another model."""
    saved = checkpoint.buffers.get(buffer, {})
    found = Layout({name: a.shape for name, a in saved.items()})
    if dict(found.shapes) != dict(into.layout.shapes):
        raise CheckpointError(
            f"{path} belongs to another model: it holds {_sizes(found.shapes)}, "
            f"but this model has {_sizes(into.layout.shapes)}"
        )
    into.load(saved)


def _check_names(path: Path, manifest: Any, found: set[str]) -> None:
    if not isinstance(manifest, dict) or not isinstance(manifest.get("arrays"), dict):
        raise CheckpointError(f"{path} is damaged: its manifest does not describe a checkpoint")
    if manifest.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {manifest.get('format')}, but this version reads format {FORMAT}"
        )
    kinds = {"config": dict, "pixels": int, "epoch": int, "step": int}
    lacking = [key for key, kind in kinds.items() if not isinstance(manifest.get(key), kind)]
    if lacking:
        raise CheckpointError(f"{path} is damaged: its manifest lacks {', '.join(lacking)}")
    if set(manifest["arrays"]) != found:
        odd = sorted(set(manifest["arrays"]) ^ found)
        raise CheckpointError(f"{path} is damaged: missing or surplus arrays {odd}")


def _describe(a: NDArray) -> dict[str, Any]:
    digest = hashlib.sha256(np.ascontiguousarray(a).data).hexdigest()
    return {"shape": list(a.shape), "dtype": a.dtype.str, "sha256": digest}


def _sizes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "no parameters"
