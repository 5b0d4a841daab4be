"""What z adds where a part is seen, and what a conditional step costs. Takes half an hour.

    python -m benchmarks.conditional [--seeds 3] [--epochs 10] [--json FILE]
    python -m benchmarks.conditional --steps 60

A network completes the hidden quadrants of MNIST's digits from those that are seen, 500-500, with
the settings of the studies `quadrants-1`, `-2` and `-3`, which put a z between them: their own
baseline. Nats per image of the hidden pixels, on all test images after the last epoch. What is in
``--json FILE`` is not trained again, so that a call that was stopped can be repeated.

``--steps``: nothing is learned. A training step of batch 100 on one thread, plain and conditional,
by NumPy alone and with compiled loops, beside its matrix products and one pass over the parameters
and what Adam keeps of them. A minute.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.harness import own_conditions, write_json
from benchmarks.likelihoods import summary
from benchmarks.step import at_least_one
from scratchvae.backend import Array, Backend, get_backend
from scratchvae.config import TrainConfig
from scratchvae.data import load_dataset
from scratchvae.layers import INITIALIZATIONS, Dense, Layer, ReLU, Sequential
from scratchvae.memory import Shape, Views
from scratchvae.models import VAE, ConditionalVAE, Model, Quadrants
from scratchvae.optim import Adam
from scratchvae.studies.quadrants import PUBLISHED, declare
from scratchvae.training import train
from scratchvae.training.step import Batches, TrainingStep

BATCH, CHUNK = 100, 32_768
DENSE = TrainConfig(hidden=(400, 400), latent_dim=20)
STEPS = {
    "plain": DENSE,
    "label": replace(DENSE, condition="label:10"),
    "label, prior network": replace(DENSE, condition="label:10", prior="conditional"),
    "1 quadrant, prior network": declare(1).config,
}


class WithoutZ(Layer):
    """[z | c] without z, of one unit: what follows is a network of the condition alone."""

    def infer_shape(self, shape: Shape) -> Shape:
        return (max(shape[0] - 1, 1),)  # a decoder of z alone, as in a plain VAE, is never run

    def forward(self, bk: Backend, p: Views, x: Array, y: Array) -> None:
        """y = c."""
        y[...] = x[:, 1:]

    def grad_input(
        self, bk: Backend, p: Views, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        """dc = dy, and nothing for z."""
        dx[:, :1] = 0
        dx[:, 1:] = dy


def network(image_shape: Shape, seen: int, hidden: Sequence[int]) -> VAE:
    """The hidden pixels from ``seen`` quadrants, as a conditional model that does not use its z."""
    condition, start = Quadrants(seen, image_shape), INITIALIZATIONS["torch"]
    pixels = int(np.prod(image_shape))
    layers = [layer for units in hidden for layer in (Dense(units, start), ReLU())]
    modelled = Dense(condition.modelled(pixels), start)
    plain = VAE(
        condition.modelled(pixels), Sequential(Dense(2)),
        Sequential(WithoutZ(), *layers, modelled), latent_dim=1,
    )  # fmt: skip
    return ConditionalVAE(plain, pixels, condition)


def complete(dataset: Any, seen: int, seed: int, epochs: int) -> float:
    """Train the network; −log p of the hidden pixels of the test images."""
    study = declare(seen).config
    config = replace(
        study, prior="standard", epochs=epochs, evaluate_at=(epochs,), seed=seed, workers=1
    )
    vae = network(dataset.image_shape, seen, study.hidden)
    trained = train(config, dataset, vae=vae, verbose=False)
    return float(trained.metrics[-1]["test_reconstruction"])


def write_networks(args: argparse.Namespace) -> None:
    """Train what is not in the file yet, and write it run by run."""
    found: dict[str, list[float]] = {}
    if args.json and args.json.exists():
        before = json.loads(args.json.read_text(encoding="utf-8"))
        found = before["values"] if before["epochs"] == args.epochs else {}
    dataset = load_dataset("mnist")
    for seen, (_, published) in PUBLISHED.items():
        values = found.setdefault(str(seen), [])
        for seed in range(len(values), args.seeds):
            values.append(complete(dataset, seen, seed, args.epochs))
            print(f"{seen} quadrants, seed {seed}: {values[-1]:.2f}, published {published}")
            rows = {name: summary(them) for name, them in found.items() if them}
            content = {"epochs": args.epochs, "values": found, "rows": rows}
            write_json(args.json, own_conditions() | content)


# ---- what a step costs ---------------------------------------------------------------------------


def products(vae: VAE, bk: Backend) -> Callable[[], None]:
    """The matrix products of a step, and one pass over the parameters and Adam's two moments."""
    rng, parts = np.random.default_rng(0), []
    for name, (layers, row) in vae.networks().items():
        pairs = zip(layers.layers, layers.shapes((row,)), strict=False)
        every = [layer.parameters(shape) for layer, shape in pairs]
        sizes = [parameters["W"][0] for parameters in every if "W" in parameters]
        for i, (inputs, outputs) in enumerate(sizes):
            sent_back = i > 0 or name == "decoder"  # nothing is sent back to images and conditions
            x, y = bk.empty((BATCH, inputs)), bk.empty((BATCH, outputs))
            W, dW = bk.empty((inputs, outputs)), bk.empty((inputs, outputs))
            x[...], W[...] = (rng.uniform(-0.01, 0.01, size=a.shape) for a in (x, W))
            parts.append((x, W, y, dW, sent_back))
    p, g, m, v = (np.zeros(vae.layout.n_parameters, np.float32) for _ in range(4))

    def run() -> None:
        for x, W, y, _, _ in parts:
            np.matmul(x, W, out=y)
        for x, W, y, dW, sent_back in parts[::-1]:
            if sent_back:
                np.matmul(y, W.T, out=x)
            np.matmul(x.T, y, out=dW)
        for start in range(0, p.size, CHUNK):
            here = slice(start, start + CHUNK)
            np.minimum(m[here], g[here], out=m[here])
            np.maximum(v[here], g[here], out=v[here])
            np.maximum(p[here], m[here], out=p[here])

    return run


def step_times(config: TrainConfig, compiled: bool, times: int) -> tuple[float, float]:
    """Milliseconds of a step and of its products, medians of turns that alternate."""
    bk = get_backend("cpu", compiled=compiled)
    vae = config.make_vae(784)
    images = np.random.default_rng(0).random((10 * BATCH, vae.pixels), dtype=np.float32)
    step = TrainingStep(Model(vae, bk), Adam(), Batches(images, None, BATCH, 0), workers=1)
    step.order[...] = np.arange(len(images))
    floor, found = products(vae, bk), []
    with step:
        for t in range(times + 3):
            begun = time.perf_counter()
            step(t + 1, t % 10)
            between = time.perf_counter()
            floor()
            found.append((between - begun, time.perf_counter() - between))
    ours, least = 1e3 * np.median(found[3:], axis=0)
    return float(ours), float(least)


def print_steps(times: int) -> None:
    """A line for each model and way to compute."""
    with threadpool_limits(1):
        for name, config in STEPS.items():
            for compiled in (False, True):
                ours, floor = step_times(config, compiled, times)
                how = "compiled loops" if compiled else "NumPy alone"
                print(f"{name:<27}{how:<16}{ours:6.2f} ms{ours / floor:6.2f} × its products")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure as the arguments say; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=at_least_one, default=3)
    parser.add_argument("--epochs", type=at_least_one, default=10)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--steps", type=at_least_one, metavar="N", help="time N steps instead")
    args = parser.parse_args(argv)
    if args.steps:
        print_steps(args.steps)
    else:
        write_networks(args)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
