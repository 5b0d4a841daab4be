"""A training with its folder: config.json before the first step, a report after the last."""

import datetime
import shlex
from dataclasses import replace
from pathlib import Path

from scratchvae.backend import Backend
from scratchvae.cli.common import print_message
from scratchvae.config import TrainConfig
from scratchvae.data import DATASETS, Dataset
from scratchvae.evaluation import describe_protocol
from scratchvae.figures.run import figure_originals, rows_of
from scratchvae.models import Model
from scratchvae.pages import write_run_report
from scratchvae.runs import RunFolder, Snapshots
from scratchvae.runs.snapshots import SCATTERED
from scratchvae.training import (
    Prepared,
    Training,
    choose_progress,
    environment,
    resolve_workers,
    resume_prepared,
    train_prepared,
)
from scratchvae.training.pieces import ALONE, Exchange
from scratchvae.types import Json
from scratchvae.versions import machine

SIGNAL_EXITS = {"SIGINT": 130, "SIGTERM": 143}


def run_metadata(
    prepared: Prepared, bk: Backend, data_dir: Path | None, checkpoint_every: int, figures: bool
) -> Json:
    """What config.json says: all that a run needs to be understood, repeated and resumed."""
    config, dataset = prepared.config, prepared.dataset
    path = None if config.data in DATASETS else Path(config.data).expanduser()
    cut = bool(config.pieces)  # then each process computes alone, by one thread
    workers = 1 if cut else resolve_workers(config.workers, config.batch_size, bk, prepared.vae)
    return {
        "begun": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
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
        **environment(bk, workers, 1 if cut else None),
    }


def train_in_folder(
    prepared: Prepared,
    folder: RunFolder,
    bk: Backend,
    quiet: bool,
    *,
    resume: bool = False,
    published: dict[str, float] | None = None,
    exchange: Exchange = ALONE,
) -> Training:
    """Train as the folder's config.json says; then its figures, with ``published`` losses.

    A training that a signal has stopped has none. ``exchange``: the way to the other ranks of a
    training by several.
    """
    settings, snapshots = folder.settings(), None
    prepared = replace(prepared, given=prepared.config)  # which is what the folder says
    with folder.locked():
        if settings["figures"]:
            originals = figure_originals(prepared)
            some = rows_of(prepared.test.take(slice(0, SCATTERED)), prepared)
            epochs, path = prepared.config.epochs, folder.snapshots_path
            snapshots = Snapshots(originals, epochs, path, scattered=some)
            if resume:
                snapshots.resume()
        begin = resume_prepared if resume else train_prepared
        training = begin(
            prepared,
            run=folder,
            backend=bk,
            progress=choose_progress(verbose=not quiet),
            on_epoch=snapshots,
            checkpoint_every=settings["checkpoint_every"],
            exchange=exchange,
        )
        if training.stopped not in SIGNAL_EXITS:
            if snapshots is not None:
                draw(prepared, folder, training, snapshots, published)
                print_message(f"figures: {folder.figures_path}", quiet)
            write_run_report(folder, prepared, training.model)
            print_message(f"report: {folder.report_path}", quiet)
        return training


def report_interruption(
    training: Training, folder: RunFolder, quiet: bool, again: str = ""
) -> bool:
    """Say how to continue a training that a signal has stopped; whether one has.

    ``again``: the command that does, if it is not ``scratchvae train --resume``.
    """
    if training.stopped not in SIGNAL_EXITS:
        return False
    again = again or f"scratchvae train --resume {shlex.quote(str(folder.path))}"
    print_message(
        f"interrupted: the state is saved in {folder.checkpoint_path}; {again} continues", quiet
    )
    return True


def draw(
    prepared: Prepared,
    folder: RunFolder,
    training: Training,
    snapshots: Snapshots,
    published: dict[str, float] | None = None,
) -> None:
    """Draw the figures into the run's folder, of the best epoch where one was chosen."""
    from scratchvae.figures import draw_run

    model = Model(prepared.vae, training.model.bk, params=training.model.params)
    folder.restore_best(prepared.config, model)
    drawn = training.metrics[: training.best_epoch]
    caption = caption_of(model, prepared.config, prepared.dataset, drawn)
    draw_run(folder.figures_path, model, prepared, training.metrics, caption, snapshots, published)


def protocol_of(model: Model, config: TrainConfig) -> str:
    """The protocol that a run's numbers carry."""
    return str(describe_protocol(model, config.binarize, config.seed))


def caption_of(model: Model, config: TrainConfig, dataset: Dataset, metrics: list[Json]) -> str:
    """The small print below every figure: data, protocol, model, result.

    ``metrics`` end with those of the epoch that is drawn.
    """
    parts = [
        Path(dataset.name).name,
        protocol_of(model, config),
        config.describe_model(model.vae.pixels),
        f"β = {config.beta:g}",
    ]
    if not config.trains_what_is_tested:
        parts.append(f"trained by: {config.describe_train_loss()}")
    if metrics and "test_loss" in metrics[-1]:
        parts.append(f"epoch {metrics[-1]['epoch']}: test {metrics[-1]['test_loss']:.2f} nats")
    return " · ".join(parts)
