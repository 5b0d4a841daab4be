"""The options of scratchvae train: the settings of a run, and what becomes of it."""

import argparse
from pathlib import Path
from typing import Any

from scratchvae.cli.common import add_device_arguments, add_output_arguments
from scratchvae.cli.parser import suggest
from scratchvae.config import HEADS, OUTPUT_BIASES, REDUCTIONS, TrainConfig
from scratchvae.data import DATASETS, PROTOCOLS, SPLITS
from scratchvae.latent import ESTIMATORS
from scratchvae.layers import ACTIVATIONS, HEAD_STARTS, INITIALIZATIONS
from scratchvae.likelihoods import LIKELIHOODS
from scratchvae.likelihoods.gaussian import MEANS
from scratchvae.optim import OPTIMIZERS


class Typed(argparse.Action):
    """Keeps a value, and its name in ``typed``: a resumed run has its own defaults."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Called for an option that stands on the command line."""
        setattr(namespace, self.dest, self.const if self.nargs == 0 else values)
        namespace.typed = {*namespace.typed, self.dest}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A row for each setting, then where it goes, how often it is saved, and on what it runs."""
    d = TrainConfig()
    parser.register("action", None, Typed)
    parser.set_defaults(typed=frozenset())

    def option(*flags: str, help: str, default: Any, **more: Any) -> None:
        parser.add_argument(*flags, default=default, help=f"{help} (default: {default})", **more)

    option(
        "--data",
        default=d.data,
        help=f"{', '.join(DATASETS)}, a .npy, .npz, IDX "
        "or CSV file, or a folder of PNG or JPEG files",
    )
    parser.add_argument("--image-shape", type=int, nargs="+", default=[], metavar="SIZE",
                        help="height and width of flattened images, and their channels "
                        "(default: a square)")  # fmt: skip
    parser.add_argument("--full-scale", type=int, default=d.full_scale, metavar="WHITE",
                        help="the number that means white in your own data (default: 255, or 1 "
                        "where nothing is larger)")  # fmt: skip
    option(
        "--split",
        default=d.split,
        metavar="HOW",
        help=f"which images are the test part where your own data have none: {SPLITS}",
    )
    parser.add_argument("--label-column", default=d.label_column, metavar="NAME",
                        help="of a table (default: label, if there is one)")  # fmt: skip
    parser.add_argument("--colormap", default=d.colormap, metavar="NAME",
                        help="matplotlib's, for grey images (default: Greys, ink on paper, where "
                        "most pixels are black, else gray)")  # fmt: skip
    parser.add_argument("--subset", default=d.subset, metavar="PART",
                        help="first:N, last:N or draw:SEED:N:M (default: all)")  # fmt: skip
    option("--binarize", default=d.binarize, choices=PROTOCOLS, help="what pixels become")
    parser.add_argument(
        "--hidden",
        type=int,
        nargs="*",
        default=list(d.hidden),
        metavar="UNITS",
        help="hidden sizes of the encoder; the decoder has them in reverse (default: 400 400)",
    )
    for name in ("encoder", "decoder"):
        parser.add_argument(f"--{name}", nargs="*", default=[], metavar="LAYER",
                            help='layers in words instead of hidden sizes, for example '
                            '"reshape 28 28 1" "conv 32 3 2" relu flatten')  # fmt: skip
    option(
        "--activation",
        default=d.activation,
        metavar="NAME",
        help=f"of hidden units: {', '.join(ACTIVATIONS)}, or module:Class",
    )
    option("--latent-dim", default=d.latent_dim, type=int, metavar="Z", help="latent units")
    option(
        "--likelihood",
        default=d.likelihood,
        metavar="NAME",
        help=f"of the pixels: {', '.join(LIKELIHOODS)}, or module:Class",
    )
    option("--std", default=d.std, type=float, help="of the likelihood `gaussian`")
    option(
        "--mean",
        default=d.mean,
        choices=("auto", *MEANS),
        help="of the Gaussians; auto: the sigmoid for data in [0, 1]",
    )
    option(
        "--start-std",
        default=d.start_std,
        type=float,
        metavar="STD",
        help="of the learned Gaussians before the first step; 0: the data's spread",
    )
    option("--head", default=d.head, choices=HEADS, help="the encoder's second half")
    option("--heads", default=d.heads, choices=tuple(HEAD_STARTS),
           help="how the encoder's halves start: as one layer, or as two with independent or "
           "equal weights")  # fmt: skip
    option("--init", default=d.init, choices=tuple(INITIALIZATIONS), help="initial weights")
    option("--output-bias", default=d.output_bias, choices=OUTPUT_BIASES,
           help="how logits start: as --init says, or at the training images' mean")  # fmt: skip
    option("--beta", default=d.beta, type=float, help="weight of the KL")
    option("--samples", default=d.samples, type=int, metavar="K", help="draws of z per image")
    option("--estimator", default=d.estimator, metavar="NAME", help="of the bound and its "
           f"gradient: {', '.join(ESTIMATORS)}, or module:Class")  # fmt: skip
    option("--kl-warmup", default=d.kl_warmup, type=int, metavar="STEPS",
           help="steps over which the KL's weight grows from 0 to beta")  # fmt: skip
    option("--free-bits", default=d.free_bits, type=float, metavar="NATS",
           help="KL that a latent unit may have without paying")  # fmt: skip
    option(
        "--optimizer",
        default=d.optimizer,
        metavar="NAME",
        help=f"update rule: {', '.join(OPTIMIZERS)}, or module:Class",
    )
    parser.add_argument("--optimizer-settings", nargs="*", default=[], metavar="NAME=VALUE",
                        help=f"what the update rule has beside --lr and --clip; "
                        f"{describe_settings()}")  # fmt: skip
    option("--reduction", default=d.reduction, choices=REDUCTIONS,
           help="the gradient is that of the mean or the sum of the loss over a batch")  # fmt: skip
    option("--lr", default=d.lr, type=rate, help="learning rate, or a schedule such as "
           "cosine:1e-3:1e-5:10000")  # fmt: skip
    option("--clip", default=d.clip, type=float, metavar="NORM",
           help="the largest norm that a gradient may have; 0: any")  # fmt: skip
    option("--epochs", default=d.epochs, type=int, metavar="N", help="passes over the data")
    option("--batch-size", default=d.batch_size, type=int, metavar="B", help="images per step")
    parser.add_argument("--no-shuffle", dest="shuffle", action=Typed, nargs=0, const=False,
                        default=d.shuffle, help="visit images in file order")  # fmt: skip
    option("--seed", default=d.seed, type=int, help="names every random number of the run")
    option("--dtype", default=d.dtype, choices=("float32", "float64"), help="float type")
    parser.add_argument("--evaluate-at", type=int, nargs="*", default=[], metavar="EPOCH",
                        help="evaluate after these epochs and the last (default: after each "
                        "epoch)")  # fmt: skip
    option("--validation", default=d.validation, type=int, metavar="N",
           help="images held out of the training set to choose the best epoch by")  # fmt: skip
    option("--verify-every", default=d.verify_every, type=int, metavar="N",
           help="check the live gradient by complex step every N steps; 0: never")  # fmt: skip
    option("--workers", default=d.workers, type=int, metavar="N",
           help="processes that share a step on the CPU; 0: by rule")  # fmt: skip
    option("--patience", default=d.patience, type=int, metavar="K",
           help="stop after K epochs without a better one; needs --validation")  # fmt: skip
    parser.set_defaults(max_level=d.max_level)  # of a categorical: the data's
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run folder (default: a new "
                        "one in runs/)")  # fmt: skip
    parser.add_argument("--no-figures", action="store_true", help="draw nothing")
    parser.add_argument("--checkpoint-every", type=int, default=0, metavar="STEPS",
                        help="save every STEPS steps, too (default: after each epoch)")  # fmt: skip
    parser.add_argument("--resume", type=Path, metavar="RUN", help="resume this run, with its "
                        "settings; it ends as if it had never stopped. On a CPU the command first "
                        "restarts its own process if the run used another BLAS kernel that this "
                        "processor has, too")  # fmt: skip
    parser.add_argument("--change-settings", action="store_true", help="with --resume: resume with "
                        "the settings given here, more epochs for example")  # fmt: skip
    add_device_arguments(parser)
    add_output_arguments(parser)
    for name, table in (
        ("activation", ACTIVATIONS),
        ("likelihood", LIKELIHOODS),
        ("estimator", ESTIMATORS),
        ("optimizer", OPTIMIZERS),
    ):
        suggest(parser, f"--{name}", table)


def describe_settings() -> str:
    """What can be set of each optimizer, and the defaults, as its class says."""
    rules = (f"{name}: {', '.join(rule.settings_in_words())}" for name, rule in OPTIMIZERS.items())
    return "; ".join(rules)


def rate(text: str) -> float | str:
    """A learning rate as it was typed: a number, or the text of a schedule."""
    try:
        return float(text)
    except ValueError:
        return text
