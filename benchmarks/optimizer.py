"""Our Adam beside PyTorch's, without a model around it. Takes about half a minute.

    python -m benchmarks.optimizer [--rounds 15] [--threads N] [--kernel NAME] [--json FILE]

Both update the 952 thousand parameters of ``gluon`` and the 1.3 million of ``pytorch`` from a
given gradient, in processes of their own, in turn. PyTorch's is the fastest of plain, foreach and
fused, on a tensor for each weight or on one flat tensor. "÷": our time over theirs, the median of
the rounds' ratios.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.contenders.common import Job
from benchmarks.harness import MissingPeerError, Process
from benchmarks.models import MODELS, Spec
from benchmarks.step import OURS, at_least_one
from scratchvae.versions import cores

TURN = 0.2  # seconds


def measure(spec: Spec, threads: int, rounds: int, kernel: str | None) -> dict[str, Any]:
    """Times of both for one model's parameters."""
    job = Job(spec=spec, data="", max_level=1, weights="", threads=threads)
    processes: dict[str, Process] = {}
    absent: dict[str, str] = {}
    try:
        for name in (*OURS, "torch"):
            own = replace(job, options=job.options | {"compiled": name == "compiled"})
            try:
                processes[name] = Process(f"adam-{name}", own, kernel)
            except MissingPeerError as error:
                absent[name] = str(error)
        times = harness.take_turns(processes, TURN, rounds)
        about = {name: p.ask("describe") for name, p in processes.items()}
    finally:
        for process in processes.values():
            process.close()
    result = {
        "parameters": spec.parameters,
        "median_ms": {k: 1e3 * harness.summarize(t).median for k, t in times.items()},
        "spread": {k: harness.summarize(t).spread for k, t in times.items()},
        "absent": absent,
        "rounds_ms": {k: [1e3 * x for x in t] for k, t in times.items()},
        "contenders": about,
    }
    if "torch" in times:
        for which in OURS:
            if which in times:
                ratio = harness.ratio(times[which], times["torch"])
                result[f"ratio_{which}_to"] = {"torch": ratio}
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=at_least_one, default=15)
    parser.add_argument("--threads", type=at_least_one, default=cores())
    parser.add_argument("--kernel", help="OpenBLAS kernel, as in benchmarks.step")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    results = {
        name: measure(MODELS[name], args.threads, args.rounds, args.kernel)
        for name in ("gluon", "pytorch")
    }
    rows = []
    for name, result in results.items():
        times = result["median_ms"]
        for which in [which for which in OURS if which in times]:
            theirs = [result["absent"].get("torch", ""), "–", ""]
            if "torch" in times:
                ratio = result[f"ratio_{which}_to"]["torch"]
                variant = result["contenders"]["torch"]["variant"]
                theirs = [f"{times['torch']:.3f}", f"{ratio:.2f}", variant]
            ours = [OURS[which], f"{times[which]:.3f}"]
            rows.append([name, f"{result['parameters']:,}", *ours, *theirs])
    headers = ["model", "parameters", "scratchvae", "ms", "torch ms", "÷", "torch's best"]
    print(harness.table(headers, rows))
    for name, result in results.items():
        warning = harness.noise_warning(result["spread"])
        if warning:
            print(f"{name}: {warning}")
    content = {"script": "optimizer", **harness.conditions(args.threads), "rounds": args.rounds}
    harness.write_json(args.json, content | {"rows": results})
    return 0


if __name__ == "__main__":
    sys.exit(main())
