"""scratchvae train --resume RUN: continue a run, to the same bytes as if it had never stopped."""

import argparse
import os
import re
import subprocess
import sys
from functools import partial

from scratchvae.backend import Backend
from scratchvae.cli.common import (
    data_of_run,
    open_backend,
    open_dataset,
    print_message,
    source_of,
)
from scratchvae.cli.train_folder import run_metadata, train_in_folder
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset
from scratchvae.errors import CheckpointError, ConfigError, RunError
from scratchvae.models import Model
from scratchvae.mpi.follow import lead_training, pieces_for
from scratchvae.runs import RunFolder, best_of, how_it_ended, load_checkpoint
from scratchvae.runs.checkpoint import restore
from scratchvae.runs.metrics import first_lines
from scratchvae.training import Prepared, Training, changed_settings, prepare
from scratchvae.training.state import used_compiled
from scratchvae.versions import kernel

SAY_KERNEL = "from scratchvae.versions import kernel; print(kernel()['kernel'])"


def resume(args: argparse.Namespace) -> tuple[TrainConfig, Training]:
    """Go on as the run's config.json says, or with ``--change-settings`` as the arguments say."""
    if args.out is not None:
        raise ConfigError("a run that is resumed stays in its folder: leave out --out")
    folder = RunFolder.open(args.resume)
    folder.require_parts(model=False, optimizer=False)  # a command line can give neither
    recorded, old = folder.settings(), folder.config()
    typed = {name: getattr(args, name) for name in old.to_json() if name in args.typed}
    config = TrainConfig.from_json(old.to_json() | typed)
    device = recorded.get("device", "auto") if args.device == "auto" else args.device
    dataset = data_for(folder, config, args)
    compiled = config.compiled if "compiled" in args.typed else used_compiled(recorded)
    bk = open_backend(args, config.dtype, device=str(device), compiled=compiled)
    prepared = prepare(config, dataset)
    config = prepared.config
    changed = changed_settings(old, config)
    if changed and not args.change_settings:
        raise ConfigError(
            f"{folder.path} has other settings: {'; '.join(changed)}; leave them out to continue "
            "as before, or add --change-settings"
        )
    typed_every = "checkpoint_every" in args.typed
    every = args.checkpoint_every if typed_every else recorded.get("checkpoint_every", 0)
    if not isinstance(every, int) or every < 0:
        raise RunError(f"{folder.config_path} is no configuration of a run: checkpoint_every "
                       f"is {every!r}")  # fmt: skip
    figures = bool(recorded.get("figures")) and not args.no_figures
    settings = run_metadata(prepared, bk, args.data_dir, every, figures)
    places = ("path",) * ("data" not in typed) + ("data_dir",) * (args.data_dir is None)
    settings["data"] |= {place: recorded["data"].get(place) for place in places}
    ended = training_that_ended(folder, prepared, bk, figures)
    if ended is not None:
        print_message(
            f"{folder.path} had {ended.stopped} already: nothing is left to do", args.quiet
        )
        return config, ended
    if args.ranks is not None:
        require_cut(config, args.ranks.size)
    elif args.own_process and bk.name == "cpu":
        with_the_same_kernel(str(recorded.get("kernel")))
    folder.pending = settings
    where = (source_of(config, recorded["data"]), settings["data"].get("data_dir"))
    note = partial(print_message, quiet=args.quiet)
    exchange = lead_training(args.ranks, prepared, bk, where, note)
    return config, train_in_folder(prepared, folder, bk, args.quiet, resume=True, exchange=exchange)


def require_cut(config: TrainConfig, size: int) -> None:
    """``ConfigError`` for a run that several ranks cannot resume."""
    if not config.pieces:
        pieces = pieces_for(config.batch_size)
        raise ConfigError(
            f"the steps of this run are not cut into pieces that {size} ranks could share: resume "
            f"it with one process, or add --pieces {pieces} --change-settings"
        )


def data_for(folder: RunFolder, config: TrainConfig, args: argparse.Namespace) -> Dataset:
    """The run's data, where they are now; ``DataError`` where they are others."""
    if not {"data", "subset", *vars(config.reading)} & set(args.typed):
        return data_of_run(folder, args.data_dir, args.quiet)
    dataset = open_dataset(config, args.data_dir, args.quiet)
    folder.require_data(dataset)
    return dataset


def training_that_ended(
    folder: RunFolder, prepared: Prepared, bk: Backend, figures: bool
) -> Training | None:
    """What a run left that has nothing more to do; None for any other."""
    try:
        checkpoint = load_checkpoint(folder.checkpoint_path)
        folder.require_own(folder.checkpoint_path, checkpoint)
    except CheckpointError:
        return None
    metrics, _, _ = first_lines(folder.metrics_path, checkpoint.epoch)
    since = folder.objective_since(prepared.config, checkpoint.epoch)
    _, best_epoch = best_of(metrics, since)
    stopped = how_it_ended(prepared.config, checkpoint.epoch, best_epoch)
    if stopped is None or (figures and not folder.last_figure_path.exists()):
        return None
    model = Model(prepared.vae, bk, seed=prepared.config.seed)
    restore(folder.checkpoint_path, checkpoint, "params", model.params)
    return Training(model, metrics, stopped, best_epoch)


def with_the_same_kernel(recorded: str) -> None:
    """Begin this process anew with the BLAS kernel that the run was trained with, if it can run.

    OpenBLAS chooses its kernel while NumPy is loaded, and only a variable of the environment can
    choose for it. A kernel that this processor lacks would end the process, so a child tries it.
    """
    if "OPENBLAS_CORETYPE" in os.environ or kernel()["kernel"] == recorded:
        return
    if not re.fullmatch(r"\w{1,40}", recorded):  # no kernel's name
        return
    if not kernel()["blas"].startswith("openblas"):
        return
    env = os.environ | {"OPENBLAS_CORETYPE": recorded}
    tried = subprocess.run(
        [sys.executable, "-c", SAY_KERNEL], env=env, capture_output=True, text=True
    )
    if tried.stdout.strip() == recorded:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], env)
