"""scratchvae reproduce: run a tutorial's study and set its numbers beside the published ones."""

import argparse
import datetime
from dataclasses import asdict, replace
from pathlib import Path

from scratchvae.cli.common import (
    Commands,
    add_device_arguments,
    add_output_arguments,
    add_results_arguments,
    open_backend,
    open_dataset,
    print_message,
    print_result,
    results_folder,
)
from scratchvae.cli.complete import how
from scratchvae.cli.train_folder import SIGNAL_EXITS, run_metadata, train_in_folder
from scratchvae.config import TrainConfig, resolve_max_level
from scratchvae.errors import ConfigError
from scratchvae.evaluation import as_seen_by_model, evaluate
from scratchvae.models import Model
from scratchvae.runs import RunFolder, require_free, write_json
from scratchvae.studies import (
    STUDIES,
    Completed,
    CompletionTarget,
    Study,
    Trial,
    complete_as,
    find_study,
    reproduce,
    table,
    with_likelihood,
    write_report,
)
from scratchvae.training import Prepared, prepare
from scratchvae.types import Json
from scratchvae.versions import versions

EXAMPLES = """examples:
  scratchvae reproduce gluon
  scratchvae reproduce gluon --seeds 3 --out runs/gluon
  scratchvae reproduce keras-conv --epochs 1
  scratchvae reproduce tensorflow1 --likelihood bernoulli
  scratchvae reproduce --all
"""


def add_parser(commands: Commands) -> None:
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
    parser.add_argument("--likelihood", metavar="NAME",
                        help="another than the tutorial's, and no comparison")  # fmt: skip
    add_results_arguments(parser, "a folder for the runs (default: a new one in runs/)")
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
    if args.likelihood:
        studies = [with_likelihood(study, args.likelihood) for study in studies]
    with results_folder(args.out, "all" if args.all else studies[0].name) as out:
        require_free(out)  # before hours of training
        return run_studies(studies, args, out)


def run_studies(studies: list[Study], args: argparse.Namespace, out: Path) -> int:
    """One study after the other, in a folder; the exit code."""
    contents, texts = [], []
    for study in studies:
        content, text = run_study(study, args, out / study.name if args.all else out)
        contents.append(content)
        texts.append(text)
    print_result(args.json, {"studies": contents} if args.all else contents[0], "\n\n".join(texts))
    return 0


def run_study(study: Study, args: argparse.Namespace, out: Path) -> tuple[Json, str]:
    """One study with its folder: a run a seed, result.json and report.html; JSON and text."""
    settings = study.config
    dataset = open_dataset(settings, args.data_dir, args.quiet)
    settings = resolve_max_level(settings, dataset.train.max_level)
    study = replace(study, config=settings)
    bk = open_backend(args.device, settings.dtype, args.quiet, args.tf32)
    target = study.target
    published = (
        {f"published, epoch {target.epoch}": target.value + study.offset} if target else None
    )

    def run_one(config: TrainConfig) -> Trial:
        print_message(f"{study.name}, seed {config.seed}", args.quiet)
        folder, figures = out / f"seed-{config.seed}", not args.no_figures
        prepared = prepare(config, dataset)
        run = RunFolder.create(folder, run_metadata(prepared, bk, args.data_dir, 0, figures))
        training = train_in_folder(prepared, run, bk, args.quiet, published=published)
        if training.stopped in SIGNAL_EXITS:
            raise KeyboardInterrupt(training.stopped)
        model = training.model
        draw = training.metrics[-1]["epoch"] if training.metrics else 0
        test = evaluate(model, prepared.test, seed=config.seed, draw=draw)
        if study.completion is None:
            return Trial(training, test)
        figures_folder = folder / "figures" if figures else None
        completed = complete_one(study.completion, model, prepared, figures_folder)
        return Trial(training, test, completed)

    result = reproduce(study, args.seeds, args.epochs, run_one)
    command = f"scratchvae reproduce {study.name} --seeds {args.seeds}"
    for name in ("epochs", "likelihood"):
        if getattr(args, name) is not None:
            command += f" --{name} {getattr(args, name)}"
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
    pixels = dataset.train.images.shape[1]
    write_report(out / "report.html", study, result, figures, command, pixels)
    errata = [f"the tutorial {erratum}" for erratum in study.errata]
    return content, "\n".join([study.title, table(result), *errata, f"report: {out}/report.html"])


def complete_one(
    target: CompletionTarget,
    model: Model,
    prepared: Prepared,
    figures: Path | None,
) -> Completed:
    """The study's completions with one trained model, and the figures of the tutorial's image."""
    completed, found = complete_as(target, model, prepared)
    if figures is not None:
        from scratchvae.figures import draw_completion

        shown = prepared.train.take(slice(target.image, target.image + 1))
        images = as_seen_by_model(shown, seed=prepared.config.seed)
        caption = f"training image {target.image} · {how(model, target.mask, target.settings)}"
        draw_completion(figures, model, images, found, target.settings, prepared.dataset, caption)
    return completed
