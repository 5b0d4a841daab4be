"""scratchvae estimators: bias and variance of every gradient estimator, and what each can train."""

import argparse
import datetime
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

from scratchvae.cli.common import (
    add_device_arguments,
    add_output_arguments,
    add_results_arguments,
    open_backend,
    open_dataset,
    over_ranks,
    print_message,
    print_result,
    results_folder,
)
from scratchvae.cli.parser import Commands, add_command
from scratchvae.config import TrainConfig
from scratchvae.data import PROTOCOLS, Dataset
from scratchvae.evaluation import as_seen_by_model, describe_protocol
from scratchvae.evaluation.gradient_noise import BIAS_THRESHOLD, BiasVariance
from scratchvae.latent import ESTIMATORS
from scratchvae.runs import require_free, write_json
from scratchvae.studies.estimators import (
    DRAWS,
    EPOCHS,
    SAMPLES,
    EstimatorComparison,
    compare_estimators,
)
from scratchvae.training import prepare
from scratchvae.versions import versions

SHOWN = 100  # samples from the prior in the figure


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    d = TrainConfig()
    parser = add_command(
        commands,
        "estimators",
        run,
        help="compare gradient estimators, and beta = 0 with beta = 1",
        description="Measure bias and variance of every gradient estimator during a training, "
        "train with and without reparameterization, and compare a plain autoencoder (beta = 0) "
        "with the VAE.",
        examples=[
            "scratchvae estimators",
            "scratchvae estimators --draws 2000 --epochs 200 --out runs/estimators",
            "scratchvae estimators --samples 20 --json --no-figures",
        ],
    )
    parser.add_argument("--data", default=d.data, metavar="DATA",
                        help=f"a data set's name, or a file (default: {d.data})")  # fmt: skip
    parser.add_argument("--binarize", default=d.binarize, choices=PROTOCOLS,
                        help=f"how pixels are binarized (default: {d.binarize})")  # fmt: skip
    parser.add_argument("--hidden", type=int, nargs="*", default=[64], metavar="UNITS",
                        help="hidden sizes of the encoder; the decoder has them in reverse "
                        "(default: 64)")  # fmt: skip
    parser.add_argument("--samples", type=int, default=SAMPLES, metavar="K",
                        help="samples of z per image, at least 2 "
                        f"(default: {SAMPLES})")  # fmt: skip
    parser.add_argument("--draws", type=int, default=DRAWS, metavar="N",
                        help="draws of each gradient, and four times as many of the true one "
                        f"(default: {DRAWS})")  # fmt: skip
    parser.add_argument("--epochs", type=int, default=EPOCHS, metavar="N",
                        help=f"epochs of each of the five trainings (default: {EPOCHS})"
                        )  # fmt: skip
    parser.add_argument("--batch-size", type=int, default=d.batch_size, metavar="B",
                        help="images per step, and in the batch whose gradient is measured "
                        f"(default: {d.batch_size})")  # fmt: skip
    parser.add_argument("--lr", type=float, default=d.lr, metavar="RATE",
                        help=f"learning rate of Adam (default: {d.lr})")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0,
                        help="seed of every random number (default: 0)")  # fmt: skip
    add_results_arguments(parser, "a folder for the results (default: a new one in runs/)")
    add_device_arguments(parser)
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Compare as the arguments say."""
    names = ("data", "binarize", "hidden", "samples", "epochs", "batch_size", "lr", "seed")
    config = TrainConfig(latent_dim=2, **{name: getattr(args, name) for name in names})
    with results_folder(args.out, "estimators") as out:
        require_free(out)  # before a minute of training
        return compare(args, config, out)


def compare(args: argparse.Namespace, config: TrainConfig, out: Path) -> int:
    """Train, measure, and leave numbers and figures in a folder; the exit code."""
    dataset = open_dataset(config, args.data_dir, args.quiet)
    bk = open_backend(args, config.dtype)
    tell = partial(print_message, quiet=args.quiet)
    found = compare_estimators(config, dataset, bk, args.draws, tell, over_ranks(args))
    content: dict[str, object] = {
        "protocol": protocol_of(found),
        **found.to_json(),
        "settings": found.config.to_json(),
        "data": {"name": dataset.name, "fingerprint": dataset.fingerprint},
        "date": datetime.date.today().isoformat(),
        "device": bk.describe(),
        "versions": versions(),
        "run": str(out),
    }
    out.mkdir(parents=True, exist_ok=True)
    if not args.no_figures:
        content["figures"] = [str(path) for path in draw(out, found, dataset)]
    write_json(out / "estimators.json", content)
    print_result(args.json, content, f"{describe(found)}\nfolder: {out}")
    return 0


# ---- words -------------------------------------------------------------------------------------


def protocol_of(found: EstimatorComparison) -> dict[str, str]:
    """What the numbers mean, apart for gradients and for curves."""
    config = found.config
    model = found.curves["analytic"].model
    each = f"{config.samples} samples per image"
    return {
        "gradients": (
            f"{describe_protocol(model, config.binarize, config.seed)}; the gradient of the mean "
            f"over one batch of {config.batch_size} training images; {found.draws} draws of each "
            f"estimator; true gradient: the mean of {4 * found.draws} draws of the "
            f"reparameterized one of the same bound"
        ),
        "bound": "ELBO: " + ", ".join(of_bound("analytic"))
        + f"; importance-weighted bound of {each}: "
        + ", ".join(of_bound("iwae")),
        "bias": (
            f"told from noise where its square exceeds {BIAS_THRESHOLD:g} standard errors "
            "(jackknife over groups of draws)"
        ),
        "curves": f"−ELBO of the test images with the analytic KL; trained with {each}, "
        f"Adam at {config.lr}, seed {config.seed}",
    }  # fmt: skip


def of_bound(reference: str) -> list[str]:
    """The names of the estimators whose true gradient is that of ``reference``."""
    return [name for name, estimator in ESTIMATORS.items() if estimator.reference == reference]


def layer_words(layers: list[str]) -> dict[str, str]:
    """encoder.0 -> "encoder, layer 1"; the last ones by what comes out of them."""
    words: dict[str, str] = {}
    for part, last in (("encoder", "[μ | log σ²]"), ("decoder", "logits")):
        mine = [layer for layer in layers if layer.partition(".")[0] == part]
        words |= {layer: f"{part}, layer {number}" for number, layer in enumerate(mine, 1)}
        if mine:
            words[mine[-1]] = f"{part}, {last}"
    return {layer: words.get(layer, layer) for layer in layers}


def cell(noise: BiasVariance) -> str:
    """variance and bias ± standard error, or the limit below which a bias stays unseen."""
    if not noise.known:
        return f"{'unknown':>11}{'unknown':>17}"
    bias = f"< {noise.limit:.3f}"
    if noise.biased:
        bias = f"{noise.bias:.3f} ± {noise.bias_error:.3f}"
    return f"{noise.variance:11.3g}{bias:>17}"


def describe(found: EstimatorComparison) -> str:
    """The numbers as text: a block for each moment, then the trained models."""
    lines = []
    for epoch, by_name in found.noise.items():
        layers = layer_words(list(next(iter(by_name.values()))))
        lines.append(f"gradients after epoch {epoch}: variance and bias, relative")
        lines.append(" " * 14 + "".join(f"{text:>28}" for text in layers.values()))
        for name, by_layer in by_name.items():
            lines.append(f"{name:14}" + "".join(cell(by_layer[layer]) for layer in layers))
        lines.append("")
    config = found.config
    lines.append(f"after {config.epochs} epochs: −ELBO, reconstruction, KL (test, nats per image)")
    ended = {name: trained.final for name, trained in found.curves.items()}
    for name, test in (ended | {"beta = 0": found.autoencoder.final}).items():
        lines.append(f"{name:16}{-test.elbo:9.3f} {test.reconstruction:9.3f} {test.kl:9.3f}")
    protocol = protocol_of(found)
    return "\n".join([*lines, "", *(f"{name}: {text}" for name, text in protocol.items())])


# ---- figures -----------------------------------------------------------------------------------


def draw(out: Path, found: EstimatorComparison, dataset: Dataset) -> list[Path]:
    """Draw the three figures; the files written."""
    from scratchvae.figures import (
        GradientNoise,
        Side,
        beta_comparison,
        estimator_curves,
        gradient_noise,
        save,
    )

    config, moments = found.config, list(found.noise)
    layers = layer_words(list(next(iter(found.noise[0].values()))))
    grid = [[list(by.values()) for by in found.noise[m].values()] for m in moments]

    def numbers(of: Callable[[BiasVariance], float]) -> list[list[list[float]]]:
        return [[[of(n) for n in by] for by in rows] for rows in grid]

    pixels = dataset.train.images.shape[1]
    model = f"{Path(dataset.name).name} · {config.describe_model(pixels)}"
    protocol = protocol_of(found)
    elbo = len(of_bound("analytic"))
    figure = gradient_noise(
        [f"epoch {epoch}" for epoch in moments], list(ESTIMATORS), layers,
        GradientNoise(
            numbers(lambda n: n.variance), numbers(lambda n: n.bias),
            numbers(lambda n: n.bias_squared_error),
            numbers(lambda n: math.inf if n.biased else n.limit),
        ),
        f"{model} · {protocol['gradients']}, g* · above the dashed line the ELBO, below it the "
        f"importance-weighted bound · bars: one standard error of the bias, which is "
        f"{protocol['bias']}",
        rule_after=elbo,
    )  # fmt: skip
    paths = save(figure, out, "gradient_noise")

    tests = {name: trained.tests for name, trained in found.curves.items()}
    figure = estimator_curves(
        range(len(next(iter(tests.values())))),
        {name: [-test.elbo for test in each] for name, each in tests.items()},
        {name: [test.kl for test in each] for name, each in tests.items()},
        f"{model} · {protocol['curves']} · the same initial parameters, order and noise for all · "
        "analytic: reparameterized; score: by log-density at a fixed z, with and without a "
        "leave-one-out baseline; detached: z a constant for the encoder",
    )
    paths += save(figure, out, "estimator_curves")

    test = prepare(config, dataset).test
    images = as_seen_by_model(test, seed=config.seed)
    sides = {}
    for title, trained in (
        ("β = 0, an autoencoder", found.autoencoder),
        ("β = 1, the VAE", found.curves["analytic"]),
    ):
        mu, _ = trained.model.encode(images)
        means, _ = trained.model.sample(SHOWN, seed=config.seed)
        sides[title] = Side(mu, means, trained.final.reconstruction, trained.final.kl)
    figure = beta_comparison(
        sides, test.labels, dataset.image_shape or (1, pixels),
        f"{model} · {config.epochs} epochs, seed {config.seed} · {len(test)} test images · "
        f"{describe_protocol(trained.model, config.binarize, config.seed)} · the circle holds "
        "95 % of the prior; both decode the same z",
        colormap=dataset.colormap,
    )  # fmt: skip
    return paths + save(figure, out, "beta_0_beside_1")
