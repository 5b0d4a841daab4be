"""A step that was not finite, on disk: all that it was computed from, and nothing else.

One uncompressed npz, no pickles: ``x`` and ``eps`` as the model saw them and ``params/…``; where
the update made the infinity also ``gradient/…``, ``moments.m/…`` and so on; and a manifest, a JSON
text with the settings, where it happened, weight and beta. The data set isn't needed to run it
again.
"""

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from scratchvae.config import TrainConfig
from scratchvae.errors import ConfigError, NonFiniteError, ReplayError
from scratchvae.latent import AnalyticKL
from scratchvae.models import VAE
from scratchvae.runs.atomic import write_atomically

FILE = "nonfinite.npz"  # in the folder of a run
FORMAT = 1
MANIFEST = "manifest"
STEP, EVALUATION = "step", "evaluation"
FACTS = {
    "kind": str, "where": str, "config": dict, "pixels": int,
    "epoch": int, "step": int, "weight": float, "beta": float,
}  # fmt: skip
Arrays = dict[str, NDArray]


@dataclass(frozen=True)
class Replay:
    """A training step, or the evaluation of a block of images, that was not finite."""

    kind: str  # "step" or "evaluation"
    where: str  # "epoch 3, step 2 of it (step 10 of the run)"
    config: dict[str, Any]
    pixels: int
    epoch: int
    step: int  # of the run; of an evaluation, the last step before it
    weight: float  # of an image in the gradient
    beta: float  # the KL's weight at this step
    x: NDArray = field(repr=False)  # (B, D), the batch as the model saw it
    eps: NDArray = field(repr=False)  # (B, K, Z)
    params: Arrays = field(repr=False)
    # where the update made the infinity: what it was handed, and the optimizer's moments before it
    gradient: Arrays | None = field(default=None, repr=False)
    moments: dict[str, Arrays] = field(default_factory=dict, repr=False)

    def settings(self) -> TrainConfig:
        """The settings of the run."""
        return TrainConfig.from_json(self.config)

    def vae(self) -> VAE:
        """The model; an evaluation's numbers have the analytic KL (E2), whatever trains."""
        vae = self.settings().make_vae(self.pixels)
        return vae.with_estimator(AnalyticKL()) if self.kind == EVALUATION else vae


def save_replay(path: Path, replay: Replay) -> None:
    """Write it atomically; ``OSError`` where the disk is full, or the folder locked."""
    arrays = {"x": replay.x, "eps": replay.eps}
    groups = {"params": replay.params, "gradient": replay.gradient or {}}
    groups |= {f"moments.{name}": moment for name, moment in replay.moments.items()}
    for group, views in groups.items():
        arrays |= {f"{group}/{name}": a for name, a in views.items()}
    manifest = {"replay": FORMAT} | {name: getattr(replay, name) for name in FACTS}
    text = np.frombuffer(json.dumps(manifest, sort_keys=True).encode(), dtype=np.uint8)

    def write(file: BinaryIO) -> None:
        np.savez(file, **{MANIFEST: text, **arrays})  # type: ignore[arg-type]

    write_atomically(path, write)


def leave_replay(error: NonFiniteError, folder: Path) -> NonFiniteError:
    """Write the error's replay file into a run's folder; the error that names it, too.

    Where it can't be written, the error says why, and stays what it is.
    """
    if error.replay is None:
        return error
    path = folder / FILE
    try:
        save_replay(path, error.replay)
        hint = f"replay it with: scratchvae replay {shlex.quote(str(path))}"
    except OSError as trouble:
        hint = f"it can't be replayed: {path} cannot be written: {trouble.strerror or trouble}"
    named = NonFiniteError(f"{error}; {hint}")
    named.replay = error.replay
    return named


def load_replay(path: Path) -> Replay:
    """Read and check it; ``ReplayError`` says what is wrong. The zip's sums vouch for the bytes."""
    try:
        # opened here, because np.load forgets to close a file that is no zip
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            manifest = json.loads(bytes(file[MANIFEST]).decode())
            arrays = {name: np.asarray(file[name]) for name in file.files if name != MANIFEST}
    except FileNotFoundError:
        raise ReplayError(f"there is no replay file at {path}") from None
    except OSError as error:
        raise ReplayError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # zipfile, zlib and NumPy have no common type for damaged bytes
        raise ReplayError(f"{path} is no replay file of scratchvae, or damaged") from error
    if not isinstance(manifest, dict) or "replay" not in manifest:
        raise ReplayError(f"{path} is no replay file of scratchvae")
    if manifest["replay"] != FORMAT:
        raise ReplayError(
            f"{path} has format {manifest['replay']}, but this version reads format {FORMAT}"
        )
    try:
        replay = _assemble(manifest, arrays)
        _check(replay)
    except (ConfigError, TypeError, ValueError) as error:
        raise ReplayError(f"{path} is damaged: {error}") from error
    return replay


def _assemble(manifest: Mapping[str, Any], arrays: Arrays) -> Replay:
    lacking = [name for name, kind in FACTS.items() if not isinstance(manifest.get(name), kind)]
    lacking += [name for name in ("x", "eps") if name not in arrays]
    if lacking:
        raise ConfigError(f"it lacks {', '.join(lacking)}")
    groups: dict[str, Arrays] = {"params": {}, "gradient": {}}
    for name, a in arrays.items():
        group, _, view = name.partition("/")
        if view:
            groups.setdefault(group, {})[view] = a
    params, gradient = groups.pop("params"), groups.pop("gradient")
    moments = {name.removeprefix("moments."): views for name, views in groups.items()}
    facts = {name: manifest[name] for name in FACTS}
    return Replay(**facts, x=arrays["x"], eps=arrays["eps"], params=params,
                  gradient=gradient or None, moments=moments)  # fmt: skip


def _check(replay: Replay) -> None:
    """``ConfigError`` unless the settings make a model that all arrays fit."""
    if replay.kind not in (STEP, EVALUATION):
        raise ConfigError(f"its kind is {replay.kind!r}")
    if not all(math.isfinite(a) and a >= 0 for a in (replay.weight, replay.beta)):
        raise ConfigError(f"its weight is {replay.weight} and its beta {replay.beta}")
    if replay.kind == STEP and replay.step < 1:
        raise ConfigError(f"its step is {replay.step}, but steps count from 1")
    vae, rows = replay.vae(), len(replay.x) if replay.x.ndim else 0
    shapes = {"x": (rows, replay.pixels), "eps": (rows, vae.samples, vae.latent_dim)}
    found = {"x": replay.x, "eps": replay.eps}
    groups = {"params": replay.params}
    if replay.gradient is not None:
        moments = replay.settings().make_optimizer().moments
        groups |= {"gradient": replay.gradient}
        groups |= {f"moments.{name}": replay.moments.get(name, {}) for name in moments}
    for group, views in groups.items():
        shapes |= {f"{group}/{name}": shape for name, shape in vae.layout.shapes.items()}
        found |= {f"{group}/{name}": a for name, a in views.items()}
    if set(shapes) != set(found):
        raise ConfigError(f"missing or surplus arrays {sorted(set(shapes) ^ set(found))}")
    for name, shape in shapes.items():
        a = found[name]
        if a.shape != shape or 0 in shape or a.dtype != replay.settings().dtype:
            raise ConfigError(
                f"{name} is {a.dtype} of the shape {a.shape}, but this model has "
                f"{replay.settings().dtype} of {shape}"
            )
