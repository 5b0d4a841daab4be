"""scratchvae reproduce iwae: a paper's table, trained in stages, in as many sittings as needed.

The folder of a staged study: study.json says what was asked for; a run folder for each training,
with the model (stage-3.npz) and its numbers (stage-3.json) at the end of each stage; result.json,
figures and report.html of all stages so far.
"""

import argparse
import datetime
import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scratchvae.backend import Backend
from scratchvae.cli.common import open_backend, open_dataset, print_message, print_result
from scratchvae.cli.train_folder import report_interruption, run_metadata, train_in_folder
from scratchvae.data import Dataset
from scratchvae.errors import ConfigError, RunError
from scratchvae.models import Model
from scratchvae.pages import write_staged_report
from scratchvae.runs import RunFolder, require_free, write_json
from scratchvae.studies.stage_result import measure_stage, sorted_rows, stage_table
from scratchvae.studies.staged import StagedRun, StagedStudy, runs_of
from scratchvae.training import Prepared, changed_settings, prepare
from scratchvae.types import Json, JsonView
from scratchvae.versions import commit, machine, versions

OPTIONS = ("variant", "k", "objective", "stages", "ablation", "small", "nll_samples", "train_only",
           "resume")  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser, studies: Sequence[StagedStudy]) -> None:
    """What only studies in stages have, which differ in their model alone."""
    study = studies[0]
    names = " and ".join(each.name for each in studies)
    group = parser.add_argument_group(f"of the studies {names}, which train in stages")
    known = len(study.passes)
    group.add_argument("--variant", choices=tuple(study.variants),
                       help="whose settings: the authors' program or the paper's text (default: "
                       "code)")  # fmt: skip
    group.add_argument("--k", type=int, nargs="+", metavar="K",
                       help="samples of z per image, a training for each (default: "
                       f"{' '.join(map(str, study.ks))})")  # fmt: skip
    group.add_argument("--objective", choices=("vae", "iwae"),
                       help="the ELBO or the importance-weighted bound, of k > 1 "
                       "(default: iwae)")  # fmt: skip
    group.add_argument("--stages", type=int, metavar="N",
                       help=f"train to the end of stage N, of {known}; stage i passes 3^(i - 1) "
                       f"times over the images (default: {known})")  # fmt: skip
    points = ", ".join(point.name for point in study.points)
    group.add_argument("--ablation", nargs="*", metavar="POINT",
                       help="with k = 1, change a point of the settings alone, a training for "
                       f"each: {points} (default: all of them)")  # fmt: skip
    group.add_argument("--small", action="store_true", default=None,
                       help="a small model of scikit-learn's digits, in seconds")  # fmt: skip
    group.add_argument("--nll-samples", type=int, metavar="S",
                       help="samples of z per test image for log p(x) (default: "
                       f"{study.samples})")  # fmt: skip
    group.add_argument("--train-only", action="store_true", default=None,
                       help="leave the measuring of the stages to a later --resume")  # fmt: skip
    group.add_argument("--resume", type=Path, metavar="DIR",
                       help="continue in this folder, with what was asked for there or is asked "
                       "for here")  # fmt: skip


@dataclass
class Sitting:
    """What one call of the command works with."""

    study: StagedStudy
    args: argparse.Namespace
    out: Path
    request: Json  # as study.json holds it
    dataset: Dataset
    bk: Backend
    command: str


def run_staged(study: StagedStudy, args: argparse.Namespace, out: Path) -> int:
    """Train and measure as the arguments say; the exit code."""
    request = requested(study, args, out)
    variant, small = str(request["variant"]), bool(request["small"])
    runs = runs_of(
        variant, request["k"], request["objective"], request["seeds"], request["ablation"]
    )
    settings = study.settings(variant, small)
    dataset = open_dataset(settings, args.data_dir, args.quiet)
    bk = open_backend(args, settings.dtype)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "study.json", {"study": study.name, **request})
    sitting = Sitting(study, args, out, request, dataset, bk, command_of(study, request))
    for run in runs:
        train_stages(sitting, run)
    rows = write_results(sitting)
    text = f"{study.title}\nafter {study.source.cite()}\n{stage_table(study, rows)}"
    content = {"study": study.name, **request, "rows": rows, "run": str(out)}
    print_result(args.json, content, f"{text}\nreport: {out}/report.html")
    return 0


def requested(study: StagedStudy, args: argparse.Namespace, out: Path) -> Json:
    """What the arguments ask for, else what the folder says; refuses what does not fit."""
    defaults: Json = {
        "variant": next(iter(study.variants)), "small": False, "nll_samples": study.samples,
        "k": list(study.ks), "objective": "iwae", "stages": len(study.passes), "seeds": 1,
        "ablation": None,
    }  # fmt: skip
    typed = {name: getattr(args, name) for name in defaults if getattr(args, name) is not None}
    if "ablation" in typed and (args.k or args.objective):
        raise ConfigError("the ablation has k = 1: leave out --k and --objective")
    if args.resume is None:
        require_free(out)
        request = defaults | typed
    else:
        earlier = of_folder(study, out, defaults)
        request = earlier | typed
        require_same_study(out, earlier, request)
    if args.k or args.objective:
        request["ablation"] = None
    require_possible(study, request)
    if args.objective == "iwae" and set(request["k"]) == {1}:
        raise ConfigError(
            "with k = 1 the objectives vae and iwae are the same: leave out --objective"
        )
    if request["ablation"] is not None:
        points = request["ablation"] or [point.name for point in study.points]
        request["ablation"] = [study.find_point(name).name for name in points]
        if request["variant"] != defaults["variant"]:
            raise ConfigError(
                f"the ablation changes points of the variant {defaults['variant']}, not of "
                f"{request['variant']}"
            )
    return request


def require_possible(study: StagedStudy, request: Json) -> None:
    """``ConfigError`` for stages that there are not, and for numbers below 1."""
    if not 1 <= request["stages"] <= len(study.passes):
        raise ConfigError(
            f"--stages is {request['stages']}, but the study has the stages 1 to "
            f"{len(study.passes)}"
        )
    for k in request["k"]:
        if k < 1:
            raise ConfigError(f"--k is {k}, but an image has at least one sample")
    if request["nll_samples"] < 1:
        raise ConfigError(f"--nll-samples must be at least 1, not {request['nll_samples']}")


def require_same_study(out: Path, earlier: Json, request: Json) -> None:
    """``ConfigError`` where a folder is to continue with what it cannot have beside the rest."""
    called = {False: "of MNIST", True: "small"}
    for what, before, now in (
        ("variant", earlier["variant"], request["variant"]),
        ("version", called[earlier["small"]], called[request["small"]]),
        ("number of samples", earlier["nll_samples"], request["nll_samples"]),
    ):
        if before != now:
            raise ConfigError(
                f"{out} has the {what} {before}, not {now}: a folder holds one, choose another "
                "--out for the other"
            )


def of_folder(study: StagedStudy, out: Path, defaults: JsonView) -> Json:
    """What was asked for in a folder; ``RunError`` where it holds no such study."""
    path = out / "study.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{out} holds no study in stages: there is no study.json in it") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    # older files do not say which study it is
    if isinstance(found, dict) and found.pop("study", study.name) == study.name:
        known = found.keys() == defaults.keys() and found["variant"] in study.variants
        if known and isinstance(found["k"], list):
            return dict(found)
    raise RunError(f"{path} does not describe the study {study.name}")


def command_of(study: StagedStudy, request: Json) -> str:
    """The command that asks for the same in one sitting."""
    words = [f"scratchvae reproduce {study.name} --variant {request['variant']}"]
    if request["ablation"] is None:
        words.append(f"--k {' '.join(map(str, request['k']))}")
        if set(request["k"]) != {1}:  # with which both objectives are the same
            words.append(f"--objective {request['objective']}")
    else:
        words.append(f"--ablation {' '.join(request['ablation'])}")
    words.append(f"--stages {request['stages']} --seeds {request['seeds']}")
    if request["nll_samples"] != study.samples:
        words.append(f"--nll-samples {request['nll_samples']}")
    return " ".join([*words, *(["--small"] if request["small"] else [])])


# ---- one training ------------------------------------------------------------------------------


def train_stages(sitting: Sitting, run: StagedRun) -> None:
    """Measure the stages that are trained already, the newest first; then the others, in turn."""
    folder, last = sitting.out / run.name, int(sitting.request["stages"])

    def prepared_for(stage: int) -> Prepared:
        images, small = len(sitting.dataset.train), bool(sitting.request["small"])
        return prepare(run.config(sitting.study, images, stage, small), sitting.dataset)

    stages = range(1, last + 1)
    trained = [stage for stage in stages if model_path(folder, stage).exists()]
    for stage in [*reversed(trained), *(s for s in stages if s not in trained)]:
        if stage not in trained:
            train_stage(sitting, run, stage, prepared_for(stage))
        if not sitting.args.train_only and not numbers_path(folder, stage).exists():
            measure(sitting, run, stage, prepared_for(stage))


def train_stage(sitting: Sitting, run: StagedRun, stage: int, prepared: Prepared) -> None:
    """Go on to the end of a stage, and keep the model that it leaves."""
    args, folder = sitting.args, sitting.out / run.name
    passes = sitting.study.passes[stage - 1]
    say(sitting, f"{run.name}, stage {stage}: {passes} passes")
    metadata = run_metadata(prepared, sitting.bk, args.data_dir, 0, figures=False)
    begun = (folder / "config.json").exists()
    if begun:
        training_folder = RunFolder.open(folder)
        require_same_settings(training_folder, prepared)
        training_folder.pending = metadata
    else:
        training_folder = RunFolder.create(folder, metadata)
    again = f"scratchvae reproduce {sitting.study.name} --resume {shlex.quote(str(sitting.out))}"
    training = train_in_folder(prepared, training_folder, sitting.bk, args.quiet, resume=begun)
    if report_interruption(training, training_folder, args.quiet, again):
        raise KeyboardInterrupt(training.stopped)
    training.model.save(model_path(folder, stage))


def require_same_settings(folder: RunFolder, prepared: Prepared) -> None:
    """``RunError`` where a run folder was trained with other settings than the study has."""
    before = folder.config()
    changed = changed_settings(replace(before, epochs=prepared.config.epochs), prepared.config)
    if changed:
        raise RunError(f"{folder.path} has other settings than the study: {'; '.join(changed)}")


def measure(sitting: Sitting, run: StagedRun, stage: int, prepared: Prepared) -> None:
    """Measure the model that a stage left, and write its numbers and those of all so far."""
    study, folder = sitting.study, sitting.out / run.name
    samples = int(sitting.request["nll_samples"])
    say(sitting, f"{run.name}, stage {stage}: log p(x) with {samples} samples per image")
    begun = datetime.datetime.now(datetime.UTC)
    model = Model.load(model_path(folder, stage), sitting.bk)
    result = measure_stage(study, model, prepared, samples)
    metrics = RunFolder.open(folder).metrics()[: study.ends[stage - 1]]
    row = {
        "run": run.name, "variant": run.variant, "objective": run.objective, "k": run.k,
        "seed": run.seed, "point": run.point, "small": sitting.request["small"], "stage": stage,
        "passes": study.ends[stage - 1], **result.to_json(),
        "training_seconds": sum(line["seconds"] for line in metrics),
        "measuring_seconds": (datetime.datetime.now(datetime.UTC) - begun).total_seconds(),
        "command": sitting.command, "date": begun.isoformat(timespec="seconds"),
        "device": sitting.bk.describe(), "machine": machine(), "versions": versions(),
        "commit": commit(),
    }  # fmt: skip
    write_json(numbers_path(folder, stage), row)
    write_results(sitting)
    say(sitting, f"{run.name}, stage {stage}: −log p(x) {row['test_nll']:.3f} ± "
        f"{row['standard_error']:.3f}, {row['active_units']} active units")  # fmt: skip


def model_path(folder: Path, stage: int) -> Path:
    """The model at the end of a stage."""
    return folder / f"stage-{stage}.npz"


def numbers_path(folder: Path, stage: int) -> Path:
    """The numbers at the end of a stage."""
    return folder / f"stage-{stage}.json"


def write_results(sitting: Sitting) -> list[JsonView]:
    """result.json, figures and report of all stages measured so far; their rows."""
    study, out = sitting.study, sitting.out
    rows = sorted_rows(read_rows(out))
    write_json(out / "result.json", {"study": study.name, "title": study.title, "rows": rows})
    figures: list[Path] = []
    if rows and not sitting.args.no_figures:
        from scratchvae.figures import draw_stages

        figures = draw_stages(out / "figures", study, rows)
    pixels = sitting.dataset.train.images.shape[1]
    variant, small = str(sitting.request["variant"]), bool(sitting.request["small"])
    write_staged_report(out / "report.html", study, variant, small, rows, figures, pixels)
    return rows


def read_rows(out: Path) -> Iterator[Json]:
    """The numbers of every stage of every run in a folder."""
    for path in out.glob("*/stage-*.json"):
        yield json.loads(path.read_text(encoding="utf-8"))


def say(sitting: Sitting, text: str) -> None:
    """What happens, for a person."""
    print_message(f"{sitting.study.name}: {text}", sitting.args.quiet)
