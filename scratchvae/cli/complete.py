"""scratchvae complete: fill in what is hidden of an image, from what is seen of it."""

import argparse
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from scratchvae.cli.common import (
    add_device_arguments,
    add_output_arguments,
    add_results_arguments,
    backend_of_run,
    data_of_run,
    over_ranks,
    print_message,
    print_result,
)
from scratchvae.cli.parser import Commands, add_command
from scratchvae.data import describe as pixels_of
from scratchvae.errors import ConfigError
from scratchvae.evaluation import (
    Completion,
    CompletionSettings,
    as_seen_by_model,
    complete,
    find_mask,
)
from scratchvae.evaluation.completion import OPTIMIZERS, RELIABLE_SAMPLES, Float64
from scratchvae.models import Model
from scratchvae.models.posterior import KL_ESTIMATES
from scratchvae.runs import RunFolder, write_json
from scratchvae.studies import STUDIES, CompletionTarget, Study
from scratchvae.training import prepare
from scratchvae.types import Json

PRESETS = {study.name: study for study in STUDIES.values() if study.completion}


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "complete",
        run,
        help="complete partly observed images",
        description="Fit q(z) to the observed pixels of an image by stochastic variational "
        "inference and decode the hidden ones; print nats, draw figures.",
        examples=[
            "scratchvae complete runs/mnist-1 --mask top",
            "scratchvae complete runs/mnist-1 --mask left --split train --image 57 --steps 1000",
            "scratchvae complete runs/mnist-1 --mask seen.npy --count 100 --json",
            "scratchvae complete runs/flux-1/seed-0 --preset flux",
        ],
    )
    d = CompletionSettings()
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("--mask", metavar="MASK",
                        help="what is observed: top, bottom, left, right, or a .npy file of "
                        "booleans (default: top)")  # fmt: skip
    parser.add_argument("--split", choices=("test", "train"),
                        help="which images (default: test)")  # fmt: skip
    parser.add_argument("--image", type=int, metavar="INDEX",
                        help="the first image to complete, in file order, from 0 "
                        "(default: 0)")  # fmt: skip
    parser.add_argument("--count", type=int, default=1, metavar="N",
                        help="how many images to complete (default: 1)")  # fmt: skip
    parser.add_argument("--preset", choices=tuple(PRESETS),
                        help="image, start, steps and rate of a tutorial (default: none)"
                        )  # fmt: skip
    parser.add_argument("--steps", type=int, metavar="N",
                        help=f"gradient steps of the fit (default: {d.steps})")  # fmt: skip
    parser.add_argument("--rate", type=float, metavar="RATE",
                        help=f"learning rate of the fit (default: {d.rate})")  # fmt: skip
    parser.add_argument("--samples", type=int, metavar="K",
                        help=f"samples of z per step (default: {d.samples})")  # fmt: skip
    parser.add_argument("--final-samples", type=int, metavar="K",
                        help="samples of z for the printed numbers "
                        f"(default: {d.final_samples})")  # fmt: skip
    parser.add_argument("--optimizer", choices=OPTIMIZERS,
                        help=f"update rule of the fit (default: {d.optimizer})")  # fmt: skip
    parser.add_argument("--kl", choices=KL_ESTIMATES,
                        help=f"how the KL is computed (default: {d.kl})")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0,
                        help="seed of the noise (default: 0)")  # fmt: skip
    add_results_arguments(parser, "a folder for the results (default: completions/ in the run)")
    add_device_arguments(parser)
    add_output_arguments(parser)


@dataclass(frozen=True)
class Request:
    """What is to be completed, and how."""

    settings: CompletionSettings
    mask: str
    split: str
    first: int  # of the images, in file order
    count: int


def run(args: argparse.Namespace) -> int:
    """Complete as the arguments say."""
    study = PRESETS.get(args.preset)
    wanted = request_of(args, study.completion if study else None)
    settings, first = wanted.settings, wanted.first
    folder = RunFolder.open(args.run)
    # Images are counted as in the file, so none is held out here.
    config = replace(folder.config(), validation=0, patience=0)
    dataset = data_of_run(folder, args.data_dir, args.quiet)
    mask = find_mask(wanted.mask, dataset.row_shape)
    split = getattr(prepare(config, dataset), wanted.split)
    if args.count < 1 or not 0 <= first <= len(split) - args.count:
        raise ConfigError(
            f"--image {first} --count {args.count} names images that are not there: the "
            f"{wanted.split} split has {len(split)}, from 0"
        )
    bk = backend_of_run(args, folder, config.dtype)
    model, checkpoint = folder.load(bk)
    numbers = range(first, first + args.count)
    images = as_seen_by_model(split.take(slice(first, first + args.count)), seed=config.seed)
    over = over_ranks(args)
    found = complete(model, images, mask, settings=settings, numbers=numbers, over=over)
    protocol = f"{pixels_of(config.binarize, config.seed)}; {how(model, wanted.mask, settings)}"

    content: Json = {
        "run": str(args.run),
        "split": wanted.split,
        "epoch": checkpoint.epoch,
        "mask": wanted.mask,
        "observed_pixels": int(mask.sum()),
        "hidden_pixels": int((~mask).sum()),
        **summary(found, numbers),
        "published": None,
        "not_comparable": "",
        "settings": asdict(settings),
        "protocol": protocol,
    }
    if study is not None and study.completion is not None:
        content["not_comparable"] = not_comparable(study, folder, checkpoint.epoch, wanted)
        if not content["not_comparable"]:
            content["published"] = study.completion.published
    out = args.out or folder.path / "completions"
    caption = " · ".join(
        [Path(dataset.name).name, protocol, config.describe_model(model.vae.pixels)]
    )
    if not args.no_figures:
        from scratchvae.figures import draw_completion

        paths = draw_completion(out, model, images, found, settings, dataset, caption)
        content["figures"] = [str(path) for path in paths]
        print_message(f"figures: {out}", args.quiet)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "completion.json", content)
    print_result(args.json, content, describe(content))
    return 0


def request_of(args: argparse.Namespace, preset: CompletionTarget | None) -> Request:
    """What the arguments say; the rest as the preset has it, or as usual."""
    names = ("steps", "rate", "samples", "final_samples", "optimizer", "kl", "seed")
    said = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return Request(
        settings=replace(preset.settings if preset else CompletionSettings(), **said),
        mask=args.mask or (preset.mask if preset else "top"),
        split=args.split or ("train" if preset else "test"),
        first=args.image if args.image is not None else (preset.image if preset else 0),
        count=args.count,
    )


def not_comparable(study: Study, folder: RunFolder, epoch: int, wanted: Request) -> str:
    """Why the figure that the tutorial prints is not that of such a completion; "": it is."""
    target = study.completion
    assert target is not None
    settings = replace(target.settings, seed=wanted.settings.seed)
    if not study.is_trained_as(folder.config()) or epoch != study.config.epochs:
        return f"this run is not the study {study.name} with all of its epochs"
    if wanted != Request(settings, target.mask, "train", target.image, 1):
        return "the tutorial completes another image, or otherwise"
    return ""


def how(model: Model, mask: str, settings: CompletionSettings) -> str:
    """How the numbers came about."""
    return (
        f"{model.vae.likelihood.describe()} likelihood; observed: {Path(mask).name}; "
        f"{settings.steps} steps of {settings.optimizer} at {settings.rate:g}, "
        f"{settings.samples} samples per step, {settings.kl} KL; "
        f"numbers from {settings.final_samples} samples"
    )


def summary(found: Completion, numbers: range) -> Json:
    """The numbers, image by image and as means."""

    def mean_of(a: Float64) -> dict[str, float] | None:
        if not math.isfinite(a.sum()):
            return None
        return {"mean": float(a.mean()), "standard_error": float(a.std() / math.sqrt(len(a)))}

    return {
        "negative_elbo_observed": mean_of(found.negative_elbo),
        "nats_per_hidden_pixel": mean_of(found.hidden),
        "images_with_biased_hidden_nats": int(found.hidden_is_biased.sum()),
        "images": [
            {
                "image": number,
                "negative_elbo_observed": float(found.negative_elbo[i]),
                "monte_carlo_error": float(found.error[i]),
                "nats_per_hidden_pixel": finite_or_none(found.hidden[i]),
                "hidden_error": finite_or_none(found.hidden_error[i]),
                "hidden_effective_samples": finite_or_none(found.hidden_effective_samples[i]),
                "mu": found.mu[i].tolist(),
                "logstd": found.logstd[i].tolist(),
            }
            for i, number in enumerate(numbers)
        ],
    }  # fmt: skip


def finite_or_none(value: float) -> float | None:
    """The number, as JSON can hold it."""
    return float(value) if math.isfinite(value) else None


def describe(content: Json) -> str:
    """The numbers as text."""
    images, hidden = content["images"], content["nats_per_hidden_pixel"]
    lines = [f"{len(images)} {content['split']} image{'s' if len(images) > 1 else ''} from number "
             f"{images[0]['image']} on, {content['observed_pixels']} pixels observed, "
             f"{content['hidden_pixels']} hidden"]  # fmt: skip
    whole = content["negative_elbo_observed"]
    error = whole["standard_error"] if len(images) > 1 else images[0]["monte_carlo_error"]
    what = "standard error over images" if len(images) > 1 else "Monte-Carlo error"
    lines.append(f"−ELBO of the observed part  {whole['mean']:9.3f} ± {error:.3f} nats ({what})")
    if content["not_comparable"]:
        lines.append(f"the tutorial's figure is not compared: {content['not_comparable']}")
    if content["published"] is not None:
        lines.append(f"the tutorial's, one draw    {content['published']:9.3f} nats")
    if hidden is not None:
        error = hidden["standard_error"] if len(images) > 1 else images[0]["hidden_error"]
        lines.append(
            f"per hidden pixel            {hidden['mean']:9.4f} ± {error:.4f} nats ({what})"
        )
    if biased := content["images_with_biased_hidden_nats"]:
        lines.append(
            f"note: the hidden pixels of {biased} of {len(images)} images are explained by fewer "
            f"than {RELIABLE_SAMPLES} effective samples, and their nats are too high: raise "
            "--final-samples"
        )
    lines.append(f"protocol: {content['protocol']}")
    return "\n".join(lines)
