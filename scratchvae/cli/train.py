"""scratchvae train: train a model and leave a run folder."""

import argparse
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

from scratchvae.cli.common import (
    open_backend,
    open_dataset,
    print_message,
    print_result,
    results_folder,
)
from scratchvae.cli.parser import Commands, add_command
from scratchvae.cli.resume import resume
from scratchvae.cli.train_folder import (
    SIGNAL_EXITS,
    protocol_of,
    report_interruption,
    run_metadata,
    train_in_folder,
)
from scratchvae.cli.train_options import add_arguments
from scratchvae.config import TrainConfig
from scratchvae.errors import ConfigError
from scratchvae.mpi.follow import lead_training, pieces_for
from scratchvae.mpi.place import place
from scratchvae.runs import RunFolder
from scratchvae.training import Training, prepare


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "train",
        run,
        help="train a VAE",
        description="Train a VAE and leave a run folder with numbers, checkpoint and figures.",
        examples=[
            "scratchvae train",
            "scratchvae train --data mnist --hidden 400 400 --latent-dim 2 --batch-size 100 "
            "--epochs 50",
            "scratchvae train --data mnist --binarize dynamic --latent-dim 20 --validation 5000 "
            "--patience 5",
            "scratchvae train --data faces.npy --likelihood gaussian --std 0.1",
            "scratchvae train --resume runs/digits-1",
            "scratchvae train --resume runs/digits-1 --epochs 300 --change-settings",
        ],
    )
    add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Train as the arguments say."""
    if args.checkpoint_every < 0:
        raise ConfigError(
            f"--checkpoint-every must not be negative, but is {args.checkpoint_every}"
        )
    if args.resume is not None:
        config, training = resume(args)
        return report(args, args.resume, config, training)
    if args.change_settings:
        raise ConfigError("--change-settings belongs to --resume: name the run to continue")
    config = TrainConfig.from_json({name: getattr(args, name) for name in TrainConfig.defaults()})
    config = with_pieces(config)
    dataset = open_dataset(config, args.data_dir, args.quiet)
    bk = open_backend(args, config.dtype)
    prepared = prepare(config, dataset)  # all that can be wrong with them is found before a folder
    metadata = run_metadata(prepared, bk, args.data_dir, args.checkpoint_every, not args.no_figures)
    with results_folder(args.out, run_stem(dataset.name)) as out:
        folder = RunFolder.create(out, metadata)
        where = (config.data, args.data_dir and str(args.data_dir))
        note = partial(print_message, quiet=args.quiet)
        exchange = lead_training(args.ranks, prepared, bk, where, note)
        training = train_in_folder(prepared, folder, bk, args.quiet, exchange=exchange)
    return report(args, out, prepared.config, training)


def run_stem(data: str) -> str:
    """What the name of a run's folder begins with: that of its data, in letters that files have."""
    return re.sub(r"\W+", "-", Path(data).stem).strip("-") or "data"


def with_pieces(config: TrainConfig) -> TrainConfig:
    """The settings with the pieces of a step, where mpiexec has started the program."""
    if place() is None or config.pieces:
        return config
    return replace(config, pieces=pieces_for(config.batch_size))


def report(args: argparse.Namespace, out: Path, config: TrainConfig, training: Training) -> int:
    """Say what became of the training; the exit code."""
    report_interruption(training, RunFolder.open(out), args.quiet)
    last = training.metrics[-1] if training.metrics else {}
    content = {
        "run": str(out),
        "stopped": training.stopped,
        "seconds": training.seconds,
        "best_epoch": training.best_epoch,
        "protocol": protocol_of(training.model, config),
        "train_protocol": config.describe_train_loss(),
        **last,
    }
    lines = [f"run: {out}"]
    if last:
        text = f"epoch {last['epoch']}: train {last['train_loss']:.3f}"
        if "test_loss" in last:
            text += f", test {last['test_loss']:.3f}"
        text += " nats per image"
        if "test_loss" in last:
            text += f" (reconstruction {last['test_reconstruction']:.3f}, KL {last['test_kl']:.3f})"
        lines.append(text)
    lines.append(f"protocol: {content['protocol']}")
    if not config.trains_what_is_tested:
        lines.append(f"train loss: {config.describe_train_loss()}; test: ELBO, analytic KL")
    if training.best_epoch is not None:
        lines.append(f"best epoch on the validation split: {training.best_epoch}")
    print_result(args.json, content, "\n".join(lines))
    return SIGNAL_EXITS.get(training.stopped, 0)
