"""Whether late training steps are as fast as early ones. Takes about a minute.

    python -m benchmarks.late_steps [--model gluon] [--early 100] [--late 20000] [--rounds 15]
                                    [--threads N] [--workers N] [--kernel NAME] [--json FILE]

The moments of a weight whose gradient stays zero shrink at every step until they are subnormal
numbers, with which many processors compute slowly. Such weights are common: pixels that are lit
in few images or in none, and units that have died. Two processes train alike, on images with such
pixels, and at half of --early both set the biases of a tenth of the hidden units so low that they
never respond again. One stops at --early, the other at --late; then both time windows of steps in
turn, the first returning to the same step each time. "÷": late over early, the median of the
rounds' ratios.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import check, harness
from benchmarks.contenders.common import Job
from benchmarks.data import binarized, images
from benchmarks.harness import Process
from benchmarks.models import MODELS
from benchmarks.step import at_least_one
from scratchvae.versions import cores

DEAD = 0.1  # of the hidden units
WINDOW = 50  # steps
IMAGES = 10_000


def train_to(process: Process, step: int, early: int) -> None:
    """Train, with units that die at half of ``early``."""
    half = early // 2
    process.run(half)
    process.ask("kill_units", share=DEAD)
    process.run(step - half)
    process.ask("keep")


def window(process: Process, back: bool) -> float:
    """Seconds for a step, over a window of them."""
    if back:
        process.ask("bring_back")
    process.run(3)  # the caches are warm when the window begins
    return process.run(WINDOW)


def measure(job: Job, args: argparse.Namespace) -> dict[str, Any]:
    """Times and counts of both processes."""
    processes: dict[str, Process] = {}
    try:
        for name in ("early", "late"):
            processes[name] = Process("ours", job, args.kernel)
            train_to(processes[name], getattr(args, name), args.early)
        subnormal = {name: p.ask("subnormal") for name, p in processes.items()}
        turns = {name: partial(window, p, back=name == "early") for name, p in processes.items()}
        times = harness.rounds(turns, args.rounds)
    finally:
        for process in processes.values():
            process.close()
    return {
        "steps": {"early": args.early, "late": args.late},
        "median_ms": {k: 1e3 * harness.summarize(t).median for k, t in times.items()},
        "spread": {k: harness.summarize(t).spread for k, t in times.items()},
        "ratio_late_to_early": harness.ratio(times["late"], times["early"]),
        "subnormal": subnormal,
        "rounds_ms": {k: [1e3 * x for x in t] for k, t in times.items()},
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", choices=list(MODELS), default="gluon")
    parser.add_argument("--early", type=at_least_one, default=100)
    parser.add_argument("--late", type=at_least_one, default=20_000)
    parser.add_argument("--rounds", type=at_least_one, default=15)
    parser.add_argument("--threads", type=at_least_one, default=cores())
    parser.add_argument("--workers", type=at_least_one, help="of our step; default: its own rule")
    parser.add_argument("--kernel", help="OpenBLAS kernel, as in benchmarks.step")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    if not 2 <= args.early < args.late:
        parser.error("--early is at least 2 and less than --late")
    spec = MODELS[args.model]
    with tempfile.TemporaryDirectory() as folder:
        grey, source = images(IMAGES)
        data, weights = Path(folder) / "images.npy", Path(folder) / "weights.npz"
        np.save(data, binarized(grey) if spec.binary else grey)
        np.savez(weights, **check.initial_weights(spec, seed=0))  # type: ignore[arg-type]
        options = {"workers": args.workers} if args.workers else {}
        max_level = 1 if spec.binary else 255
        job = Job(spec, str(data), max_level, str(weights), args.threads, options=options)
        result = measure(job, args)

    rows = []
    for name in ("early", "late"):
        found = ", ".join(f"{k} {n:,}" for k, n in result["subnormal"][name].items())
        relative = result["ratio_late_to_early"] if name == "late" else 1.0
        time = result["median_ms"][name]
        rows.append([f"{getattr(args, name):,}", f"{time:.2f}", f"{relative:.3f}", found])
    print(harness.table(["step", "ms", "÷ early", "subnormal numbers among"], rows))
    dark = int((grey.max(axis=0) == 0).sum())
    print(f"\n{args.model}, {args.threads} threads, {source}; {dark} pixels are never lit")
    warning = harness.noise_warning(result["spread"])
    if warning:
        print(warning)
    content = {"script": "late_steps", **harness.conditions(args.threads), "images": source}
    harness.write_json(args.json, content | {"rounds": args.rounds, "rows": {args.model: result}})
    return 0


if __name__ == "__main__":
    sys.exit(main())
