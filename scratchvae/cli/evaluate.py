"""scratchvae evaluate: what a trained model is worth, under any binarization protocol."""

import argparse
import math
from dataclasses import replace
from pathlib import Path

from scratchvae.cli.common import (
    add_device_arguments,
    add_output_arguments,
    data_of_run,
    open_backend,
    print_message,
    print_result,
)
from scratchvae.cli.parser import Commands, add_command
from scratchvae.config import TrainConfig, require_same_max_level
from scratchvae.data import PROTOCOLS, Dataset
from scratchvae.errors import ConfigError, DataError, NonFiniteError
from scratchvae.evaluation import Evaluation, LogLikelihood, evaluate, log_likelihood
from scratchvae.interop import read_weights
from scratchvae.models import Model
from scratchvae.runs import RunFolder
from scratchvae.training import prepare


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "evaluate",
        run,
        help="evaluate a trained model",
        description="Print ELBO, reconstruction, KL, the KL of each latent unit and the number of "
        "active units, in nats per image; on request log p(x) by importance sampling.",
        examples=[
            "scratchvae evaluate runs/digits-1",
            "scratchvae evaluate runs/digits-1 --samples 10 --json",
            "scratchvae evaluate runs/digits-1 --nll 5000 --all-protocols",
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
    if args.nll is not None and args.nll < 1:
        raise ConfigError(f"--nll must be at least 1, not {args.nll}")
    folder = RunFolder.open(args.run)
    config = folder.config()
    dataset = data_of_run(folder, args.data_dir, args.quiet)
    bk = open_backend(args.device, config.dtype, args.quiet, args.tf32)
    model, checkpoint = folder.load(bk)
    if args.samples is not None:
        model = model.with_samples(args.samples)
    head = {"run": str(args.run), "split": args.split, "epoch": checkpoint.epoch}
    state = f"epoch {checkpoint.epoch}"
    if args.weights is not None:
        read_weights(args.weights, model)
        state = f"the weights of {args.weights}"
        head["weights"] = str(args.weights)
    texts, found = [], {}
    for protocol in PROTOCOLS if args.all_protocols else (args.binarize or config.binarize,):
        try:
            numbers = under(replace(config, binarize=protocol), dataset, model, checkpoint.epoch,
                            args.split, args.nll)  # fmt: skip
        except DataError as error:
            if not args.all_protocols:
                raise
            print_message(f"left out: {error}", args.quiet)
            continue
        result, likelihood = numbers
        found[protocol] = result.to_json()
        if likelihood is not None:
            found[protocol]["importance"] = likelihood.to_json()
        texts.append(describe(result, args.split, state, likelihood))
    content = {"protocols": found} if args.all_protocols else next(iter(found.values()))
    print_result(args.json, head | content, "\n\n".join(texts))
    return 0


def under(
    config: TrainConfig,
    dataset: Dataset,
    model: Model,
    epoch: int,
    split: str,
    nll_samples: int | None,
) -> tuple[Evaluation, LogLikelihood | None]:
    """The numbers of a split under the protocol of ``config``."""
    require_same_max_level(config, dataset.train.max_level)
    images = getattr(prepare(config, dataset, vae=model.vae), split)
    if images is None:
        raise ConfigError("the run was trained without a validation split")
    result = evaluate(model, images, seed=config.seed, draw=epoch)
    values, likelihood = [result.loss], None
    if nll_samples is not None:
        likelihood = log_likelihood(
            model, images, samples=nll_samples, seed=config.seed, draw=epoch
        )
        values.append(likelihood.log_p)
    if not all(map(math.isfinite, values)):
        raise NonFiniteError(f"the loss on the {split} images is not finite")
    return result, likelihood


def describe(
    result: Evaluation, split: str, state: str, likelihood: LogLikelihood | None = None
) -> str:
    """The numbers as text."""
    units = "  ".join(f"{kl:.3f}" for kl in result.kl_per_unit)
    lines = [
        f"{state}, {result.images} {split} images, nats per image",
        f"ELBO            {result.elbo:10.3f} ± {result.elbo_standard_error:.3f}",
        f"reconstruction  {result.reconstruction:10.3f}",
        f"KL              {result.kl:10.3f}",
        f"KL of each unit   {units}",
        f"active units      {result.active_units} of {len(result.kl_per_unit)}",
        f"protocol: {result.protocol}",
    ]
    if likelihood is not None:
        lines += [
            f"log p(x)        {likelihood.log_p:10.3f} ± {likelihood.standard_error:.3f}",
            f"effective samples {likelihood.effective_samples:8.1f} of {likelihood.samples}",
            f"protocol: {likelihood.protocol}",
        ]
    return "\n".join(lines)
