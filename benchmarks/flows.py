"""What a flow as posterior is worth on MNIST, and what a step with it costs. Takes 15 minutes.

    python -m benchmarks.flows [--stage 3] [--samples 500] [--images 500] [--json FILE]
    python -m benchmarks.flows --steps 300
    python -m benchmarks.flows --figure FILE

The model 784-200-200-50 of the study `iwae`, trained with one sample to the end of a stage of its
schedule, with a Gaussian posterior, with 40 planar maps and with 4 inverse autoregressive ones; all
with one head, on which the numbers of a flow follow. −log p(x) is by importance sampling on the
first test images, drawn once. A few passes are no end of training: the whole schedule takes hours
(``--stage 8``). With ``--steps`` nothing is learned: a step of batch 100 is timed instead, beside
the matrix products that it cannot do without. ``--figure``: the digits with two latent units, and
of one of them p(x, z) and q(z|x), with a Gaussian and with 16 planar maps (a minute).
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import own_conditions, write_json
from benchmarks.step import at_least_one
from scratchvae.backend import get_backend
from scratchvae.config import TrainConfig
from scratchvae.data import load_dataset
from scratchvae.evaluation import log_likelihood
from scratchvae.evaluation.nll import draw_z
from scratchvae.figures import Plane, posterior_draws
from scratchvae.models import Model
from scratchvae.optim import Adam
from scratchvae.studies.iwae import STUDY
from scratchvae.training import prepare, train
from scratchvae.training.step import Batches, TrainingStep

FLOWS: dict[str, dict[str, Any]] = {
    "gaussian": {},
    "iaf": {"posterior": "iaf", "flow_length": 4},
    "planar": {"posterior": "planar", "flow_length": 40},
}


def settings(flow: str, stage: int, images: int) -> TrainConfig:
    """The study's settings to the end of a stage, with a posterior."""
    config = STUDY.variants["code"].config
    return replace(
        config,
        head="logvar",
        heads="joint",
        estimator="monte-carlo",
        lr=STUDY.schedule("code", -(-images // config.batch_size)),
        epochs=STUDY.ends[stage - 1],
        evaluate_at=(STUDY.ends[stage - 1],),
        **FLOWS[flow],
    )


def score(flow: str, args: argparse.Namespace) -> dict[str, Any]:
    """Train, then measure on test images; nats per image."""
    dataset = load_dataset("mnist")
    config = settings(flow, args.stage, 59_600)
    begun = time.perf_counter()
    trained = train(config, dataset)
    seconds = time.perf_counter() - begun
    test = prepare(config, dataset).test.take(slice(0, args.images))
    elbo = log_likelihood(trained.model, test, samples=1)
    found = log_likelihood(trained.model, test, samples=args.samples)
    return {
        "negative_elbo": -elbo.log_p,
        "nll": -found.log_p,
        "standard_error": found.standard_error,
        "effective_samples": found.effective_samples,
        "protocol": found.protocol,
        "training_seconds": seconds,
        "parameters": trained.model.vae.layout.n_parameters,
        "passes": config.epochs,
    }


def step_times(flow: str, steps: int, batch: int = 100) -> dict[str, float]:
    """Milliseconds of a training step, and of its matrix products alone; medians."""
    bk = get_backend("cpu").with_compiled(True)
    vae = settings(flow, 1, 60_000).make_vae(784)
    images = bk.array(np.random.default_rng(0).random((1000, 784)) < 0.5)
    step = TrainingStep(Model(vae, bk), Adam(), Batches(images, None, batch, 0))
    bk.load(np.arange(1000), step.order)
    products = [
        (a, b)
        for network, rows in ((vae.encoder, (784,)), (vae.decoder, (50,)))
        for layer, shape in zip(network.layers, network.shapes(rows), strict=False)
        for a, b in [(bk.empty((batch, *shape)), layer.parameters(shape).get("W"))]
        if b is not None
    ]
    pairs = [(x, bk.zeros(b[0]), bk.zeros((batch, b[0][1]))) for x, b in products]

    def floor() -> None:
        for i, (x, W, y) in enumerate(pairs):
            np.matmul(x, W, out=y)
            np.matmul(x.T, y, out=W)
            if i:  # nothing is sent back to the images
                np.matmul(y, W.T, out=x)

    with step:
        return {
            "step_ms": _median(lambda t: step(t + 1, t % 10), steps),
            "floor_ms": _median(lambda t: floor(), steps),
        }


def _median(call: Any, times: int) -> float:
    found = []
    for t in range(times):
        begun = time.perf_counter()
        call(t)
        found.append(time.perf_counter() - begun)
    return 1e3 * float(np.median(found[times // 5 :]))


def draw(path: Path) -> None:
    """Two models of the digits, and the posterior of a test image under each."""
    digits = load_dataset("digits")
    x, panels = digits.test.values()[:1], []
    for title, how in (("Gaussian", {}), ("16 planar maps", FLOWS["planar"] | {"flow_length": 16})):
        config = TrainConfig(hidden=(100,), epochs=60, estimator="monte-carlo", **how)
        model = train(config, digits).model
        eps = np.random.default_rng(0).standard_normal((1, 1500, 2))
        draws = draw_z(model, x, eps).z[0]
        reach = 1.2 * float(np.abs(draws - draws.mean(axis=0)).max())
        z1, z2, points = Plane.points(draws.mean(axis=0), reach)
        nll = model.pixel_nll(np.repeat(x, len(points), axis=0), points).sum(axis=1)
        log_joint = -nll - 0.5 * (points**2).sum(axis=1)
        panels.append((title, Plane(z1, z2, log_joint.reshape(len(z2), len(z1))), draws))
    posterior_draws(panels, "digits, 64-100-2; p(x, z) of a test image, draws of q(z|x)").savefig(
        path
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure as the arguments say; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--stage", type=at_least_one, default=3, help="of the schedule, 1 to 8")
    parser.add_argument("--samples", type=at_least_one, default=500, help="for −log p(x)")
    parser.add_argument("--images", type=at_least_one, default=500, help="of the test set")
    parser.add_argument("--steps", type=at_least_one, help="time steps instead of training")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw, and measure nothing")
    args = parser.parse_args(argv)
    if args.figure:
        draw(args.figure)
        return 0
    about = own_conditions() | {"stage": args.stage, "images": args.images, "samples": args.samples}
    rows: dict[str, Any] = {}
    for flow in FLOWS:
        rows[flow] = step_times(flow, args.steps) if args.steps else score(flow, args)
        print(flow, rows[flow], flush=True)
        write_json(args.json, about | {"rows": rows})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
