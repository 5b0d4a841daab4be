"""log p(x) by importance sampling: time and memory beside PyTorch's. Takes about two minutes.

    python -m benchmarks.evaluation [--models gluon,iwae] [--images 200] [--samples 5000]
                                    [--rounds 3] [--threads N] [--kernel NAME] [--quick]
                                    [--json FILE]

The networks ``gluon`` and ``iwae`` are trained for a moment; then ``log_likelihood`` estimates
log p(x) of test images from --samples draws of z each, and PyTorch does the same estimate from the
same weights, in the same blocks of images and samples, with logsumexp. Both run in processes of
their own, in turn. Beforehand both estimate a few images from the same noise, and must agree with
scratchvae in float64 to 1e-5 of log p, else that is an error (exit status 1).

The samples come and go in blocks, so memory must not grow with them: "MB" is the largest resident
set after a tenth of the samples, and after all of them. "÷": our time over theirs, the median of
the rounds' ratios. log p is the mean over the images, in nats, each contender with noise of its
own. With --quick: 100 images, 1,000 samples, about a minute.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import check, harness
from benchmarks.contenders import evaluate_ours, ours
from benchmarks.contenders.common import Job
from benchmarks.data import binarized, images
from benchmarks.harness import ContenderError, MissingPeerError, Process
from benchmarks.models import MODELS
from benchmarks.step import OURS, at_least_one, names
from scratchvae.evaluation.nll import noise
from scratchvae.versions import cores

KNOWN = {name: MODELS[name] for name in ("gluon", "iwae")}
TRAINED, STEPS = 10_000, 500  # images and steps of the moment's training
CHECKED, DRAWS = 5, 60  # images and samples of the check
TOLERANCE = 1e-5  # of log p, relative


def trained_job(name: str, n: int, threads: int, folder: Path) -> Job:
    """A model after a moment of training, and n test images in front of it."""
    spec = KNOWN[name]
    weights, data, max_level = folder / f"{name}.npz", folder / f"{name}.npy", 255
    train, test = images(TRAINED)[0], images(n, test=True)[0]
    if spec.binary:
        train, test, max_level = binarized(train), binarized(test), 1
    np.savez(weights, **check.initial_weights(spec, seed=0))  # type: ignore[arg-type]
    np.save(data, train)
    job = Job(spec, str(data), max_level, str(weights), threads)
    trainer = ours.Contender(job)
    trainer.run(STEPS)
    np.savez(weights, **trainer.step.params.to_host())  # type: ignore[arg-type]
    np.save(data, test)
    return job


def compare(processes: dict[str, Process], job: Job, folder: Path) -> dict[str, float]:
    """The largest relative error of each contender; raises if one disagrees with float64."""
    few = min(CHECKED, len(np.load(job.data, mmap_mode="r")))
    path = folder / "noise.npy"
    np.save(path, noise((few, DRAWS, job.spec.latent), job.seed, 0, 0))
    options = {"images": few, "samples": DRAWS, "noise": str(path)}
    exact = evaluate_ours.Contender(replace(job, options={"dtype": "float64"}))
    wanted = np.array(exact.values(options)["log_p"])
    errors = {}
    for name, process in processes.items():
        found = np.array(process.ask("values", **options)["log_p"])
        errors[name] = float(np.max(np.abs(found - wanted) / np.abs(wanted)))
        if not errors[name] <= TOLERANCE:
            raise check.DisagreementError(
                f"{name} estimates another log p than scratchvae in float64 from the same noise: "
                f"it differs by {errors[name]:.1e}, and {TOLERANCE:g} is allowed"
            )
    return errors


def measure(job: Job, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Times, memory and log p of both."""
    processes: dict[str, Process] = {}
    absent: dict[str, str] = {}
    found: dict[str, dict[str, Any]] = {}
    memory: dict[str, dict[str, float]] = {}

    def estimate(name: str, samples: int) -> float:
        """Seconds per image; what was estimated, and the memory by then, are kept."""
        process = processes[name]
        found[name] = process.ask("estimate", samples=samples)
        peak = process.ask("describe")["memory"]["peak"] / 1e6
        memory.setdefault(name, {})[str(samples)] = peak
        return float(found[name]["seconds"]) / args.images

    try:
        for name in (*OURS, "torch"):
            own = replace(job, options=job.options | {"compiled": name == "compiled"})
            try:
                processes[name] = Process(f"evaluate-{name}", own, args.kernel)
            except MissingPeerError as error:
                absent[name] = str(error)
        errors = compare(processes, job, folder)
        for name in processes:
            estimate(name, max(1, args.samples // 10))  # and what is slow at first is over
        turns = {name: partial(estimate, name, args.samples) for name in processes}
        times = harness.rounds(turns, args.rounds)
        about = {name: p.ask("describe") for name, p in processes.items()}
    finally:
        for process in processes.values():
            process.close()
    return {
        "model": job.spec.title,
        "images": args.images,
        "samples": args.samples,
        "image_ms": {k: 1e3 * harness.summarize(t).median for k, t in times.items()},
        "spread": {k: harness.summarize(t).spread for k, t in times.items()},
        **{
            f"ratio_{which}_to": {"torch": harness.ratio(times[which], times["torch"])}
            if "torch" in times
            else {}
            for which in OURS
            if which in times
        },
        "peak_mb": memory,
        "log_p": {k: {key: f[key] for key in ("mean", "standard_error")} for k, f in found.items()},
        "absent": absent,
        "check_relative_errors": errors,
        "rounds_ms": {k: [1e3 * x for x in t] for k, t in times.items()},
        "contenders": about,
    }


def row(name: str, result: dict[str, Any], own: str) -> list[str]:
    """A line of the table; PyTorch's column says so where it is absent."""
    cells = [f"{name} {result['model']}", OURS[own], f"{result['image_ms'][own]:.2f}"]
    if "torch" in result["image_ms"]:
        ratio = result[f"ratio_{own}_to"]["torch"]
        cells += [f"{result['image_ms']['torch']:.2f}", f"{ratio:.2f}"]
    else:
        cells += ["not installed", "–"]
    for which in (own, "torch"):
        peaks = result["peak_mb"].get(which)
        cells.append(" → ".join(f"{mb:.0f}" for mb in peaks.values()) if peaks else "–")
    for which in (own, "torch"):
        log_p = result["log_p"].get(which)
        cells.append(f"{log_p['mean']:.2f}" if log_p else "–")
    return cells


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--models", type=names(KNOWN), default=tuple(KNOWN), help=", ".join(KNOWN))
    parser.add_argument("--images", type=at_least_one)
    parser.add_argument("--samples", type=at_least_one, help="of z per image")
    parser.add_argument("--rounds", type=at_least_one)
    parser.add_argument("--threads", type=at_least_one, default=cores())
    parser.add_argument("--kernel", help="OpenBLAS kernel, as in benchmarks.step")
    parser.add_argument("--quick", action="store_true", help="a look, not a measurement")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    if args.threads > cores():
        parser.error(f"--threads {args.threads}, but there are only {cores()} cores")
    args.images = args.images or (100 if args.quick else 200)
    args.samples = args.samples or (1_000 if args.quick else 5_000)
    args.rounds = args.rounds or 3
    machine = harness.conditions(args.threads)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.models:
            try:
                job = trained_job(name, args.images, args.threads, Path(folder))
                results[name] = measure(job, args, Path(folder))
            except (check.DisagreementError, ContenderError) as error:
                print(f"{name}: {error}", file=sys.stderr)
                return 1
            print(f"{name} done", file=sys.stderr, flush=True)
    headers = ["ms per image", "scratchvae", "ms", "torch", "÷", "MB", "torch", "log p", "torch"]
    rows = [
        row(name, result, own)
        for name, result in results.items()
        for own in OURS
        if own in result["image_ms"]
    ]
    print(harness.table(headers, rows))
    source = images(1)[1]
    print(f"\n{args.images} test images, {args.samples:,} samples each: {source}; ", end="")
    print(f"{args.threads} threads, {args.rounds} rounds")
    print(harness.load_warning(machine) or "", end="")
    for name, result in results.items():
        warning = harness.noise_warning(result["spread"])
        if warning:
            print(f"{name}: {warning}")
    content = {"script": "evaluation", **machine, "images": source, "rounds": args.rounds}
    harness.write_json(args.json, content | {"rows": results})
    return 0


if __name__ == "__main__":
    sys.exit(main())
