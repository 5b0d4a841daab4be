"""How time and memory grow with batch, width and data. Takes about a minute.

    python -m benchmarks.scaling [--what batch,width,images] [--batches 20,50,…]
                                 [--widths 100,200,…] [--images 60000,600000,6000000]
                                 [--folder DIR] [--rounds 5] [--quick] [--json FILE]
                                 [--threads N] [--workers N] [--kernel NAME]

From the ``gluon`` network, one thing at a time: batches of 20 to 10,000 images; hidden layers of
100 to 4,000 units; data sets of 60 thousand to 6 million images that stay in their file, a memory
map of uint8. Each size runs in a process of its own, all sizes in turn. ``peak`` is the largest
resident set of the process, ``own`` what of it is no page of a file, at the end: the pages of a
memory map count in the first as long as the system keeps them.

The files of the memory maps are made for the occasion in --folder (default: the temporary
folder) and removed afterwards. An image takes 784 bytes: the 6 million need 4.7 GB. --quick
stops at batch 1,000, width 1,000 and 600 thousand images (0.5 GB), under a minute.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import check, harness
from benchmarks.contenders.common import Job
from benchmarks.data import images
from benchmarks.harness import Process
from benchmarks.models import MODELS, Spec
from benchmarks.step import at_least_one, names
from scratchvae.versions import cores

BATCHES = (20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
WIDTHS = (100, 200, 400, 1_000, 2_000, 4_000)
SIZES = (60_000, 600_000, 6_000_000)
IMAGES = 10_000  # of the data set in memory, at least
TURN = 0.3  # seconds


def whole_numbers(text: str) -> tuple[int, ...]:
    """An argument type: numbers with commas between."""
    return tuple(at_least_one(part) for part in text.split(","))


def write_images(path: Path, grey: np.ndarray, n: int) -> None:
    """A .npy file of n images, the given ones over and over, block by block."""
    free = shutil.disk_usage(path.parent).free
    if n * grey.shape[1] > 0.95 * free:
        raise SystemExit(
            f"{n:,} images need {n * grey.shape[1] / 1e9:.1f} GB, but {path.parent} has "
            f"{free / 1e9:.1f} GB left: choose another --folder, or fewer --images"
        )
    out = np.lib.format.open_memmap(path, "w+", np.uint8, (n, grey.shape[1]))
    for start in range(0, n, len(grey)):
        out[start : start + len(grey)] = grey[: n - start]
    out.flush()


def measure(jobs: dict[int, Job], rounds: int, kernel: str | None) -> dict[str, dict[str, Any]]:
    """Each job in its own process, in turn; a row for each."""
    processes: dict[str, Process] = {}
    try:
        for size, job in jobs.items():
            processes[str(size)] = Process("ours", job, kernel)
        times = harness.take_turns(processes, TURN, rounds)
        about = {size: p.ask("describe") for size, p in processes.items()}
    finally:
        for process in processes.values():
            process.close()
    first = times[str(next(iter(jobs)))]
    smallest = next(iter(jobs.values())).spec
    rows = {}
    for size, job in jobs.items():
        spec, t = job.spec, harness.summarize(times[str(size)])
        work = (spec.flops / spec.batch) / (smallest.flops / smallest.batch)  # per image
        relative = harness.ratio(times[str(size)], first) * smallest.batch / spec.batch
        rows[str(size)] = {
            "parameters": spec.parameters,
            "step_ms": 1e3 * t.median,
            "image_us": 1e6 * t.median / spec.batch,
            "spread": t.spread,
            "gflops": spec.flops / t.median / 1e9,
            "image_to_first": relative,
            "flops_to_first": work,
            "peak_mb": about[str(size)]["memory"]["peak"] / 1e6,
            "own_mb": about[str(size)]["memory"]["own"] / 1e6,
        }
    return rows


def show(what: str, rows: dict[str, dict[str, Any]]) -> None:
    """A table of one of the three parts."""
    lines = [
        [
            f"{int(size):,}",
            f"{r['step_ms']:.2f}",
            f"{r['image_us']:.1f}",
            f"{r['image_to_first']:.3g}",
            f"{r['flops_to_first']:.3g}",
            f"{r['gflops']:.0f}",
            f"{r['peak_mb']:.0f}",
            f"{r['own_mb']:.0f}",
        ]
        for size, r in rows.items()
    ]
    headers = [what, "step ms", "µs per image", "÷ first", "FLOPs ÷ first", "GFLOP/s"]
    print(harness.table([*headers, "peak MB", "own MB"], lines), end="\n\n")
    warning = harness.noise_warning({size: r["spread"] for size, r in rows.items()})
    if warning:
        print(warning, end="\n\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the tables."""
    parts = ("batch", "width", "images")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--what", type=names(parts), default=parts)
    parser.add_argument("--batches", type=whole_numbers)
    parser.add_argument("--widths", type=whole_numbers)
    parser.add_argument("--images", type=whole_numbers)
    parser.add_argument("--folder", type=Path, help="for the memory maps; default: temporary")
    parser.add_argument("--rounds", type=at_least_one)
    parser.add_argument("--threads", type=at_least_one, default=cores())
    parser.add_argument("--workers", type=at_least_one, help="of our step; default: its own rule")
    parser.add_argument("--kernel", help="OpenBLAS kernel, as in benchmarks.step")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer rounds")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    most = 1_000 if args.quick else 10_000
    batches = args.batches or tuple(b for b in BATCHES if b <= most)
    widths = args.widths or tuple(w for w in WIDTHS if w <= most)
    sizes = args.images or SIZES[: 2 if args.quick else 3]
    rounds = args.rounds or (3 if args.quick else 5)
    gluon, results = MODELS["gluon"], {}
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        grey, source = images(IMAGES)

        def job(spec: Spec, n: int, mmap: bool = False) -> Job:
            data, weights = folder / f"{n}.npy", folder / f"{spec.hidden[0]}.npz"
            if not data.exists():
                write_images(data, grey, n)
            if not weights.exists():
                np.savez(weights, **check.initial_weights(spec, seed=0))  # type: ignore[arg-type]
            options = {"workers": args.workers} if args.workers else {}
            return Job(
                spec, str(data), 255, str(weights), args.threads, options=options | {"mmap": mmap}
            )

        if "batch" in args.what:
            n = max(IMAGES, *batches)
            jobs = {b: job(replace(gluon, batch=b), n) for b in batches}
            results["batch"] = measure(jobs, rounds, args.kernel)
            show("batch", results["batch"])
        if "width" in args.what:
            jobs = {w: job(replace(gluon, hidden=(w, w)), IMAGES) for w in widths}
            results["width"] = measure(jobs, rounds, args.kernel)
            show("width", results["width"])
        if "images" in args.what:
            jobs = {n: job(gluon, n, mmap=True) for n in sizes}
            results["images"] = measure(jobs, rounds, args.kernel)
            show("images", results["images"])
    print(f"{args.threads} threads, {rounds} rounds; {source}")
    content = {"script": "scaling", **harness.conditions(args.threads), "rounds": rounds}
    harness.write_json(args.json, content | {"rows": results})
    return 0


if __name__ == "__main__":
    sys.exit(main())
