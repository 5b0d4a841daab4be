"""The options of scratchvae train: the settings of a run, its output and its device."""

import argparse
from pathlib import Path
from typing import Any

from scratchvae.cli.common import Typed, add_device_arguments, add_output_arguments
from scratchvae.cli.parser import suggest
from scratchvae.config import (
    HEADS,
    OUTPUT_BIASES,
    PRIORS,
    REDUCTIONS,
    SUM_ORDERS,
    TrainConfig,
)
from scratchvae.data import DATASETS, PROTOCOLS, SPLITS
from scratchvae.latent import ESTIMATORS, FLOWS
from scratchvae.layers import ACTIVATIONS, HEAD_STARTS, INITIALIZATIONS
from scratchvae.likelihoods import LIKELIHOODS
from scratchvae.likelihoods.gaussian import MEANS
from scratchvae.optim import OPTIMIZERS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an option for each setting, then those of the run folder, the device and the output."""
    d = TrainConfig()
    parser.register("action", None, Typed)

    def option(*flags: str, help: str, default: object, **more: Any) -> None:
        parser.add_argument(*flags, default=default, help=f"{help} (default: {default})", **more)

    option(
        "--data",
        default=d.data,
        help=f"{', '.join(DATASETS)}, a .npy, .npz, IDX or CSV file, a folder of PNG, JPEG or "
        ".npy files, or a quoted pattern of .npy files: 'shards/*.npy'",
    )
    parser.add_argument("--image-shape", type=int, nargs="+", default=[], metavar="SIZE",
                        help="height and width of flattened images, and their channels "
                        "(default: a square)")  # fmt: skip
    parser.add_argument("--full-scale", type=int, default=d.full_scale, metavar="WHITE",
                        help="the number that means white in your own data (default: 255, or 1 "
                        "if nothing is larger)")  # fmt: skip
    option(
        "--split",
        default=d.split,
        metavar="HOW",
        help=f"which images become the test part if your own data have none: {SPLITS}",
    )
    parser.add_argument("--label-column", default=d.label_column, metavar="NAME",
                        help="the column of a table that holds labels (default: label, if there "
                        "is one)")  # fmt: skip
    parser.add_argument("--colormap", default=d.colormap, metavar="NAME",
                        help="a colormap of matplotlib's for grey images (default: Greys, ink on "
                        "paper, if most pixels are black, else gray)")  # fmt: skip
    parser.add_argument("--subset", default=d.subset, metavar="PART",
                        help="train on part of the data: first:N, last:N or draw:SEED:N:M, N "
                        "training and M test images (default: all)")  # fmt: skip
    option(
        "--binarize", default=d.binarize, choices=PROTOCOLS, help="how grey pixels are binarized"
    )
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
                            help=f'the layers of the {name} instead of hidden sizes, for '
                            'example "reshape 28 28 1" "conv 32 3 2" relu flatten; needs both '
                            'options')  # fmt: skip
    option(
        "--activation",
        default=d.activation,
        metavar="NAME",
        help=f"activation of hidden units: {', '.join(ACTIVATIONS)}, or module:Class",
    )
    option(
        "--latent-dim", default=d.latent_dim, type=int, metavar="Z", help="number of latent units"
    )
    option("--second-units", default=d.second_units, type=int, metavar="Z2",
           help="units of a second stochastic layer; 0: there is one layer")  # fmt: skip
    parser.add_argument("--second-hidden", type=int, nargs="*", default=list(d.second_hidden),
                        metavar="UNITS", help="hidden sizes from the first stochastic layer to the "
                        "second (default: 100 100)")  # fmt: skip
    option(
        "--likelihood",
        default=d.likelihood,
        metavar="NAME",
        help=f"likelihood of the pixels: {', '.join(LIKELIHOODS)}, or module:Class",
    )
    option("--std", default=d.std, type=float, help="standard deviation of the likelihood gaussian")
    option(
        "--mean",
        default=d.mean,
        choices=("auto", *MEANS),
        help="mean of a Gaussian likelihood, from the logits; auto: sigmoid for data in [0, 1], "
        "else identity",
    )
    option(
        "--start-std",
        default=d.start_std,
        type=float,
        metavar="STD",
        help="initial standard deviation of a learned Gaussian; 0: that of the data",
    )
    option(
        "--head",
        default=d.head,
        choices=HEADS,
        help="what the second half of the encoder's output means",
    )
    option("--heads", default=d.heads, choices=tuple(HEAD_STARTS),
           help="how the encoder's halves start: as one layer, or as two with independent or "
           "equal weights")  # fmt: skip
    option("--init", default=d.init, choices=tuple(INITIALIZATIONS), help="initial weights")
    option("--output-bias", default=d.output_bias, choices=OUTPUT_BIASES,
           help="how logits start: as --init says, or at the training images' mean")  # fmt: skip
    parser.add_argument("--condition", default=d.condition, metavar="WHAT",
                        help="what is given with an image and not modelled: label, some-labels "
                        "(unknown ones are summed out), or quadrants:N, of which N are seen "
                        "(default: nothing)")  # fmt: skip
    option("--labels", default=d.labels, type=int, metavar="N",
           help="how many labels are known with --condition some-labels, of each class as many; "
           "0: those of the data")  # fmt: skip
    option("--classifier-weight", default=d.classifier_weight, type=float, metavar="ALPHA",
           help="weight of the cross-entropy of an image whose label is known")  # fmt: skip
    option("--prior", default=d.prior, choices=PRIORS, help="prior of z given the condition: "
           "N(0, 1), or a network of it like the encoder")  # fmt: skip
    option("--beta", default=d.beta, type=float, help="weight of the KL")
    option("--samples", default=d.samples, type=int, metavar="K", help="samples of z per image")
    option("--estimator", default=d.estimator, metavar="NAME", help="estimator of the bound and "
           f"its gradient: {', '.join(ESTIMATORS)}, or module:Class")  # fmt: skip
    option("--posterior", default=d.posterior, metavar="NAME", help="q(z|x): a Gaussian, or a flow "
           f"that carries it on: {', '.join(FLOWS)}, or module:Class")  # fmt: skip
    parser.add_argument(
        "--flow-length",
        type=int,
        default=d.flow_length,
        metavar="L",
        help=f"how many maps a flow has (default: {flow_defaults('length')})",
    )
    parser.add_argument(
        "--flow-hidden",
        type=int,
        default=d.flow_hidden,
        metavar="UNITS",
        help="hidden units of the maps of an autoregressive flow (default: "
        f"{flow_defaults('hidden')})",
    )
    option("--kl-warmup", default=d.kl_warmup, type=int, metavar="STEPS",
           help="steps over which the KL's weight grows from 0 to beta")  # fmt: skip
    option("--free-bits", default=d.free_bits, type=float, metavar="NATS",
           help="KL per latent unit, in nats, that costs nothing")  # fmt: skip
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
           help="norm to which a larger gradient is scaled down; 0: none")  # fmt: skip
    option(
        "--epochs", default=d.epochs, type=int, metavar="N", help="passes over the training images"
    )
    option("--batch-size", default=d.batch_size, type=int, metavar="B", help="images per step")
    parser.add_argument("--no-shuffle", dest="shuffle", action=Typed, nargs=0, const=False,
                        default=d.shuffle, help="visit the images in file order")  # fmt: skip
    option("--seed", default=d.seed, type=int, help="seed of every random number")
    option("--dtype", default=d.dtype, choices=("float32", "float64"), help="float type")
    parser.add_argument("--evaluate-at", type=int, nargs="*", default=[], metavar="EPOCH",
                        help="evaluate after these epochs and the last (default: after each "
                        "epoch)")  # fmt: skip
    option("--validation", default=d.validation, type=int, metavar="N",
           help="training images held out to choose the best epoch")  # fmt: skip
    option("--verify-every", default=d.verify_every, type=int, metavar="N",
           help="check the gradient by complex step every N steps; 0: never")  # fmt: skip
    option("--workers", default=d.workers, type=int, metavar="N",
           help="processes that share a step on the CPU; 0: up to 4, if the model is large "
           "enough")  # fmt: skip
    option("--pieces", default=d.pieces, type=int, metavar="P",
           help="cut each step into P pieces, whose gradients are added in a fixed order, so that "
           "under mpiexec the number of ranks changes no bit; 0: there 2, or 4 for batches of 200 "
           "images and more, and none elsewhere")  # fmt: skip
    option("--sum-order", default=d.sum_order, choices=SUM_ORDERS,
           help="how ranks add their gradients: in the fixed order of the pieces, or in any, by "
           "MPI's own reduction, whose bits may differ with the number of ranks")  # fmt: skip
    option("--patience", default=d.patience, type=int, metavar="K",
           help="stop after K epochs without a better validation loss; needs --validation; 0: "
           "never")  # fmt: skip
    parser.set_defaults(max_level=d.max_level)  # of a categorical likelihood: that of the data
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run folder (default: a new "
                        "one in runs/)")  # fmt: skip
    parser.add_argument("--no-figures", action="store_true", help="draw no figures")
    parser.add_argument("--checkpoint-every", type=int, default=0, metavar="STEPS",
                        help="write a checkpoint every STEPS steps, too (default: after each "
                        "epoch only)")  # fmt: skip
    parser.add_argument("--resume", type=Path, metavar="RUN", help="resume this run, with its "
                        "settings; the result is as if it had never stopped. On a CPU the command "
                        "first restarts its own process if the run used another BLAS kernel that "
                        "this processor has, too")  # fmt: skip
    parser.add_argument("--change-settings", action="store_true", help="with --resume: use the "
                        "settings given here, for example more epochs")  # fmt: skip
    add_device_arguments(parser)
    add_output_arguments(parser)
    for name, table in (
        ("activation", ACTIVATIONS),
        ("likelihood", LIKELIHOODS),
        ("estimator", ESTIMATORS),
        ("posterior", FLOWS),
        ("optimizer", OPTIMIZERS),
    ):
        suggest(parser, f"--{name}", table)


def describe_settings() -> str:
    """What can be set of each optimizer, and the defaults, as its class says."""
    rules = (f"{name}: {', '.join(rule.settings_in_words())}" for name, rule in OPTIMIZERS.items())
    return "; ".join(rules)


def flow_defaults(setting: str) -> str:
    """What a setting of a flow is unless given, as each class says: "planar: 10, radial: 10"."""
    found = (
        f"{name}: {getattr(flow, f'default_{setting}')}"
        for name, flow in FLOWS.items()
        if setting in flow.settings
    )
    return ", ".join(found)


def rate(text: str) -> float | str:
    """A learning rate as typed: a number, or else the text of a schedule."""
    try:
        return float(text)
    except ValueError:
        return text
