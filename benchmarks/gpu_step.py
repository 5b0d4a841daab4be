"""A training step on a GPU beside PyTorch's and JAX's. Takes a GPU, CuPy, and some minutes.

    python -m benchmarks.gpu_step [--models gluon,flux] [--peers torch,compile,graph,jax]
                                  [--precisions float32,tf32] [--launches 1,50,200]
                                  [--rounds 15] [--turn 0.3] [--quick] [--json FILE]

All contenders do the same work, as in ``benchmarks.step``, on a data set that lies on the GPU, and
shows it before anything is timed. Ours runs ``captured`` (many steps a CUDA graph) and ``eager``.
The peers: ``torch`` (eager, its fastest Adam), ``compile`` (torch.compile, reduce-overhead),
``graph`` (whole steps in a CUDA graph made by hand, compiled loss, fused capturable Adam) and
``jax`` (jit and ``lax.scan`` over an epoch, the faster of its loop as it is and unrolled, with
and without the loop in a command buffer). Rows in float32 and in TF32 stand apart: a library's own
default is neither for all. Microseconds are medians of rounds, by the device's events where the
library has them (JAX: by the wall, waiting for the result); "÷" is our captured step over theirs.

``--launches`` lets ``captured``, ``graph`` and ``jax`` run these numbers of steps per launch, as
far as they divide an epoch: each counts with its fastest, and the table has all of ours. A model
that fails leaves the others as they are, and the status is 1. After Ctrl-C or SIGTERM the rows that
are complete are reported; the JSON holds every row from when it is complete.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from benchmarks import check, harness
from benchmarks.contenders.common import Job
from benchmarks.data import binarized, images
from benchmarks.harness import ContenderError, MissingPeerError, Process
from benchmarks.models import MODELS, Spec
from benchmarks.step import IMAGES, QUICK_IMAGES, at_least_one, names
from scratchvae.backend import get_backend, why_no_gpu

OURS = ("captured", "eager")
PEERS = ("torch", "compile", "graph", "jax")
COMMAND_BUFFER = {"XLA_FLAGS": "--xla_gpu_enable_command_buffer=+WHILE"}
CHOOSING = ("torch", "compile")  # they time their own variants as they start: one by one

Variant = tuple[dict[str, Any], dict[str, str]]  # a contender's options, its process's variables


def variants(name: str, launches: Sequence[int], loops: bool = True) -> list[Variant]:
    """What a contender may be; the fastest counts. ``loops``: JAX runs many steps in one call."""
    counts: list[dict[str, Any]] = [{"launch": k} for k in launches] or [{}]
    match name:
        case "captured" | "graph":
            return [(count, {}) for count in counts]
        case "jax" if loops:
            most = counts[-1]
            plain: list[Variant] = [(count, {}) for count in counts]
            return [*plain, (most | {"unroll": 10}, {}), (most, COMMAND_BUFFER)]
        case "eager":
            return [({"captured": False}, {})]
    return [({}, {})]


# Of loss and gradient, and of the update: TF32 rounds factors to 10 bits of mantissa.
TOLERANCES = {"float32": (check.TOLERANCE, check.UPDATE_TOLERANCE), "tf32": (2e-2, 0.3)}
TURN, QUICK_TURN = 0.3, 0.05  # seconds


class Measurement:
    """One model in one precision: its contenders and their times."""

    device = "cuda"

    def __init__(
        self,
        spec: Spec,
        precision: str,
        peers: Sequence[str],
        folder: Path,
        threads: int,
        launches: Sequence[int] = (),
    ) -> None:
        self.spec, self.precision, self.peers, self.folder = spec, precision, peers, folder
        self.launches, self.inputs = launches, folder / "inputs.npz"
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

    def contenders(self) -> Iterator[tuple[str, str, Variant]]:
        """(what it is called here, its name, its variant)."""
        loops = not any(layer.kind.startswith("conv") for layer in self.spec.weighted)
        for name in (*OURS, *self.peers):
            found = variants(name, self.launches, loops)
            for k, variant in enumerate(found):
                yield f"{name} {k}" if len(found) > 1 else name, name, variant

    def run(self, seconds: float, count: int) -> dict[str, Any]:
        """Check, then time; everything, for the JSON."""
        images = len(np.load(self.job.data, mmap_mode="r"))
        check.make_inputs(self.job, images, self.inputs)
        self.wanted = check.reference(self.job, self.inputs)
        processes: dict[str, Process] = {}
        try:
            self.start(processes)
            times = harness.take_turns(processes, seconds, count)
            about = {name: p.ask("describe") for name, p in processes.items()}
        finally:
            for process in processes.values():
                process.close()
        return self.result(times, about)

    def start(self, processes: dict[str, Process]) -> None:
        """All contenders that can be: side by side, but for those that choose as they start."""
        everyone = list(self.contenders())
        for contender in everyone:
            if contender[1] in CHOOSING:
                self.add(processes, *contender)
        with ThreadPoolExecutor(len(everyone)) as pool:
            others = [
                pool.submit(self.add, processes, *contender)
                for contender in everyone
                if contender[1] not in CHOOSING
            ]
        for other in others:
            other.result()  # raises what the thread has raised
        for key, _, _ in everyone:  # the order of their turns
            if key in processes:
                processes[key] = processes.pop(key)

    def add(self, processes: dict[str, Process], key: str, name: str, variant: Variant) -> None:
        """Start a contender; if a peer cannot be, keep the reason instead."""
        try:
            processes[key] = self.checked(key, name, *variant)
        except (MissingPeerError, check.DisagreementError, ContenderError) as error:
            if name in OURS:
                raise
            missing = isinstance(error, MissingPeerError)
            self.absent.setdefault(name, str(error) if missing else "failed")
            if not missing:
                print(f"{self.spec.name}, {self.precision}: {error}", file=sys.stderr)

    def checked(
        self, key: str, name: str, options: dict[str, Any], variables: dict[str, str]
    ) -> Process:
        """A process that has shown that it does the same work."""
        job = Job(**{**vars(self.job), "options": {**self.job.options, **options}})
        contender = "ours" if name in OURS else name
        process, out = Process(contender, job, variables=variables), self.folder / f"{key}.npz"
        try:
            process.ask("check", file=str(self.inputs), out=str(out))
            allowed = TOLERANCES[self.precision]
            samples = self.spec.samples
            errors = check.compare(
                key, check.read(out), self.wanted, self.weights, *allowed, samples
            )
        except BaseException:
            process.close()
            raise
        self.errors[key] = errors
        return process

    def result(self, times: Mapping[str, list[float]], about: dict[str, Any]) -> dict[str, Any]:
        """Medians and ratios; of a peer's variants the fastest."""
        best = {}
        for name in (*OURS, *self.peers):
            found = [key for key in times if key.split()[0] == name]
            if found:
                best[name] = min(found, key=lambda key: harness.summarize(times[key]).median)
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
    return ["model", "batch", "precision", "captured µs", "by launch", "eager µs",
            *(f for name in peers for f in (f"{name} µs", "÷"))]  # fmt: skip


def row(name: str, result: Mapping[str, Any], peers: Sequence[str]) -> list[str]:
    """A line of the table."""
    times = result["median_us"]
    cells = [f"{name} {result['model']}", str(result["batch"]), result["precision"]]
    ours = [t for key, t in result["rounds_us"].items() if key.split()[0] == "captured"]
    launches = "/".join(f"{np.median(rounds):.1f}" for rounds in ours)
    cells += [f"{times['captured']:.1f}", launches, f"{times['eager']:.1f}"]
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
    parser.add_argument(
        "--launches",
        type=lambda text: tuple(map(at_least_one, text.split(","))),
        default=(),
        metavar="K,…",
        help="steps per launch, ascending; default: each contender's own number",
    )
    parser.add_argument("--rounds", type=at_least_one)
    parser.add_argument("--turn", type=float, metavar="SECONDS", help="of a contender in a round")
    parser.add_argument("--threads", type=at_least_one, default=4, help="of the host; default: 4")
    parser.add_argument("--quick", action="store_true", help="a look, not a measurement")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    args.models = args.models or (("gluon", "iwae") if args.quick else tuple(MODELS))
    args.rounds = args.rounds or (5 if args.quick else 15)
    args.turn = args.turn or (QUICK_TURN if args.quick else TURN)
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    args = arguments(argv)
    reason = why_no_gpu()
    if reason is not None:
        print(f"gpu_step: no GPU can be used: {reason}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, stop)
    results: list[dict[str, Any]] = []
    status = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grey, source = images(images_for(args))
        np.save(folder / "grey.npy", grey)
        np.save(folder / "binary.npy", binarized(grey))
        try:
            status = measure(args, folder, results, source)
        except KeyboardInterrupt:
            print(f"gpu_step: stopped after {len(results)} rows", file=sys.stderr)
            status = 130
    if results:
        report(args, results, source)
    return status


def stop(*_: object) -> NoReturn:
    """On SIGTERM: as on Ctrl-C."""
    raise KeyboardInterrupt


def images_for(args: argparse.Namespace) -> int:
    """How many images: an epoch of the largest batches has the steps of the longest launch."""
    batch = max(MODELS[model].batch for model in args.models)
    return max(QUICK_IMAGES if args.quick else IMAGES, batch * max(args.launches, default=0))


def measure(
    args: argparse.Namespace, folder: Path, results: list[dict[str, Any]], source: str
) -> int:
    """Every model in every precision, appended to ``results``; 1 if one failed."""
    status = 0
    for model in args.models:
        for precision in args.precisions:
            how = MODELS[model], precision, args.peers, folder, args.threads, args.launches
            try:
                result = Measurement(*how).run(args.turn, args.rounds)
            except (check.DisagreementError, ContenderError) as error:
                print(f"{model}, {precision}: {error}", file=sys.stderr)
                status = 1
                continue
            results.append({"name": model} | result)
            write(args, results, source)
            print(f"{model}, {precision} done", file=sys.stderr, flush=True)
    return status


def report(args: argparse.Namespace, results: Sequence[dict[str, Any]], source: str) -> None:
    """The table, its notes, and the JSON."""
    device = get_backend("cuda").describe()
    lines = [row(result["name"], result, args.peers) for result in results]
    print(harness.table(headers(args.peers), lines))
    print(f"\n{device['name']}, {args.rounds} rounds: {source}")
    for result in results:
        print("\n".join(notes(result["name"], result)))
    write(args, results, source)


def write(args: argparse.Namespace, results: Sequence[dict[str, Any]], source: str) -> None:
    """The JSON, if one was asked for."""
    device = get_backend("cuda").describe()
    content = {"script": "gpu_step", **harness.conditions(args.threads), "device": device}
    content |= {"images": source, "rounds": args.rounds, "launches": args.launches}
    harness.write_json(args.json, content | {"rows": list(results)})


if __name__ == "__main__":
    sys.exit(main())
