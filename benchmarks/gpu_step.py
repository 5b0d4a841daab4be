"""A training step on a GPU beside PyTorch's and JAX's. Takes a GPU, CuPy, and some minutes.

    python -m benchmarks.gpu_step [--models gluon,flux] [--peers torch,compile,graph,jax]
                                  [--precisions float32,tf32] [--rounds 15] [--quick] [--json FILE]

All contenders do the same work, as in ``benchmarks.step``, on a data set that lies on the GPU, and
shows it before anything is timed. Ours runs ``captured`` (many steps a CUDA graph) and ``eager``.
The peers: ``torch`` (eager, its fastest Adam), ``compile`` (torch.compile, reduce-overhead),
``graph`` (whole steps in a CUDA graph made by hand, compiled loss, fused capturable Adam) and
``jax`` (jit and ``lax.scan`` over an epoch, the faster of its loop as it is and unrolled, with
and without the loop in a command buffer). Rows in float32 and in TF32 stand apart: a library's own
default is neither for all. Microseconds are medians of rounds, by the device's events where the
library has them (JAX: by the wall, waiting for the result); "÷" is our captured step over theirs.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import check, harness
from benchmarks.contenders.common import Job
from benchmarks.data import binarized, images
from benchmarks.harness import ContenderError, MissingPeerError, Process
from benchmarks.models import MODELS, Spec
from benchmarks.step import IMAGES, QUICK_IMAGES, at_least_one, names
from scratchvae.backend import get_backend, why_no_gpu

OURS = {"captured": {}, "eager": {"captured": False}}
COMMAND_BUFFER = "--xla_gpu_enable_command_buffer=+WHILE"
# What a peer may be: options of its contender, and variables of its process. The fastest counts.
PEERS: dict[str, list[tuple[dict[str, Any], dict[str, str]]]] = {
    "torch": [({}, {})],
    "compile": [({}, {})],
    "graph": [({}, {})],
    "jax": [({}, {}), ({"unroll": 10}, {}), ({}, {"XLA_FLAGS": COMMAND_BUFFER})],
}
# Of loss and gradient, and of the update: TF32 rounds factors to 10 bits of mantissa.
TOLERANCES = {"float32": (check.TOLERANCE, check.UPDATE_TOLERANCE), "tf32": (2e-2, 0.3)}
TURN, QUICK_TURN = 0.3, 0.05  # seconds


class Measurement:
    """One model in one precision: its contenders and their times."""

    device = "cuda"

    def __init__(
        self, spec: Spec, precision: str, peers: Sequence[str], folder: Path, threads: int
    ) -> None:
        self.spec, self.precision, self.peers, self.folder = spec, precision, peers, folder
        self.absent: dict[str, str] = {}
        self.errors: dict[str, dict[str, float]] = {}
        self.weights = check.initial_weights(spec, seed=0)
        np.savez(folder / "weights.npz", **self.weights)  # type: ignore[arg-type]
        self.job = Job(
            spec=spec,
            data=str(folder / ("binary.npy" if spec.binary else "grey.npy")),
            max_level=1 if spec.binary else 255,
            weights=str(folder / "weights.npz"),
            threads=threads,
            options={"device": self.device, "tf32": precision == "tf32"},
        )

    def run(self, seconds: float, count: int) -> dict[str, Any]:
        """Check, then time; everything, for the JSON."""
        inputs = self.folder / "inputs.npz"
        check.make_inputs(self.job, len(np.load(self.job.data, mmap_mode="r")), inputs)
        wanted = check.reference(self.job, inputs)
        processes: dict[str, Process] = {}
        try:
            for name, options in OURS.items():
                processes[name] = self.checked("ours", options, {}, inputs, wanted)
            for name in self.peers:
                for k, (options, variables) in enumerate(PEERS[name]):
                    process = self.peer(name, options, variables, inputs, wanted)
                    if process is not None:
                        processes[f"{name} {k}"] = process
            times = harness.take_turns(processes, seconds, count)
            about = {name: p.ask("describe") for name, p in processes.items()}
        finally:
            for process in processes.values():
                process.close()
        return self.result(times, about)

    def peer(self, name: str, *how: Any) -> Process | None:
        """A peer's process; None, with the reason kept, if it cannot be."""
        try:
            return self.checked(name, *how)
        except MissingPeerError as error:
            self.absent[name] = str(error)
        except ContenderError as error:
            print(f"{self.spec.name}: {error}", file=sys.stderr)
            self.absent.setdefault(name, "failed")
        return None

    def checked(
        self,
        name: str,
        options: dict[str, Any],
        variables: dict[str, str],
        inputs: Path,
        wanted: Any,
    ) -> Process:
        """A process that has shown that it does the same work."""
        job = Job(**{**vars(self.job), "options": {**self.job.options, **options}})
        process, out = Process(name, job, variables=variables), self.folder / f"{name}.npz"
        try:
            process.ask("check", file=str(inputs), out=str(out))
            allowed = TOLERANCES[self.precision]
            samples = self.spec.samples
            errors = check.compare(name, check.read(out), wanted, self.weights, *allowed, samples)
        except BaseException:
            process.close()
            raise
        self.errors[name] = errors
        return process

    def result(self, times: Mapping[str, list[float]], about: dict[str, Any]) -> dict[str, Any]:
        """Medians and ratios; of a peer's variants the fastest."""
        best = {name: name for name in OURS}
        for name in self.peers:
            variants = [key for key in times if key.split()[0] == name]
            if variants:
                best[name] = min(variants, key=lambda key: harness.summarize(times[key]).median)
        chosen = {name: times[key] for name, key in best.items()}
        ours = chosen["captured"]
        return {
            "model": self.spec.title,
            "batch": self.spec.batch,
            "precision": self.precision,
            "parameters": self.spec.parameters,
            "median_us": {k: 1e6 * harness.summarize(t).median for k, t in chosen.items()},
            "spread": {k: harness.summarize(t).spread for k, t in chosen.items()},
            "ratio_ours_to": {k: harness.ratio(ours, t) for k, t in chosen.items()},
            "absent": {k: why for k, why in self.absent.items() if k not in chosen},
            "check_relative_errors": self.errors,
            "rounds_us": {k: [1e6 * x for x in t] for k, t in times.items()},
            "contenders": about,
            "chosen": best,
        }


def headers(peers: Sequence[str]) -> list[str]:
    """Of the table."""
    return ["model", "batch", "precision", "captured µs", "eager µs",
            *(f for name in peers for f in (f"{name} µs", "÷"))]  # fmt: skip


def row(name: str, result: Mapping[str, Any], peers: Sequence[str]) -> list[str]:
    """A line of the table."""
    times = result["median_us"]
    cells = [f"{name} {result['model']}", str(result["batch"]), result["precision"]]
    cells += [f"{times[ours]:.1f}" for ours in OURS]
    return cells + harness.peer_cells(times, result, peers, digits=1)


def notes(name: str, result: Mapping[str, Any]) -> list[str]:
    """What a reader should know about a row."""
    variants = [f"{k}: {result['contenders'][v]['variant']}" for k, v in result["chosen"].items()]
    warning = harness.noise_warning(result["spread"])
    lines = [f"{name}, {result['precision']}: {'; '.join(variants)}"]
    return [*lines, warning] if warning else lines


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse and check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--models", type=names(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--peers", type=names(PEERS), default=tuple(PEERS), help=", ".join(PEERS))
    parser.add_argument("--precisions", type=names(TOLERANCES), default=tuple(TOLERANCES))
    parser.add_argument("--rounds", type=at_least_one)
    parser.add_argument("--threads", type=at_least_one, default=4, help="of the host; default: 4")
    parser.add_argument("--quick", action="store_true", help="a look, not a measurement")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    args.models = args.models or (("gluon", "iwae") if args.quick else tuple(MODELS))
    args.rounds = args.rounds or (5 if args.quick else 15)
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    args = arguments(argv)
    reason = why_no_gpu()
    if reason is not None:
        print(f"gpu_step: no GPU can be used: {reason}", file=sys.stderr)
        return 2
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grey, source = images(QUICK_IMAGES if args.quick else IMAGES)
        np.save(folder / "grey.npy", grey)
        np.save(folder / "binary.npy", binarized(grey))
        for model in args.models:
            for precision in args.precisions:
                how = MODELS[model], precision, args.peers, folder, args.threads
                try:
                    result = Measurement(*how).run(QUICK_TURN if args.quick else TURN, args.rounds)
                except (check.DisagreementError, ContenderError) as error:
                    print(f"{model}, {precision}: {error}", file=sys.stderr)
                    return 1
                results.append({"name": model} | result)
                print(f"{model}, {precision} done", file=sys.stderr, flush=True)
    report(args, results, source)
    return 0


def report(args: argparse.Namespace, results: Sequence[dict[str, Any]], source: str) -> None:
    """The table, its notes, and the JSON."""
    device = get_backend("cuda").describe()
    lines = [row(result["name"], result, args.peers) for result in results]
    print(harness.table(headers(args.peers), lines))
    print(f"\n{device['name']}, {args.rounds} rounds: {source}")
    for result in results:
        print("\n".join(notes(result["name"], result)))
    content = {"script": "gpu_step", **harness.conditions(args.threads), "device": device}
    content |= {"images": source, "rounds": args.rounds, "rows": list(results)}
    harness.write_json(args.json, content)


if __name__ == "__main__":
    sys.exit(main())
