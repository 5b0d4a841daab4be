"""What a flow as posterior is worth on MNIST, and what a step with it costs. Takes hours.

    python -m benchmarks.flows --runs DIR [--stage 5] [--seeds 3] [--flows gaussian,planar,iaf]
                               [--minutes 15] [--samples 500] [--images 10000] [--json FILE]
    python -m benchmarks.flows --steps 30 [--json FILE]
    python -m benchmarks.flows --figure FILE

The model 784-200-200-50 of the study `iwae`, trained with one sample to the end of a stage of its
schedule, with a Gaussian posterior, with 40 planar maps and with 4 inverse autoregressive ones; all
with one head, on which the numbers of a flow follow. −log p(x) is by importance sampling on the
first test images, drawn once. Each training has a folder in DIR. The command goes on where it was
interrupted, or ended after ``--minutes``, and leaves out what stands in FILE already; its exit
status is 75 while something is left to do. Seed 0 comes first for all posteriors, or ``--seed``
alone. A training to stage 5, of 121 passes, takes from 10 to 30 minutes on a core of its own.

With ``--steps`` nothing is learned: that many steps of batch 100 are timed in turn with the floor
of `benchmarks.step`, all on one thread: the products of the step, those of the masked networks
among them, and one pass over the parameters, their gradients and moments. What planar maps compute
is no product of matrices, so that all of it counts as above the floor. ``--figure``: the digits
with two latent units, and of one of them p(x, z) and q(z|x), with a Gaussian and with 16 planar
maps (a minute).
"""

import argparse
import json
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import own_conditions, write_json
from benchmarks.step import at_least_one, names
from benchmarks.step_and_floor import BATCH, step_and_floor
from scratchvae.config import TrainConfig
from scratchvae.data import load_dataset
from scratchvae.evaluation import log_likelihood
from scratchvae.evaluation.nll import draw_z
from scratchvae.figures import Plane, posterior_draws
from scratchvae.runs import RunFolder
from scratchvae.studies.iwae import STUDY
from scratchvae.training import prepare, train

LEFT_TO_DO = 75  # an exit status: of what may be tried again

FLOWS: dict[str, dict[str, Any]] = {
    "gaussian": {},
    "planar": {"posterior": "planar", "flow_length": 40},
    "iaf": {"posterior": "iaf", "flow_length": 4},
}


def settings(flow: str, stage: int, images: int, seed: int = 0) -> TrainConfig:
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
        seed=seed,
        **FLOWS[flow],
    )


def score(flow: str, seed: int, args: argparse.Namespace) -> dict[str, Any] | None:
    """Train, or go on training, then measure on test images; None if it was interrupted.

    In nats per image.
    """
    dataset, folder = load_dataset("mnist"), args.runs / f"{flow}-stage{args.stage}-seed{seed}"
    config = settings(flow, args.stage, 59_600, seed)
    begun = (folder / "config.json").exists()
    run = RunFolder(folder) if begun else RunFolder.create(folder, {"config": config.to_json()})
    trained = train(config, dataset, run=run, resume=begun, return_on_signal=True)
    if trained.stopped != "completed":
        return None
    test = prepare(config, dataset).test.take(slice(0, args.images))
    elbo = log_likelihood(trained.model, test, samples=1)
    found = log_likelihood(trained.model, test, samples=args.samples)
    return {
        "negative_elbo": -elbo.log_p,
        "nll": -found.log_p,
        "standard_error": found.standard_error,
        "sample_error": found.sample_error,
        "nll_by_half": -found.half,
        "effective_samples": found.effective_samples,
        "protocol": found.protocol,
        "parameters": trained.model.vae.layout.n_parameters,
        "passes": config.epochs,
    }


def scores(args: argparse.Namespace) -> int:
    """All that the arguments ask for and FILE lacks, seed by seed; the exit status."""
    asked = {"stage": args.stage, "images": args.images, "samples": args.samples}
    rows: dict[str, dict[str, Any]] = {}
    if args.json and args.json.exists():
        before = json.loads(args.json.read_text())
        rows = before["rows"] if all(before.get(k) == v for k, v in asked.items()) else {}
    if args.minutes:  # as at Ctrl-C, a training then ends with a checkpoint
        timer = threading.Timer(60 * args.minutes, os.kill, (os.getpid(), signal.SIGTERM))
        timer.daemon = True
        timer.start()
    for seed in range(args.seeds) if args.seed is None else [args.seed]:
        for flow in args.flows:
            if str(seed) in rows.get(flow, {}):
                continue
            found = score(flow, seed, args)
            if found is None:
                return LEFT_TO_DO
            rows.setdefault(flow, {})[str(seed)] = found
            print(flow, seed, found, flush=True)
            write_json(args.json, own_conditions() | asked | {"rows": rows})
    return 0


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
    parser.add_argument("--runs", type=Path, metavar="DIR", help="where the trainings are kept")
    parser.add_argument("--stage", type=at_least_one, default=5, help="of the schedule, 1 to 8")
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument("--seeds", type=at_least_one, default=3, help="0 to N − 1", metavar="N")
    seeds.add_argument("--seed", type=int, help="one alone")
    parser.add_argument("--flows", type=names(FLOWS), default=tuple(FLOWS), help=", ".join(FLOWS))
    parser.add_argument("--minutes", type=at_least_one, help="then end, to be continued")
    parser.add_argument("--samples", type=at_least_one, default=500, help="for −log p(x)")
    parser.add_argument("--images", type=at_least_one, default=10_000, help="of the test set")
    parser.add_argument("--steps", type=at_least_one, help="time steps instead of training")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw, and measure nothing")
    args = parser.parse_args(argv)
    if args.figure:
        draw(args.figure)
        return 0
    if args.steps:
        rows = {}
        for flow in args.flows:
            rows[flow] = step_and_floor(settings(flow, 1, 60_000), True, args.steps)
            print(flow, rows[flow], flush=True)
        write_json(args.json, own_conditions() | {"threads": 1, "batch": BATCH, "rows": rows})
        return 0
    if args.runs is None:
        parser.error("name the folder for the trainings: --runs DIR")
    return scores(args)


if __name__ == "__main__":
    raise SystemExit(main())
