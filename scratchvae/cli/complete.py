"""scratchvae complete: fill in what is hidden of an image, from what is seen of it."""

import argparse
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from scratchvae.cli.common import (
    Commands,
    add_device_arguments,
    add_output_arguments,
    add_results_arguments,
    data_of_run,
    open_backend,
    print_message,
    print_result,
)
from scratchvae.data import describe as pixels_of
from scratchvae.errors import ConfigError
from scratchvae.evaluation import (
    Completion,
    CompletionSettings,
    as_seen_by_model,
    complete,
    find_mask,
)
from scratchvae.evaluation.completion import OPTIMIZERS, RELIABLE_SAMPLES
from scratchvae.models import Model
from scratchvae.models.posterior import KL_ESTIMATES
from scratchvae.runs import RunFolder, write_json
from scratchvae.studies import STUDIES, CompletionTarget
from scratchvae.training import prepare
from scratchvae.types import Json

EXAMPLES = """examples:
  scratchvae complete runs/mnist-1 --mask top
  scratchvae complete runs/mnist-1 --mask left --split train --image 57 --steps 1000
  scratchvae complete runs/mnist-1 --mask seen.npy --count 100 --json
  scratchvae complete runs/flux-1/seed-0 --preset flux
"""

PRESETS = {study.name: study.completion for study in STUDIES.values() if study.completion}


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "complete",
        help="complete partly observed images",
        description="Fit q(z) to the observed pixels of an image by stochastic variational "
        "inference, decode the hidden ones; print nats, draw figures.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    d = CompletionSettings()
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("--mask", metavar="MASK",
                        help="what is observed: top, bottom, left, right, or a .npy file of "
                        "booleans (default: top)")  # fmt: skip
    parser.add_argument("--split", choices=("test", "train"), help="(default: test)")
    parser.add_argument("--image", type=int, metavar="INDEX",
                        help="in file order, from 0 (default: 0)")  # fmt: skip
    parser.add_argument("--count", type=int, default=1, metavar="N",
                        help="complete N images from there on (default: 1)")  # fmt: skip
    parser.add_argument("--preset", choices=tuple(PRESETS),
                        help="the tutorial's image, start, steps and rate")  # fmt: skip
    for name, kind, text in (
        ("steps", int, "of the fit"),
        ("rate", float, "learning rate"),
        ("samples", int, "draws of z per step"),
        ("final_samples", int, "z for the numbers printed"),
    ):
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=kind, help=f"{text} (default: {getattr(d, name)})")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, help=f"(default: {d.optimizer})")
    parser.add_argument("--kl", choices=KL_ESTIMATES, help=f"(default: {d.kl})")
    parser.add_argument("--seed", type=int, default=0, help="names the noise (default: 0)")
    add_results_arguments(parser, "for the results (default: completions/ in the run)")
    add_device_arguments(parser)
    add_output_arguments(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Complete as the arguments say."""
    preset = PRESETS.get(args.preset)
    settings = settings_of(args, preset)
    split_name = args.split or ("train" if preset else "test")
    first = args.image if args.image is not None else (preset.image if preset else 0)
    mask_name = args.mask or (preset.mask if preset else "top")
    folder = RunFolder.open(args.run)
    # Images are counted as in the file, so none is held out here.
    config = replace(folder.config(), validation=0, patience=0)
    dataset = data_of_run(folder, args.data_dir, args.quiet)
    mask = find_mask(mask_name, dataset.row_shape)
    split = getattr(prepare(config, dataset), split_name)
    if args.count < 1 or not 0 <= first <= len(split) - args.count:
        raise ConfigError(
            f"--image {first} --count {args.count} names images that are not there: the "
            f"{split_name} split has {len(split)}, from 0"
        )
    bk = open_backend(args.device, config.dtype, args.quiet, args.tf32)
    model, checkpoint = folder.load(bk)
    numbers = range(first, first + args.count)
    images = as_seen_by_model(split.take(slice(first, first + args.count)), seed=config.seed)
    found = complete(model, images, mask, settings=settings, numbers=numbers)
    protocol = f"{pixels_of(config.binarize, config.seed)}; {how(model, mask_name, settings)}"

    content = {
        "run": str(args.run),
        "split": split_name,
        "epoch": checkpoint.epoch,
        "mask": mask_name,
        "observed_pixels": int(mask.sum()),
        "hidden_pixels": int((~mask).sum()),
        **summary(found, numbers),
        "published": preset.published if preset else None,
        "settings": asdict(settings),
        "protocol": protocol,
    }
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


def settings_of(args: argparse.Namespace, preset: CompletionTarget | None) -> CompletionSettings:
    """The preset's settings, or the usual ones, with what the arguments say."""
    names = ("steps", "rate", "samples", "final_samples", "optimizer", "kl", "seed")
    said = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return replace(preset.settings if preset else CompletionSettings(), **said)


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

    def mean_of(a: Any) -> dict[str, float] | None:
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
