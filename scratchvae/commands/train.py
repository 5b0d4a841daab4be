"""scratchvae train: train a model and leave a run folder."""

import argparse
import re
from pathlib import Path
from typing import Any

from scratchvae.backend import Backend
from scratchvae.commands.common import (
    add_device_arguments,
    add_output_arguments,
    answer,
    open_backend,
    open_dataset,
    say,
)
from scratchvae.data import DATASETS, PROTOCOLS, Dataset
from scratchvae.evaluation import describe_protocol
from scratchvae.figures.choice import figure_originals
from scratchvae.latent import ESTIMATORS
from scratchvae.layers import ACTIVATIONS, INITIALIZATIONS
from scratchvae.likelihoods.gaussian import MEANS
from scratchvae.models import Model
from scratchvae.optim import OPTIMIZERS
from scratchvae.training import (
    HEADS,
    LIKELIHOODS,
    Film,
    RunFolder,
    TrainConfig,
    Training,
    choose_progress,
    free_folder,
    prepare,
    resolve_levels,
    resolve_workers,
    train,
)
from scratchvae.versions import versions

EXAMPLES = """examples:
  scratchvae train
  scratchvae train --data mnist --hidden 400 400 --latent-dim 2 --batch-size 100 --epochs 50
  scratchvae train --data mnist --binarize dynamic --latent-dim 20 --validation 5000 --patience 5
  scratchvae train --data faces.npy --likelihood gaussian --std 0.1
"""

SIGNAL_EXITS = {"SIGINT": 130, "SIGTERM": 143}


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "train",
        help="train a VAE",
        description="Train a VAE and leave a run folder with numbers, checkpoint and figures.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    d = TrainConfig()

    def option(*flags: str, help: str, default: Any, **more: Any) -> None:
        parser.add_argument(*flags, default=default, help=f"{help} (default: {default})", **more)

    option("--data", default=d.data, help=f"{', '.join(DATASETS)}, or a .npy, .npz or IDX file")
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
    option("--activation", default=d.activation, choices=tuple(ACTIVATIONS), help="of hidden units")
    option("--latent-dim", default=d.latent_dim, type=int, metavar="Z", help="latent units")
    option("--likelihood", default=d.likelihood, choices=LIKELIHOODS, help="of the pixels")
    option("--std", default=d.std, type=float, help="of the likelihood `gaussian`")
    option("--mean", default=d.mean, choices=MEANS, help="of the Gaussians")
    option("--head", default=d.head, choices=HEADS, help="the encoder's second half")
    option("--init", default=d.init, choices=tuple(INITIALIZATIONS), help="initial weights")
    option("--beta", default=d.beta, type=float, help="weight of the KL")
    option("--samples", default=d.samples, type=int, metavar="K", help="draws of z an image")
    option("--estimator", default=d.estimator, choices=tuple(ESTIMATORS),
           help="of the bound and its gradient")  # fmt: skip
    option("--kl-warmup", default=d.kl_warmup, type=int, metavar="STEPS",
           help="steps over which the KL's weight grows from 0 to beta")  # fmt: skip
    option("--free-bits", default=d.free_bits, type=float, metavar="NATS",
           help="KL that a latent unit may have without paying")  # fmt: skip
    option("--optimizer", default=d.optimizer, choices=tuple(OPTIMIZERS), help="update rule")
    option("--lr", default=d.lr, type=rate, help="learning rate, or a schedule such as "
           "cosine:1e-3:1e-5:10000")  # fmt: skip
    option("--clip", default=d.clip, type=float, metavar="NORM",
           help="the largest norm that a gradient may have; 0: any")  # fmt: skip
    option("--epochs", default=d.epochs, type=int, metavar="N", help="passes over the data")
    option("--batch-size", default=d.batch_size, type=int, metavar="B", help="images a step")
    parser.add_argument(
        "--no-shuffle", dest="shuffle", action="store_false", help="visit images in file order"
    )
    option("--seed", default=d.seed, type=int, help="names every random number of the run")
    option("--dtype", default=d.dtype, choices=("float32", "float64"), help="float type")
    option("--validation", default=d.validation, type=int, metavar="N",
           help="images held out of the training set to choose the best epoch by")  # fmt: skip
    option("--verify-every", default=d.verify_every, type=int, metavar="N",
           help="check the live gradient by complex step every N steps; 0: never")  # fmt: skip
    option("--workers", default=d.workers, type=int, metavar="N",
           help="threads that share a step on the CPU; 0: by rule")  # fmt: skip
    option("--patience", default=d.patience, type=int, metavar="K",
           help="stop after K epochs without a better one; needs --validation")  # fmt: skip
    parser.set_defaults(levels=d.levels)  # of a categorical: the data's
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run folder (default: a new "
                        "one in runs/)")  # fmt: skip
    parser.add_argument("--no-figures", action="store_true", help="draw nothing")
    add_device_arguments(parser)
    add_output_arguments(parser)
    parser.set_defaults(command=run)


def rate(text: str) -> float | str:
    """A learning rate as it was typed: a number, or the text of a schedule."""
    try:
        return float(text)
    except ValueError:
        return text


def run(args: argparse.Namespace) -> int:
    """Train as the arguments say."""
    config = TrainConfig.from_json({name: getattr(args, name) for name in TrainConfig().to_json()})
    dataset = open_dataset(config.data, config.subset, args.data_dir, args.quiet)
    bk = open_backend(args.device, config.dtype, args.quiet, args.tf32)
    out = args.out or free_folder(Path("runs"), re.sub(r"\W+", "-", Path(dataset.name).stem))
    training = train_in_folder(
        config, dataset, bk, out, args.data_dir, args.quiet, not args.no_figures
    )
    last = training.metrics[-1] if training.metrics else {}
    content = {
        "run": str(out),
        "stopped": training.stopped,
        "seconds": training.seconds,
        "best_epoch": training.best_epoch,
        "protocol": protocol_of(training.model, config),
        "train_protocol": config.describe_train_loss(),
        **last,
    }
    lines = [f"run: {out}"]
    if last:
        lines.append(
            f"epoch {last['epoch']}: train {last['train_loss']:.3f}, test {last['test_loss']:.3f} "
            f"nats an image (reconstruction {last['test_reconstruction']:.3f}, "
            f"KL {last['test_kl']:.3f})"
        )
    lines.append(f"protocol: {content['protocol']}")
    if not config.trains_what_is_tested:
        lines.append(f"train loss: {config.describe_train_loss()}; test: ELBO, analytic KL")
    if training.best_epoch is not None:
        lines.append(f"best epoch on the validation split: {training.best_epoch}")
    answer(args.json, content, "\n".join(lines))
    return SIGNAL_EXITS.get(training.stopped, 0)


def train_in_folder(
    config: TrainConfig,
    dataset: Dataset,
    bk: Backend,
    out: Path,
    data_dir: Path | None,
    quiet: bool,
    figures: bool,
    published: dict[str, float] | None = None,
) -> Training:
    """A training with its folder: config.json first, figures last."""
    config = resolve_levels(config, dataset.train.levels)
    config = resolve_workers(config, bk, dataset.train.images.shape[1])
    views = prepare(config, dataset)  # everything that can be wrong with them is wrong now
    path = None if config.data in DATASETS else Path(config.data).expanduser()
    settings = {
        "config": config.to_json(),
        "data": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "image_shape": list(dataset.image_shape),
            "data_dir": None if data_dir is None else str(data_dir.resolve()),
            "path": None if path is None else str(path.resolve()),
        },
        "device": bk.name,
        "versions": versions(),
    }
    folder = RunFolder.create(out, settings)
    film = Film(figure_originals(views, config), config.epochs) if figures else None
    training = train(config, dataset, bk, folder, choose_progress(quiet), film)
    if training.stopped in SIGNAL_EXITS:
        say(f"interrupted: the state is saved in {folder.checkpoint_path}", quiet)
    elif figures:
        from scratchvae.figures import draw_run

        model, _ = folder.load(bk)
        caption = caption_of(model, config, dataset, training.metrics)
        assert film is not None
        film.save(folder.film_path)
        draw_run(folder.figures_path, model, config, dataset, views, training.metrics, caption,
                 film, published)  # fmt: skip
        say(f"figures: {folder.figures_path}", quiet)
    return training


def protocol_of(model: Model, config: TrainConfig) -> str:
    """The protocol that a run's numbers carry."""
    return describe_protocol(model, config.binarize, config.seed)


def caption_of(
    model: Model, config: TrainConfig, dataset: Dataset, metrics: list[dict[str, Any]]
) -> str:
    """The small print below every figure: data, protocol, model, result."""
    parts = [
        Path(dataset.name).name,
        protocol_of(model, config),
        config.describe_model(model.vae.pixels),
        f"β = {config.beta:g}",
    ]
    if not config.trains_what_is_tested:
        parts.append(f"trained by: {config.describe_train_loss()}")
    if metrics:
        parts.append(f"epoch {metrics[-1]['epoch']}: test {metrics[-1]['test_loss']:.2f} nats")
    return " · ".join(parts)
