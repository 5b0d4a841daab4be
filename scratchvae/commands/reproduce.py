"""scratchvae reproduce: run a tutorial's study and set its numbers beside the published ones."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scratchvae.commands.common import (
    add_device_arguments,
    add_output_arguments,
    answer,
    open_backend,
    open_dataset,
    say,
)
from scratchvae.commands.train import protocol_of, train_in_folder
from scratchvae.errors import ConfigError
from scratchvae.models import Model
from scratchvae.studies import STUDIES, find_study, reproduce, table
from scratchvae.training import TrainConfig, Training, free_folder, require_free, write_json
from scratchvae.versions import versions

EXAMPLES = """examples:
  scratchvae reproduce gluon
  scratchvae reproduce gluon --seeds 3 --out runs/gluon
  scratchvae reproduce gluon --epochs 1
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "reproduce",
        help="reproduce a tutorial and compare with its published figures",
        description=f"Reproduce a tutorial: {', '.join(STUDIES)}.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", metavar="STUDY", help=", ".join(STUDIES))
    parser.add_argument("--seeds", type=int, default=1, metavar="N",
                        help="how many runs, with the seeds 0 to N − 1 (default: 1)")  # fmt: skip
    parser.add_argument("--epochs", type=int, metavar="N", help="cut it short, and say so")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="a folder for the runs (default: a new one in runs/)")  # fmt: skip
    parser.add_argument("--no-figures", action="store_true", help="draw nothing")
    add_device_arguments(parser)
    add_output_arguments(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Run the study as the arguments say."""
    study = find_study(args.study)
    if args.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, not {args.seeds}")
    if args.epochs is not None and args.epochs < 1:
        raise ConfigError(f"--epochs must be at least 1, not {args.epochs}")
    out: Path = args.out or free_folder(Path("runs"), study.name)
    require_free(out)  # before hours of training
    dataset = open_dataset(study.config.data, args.data_dir, args.quiet)
    bk = open_backend(args.device, study.config.dtype, args.quiet)
    published = {f"published, epoch {study.target.epoch}": study.target.value}

    def run_one(config: TrainConfig) -> Training:
        say(f"{study.name}, seed {config.seed}", args.quiet)
        return train_in_folder(
            config, dataset, bk, out / f"seed-{config.seed}", args.data_dir, args.quiet,
            not args.no_figures, published,
        )  # fmt: skip

    model = Model(study.config.make_vae(dataset.train.images.shape[1]), bk)
    result = reproduce(study, args.seeds, args.epochs, run_one, protocol_of(model, study.config))
    content = asdict(result) | {"run": str(out), "device": bk.name, "versions": versions()}
    write_json(out / "result.json", content)
    text = "\n".join(
        [f"{study.title}", table(result), *(f"the tutorial {slip}" for slip in study.slips)]
    )
    answer(args.json, content, text)
    return 0
