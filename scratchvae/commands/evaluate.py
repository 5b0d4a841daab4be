"""scratchvae evaluate: the ELBO of a trained model and what its latent units do."""

import argparse
import math
from pathlib import Path
from typing import Any

from scratchvae.commands.common import (
    add_device_arguments,
    add_output_arguments,
    answer,
    data_of_run,
    open_backend,
)
from scratchvae.errors import ConfigError, NonFiniteError
from scratchvae.evaluation import Evaluation, evaluate
from scratchvae.training import RunFolder, prepare

EXAMPLES = """examples:
  scratchvae evaluate runs/digits-1
  scratchvae evaluate runs/digits-1 --samples 10 --json
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "evaluate",
        help="evaluate a trained model",
        description="ELBO, reconstruction, KL, KL of each latent unit and active units.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("--split", choices=("test", "train", "validation"), default="test",
                        help="which images (default: test)")  # fmt: skip
    parser.add_argument("--samples", type=int, metavar="K",
                        help="draws of z an image (default: as in training)")  # fmt: skip
    add_device_arguments(parser)
    add_output_arguments(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate as the arguments say."""
    folder = RunFolder.open(args.run)
    config = folder.config()
    dataset = data_of_run(folder, args.data_dir, args.quiet)
    views = prepare(config, dataset)
    split = getattr(views, args.split)
    if split is None:
        raise ConfigError(f"{args.run} was trained without a validation split")
    bk = open_backend(args.device, config.dtype, args.quiet)
    model, checkpoint = folder.load(bk)
    if args.samples is not None:
        model = model.with_samples(args.samples)
    result = evaluate(model, split, config.binarize, config.seed, visit=checkpoint.epoch)
    if not math.isfinite(result.loss):
        raise NonFiniteError(f"the loss of {args.run} on the {args.split} images is not finite")
    content = {"run": str(args.run), "split": args.split, "epoch": checkpoint.epoch}
    answer(args.json, content | result.to_json(), describe(result, args.split, checkpoint.epoch))
    return 0


def describe(result: Evaluation, split: str, epoch: int) -> str:
    """The numbers as text."""
    units = "  ".join(f"{kl:.3f}" for kl in result.kl_per_unit)
    return "\n".join(
        [
            f"epoch {epoch}, {result.images} {split} images, nats an image",
            f"ELBO            {result.elbo:10.3f} ± {result.elbo_standard_error:.3f}",
            f"reconstruction  {result.reconstruction:10.3f}",
            f"KL              {result.kl:10.3f}",
            f"KL of each unit   {units}",
            f"active units      {result.active_units} of {len(result.kl_per_unit)}",
            f"protocol: {result.protocol}",
        ]
    )
