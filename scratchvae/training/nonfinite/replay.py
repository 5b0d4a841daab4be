"""A step that was not finite, on disk: everything that it was computed from.

An archive (:mod:`scratchvae.storage.archive`) with the arrays ``x`` and ``eps`` as the model saw
them and ``params/…``; if the update made the infinity, also ``gradient/…``, ``moments.m/…`` and so
on. Its manifest holds the settings, the place in the run, weight and beta. The data set isn't
needed to run the step again.
"""

import math
import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from numpy.typing import NDArray

from scratchvae.config import TrainConfig
from scratchvae.errors import CheckpointError, ConfigError, NonFiniteError, ReplayError
from scratchvae.latent import default_estimator
from scratchvae.models import VAE
from scratchvae.optim import Optimizer
from scratchvae.storage.archive import load_archive, save_archive
from scratchvae.types import Json, JsonView

FILE = "nonfinite.npz"  # in the folder of a run
STEP, EVALUATION = "step", "evaluation"
FACTS = {
    "kind": str, "where": str, "config": dict, "pixels": int,
    "epoch": int, "step": int, "weight": float, "beta": float,
}  # fmt: skip
Arrays = dict[str, NDArray]


@dataclass(frozen=True)
class Replay:
    """A training step, or the evaluation of a block of images, that produced an infinity or NaN.

    For B images of D pixels, K samples and Z latent units: x (B, D) and eps (B, K, Z), in the
    float type of the run.
    """

    kind: str  # "step" or "evaluation"
    where: str  # "epoch 3, step 2 of it (step 10 of the run)"
    config: Json
    pixels: int
    epoch: int
    step: int  # of the run; of an evaluation, the last step before it
    weight: float  # of each image in the gradient: 1/B
    beta: float  # the KL's weight at this step
    x: NDArray = field(repr=False)
    eps: NDArray = field(repr=False)
    params: Arrays = field(repr=False)
    # if the update made the infinity: the gradient, and the optimizer's moments before it
    gradient: Arrays | None = field(default=None, repr=False)
    moments: dict[str, Arrays] = field(default_factory=dict, repr=False)
    # a model that was put together in Python: no file holds it, and none is written of its steps
    by_hand: VAE | None = field(default=None, repr=False)
    optimizer: Optimizer | None = field(default=None, repr=False)  # None: as the settings say

    def settings(self) -> TrainConfig:
        """The settings of the run."""
        return TrainConfig.from_json(self.config)

    def vae(self) -> VAE:
        """The model of the step; that of an evaluation has the estimator of evaluations (E2)."""
        vae = self.by_hand or self.settings().make_vae(self.pixels)
        return vae.with_estimator(default_estimator(vae.flow)) if self.kind == EVALUATION else vae


def save_replay(path: Path, replay: Replay) -> None:
    """Write a replay file atomically; ``CheckpointError`` if it cannot be written."""
    arrays = {"x": replay.x, "eps": replay.eps}
    groups = {"params": replay.params, "gradient": replay.gradient or {}}
    groups |= {f"moments.{name}": moment for name, moment in replay.moments.items()}
    for group, views in groups.items():
        arrays |= {f"{group}/{name}": a for name, a in views.items()}
    save_archive(path, {name: getattr(replay, name) for name in FACTS}, arrays)


def leave_replay(error: NonFiniteError, folder: Path) -> NonFiniteError:
    """Write the error's replay file into a run's folder; returns the error with the file's path.

    If the file cannot be written, the returned error says why.
    """
    if error.replay is None:
        return error
    path = folder / FILE
    try:
        save_replay(path, error.replay)
        hint = f"replay it with: scratchvae replay {shlex.quote(str(path))}"
    except CheckpointError as trouble:
        hint = f"it can't be replayed: {trouble}"
    named = NonFiniteError(f"{error}; {hint}")
    named.replay = error.replay
    return named


def load_replay(path: Path) -> Replay:
    """Read and verify a replay file; ``ReplayError``, naming the array, if it is damaged."""
    if not os.path.lexists(path):
        raise ReplayError(f"there is no replay file at {path}")
    try:
        manifest, arrays = load_archive(path, {})
        if not set(FACTS) <= set(manifest):
            raise ReplayError(f"{path} is not a replay file of scratchvae")
        replay = _assemble(manifest, arrays)
        _check(replay)
    except CheckpointError as error:
        raise ReplayError(str(error)) from error
    except (ConfigError, TypeError, ValueError) as error:
        raise ReplayError(f"{path} is damaged: {error}") from error
    return replay


def _assemble(manifest: JsonView, arrays: Arrays) -> Replay:
    odd = [name for name, kind in FACTS.items() if type(manifest[name]) is not kind]
    if odd:
        raise ConfigError(f"its {odd[0]} is {manifest[odd[0]]!r}")
    groups: dict[str, Arrays] = {"": {}, "params": {}, "gradient": {}}
    for name, a in arrays.items():
        group, _, view = name.rpartition("/")
        groups.setdefault(group, {})[view] = a
    inputs, params, gradient = (groups.pop(group) for group in ("", "params", "gradient"))
    if set(inputs) != {"x", "eps"}:
        raise ConfigError(f"missing or surplus arrays {sorted(set(inputs) ^ {'x', 'eps'})}")
    moments = {name.removeprefix("moments."): views for name, views in groups.items()}
    facts = {name: manifest[name] for name in FACTS}
    return Replay(
        **facts, x=inputs["x"], eps=inputs["eps"], params=params, gradient=gradient or None,
        moments=moments,
    )  # fmt: skip


def _check(replay: Replay) -> None:
    """``ConfigError`` unless the settings make a model that all arrays fit."""
    if replay.kind not in (STEP, EVALUATION):
        raise ConfigError(f"its kind is {replay.kind!r}")
    if not all(math.isfinite(a) and a >= 0 for a in (replay.weight, replay.beta)):
        raise ConfigError(f"its weight is {replay.weight} and its beta {replay.beta}")
    if replay.kind == STEP and replay.step < 1:
        raise ConfigError(f"its step is {replay.step}, but steps count from 1")
    vae, rows = replay.vae(), len(replay.x) if replay.x.ndim else 0
    shapes = {"x": (rows, vae.pixels), "eps": (rows, vae.samples, vae.latent_dim)}
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
