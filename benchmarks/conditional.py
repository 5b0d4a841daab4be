"""What z adds where a part is seen, and what a conditional step costs. Takes half an hour.

    python -m benchmarks.conditional [--seeds 3] [--epochs 10] [--json FILE]
    python -m benchmarks.conditional --steps 30 [--json FILE]

A network completes the hidden quadrants of MNIST's digits from those that are seen, 500-500, with
the settings of the studies `quadrants-1`, `-2` and `-3`, which put a z between them: their own
baseline. Nats per image of the hidden pixels, on all test images after the last epoch. What is in
``--json FILE`` is not trained again, so that a call that was stopped can be repeated.

``--steps``: nothing is learned. Steps of batch 100 on one thread, plain and conditional, by NumPy
alone and with compiled loops, are timed in turn with the floor of `benchmarks.step`: their matrix
products and one pass over the parameters, their gradients and moments. A minute.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import own_conditions, write_json
from benchmarks.likelihoods import summary
from benchmarks.step import at_least_one
from benchmarks.step_and_floor import BATCH, step_and_floor
from scratchvae.backend import Array, Backend
from scratchvae.config import TrainConfig
from scratchvae.data import load_dataset
from scratchvae.layers import INITIALIZATIONS, Dense, Layer, ReLU, Sequential
from scratchvae.memory import Shape, Views
from scratchvae.models import VAE, ConditionalVAE, Quadrants
from scratchvae.studies.quadrants import PUBLISHED, declare
from scratchvae.training import train

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


def time_steps(steps: int, path: Path | None) -> None:
    """A line for each model and way to compute; to a file, too."""
    rows = {}
    for name, config in STEPS.items():
        for compiled in (False, True):
            row = step_and_floor(config, compiled, steps)
            how = "compiled loops" if compiled else "NumPy alone"
            print(f"{name:<27}{how:<16}{row['step_ms']:6.2f} ms{row['ratio']:6.2f} × its floor")
            rows[f"{name}; {how}"] = row
    write_json(path, own_conditions() | {"threads": 1, "batch": BATCH, "rows": rows})


def main(argv: Sequence[str] | None = None) -> int:
    """Measure as the arguments say; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=at_least_one, default=3)
    parser.add_argument("--epochs", type=at_least_one, default=10)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--steps", type=at_least_one, metavar="N", help="time N steps instead")
    args = parser.parse_args(argv)
    if args.steps:
        time_steps(args.steps, args.json)
    else:
        write_networks(args)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
