"""A training step beside PyTorch's, JAX's and the hardware's. Takes about six minutes.

    python -m benchmarks.step [--models gluon,flux] [--peers torch,compile,jax,floor]
                              [--rounds 15] [--threads N] [--workers N] [--kernel NAME]
                              [--isa avx2] [--quick] [--json FILE]

All contenders do the same work: gather a shuffled batch from a data set in memory, draw the noise,
sum the losses, compute all gradients, update with Adam. Before anything is timed, all contenders
compute loss, gradients and two updates from the same weights, batches and noise; if one
disagrees with scratchvae in float64, that is an error (exit status 1). Then each, in a process of
its own and with the same number of threads, runs for about 0.3 seconds in turn, round after
round. Milliseconds are medians; "÷" is our time over theirs, the median of the rounds' ratios.

"NumPy" is scratchvae as it is, "+ loops" with loops that numba compiles, where it is installed.
``--isa avx2`` keeps every library to that instruction set on a processor that has wider vectors.

The peers: ``torch`` (eager, the fastest of its plain, foreach and fused Adam), ``compile``
(``torch.compile``, fused Adam), ``jax`` (jit and ``lax.scan`` over the epoch or parts of it,
convolutions step by step), and ``floor``: the step's own matrix products and one pass over p, g,
m, v, in the best layout, way to use the cores and OpenBLAS kernel. PyTorch's convolutions run in
the faster of its two memory formats. With --quick: fewer images and rounds, two models, about two
minutes.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import check, harness
from benchmarks.contenders.common import Job
from benchmarks.data import binarized, images
from benchmarks.harness import ContenderError, MissingPeerError, Process
from benchmarks.models import MODELS, Spec
from scratchvae.versions import cores

PEERS = ("torch", "compile", "jax", "floor")
OURS = {"ours": "NumPy", "compiled": "+ loops"}  # as it is, and with compiled loops
COMPARED = ("torch", "compile", "jax")  # those that train
FLOOR_KERNELS = (None, "Haswell")  # OpenBLAS' own choice and the one that is often better
IMAGES, QUICK_IMAGES = 10_000, 2_000
TURN, QUICK_TURN = 0.3, 0.1  # seconds


class Measurement:
    """One model: its contenders, their times, and what they say of themselves."""

    def __init__(self, spec: Spec, args: argparse.Namespace, folder: Path) -> None:
        self.spec, self.args, self.folder = spec, args, folder
        self.about: dict[str, Any] = {}
        self.absent: dict[str, str] = {}  # why there is no column
        self.errors: dict[str, dict[str, float]] = {}
        self.times: dict[str, list[float]] = {}
        options = {"workers": args.workers} if args.workers else {}
        weights = check.initial_weights(spec, seed=0)
        np.savez(folder / "weights.npz", **weights)  # type: ignore[arg-type]
        kind = "binary" if spec.binary else "grey"
        self.job = Job(
            spec=spec,
            data=str(folder / f"{kind}.npy"),
            max_level=1 if spec.binary else 255,
            weights=str(folder / "weights.npz"),
            threads=args.threads,
            options=options,
        )
        self.weights = weights

    def run(self) -> None:
        """Check, then time."""
        processes: dict[str, Process] = {}
        try:
            self.compare(processes)
            seconds = QUICK_TURN if self.args.quick else TURN
            self.times = harness.take_turns(processes, seconds, self.args.rounds)
            self.about = {name: p.ask("describe") for name, p in processes.items()}
            self.require_isa()
        finally:
            for process in processes.values():
                process.close()
        floors = [name for name in self.times if name.startswith("floor")]
        if floors:  # one kernel for all rounds
            best = min(floors, key=lambda name: harness.summarize(self.times[name]).median)
            self.times["floor"] = self.times[best]
            self.about["floor"] = dict(self.about[best])
            self.about["floor"]["variant"] += f", {best.removeprefix('floor ')}"

    def require_isa(self) -> None:
        """``ContenderError`` if a library uses wider vectors than it was told to."""
        for name, about in self.about.items() if self.args.isa else ():
            wide = [library for library, used in about["wide_vectors"].items() if used]
            if wide:
                raise ContenderError(f"{name}: {', '.join(wide)} does not keep to {self.args.isa}")

    def compare(self, processes: dict[str, Process]) -> None:
        """Start the contenders, and let them show that they do the same work."""
        inputs = self.folder / "inputs.npz"
        check.make_inputs(self.job, len(np.load(self.job.data, mmap_mode="r")), inputs)
        wanted = check.reference(self.job, inputs)
        for name in (*OURS, *(p for p in self.args.peers if p in COMPARED)):
            process = self.start(name, processes)
            if process is None:
                continue
            out = self.folder / f"{name}.npz"
            try:
                process.ask("check", file=str(inputs), out=str(out))
            except ContenderError as error:
                if name == "ours":
                    raise
                self.leave_out(name, error)
                processes.pop(name).close()
                continue
            try:
                self.errors[name] = check.compare(
                    name, check.read(out), wanted, self.weights, samples=self.spec.samples
                )
            except check.DisagreementError as error:
                if name in OURS or not self.args.isa:  # a peer may not bear the restriction
                    raise
                self.leave_out(name, ContenderError(str(error)))
                processes.pop(name).close()
        for name in OURS:
            if name in processes:  # the check made two more steps: they are not its memory
                processes.pop(name).close()
                self.start(name, processes)
        if "floor" in self.args.peers:
            for kernel in FLOOR_KERNELS:
                self.start("floor", processes, kernel)
                if "floor" in processes:
                    architecture = kernels(processes["floor"].about)
                    processes[f"floor {architecture}"] = processes.pop("floor")
        order = sorted(processes, key=lambda name: name not in OURS)
        for name in order:
            processes[name] = processes.pop(name)

    def start(
        self, name: str, processes: dict[str, Process], kernel: str | None = None
    ) -> Process | None:
        """A contender's process; None, with the reason kept, if it cannot be."""
        job = self.job
        if name == "compiled":
            job = replace(job, options=job.options | {"compiled": True})
        try:
            process = Process(
                name, job, kernel or self.args.kernel, harness.isa_variables(self.args.isa)
            )
        except MissingPeerError as error:
            self.absent[name] = str(error)
            return None
        except ContenderError as error:
            if name == "ours":
                raise
            self.leave_out(name, error)
            return None
        processes[name] = process
        return process

    def leave_out(self, name: str, error: ContenderError) -> None:
        """Go on without a peer that failed."""
        print(f"{self.spec.name}: {error}", file=sys.stderr)
        self.absent[name] = "failed"

    # ---- results -----------------------------------------------------------------------------

    def result(self) -> dict[str, Any]:
        """Everything, for the JSON."""
        others = {name: t for name, t in self.times.items() if name not in OURS}
        torch = [self.times[name] for name in ("torch", "compile") if name in self.times]
        if torch:
            others["best torch"] = np.min(torch, axis=0).tolist()
        ratios = {
            f"ratio_{which}_to": {n: harness.ratio(self.times[which], t) for n, t in others.items()}
            for which in OURS
            if which in self.times
        }
        peak = {name: about["memory"]["peak"] for name, about in self.about.items()}
        return {
            "model": self.spec.title,
            "batch": self.spec.batch,
            "parameters": self.spec.parameters,
            "median_ms": {k: 1e3 * harness.summarize(t).median for k, t in self.times.items()},
            "spread": {k: harness.summarize(t).spread for k, t in self.times.items()},
            **ratios,
            "peak_memory_mb": {name: size / 1e6 for name, size in peak.items()},
            "memory_ratio_ours_to": {
                name: peak["ours"] / peak[name] for name in COMPARED if name in peak
            },
            "absent": self.absent,
            "check_relative_errors": self.errors,
            "rounds_ms": {k: [1e3 * x for x in t] for k, t in self.times.items()},
            "contenders": self.about,
        }


def headers(peers: Sequence[str]) -> list[str]:
    """Of the table."""
    columns = [f for name in peers for f in (f"{name} ms", "÷")]
    if {"torch", "compile"} <= set(peers):
        columns.append("÷ best torch")
    memory = ["MB", "÷ torch"] if "torch" in peers else ["MB"]
    return ["model", "batch", "scratchvae", "ms", *columns, *memory]


def row(name: str, result: dict[str, Any], peers: Sequence[str], which: str) -> list[str]:
    """A line of the table."""
    times, key = result["median_ms"], f"ratio_{which}_to"
    ratios = result[key]
    cells = [f"{name} {result['model']}", str(result["batch"]), OURS[which], f"{times[which]:.2f}"]
    cells += harness.peer_cells(times, result, peers, digits=2, ratios=key)
    if {"torch", "compile"} <= set(peers):
        cells.append(f"{ratios['best torch']:.2f}" if "best torch" in ratios else "–")
    peak = result["peak_memory_mb"]
    cells.append(f"{peak[which]:.0f}")
    if "torch" in peers:
        share = peak[which] / peak["torch"] if "torch" in peak else None
        cells.append("–" if share is None else f"{share:.2f}")
    return cells


def kernels(about: dict[str, Any]) -> str:
    """The kernel that a process's BLAS has chosen."""
    found = [pool["architecture"] for pool in about["blas"] if "architecture" in pool]
    return ", ".join(found) or "unknown"


def notes(result: dict[str, Any]) -> list[str]:
    """What a reader should know about a row."""
    about = result["contenders"]
    variants = [
        f"{name}: {a['variant']}" for name, a in about.items() if not name.startswith("floor ")
    ]
    variants[0] += f", BLAS kernel {kernels(about['ours'])}"
    lines = ["; ".join(variants)]
    shown = {k: s for k, s in result["spread"].items() if not k.startswith("floor ")}
    warning = harness.noise_warning(shown)
    return lines + ([warning] if warning else [])


# ---- the command line ----------------------------------------------------------------------


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse and check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--models", type=names(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--peers", type=names(PEERS), default=PEERS, help=", ".join(PEERS))
    parser.add_argument("--rounds", type=at_least_one)
    parser.add_argument("--threads", type=at_least_one, default=cores(), help="default: all cores")
    parser.add_argument("--workers", type=at_least_one, help="of our step; default: its own rule")
    parser.add_argument("--kernel", help="OpenBLAS kernel, e.g. Haswell; default: OpenBLAS' choice")
    parser.add_argument("--isa", choices=("avx2",), help="no wider vectors than these, for all")
    parser.add_argument("--quick", action="store_true", help="a look, not a measurement")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    for name in ("threads", "workers"):
        if (getattr(args, name) or 1) > cores():
            parser.error(f"--{name} {getattr(args, name)}, but there are only {cores()} cores")
    try:
        harness.isa_variables(args.isa)
    except ValueError as error:
        parser.error(str(error))
    args.models = args.models or (("gluon", "iwae") if args.quick else tuple(MODELS))
    args.rounds = args.rounds or (5 if args.quick else 15)
    return args


def names(known: Sequence[str] | dict[str, Any]) -> Any:
    """An argument type: names with commas between; nothing at all is none of them."""

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(filter(None, text.split(",")))
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(known)}")
        return found

    return parse


def at_least_one(text: str) -> int:
    """An argument type: 1, 2, …."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    args = arguments(argv)
    machine = harness.conditions(args.threads)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grey, source = images(QUICK_IMAGES if args.quick else IMAGES)
        np.save(folder / "grey.npy", grey)
        np.save(folder / "binary.npy", binarized(grey))
        for model in args.models:
            measurement = Measurement(MODELS[model], args, folder)
            try:
                measurement.run()
            except (check.DisagreementError, ContenderError) as error:
                print(f"{model}: {error}", file=sys.stderr)
                return 1
            results[model] = measurement.result()
            print(f"{model} done", file=sys.stderr, flush=True)
    print(
        harness.table(
            headers(args.peers),
            [
                row(name, r, args.peers, which)
                for name, r in results.items()
                for which in OURS
                if which in r["median_ms"]
            ],
        )
    )
    print(f"\n{args.threads} threads, {args.rounds} rounds, {len(grey)} images: {source}")
    print(harness.load_warning(machine) or "", end="")
    for name, result in results.items():
        for line in notes(result):
            print(f"{name}: {line}")
    content = {"script": "step", **machine, "images": source, "isa": args.isa}
    harness.write_json(args.json, content | {"rounds": args.rounds, "rows": results})
    return 0


if __name__ == "__main__":
    sys.exit(main())
