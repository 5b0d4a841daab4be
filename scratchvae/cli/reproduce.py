"""scratchvae reproduce: run a tutorial's study and set its numbers beside the published ones."""

import argparse
import datetime
import re
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from scratchvae.backend import get_backend
from scratchvae.cli import reproduce_staged
from scratchvae.cli.common import (
    add_device_arguments,
    add_output_arguments,
    add_results_arguments,
    open_backend,
    open_dataset,
    over_ranks,
    print_message,
    print_result,
    require_count,
    results_folder,
)
from scratchvae.cli.complete import how
from scratchvae.cli.parser import PLAIN, Commands, add_command, suggest
from scratchvae.cli.train_folder import report_interruption, run_metadata, train_in_folder
from scratchvae.config import TrainConfig, resolve_max_level
from scratchvae.data import Dataset
from scratchvae.errors import ConfigError, RunError
from scratchvae.evaluation import as_seen_by_model, evaluate
from scratchvae.likelihoods import LIKELIHOODS
from scratchvae.models import Model
from scratchvae.pages import Provenance, write_report
from scratchvae.runs import RunFolder, require_free, write_json
from scratchvae.studies import (
    MEASURED_ON,
    STAGED,
    STUDIES,
    Completed,
    CompletionTarget,
    StagedStudy,
    Study,
    Trial,
    Tutorial,
    complete_as,
    find_study,
    reproduce,
    table,
    with_likelihood,
)
from scratchvae.training import Prepared, prepare
from scratchvae.types import Json
from scratchvae.versions import machine, versions


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "reproduce",
        run,
        help="reproduce a tutorial and compare with its published figures",
        description=describe_studies(),
        examples=[
            "scratchvae reproduce gluon",
            "scratchvae reproduce gluon --seeds 3 --out runs/gluon",
            "scratchvae reproduce keras-conv --epochs 1",
            "scratchvae reproduce tensorflow1 --likelihood bernoulli",
            "scratchvae reproduce mine:STUDY --out runs/mine",
            "scratchvae reproduce --all",
            "scratchvae reproduce iwae --k 1 --stages 4 --out runs/iwae",
            "scratchvae reproduce iwae --resume runs/iwae --stages 6",
        ],
    )
    names = (*STUDIES, *STAGED)
    parser.add_argument("study", nargs="?", metavar="STUDY",
                        help=f"{', '.join(names)}, or module:STUDY of your own")  # fmt: skip
    suggest(parser, "study", names)
    parser.add_argument("--all", action="store_true",
                        help="run every tutorial, one after the other")  # fmt: skip
    parser.add_argument("--seeds", type=int, metavar="N",
                        help="number of runs, with the seeds 0 to N - 1 (default: 1)")  # fmt: skip
    parser.add_argument("--epochs", type=int, metavar="N",
                        help="passes over the data; figures of other epochs are not compared "
                        "(default: the tutorial's)")  # fmt: skip
    parser.add_argument("--likelihood", metavar="NAME",
                        help="another likelihood, without a comparison "
                        "(default: the tutorial's)")  # fmt: skip
    suggest(parser, "--likelihood", LIKELIHOODS)
    reproduce_staged.add_arguments(parser, tuple(STAGED.values()))
    add_results_arguments(parser, "a folder for the runs (default: a new one in runs/)")
    add_device_arguments(parser)
    add_output_arguments(parser)


def describe_studies() -> str:
    """What there is to reproduce, how long it takes, and where it was published."""
    lines = [
        "Train a tutorial's model with the tutorial's settings and compare the result with its "
        "published figures.",
        "",
        f"studies, with the time of one seed on {MEASURED_ON}:",
    ]
    for study in STUDIES.values():
        lines.append(f"  {study.name:<13}{study.config.epochs} epochs, {duration(study.minutes)}")
        lines += cited(study.tutorial)
    for staged in STAGED.values():
        lines.append(f"  {staged.name:<13}{len(staged.passes)} stages, minutes to days")
        lines += cited(staged.source)
    return "\n".join(lines).translate(PLAIN)


def cited(source: Tutorial) -> list[str]:
    """A citation in lines for a terminal, below the name of its study."""
    return textwrap.wrap(
        source.cite(), 78, initial_indent=" " * 15, subsequent_indent=" " * 15,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def duration(minutes: float) -> str:
    """About 2 minutes; under a minute as seconds."""
    if minutes < 1 / 6:
        return "a few seconds"
    if minutes < 1:
        return f"about {60 * minutes:.0f} seconds"
    return f"about {minutes:.0f} minutes"


def run(args: argparse.Namespace) -> int:
    """Run the studies as the arguments say."""
    if (args.study is not None) == args.all:
        known = ", ".join((*STUDIES, *STAGED))
        raise ConfigError(f"name one study, or ask for --all; there are: {known}")
    for option in ("seeds", "epochs"):
        if getattr(args, option) is not None:
            require_count(f"--{option}", getattr(args, option))
    if args.study in STAGED:
        return run_staged(STAGED[args.study], args)
    refuse_options(args, reproduce_staged.OPTIONS, f"{' and '.join(STAGED)} alone have stages")
    args.seeds = args.seeds or 1
    studies = list(STUDIES.values()) if args.all else [find_study(args.study)]
    if args.likelihood:
        studies = [with_likelihood(study, args.likelihood) for study in studies]
    stem = "all" if args.all else re.sub(r"\W+", "-", studies[0].name)
    with results_folder(args.out, stem) as out:
        require_free(out)  # before hours of training
        return run_studies(studies, args, out)


def run_staged(study: StagedStudy, args: argparse.Namespace) -> int:
    """A study in stages, in a new folder or the one that it continues in."""
    refuse_options(args, ("epochs", "likelihood"), f"{study.name} has stages and a likelihood")
    if args.resume is not None:
        if args.out is not None:
            raise ConfigError("a study that is resumed stays in its folder: leave out --out")
        return reproduce_staged.run_staged(study, args, args.resume)
    with results_folder(args.out, study.name) as out:
        return reproduce_staged.run_staged(study, args, out)


def refuse_options(args: argparse.Namespace, names: Sequence[str], why: str) -> None:
    """``ConfigError`` where options were given that the study does not have."""
    given = [name for name in names if getattr(args, name) is not None]
    if given:
        raise ConfigError(f"leave out --{given[0].replace('_', '-')}: {why}")


def run_studies(studies: list[Study], args: argparse.Namespace, out: Path) -> int:
    """One study after the other, in a folder; the exit code."""
    contents: list[dict[str, object]] = []
    texts = []
    for study in studies:
        content, text = run_study(study, args, out / study.name if args.all else out)
        contents.append(content)
        texts.append(text)
    print_result(args.json, {"studies": contents} if args.all else contents[0], "\n\n".join(texts))
    return 0


def run_study(study: Study, args: argparse.Namespace, out: Path) -> tuple[Json, str]:
    """One study with its folder: a run per seed, result.json and report.html; JSON and text."""
    settings = study.config
    dataset = open_dataset(settings, args.data_dir, args.quiet)
    settings = resolve_max_level(settings, dataset.train.max_level)
    study = replace(study, config=settings)
    bk = open_backend(args, settings.dtype)
    epochs = args.epochs or settings.epochs
    target, published = study.target, None
    if target is not None and target.epoch <= epochs:
        published = {f"published, epoch {target.epoch}": target.value + study.offset}

    out.mkdir(parents=True, exist_ok=True)
    device = (bk.name, getattr(bk, "tf32", False), bk.compiled)
    figures_wanted = not args.no_figures
    run_one = Seeds(
        study, dataset, device, args.data_dir, out, figures_wanted, args.quiet, published
    )
    result = reproduce(study, args.seeds, args.epochs, run_one, over_ranks(args))
    command = f"scratchvae reproduce {args.study or study.name} --seeds {args.seeds}"
    for name in ("epochs", "likelihood"):
        if getattr(args, name) is not None:
            command += f" --{name} {getattr(args, name)}"
    provenance = Provenance(
        command, datetime.date.today().isoformat(), bk.describe(), machine(), versions()
    )
    content = asdict(result) | asdict(provenance) | {
        "tutorial": asdict(study.tutorial),
        "settings": replace(settings, epochs=result.epochs).to_json(),
        "run": str(out),
    }  # fmt: skip
    write_json(out / "result.json", content)
    pixels = dataset.train.images.shape[1]
    write_report(out / "report.html", study, result, provenance, out / "seed-0", pixels)
    errata = [f"the tutorial {erratum}" for erratum in study.errata]
    lines = [study.title, f"after {study.tutorial.cite()}", table(result), *errata]
    return content, "\n".join([*lines, f"report: {out}/report.html"])


@dataclass(frozen=True)
class Seeds:
    """The trainings of a study, each in a folder of its own in ``out``: called with its settings.

    ``device``: the name of the backend, whether in TF32, and whether with compiled loops;
    ``published``: losses to draw beside those of the training.
    """

    study: Study
    dataset: Dataset
    device: tuple[str, bool, bool]
    data_dir: Path | None
    out: Path
    figures: bool
    quiet: bool
    published: dict[str, float] | None

    def __call__(self, config: TrainConfig) -> Trial:
        """Train with a seed, and evaluate; ``RunError`` where ``out`` cannot be seen."""
        if not self.out.is_dir():
            raise RunError(
                f"{self.out} is on a disk that the ranks do not share: choose an --out that "
                "all of them see"
            )
        study, name, tf32, compiled = self.study, *self.device
        bk = get_backend(name, config.dtype, tf32, compiled=compiled)
        about = duration(study.minutes * config.epochs / study.config.epochs)
        print_message(f"{study.name}, seed {config.seed}: {about} on {MEASURED_ON}", self.quiet)
        folder = self.out / f"seed-{config.seed}"
        prepared = prepare(config, self.dataset)
        run = RunFolder.create(folder, run_metadata(prepared, bk, self.data_dir, 0, self.figures))
        training = train_in_folder(prepared, run, bk, self.quiet, published=self.published)
        if report_interruption(training, run, self.quiet):
            raise KeyboardInterrupt(training.stopped)
        model = training.model
        draw = training.metrics[-1]["epoch"] if training.metrics else 0
        test = evaluate(model, prepared.test, seed=config.seed, draw=draw)
        if study.completion is None:
            return Trial(training, test)
        figures_folder = folder / "figures" if self.figures else None
        completed = complete_one(study.completion, model, prepared, figures_folder)
        return Trial(training, test, completed)


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
