"""A training with its folder: config.json first, figures last; begun, or taken up again."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from scratchvae.backend import Backend
from scratchvae.cli.common import print_message
from scratchvae.config import TrainConfig, resolve_max_level
from scratchvae.data import DATASETS, Dataset
from scratchvae.evaluation import describe_protocol
from scratchvae.figures.run import figure_originals
from scratchvae.models import Model
from scratchvae.runs import RunFolder, Snapshots
from scratchvae.training import (
    Training,
    Views,
    choose_progress,
    environment,
    prepare,
    resolve_workers,
    train,
)
from scratchvae.versions import machine

SIGNAL_EXITS = {"SIGINT": 130, "SIGTERM": 143}


def train_in_folder(
    config: TrainConfig,
    dataset: Dataset,
    bk: Backend,
    out: Path,
    data_dir: Path | None,
    quiet: bool,
    figures: bool,
    published: dict[str, float] | None = None,
    checkpoint_every: int = 0,
) -> Training:
    """A new training in a folder of its own."""
    config = settled(config, dataset, bk)
    views = prepare(config, dataset)  # everything that can be wrong with them is wrong now
    settings = settings_of(config, dataset, bk, data_dir, checkpoint_every, figures)
    folder = RunFolder.create(out, settings)
    return train_and_draw(folder, config, dataset, views, bk, quiet, published)


def settled(config: TrainConfig, dataset: Dataset, bk: Backend) -> TrainConfig:
    """The settings with what they leave to the data and to the machine."""
    config = resolve_max_level(config, dataset.train.max_level)
    vae = config.make_vae(dataset.train.images.shape[1])
    return replace(config, workers=resolve_workers(config, bk, vae))


def settings_of(
    config: TrainConfig,
    dataset: Dataset,
    bk: Backend,
    data_dir: Path | None,
    checkpoint_every: int,
    figures: bool,
) -> dict[str, Any]:
    """What config.json says: all that a run needs to be understood, repeated and resumed."""
    path = None if config.data in DATASETS else Path(config.data).expanduser()
    return {
        "config": config.to_json(),
        "checkpoint_every": checkpoint_every,
        "figures": figures,
        "data": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "image_shape": dataset.image_shape and list(dataset.image_shape),
            "data_dir": None if data_dir is None else str(data_dir.resolve()),
            "path": None if path is None else str(path.resolve()),
        },
        "device": bk.name,
        "machine": machine(),
        **environment(bk, config.workers),
    }


def train_and_draw(
    folder: RunFolder,
    config: TrainConfig,
    dataset: Dataset,
    views: Views,
    bk: Backend,
    quiet: bool,
    published: dict[str, float] | None = None,
    resume: bool = False,
) -> Training:
    """Train as the folder's config.json says; then its figures."""
    with folder.locked():
        settings, snapshots = folder.settings(), None
        if settings["figures"]:
            originals = figure_originals(views, config)
            snapshots = Snapshots(originals, config.epochs, folder.snapshots_path)
            if resume:
                snapshots.resume()
        training = train(
            config, dataset, bk, folder, choose_progress(quiet), snapshots,
            settings["checkpoint_every"], resume, return_on_signal=True,
        )  # fmt: skip
        if training.stopped in SIGNAL_EXITS:
            again = f"scratchvae train --resume {shlex.quote(str(folder.path))}"
            print_message(f"interrupted: the state is saved in {folder.checkpoint_path}; {again} "
                          "goes on", quiet)  # fmt: skip
        elif snapshots is not None:
            draw(folder, config, dataset, views, bk, snapshots, training.metrics, published)
            print_message(f"figures: {folder.figures_path}", quiet)
        return training


def draw(
    folder: RunFolder,
    config: TrainConfig,
    dataset: Dataset,
    views: Views,
    bk: Backend,
    snapshots: Snapshots,
    metrics: list[dict[str, Any]],
    published: dict[str, float] | None = None,
) -> None:
    """Draw the figures into the run's folder; nothing else there is touched."""
    from scratchvae.figures import draw_run

    model, _ = folder.load(bk)
    caption = caption_of(model, config, dataset, metrics)
    draw_run(folder.figures_path, model, config, dataset, views, metrics, caption, snapshots,
             published)  # fmt: skip


def protocol_of(model: Model, config: TrainConfig) -> str:
    """The protocol that a run's numbers carry."""
    return str(describe_protocol(model, config.binarize, config.seed))


def caption_of(
    model: Model, config: TrainConfig, dataset: Dataset, metrics: list[dict[str, Any]]
) -> str:
    """The small print below every figure: data, protocol, model, result."""
    parts = [
        Path(dataset.name).name,
        protocol_of(model, config),
        config.describe_model(model.vae.pixels),
        f"β = {config.beta:g}",
    ]
    if not config.trains_what_is_tested:
        parts.append(f"trained by: {config.describe_train_loss()}")
    if metrics:
        parts.append(f"epoch {metrics[-1]['epoch']}: test {metrics[-1]['test_loss']:.2f} nats")
    return " · ".join(parts)
