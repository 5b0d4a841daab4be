"""scratchvae evaluate: what a trained model is worth, under any binarization protocol."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

from scratchvae.cli.common import (
    add_device_arguments,
    add_output_arguments,
    backend_of_run,
    data_of_run,
    over_ranks,
    print_message,
    print_result,
    require_count,
)
from scratchvae.cli.parser import Commands, add_command
from scratchvae.config import TrainConfig, require_same_max_level
from scratchvae.data import PROTOCOLS, Dataset, Split
from scratchvae.errors import ConfigError, DataError, NonFiniteError
from scratchvae.evaluation import (
    Diagnosis,
    DiagnosisSettings,
    Evaluation,
    LogLikelihood,
    accuracy,
    as_seen_by_model,
    diagnose,
    evaluate,
    interpret,
    is_active,
    log_likelihood,
    without_units,
)
from scratchvae.interop import read_weights
from scratchvae.models import M2, Model
from scratchvae.runs import RunFolder
from scratchvae.training import prepare
from scratchvae.types import Json, JsonView

IMAGES = 100  # that a diagnosis fits q(z) to, of each split


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "evaluate",
        run,
        help="evaluate a trained model",
        description="Print ELBO, reconstruction, KL, the KL of each latent unit and the number of "
        "active units, in nats per image; on request log p(x) by importance sampling, and a "
        "diagnosis in words.",
        examples=[
            "scratchvae evaluate runs/digits-1",
            "scratchvae evaluate runs/digits-1 --samples 10 --json",
            "scratchvae evaluate runs/digits-1 --nll 5000 --all-protocols",
            "scratchvae evaluate runs/digits-1 --binarize dynamic --nll 500 --draws 5",
            "scratchvae evaluate runs/digits-1 --diagnose",
            "scratchvae evaluate runs/digits-1 --weights tuned.safetensors",
        ],
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("--split", choices=("test", "train", "validation"), default="test",
                        help="which images (default: test)")  # fmt: skip
    parser.add_argument("--samples", type=int, metavar="K",
                        help="samples of z per image (default: as in training)")  # fmt: skip
    parser.add_argument("--nll", type=int, metavar="SAMPLES",
                        help="estimate log p(x), too, by importance sampling with this many "
                        "samples of z per image (default: off)")  # fmt: skip
    parser.add_argument("--draw", type=int, metavar="D",
                        help="which draw of dynamic pixels (default: the epoch's)")  # fmt: skip
    parser.add_argument("--draws", type=int, metavar="N",
                        help="with --nll: log p(x) for the draws D to D + N - 1 of dynamic "
                        "pixels, and say how it differs among them (default: 1)")  # fmt: skip
    parser.add_argument("--cut-inactive", action="store_true",
                        help="with --nll: also without the latent units that are not "
                        "active")  # fmt: skip
    parser.add_argument("--diagnose", action="store_true",
                        help="diagnose the model: inactive units, a decoder that ignores z, the "
                        "encoder's and the decoder's share of what is lost, overfitting; and what "
                        "to try")  # fmt: skip
    parser.add_argument("--images", type=int, metavar="N",
                        help="with --diagnose: how many test and training images q(z) is fitted "
                        "to, one by one (default: 100)")  # fmt: skip
    parser.add_argument("--weights", type=Path, metavar="FILE.safetensors",
                        help="weights of the same network (default: the run's own)")  # fmt: skip
    protocols = parser.add_mutually_exclusive_group()
    protocols.add_argument("--binarize", choices=PROTOCOLS,
                           help="how pixels are binarized (default: as in training)")  # fmt: skip
    protocols.add_argument("--all-protocols", action="store_true",
                           help="evaluate once for each binarization")  # fmt: skip
    add_device_arguments(parser)
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate as the arguments say."""
    require_sensible(args)
    folder = RunFolder.open(args.run)
    config = folder.config()
    drawn = args.all_protocols or (args.binarize or config.binarize) == "dynamic"
    if (args.draw is not None or args.draws is not None) and not drawn:
        raise ConfigError(
            "pixels are drawn again for another --draw under dynamic binarization alone: add "
            "--binarize dynamic, or leave out --draw and --draws"
        )
    dataset = data_of_run(folder, args.data_dir, args.quiet)
    bk = backend_of_run(args, folder, config.dtype)
    model, checkpoint = folder.load(bk)
    if args.samples is not None:
        if isinstance(model.vae, M2):
            raise ConfigError("M2 has one sample of z for each label: leave out --samples")
        model = model.with_samples(args.samples)
    head = {"run": str(args.run), "split": args.split, "epoch": checkpoint.epoch}
    state = f"epoch {checkpoint.epoch}"
    if args.weights is not None:
        read_weights(args.weights, model)
        state = f"the weights of {args.weights}"
        head["weights"] = str(args.weights)
    draw = checkpoint.epoch if args.draw is None else args.draw
    texts, found = [], {}
    epochs = [] if args.weights is not None else folder.metrics()[: checkpoint.epoch]
    blas_threads = checkpoint.environment.get("blas_threads")  # those of the run: the same bits
    for protocol in PROTOCOLS if args.all_protocols else (args.binarize or config.binarize,):
        try:
            with bk.limit_blas(blas_threads):
                asked = replace(config, binarize=protocol)
                numbers = under(asked, dataset, model, draw, args, epochs)
        except DataError as error:
            if not args.all_protocols:
                raise
            print_message(f"left out: {error}", args.quiet)
            continue
        found[protocol] = numbers.to_json()
        texts.append(describe(numbers, args.split, state))
    content = {"protocols": found} if args.all_protocols else next(iter(found.values()))
    print_result(args.json, head | content, "\n\n".join(texts))
    return 0


def require_sensible(args: argparse.Namespace) -> None:
    """``ConfigError`` for options that say nothing, or nothing alone."""
    for name in ("nll", "draws"):
        if getattr(args, name) is not None:
            require_count(f"--{name}", getattr(args, name))
    if args.draw is not None:
        require_count("--draw", args.draw, least=0)
    if args.nll is None and (args.draws is not None or args.cut_inactive):
        what = "--cut-inactive" if args.cut_inactive else "--draws"
        raise ConfigError(f"{what} is about log p(x): ask for it with --nll SAMPLES")
    if args.images is not None:
        require_count("--images", args.images, least=2)
        if not args.diagnose:
            raise ConfigError("--images is about a diagnosis: ask for it with --diagnose")
    if args.diagnose and args.split == "train":
        raise ConfigError(
            "a diagnosis compares training images with others: leave out --split train"
        )


@dataclass(frozen=True)
class Numbers:
    """What a split is worth under one protocol."""

    elbo: Evaluation
    draw: int | None  # of the pixels; None where they are not drawn
    accuracy: float | None = None  # of M2's classifier
    likelihood: LogLikelihood | None = None  # the first of
    draws: tuple[float, ...] = ()  # log p(x) for one draw of the pixels after the other
    cut: LogLikelihood | None = None  # without the inactive units
    diagnosis: Diagnosis | None = None

    def to_json(self) -> Json:
        """A dictionary that JSON can hold."""
        found = self.elbo.to_json()
        if self.draw is not None:
            found["draw"] = self.draw
        if self.accuracy is not None:
            found["accuracy"] = self.accuracy
        if self.likelihood is not None:
            found["importance"] = self.likelihood.to_json()
            found["importance"]["half"] = self.likelihood.half
            found["importance"]["half_gives_the_same"] = self.likelihood.is_settled
            if len(self.draws) > 1:
                found["importance"] |= {"draws": self.draws, "spread_over_draws": self.spread}
        if self.cut is not None:
            found["without_inactive"] = self.cut.to_json()
        if self.diagnosis is not None:
            found["diagnosis"] = self.diagnosis.to_json() | {
                "findings": [finding._asdict() for finding in interpret(self.diagnosis)]
            }
        return found

    @property
    def spread(self) -> float:
        """The standard deviation over the draws of the pixels."""
        return stdev(self.draws)


def under(
    config: TrainConfig,
    dataset: Dataset,
    model: Model,
    draw: int,
    args: argparse.Namespace,
    epochs: Sequence[JsonView],
) -> Numbers:
    """The numbers of a split under the protocol of ``config``, as the arguments ask for them."""
    require_same_max_level(config, dataset.train.max_level)
    prepared = prepare(config, dataset, vae=model.vae)
    images: Split | None = getattr(prepared, args.split)
    if images is None:
        raise ConfigError("the run was trained without a validation split")
    dynamic = config.binarize == "dynamic"
    over = over_ranks(args)
    result = evaluate(model, images, seed=config.seed, draw=draw, over=over)
    numbers = Numbers(result, draw if dynamic else None)
    if isinstance(model.vae, M2):
        found_labels = accuracy(model, images, seed=config.seed, draw=draw)
        numbers = replace(numbers, accuracy=found_labels)
    if args.nll is not None:
        estimate = partial(
            log_likelihood, split=images, samples=args.nll, seed=config.seed, over=over
        )
        last = draw + (args.draws or 1 if dynamic else 1)
        found = [estimate(model, draw=each) for each in range(draw, last)]
        numbers = replace(numbers, likelihood=found[0], draws=tuple(f.log_p for f in found))
        if args.cut_inactive:
            condition = model.vae.evaluated.condition
            seen = as_seen_by_model(images, seed=config.seed, draw=draw, condition=condition)
            inactive = ~is_active(model.encode(seen).mu)
            numbers = replace(numbers, cut=estimate(without_units(model, inactive), draw=draw))
    if not all(map(math.isfinite, (result.loss, *numbers.draws))):
        raise NonFiniteError(f"the loss on the {args.split} images is not finite")
    if args.diagnose:
        settings = DiagnosisSettings(args.images or IMAGES, seed=config.seed)
        diagnosis = diagnose(
            model, prepared.train, images, settings=settings, draw=draw, epochs=epochs
        )
        numbers = replace(numbers, diagnosis=diagnosis)
    return numbers


def describe(numbers: Numbers, split: str, state: str) -> str:
    """The numbers as text."""
    result, likelihood, cut = numbers.elbo, numbers.likelihood, numbers.cut
    units = "  ".join(f"{kl:.3f}" for kl in result.kl_per_unit)
    draw = "" if numbers.draw is None else f", draw {numbers.draw} of their pixels"
    lines = [
        f"{state}, {result.images} {split} images{draw}, nats per image",
        f"ELBO            {result.elbo:10.3f} ± {result.elbo_standard_error:.3f}",
        f"reconstruction  {result.reconstruction:10.3f}",
        f"KL              {result.kl:10.3f}",
        f"KL of each unit   {units}",
        f"active units      {result.active_units} of {len(result.kl_per_unit)}",
        f"protocol: {result.protocol}",
    ]
    if numbers.accuracy is not None:
        lines.insert(1, f"accuracy        {numbers.accuracy:10.4f}")
    if likelihood is not None:
        same = "the same within the error" if likelihood.is_settled else "not the same: take more"
        lines += [
            f"log p(x)        {likelihood.log_p:10.3f} ± {likelihood.standard_error:.3f}",
            f"effective samples {likelihood.effective_samples:8.1f} of {likelihood.samples}",
            f"half of them    {likelihood.half:10.3f}, {same}",
        ]
        if len(numbers.draws) > 1:
            lines.append(
                f"{len(numbers.draws)} draws         {fmean(numbers.draws):10.3f}, standard "
                f"deviation {numbers.spread:.3f}"
            )
        if cut is not None:
            lines.append(
                f"without inactive{cut.log_p:10.3f}, a change of {cut.log_p - likelihood.log_p:.3f}"
            )
        lines.append(f"protocol: {likelihood.protocol}")
    if numbers.diagnosis is not None:
        lines += describe_diagnosis(numbers.diagnosis, split)
    return "\n".join(lines)


def describe_diagnosis(d: Diagnosis, split: str) -> list[str]:
    """The numbers of a diagnosis and what they say, in lines."""
    info, rows = d.information, [
        ("bound of the encoder", "elbo"),
        ("bound of q, fitted by image", "refitted"),
        ("log p(x)", "log_p"),
        ("amortization gap", "amortization"),
        ("approximation gap", "approximation"),
    ]  # fmt: skip
    sides = [f"{gaps.images} {name}" for gaps, name in ((d.test, split), (d.train, "training"))]
    lines = ["", f"{'diagnosis, nats per image':30}" + "".join(f"{side:>22}" for side in sides)]
    for words, name in rows:
        cells = "".join(f"{getattr(gaps, name)!s:>22}" for gaps in (d.test, d.train))
        lines.append(f"{words:30}{cells}")
    kl = "  ".join(f"{each.value:.3f} ± {each.error:.3f}" for each in d.kl_per_unit)
    lines += [
        f"{'encoder overfitting':30}{d.encoder_overfitting!s:>22}",
        f"{'decoder overfitting':30}{d.decoder_overfitting!s:>22}",
        f"{'what z is worth to p(x|z)':30}{d.use_of_z!s:>22}",
        f"{'I(x; z), at least':30}{info.mutual_information!s:>22}",
        f"{'I(x; z), at most':30}{info.upper!s:>22}",
        f"I(x; z) is estimated from {info.images} {split} images, and no such estimate exceeds "
        f"log {info.images} = {info.limit:.3f}",
        f"KL of each unit   {kl}",
        f"protocol: {d.protocol}",
    ]
    for finding in interpret(d):
        lines += ["", f"{finding.words}."]
        if finding.advice:
            lines.append(f"  Try: {finding.advice}.")
    return lines
