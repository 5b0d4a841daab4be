"""scratchvae reproduce: run a tutorial's study and set its numbers beside the published ones."""

import argparse
import datetime
from dataclasses import asdict, replace
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
from scratchvae.commands.train import SIGNAL_EXITS, train_in_folder
from scratchvae.errors import ConfigError
from scratchvae.evaluation import Evaluation, evaluate
from scratchvae.studies import STUDIES, Study, find_study, reproduce, table, write_report
from scratchvae.training import (
    TrainConfig,
    Training,
    free_folder,
    prepare,
    require_free,
    write_json,
)
from scratchvae.versions import versions

EXAMPLES = """examples:
  scratchvae reproduce gluon
  scratchvae reproduce gluon --seeds 3 --out runs/gluon
  scratchvae reproduce keras-conv --epochs 1
  scratchvae reproduce --all
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
    parser.add_argument("study", nargs="?", metavar="STUDY", help=", ".join(STUDIES))
    parser.add_argument("--all", action="store_true", help="every study, one after the other")
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
    """Run the studies as the arguments say."""
    if bool(args.study) == args.all:
        raise ConfigError(f"name one study, or ask for --all; there are: {', '.join(STUDIES)}")
    if args.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, not {args.seeds}")
    if args.epochs is not None and args.epochs < 1:
        raise ConfigError(f"--epochs must be at least 1, not {args.epochs}")
    studies = list(STUDIES.values()) if args.all else [find_study(args.study)]
    out: Path = args.out or free_folder(Path("runs"), "all" if args.all else studies[0].name)
    require_free(out)  # before hours of training
    contents, texts = [], []
    for study in studies:
        content, text = run_study(study, args, out / study.name if args.all else out)
        contents.append(content)
        texts.append(text)
    answer(args.json, {"studies": contents} if args.all else contents[0], "\n\n".join(texts))
    return 0


def run_study(study: Study, args: argparse.Namespace, out: Path) -> tuple[dict[str, Any], str]:
    """One study with its folder: a run a seed, result.json and report.html; JSON and text."""
    settings = study.config
    dataset = open_dataset(settings.data, settings.subset, args.data_dir, args.quiet)
    bk = open_backend(args.device, settings.dtype, args.quiet, args.tf32)
    target = study.target
    published = (
        {f"published, epoch {target.epoch}": target.value + study.offset} if target else None
    )

    def run_one(config: TrainConfig) -> tuple[Training, Evaluation]:
        say(f"{study.name}, seed {config.seed}", args.quiet)
        training = train_in_folder(
            config, dataset, bk, out / f"seed-{config.seed}", args.data_dir, args.quiet,
            not args.no_figures, published,
        )  # fmt: skip
        if training.stopped in SIGNAL_EXITS:
            raise KeyboardInterrupt(training.stopped)
        test = prepare(config, dataset).test
        visit = training.metrics[-1]["epoch"] if training.metrics else 0
        return training, evaluate(training.model, test, config.binarize, config.seed, visit)

    result = reproduce(study, args.seeds, args.epochs, run_one)
    short = "" if args.epochs is None else f" --epochs {args.epochs}"
    command = f"scratchvae reproduce {study.name} --seeds {args.seeds}{short}"
    content = asdict(result) | {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "settings": replace(settings, epochs=result.epochs).to_json(),
        "run": str(out),
        "device": bk.describe(),
        "versions": versions(),
    }
    write_json(out / "result.json", content)
    figures = sorted((out / "seed-0" / "figures").glob("*.png"))
    write_report(out / "report.html", study, result, figures, command)
    slips = [f"the tutorial {slip}" for slip in study.slips]
    return content, "\n".join([study.title, table(result), *slips, f"report: {out}/report.html"])
