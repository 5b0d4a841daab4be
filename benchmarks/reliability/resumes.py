"""Whether runs killed at random and resumed end with the same bytes. Takes about a minute.

    python -m benchmarks.reliability.resumes [--runs 100] [--seed 0] [--json FILE]

For each run, settings are drawn: optimizer, schedule, estimator, binarization, likelihood, batch
size, order, validation, workers and more. A process trains with them undisturbed. Others train the
same with checkpoints at another interval, and are killed (SIGKILL), one to three times: when a
drawn step begins, in the middle of the first save after it, or after a drawn time. The last one
goes on to the end. All files must have the same SHA-256: the checkpoint, the best one, the film
and, without its seconds, metrics.jsonl. Needs a system that can fork.
"""

import argparse
import hashlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.harness import own_conditions, write_json
from scratchvae import TrainConfig, get_backend, load_dataset, train
from scratchvae.data import Dataset, select
from scratchvae.errors import ConfigError, NonFiniteError
from scratchvae.latent import ESTIMATORS
from scratchvae.optim import OPTIMIZERS
from scratchvae.runs import RunFolder, Snapshots, load_checkpoint
from scratchvae.training import loop, prepare
from scratchvae.training.step import TrainingStep
from scratchvae.versions import cores

SUBSET = "first:150"
CHOICES: dict[str, tuple[Any, ...]] = {
    "optimizer": tuple(OPTIMIZERS),
    "lr": (1e-3, 3e-3, "cosine:1e-3:1e-5:20", "exponential:1e-3:0.5:10", "warmup:9:1e-3",
           "piecewise:1e-3:7:1e-4"),
    "estimator": tuple(ESTIMATORS),
    "samples": (1, 2, 3),
    "binarize": ("none", "threshold", "dynamic", "static"),
    "likelihood": ("bernoulli", "bernoulli", "gaussian", "gaussian-learned", "gaussian-per-pixel"),
    "batch_size": (10, 16, 23, 50),
    "shuffle": (True, True, False),
    "validation": (0, 0, 20),
    "patience": (0, 0, 2),
    "kl_warmup": (0, 0, 11),
    "free_bits": (0.0, 0.0, 0.1),
    "clip": (0.0, 1.0),
    "verify_every": (0, 0, 5),
    "hidden": ((8,), (8, 4), ()),
    "head": ("logvar", "logstd"),
    "dtype": ("float32", "float32", "float64"),
    "workers": (1, 2) if cores() > 1 else (1,),
    "epochs": (2, 3, 4),
}  # fmt: skip
PLACES = ("a step", "a save", "a time")


def draw(rng: np.random.Generator, dataset: Dataset) -> TrainConfig:
    """Settings that can be, each drawn from its choices."""
    while True:
        drawn = {k: c[rng.integers(len(c))] for k, c in CHOICES.items()}
        try:
            config = TrainConfig(subset=SUBSET, seed=int(rng.integers(2**63)), **drawn)
            vae, bk = prepare(config, dataset).vae, get_backend("cpu", config.dtype)
            loop.resolve_workers(config.workers, config.batch_size, bk, vae)
        except ConfigError:
            continue
        return config


# ---- processes -----------------------------------------------------------------------------


def in_a_process(job: Callable[[], None], delay: float | None = None) -> int:
    """Run ``job`` in a fork, killed after ``delay`` s if that is given; its status, 0 if done."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            job()
            status = 0
        except NonFiniteError as error:
            print(error)
        finally:
            sys.stdout.flush()
            os._exit(status)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def training(run: RunFolder, dataset: Dataset, every: int, unseen: int) -> Callable[[], None]:
    """A job: go on with the run, or begin it."""

    def job() -> None:
        loop.STEPS_UNSEEN = unseen  # another logging interval
        config = run.config()
        snapshots = Snapshots(dataset.test.values()[:5], config.epochs, run.snapshots_path)
        snapshots.resume()
        bk = get_backend("cpu", config.dtype)
        train(
            config,
            dataset,
            backend=bk,
            run=run,
            progress=None,
            on_epoch=snapshots,
            checkpoint_every=every,
            resume=True,
        )

    return job


def killed(job: Callable[[], None], step: int, place: str) -> Callable[[], None]:
    """The job in a process that kills itself at a step, or in the first save after it."""

    def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def lethal() -> None:
        call = TrainingStep.__call__

        def watched(self: TrainingStep, t: int, i: int, count: int = 1) -> None:
            if t >= step and place == "a step":
                die()
            call(self, t, i, count)
            if t >= step and place == "a save":
                os.replace = die  # type: ignore[assignment]

        TrainingStep.__call__ = watched  # type: ignore[method-assign]
        job()

    return lethal


# ---- one run -------------------------------------------------------------------------------


def left(run: RunFolder) -> dict[str, str]:
    """SHA-256 of what a run leaves; of its numbers without their seconds."""
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (run.checkpoint_path, run.best_path, run.snapshots_path)
        if path.exists()
    }
    lines = [{k: v for k, v in m.items() if k != "seconds"} for m in run.metrics()]
    found["metrics.jsonl"] = hashlib.sha256(json.dumps(lines).encode()).hexdigest()
    return found


def kills(rng: np.random.Generator, steps: int, seconds: float) -> Iterator[tuple[str, float]]:
    """Where a run is killed: at a step or in a save, then up to twice anywhere."""
    for number in range(rng.integers(1, 4)):
        place = PLACES[rng.integers(3 if number else 2)]
        latest = seconds if place == "a time" else steps
        yield place, float(rng.uniform(0, latest))


def compare(
    rng: np.random.Generator, config: TrainConfig, dataset: Dataset, folder: Path
) -> tuple[bool, list[str]]:
    """Train undisturbed and disturbed; whether all bytes are the same, and where it was killed."""
    settings = {"config": config.to_json()}
    whole = RunFolder.create(folder / "whole", settings)
    start = time.perf_counter()
    done = in_a_process(training(whole, dataset, int(rng.integers(0, 9)), 100))
    seconds = time.perf_counter() - start
    if done != 0:
        return False, ["training failed"]
    steps = load_checkpoint(whole.checkpoint_path).step
    run = RunFolder.create(folder / "killed", settings)
    places = []
    for place, where in kills(rng, steps, seconds):
        job = training(run, dataset, int(rng.integers(1, 12)), int(rng.integers(1, 20)))
        if place == "a time":
            status = in_a_process(job, where)
        else:
            status = in_a_process(killed(job, int(where) + 1, place))
        places.append(place if status == -signal.SIGKILL else "after its end")
    done = in_a_process(training(run, dataset, int(rng.integers(0, 12)), 7))
    orphans = list(run.path.glob(".*"))
    return done == 0 and left(run) == left(whole) and not orphans, places


def main() -> int:
    """Draw, train, kill, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    dataset = select(load_dataset("digits"), SUBSET)
    identical, where = 0, Counter[str]()
    covered: dict[str, Counter[str]] = {name: Counter() for name in CHOICES}
    for number in range(args.runs):
        config = draw(rng, dataset)
        with TemporaryDirectory() as folder:
            same, places = compare(rng, config, dataset, Path(folder))
        identical += same
        where.update(places)
        for name in CHOICES:
            covered[name][str(getattr(config, name))] += 1
        if not same:
            print(f"run {number} differs ({', '.join(places)}): {config}")
    print(f"{identical} of {args.runs} identical; killed at " + ", ".join(
        f"{place}: {count}" for place, count in sorted(where.items())))  # fmt: skip
    rows = {"runs": args.runs, "identical": identical, "killed at": dict(where),
            "settings": covered}  # fmt: skip
    write_json(args.json, own_conditions() | {"seed": args.seed, "rows": rows})
    return 0 if identical == args.runs else 1


if __name__ == "__main__":
    sys.exit(main())
