"""Contenders in processes of their own, measured in turn; medians, spreads, ratios, conditions."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scratchvae.versions import cores, kernel, processor, versions

ROOT = Path(__file__).resolve().parents[1]
THREADS = (  # variables that the libraries read for their number of threads
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NPROC",  # XLA's
)
DROPPED = (  # prefixes
    "OPENBLAS_", "OMP_", "GOMP_", "KMP_", "MKL_", "XLA_", "JAX_", "TORCH", "ATEN_", "ONEDNN_",
    "NPY_", "NUMBA_",
)  # fmt: skip
PAUSE = 0.1  # seconds before each turn: thread pools of the others spin for a while, then sleep
BUSY = 0.3  # load a core before the start above which a machine is not quiet
NOISY = 0.1  # a spread above this says that the machine was doing something else too


# ---- statistics ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Summary:
    """The median of some times, and their spread: the interquartile range over the median."""

    median: float
    spread: float


def summarize(values: Sequence[float]) -> Summary:
    """Median and spread."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return Summary(float(middle), float((high - low) / middle))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios: what slowed a whole round slowed both."""
    return float(np.median(np.divide(ours, theirs)))


def noise_warning(spreads: Mapping[str, float]) -> str | None:
    """A sentence if the spread of any contender is large."""
    noisy = {name: spread for name, spread in spreads.items() if spread > NOISY}
    if not noisy:
        return None
    named = ", ".join(f"{name} {100 * spread:.0f} %" for name, spread in noisy.items())
    return (
        f"warning: the machine was noisy (interquartile range over median: {named}); "
        f"compare ratios, not times, or run again on a quiet machine"
    )


def load_warning(conditions: Mapping[str, Any]) -> str | None:
    """A line if other processes kept cores busy before the measurement began."""
    load = conditions["load_before"]
    if load is None or load < BUSY * conditions["cores"]:
        return None
    return (
        f"warning: {load:.1f} of {conditions['cores']} cores were busy before this began; threads "
        f"that wait for each other suffer most, so that even ratios mean little\n"
    )


# ---- processes -----------------------------------------------------------------------------


class MissingPeerError(Exception):
    """A contender's library is not installed."""


class ContenderError(Exception):
    """A contender failed; the message ends with what it printed last."""


def isa_variables(isa: str | None) -> dict[str, str]:
    """The variables that keep every library to an instruction set; none for the machine's own.

    ``ValueError`` where the machine does not have it.
    """
    if isa is None:
        return {}
    if "avx2" not in cpu_flags():
        raise ValueError(f"this processor has no {isa}: leave --isa out")
    from numpy._core._multiarray_umath import __cpu_dispatch__  # type: ignore

    wider = [name for name in __cpu_dispatch__ if name.startswith(("AVX512", "X86_V4"))]
    return {
        "NPY_DISABLE_CPU_FEATURES": " ".join(wider),
        "OPENBLAS_CORETYPE": "Haswell",
        "NUMBA_CPU_NAME": "haswell",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
    }


def environment(threads: int, kernel: str | None = None, gpu: bool = False) -> dict[str, str]:
    """The variables of a contender's process: the same threads for all, nothing else set.

    ``kernel`` is the OpenBLAS kernel (OPENBLAS_CORETYPE); None leaves the choice to OpenBLAS.
    A GPU is hidden unless the contender is to use it.
    """
    env = {k: v for k, v in os.environ.items() if not k.startswith(DROPPED)}
    env |= dict.fromkeys(THREADS, str(threads))
    if gpu:
        env |= {"JAX_PLATFORMS": "cuda", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    else:
        env |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    if kernel:
        env["OPENBLAS_CORETYPE"] = kernel
    return env


class Process:
    """A contender in its own process; ``about`` is what it says of itself."""

    def __init__(
        self,
        name: str,
        job: Any,
        kernel: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.messages = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open until close
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.contenders.serve", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.messages,
            text=True,
            cwd=ROOT,
            env=environment(job.threads, kernel, job.options.get("device") == "cuda")
            | dict(variables or {}),
        )
        few = job.threads < cores() and hasattr(os, "sched_getaffinity")
        affinity = sorted(os.sched_getaffinity(0))[: job.threads] if few else None
        try:
            self._send(job.to_json() | {"affinity": affinity})
            self.about = self._receive()
        except BaseException:
            self.close()
            raise

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a request, wait for the answer."""
        self._send({"do": do, **arguments})
        return self._receive()

    def run(self, n: int) -> float:
        """Seconds for a step, from n steps."""
        answer = self.ask("run", n=n)
        if not np.isfinite(answer["loss"]):
            raise ContenderError(f"{self.name}: the loss became {answer['loss']}")
        return float(answer["seconds"]) / n

    def _send(self, content: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has died: there is no answer, and _receive says so
            self.process.stdin.write(json.dumps(content) + "\n")
            self.process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise ContenderError(f"{self.name} ended without an answer{self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "missing" in answer:
            raise MissingPeerError(answer["missing"])
        if "error" in answer:
            raise ContenderError(f"{self.name}: {answer['error']}\n{answer['traceback']}")
        return answer

    def _last_words(self) -> str:
        code = self.process.wait()
        self.messages.seek(0)
        return f" (exit status {code})\n" + "".join(self.messages.readlines()[-10:])

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.messages.close()


# ---- measuring -----------------------------------------------------------------------------


def calibrate(process: Process, seconds: float) -> int:
    """How many steps of a contender take about so long; warms it up on the way."""
    unit = process.about["granularity"]
    process.run(unit)  # what is compiled on first use is compiled here
    n = unit
    while True:
        each = process.run(n)
        wanted = max(1, round(seconds / each / unit)) * unit
        if wanted <= 2 * n:
            return wanted
        n = min(wanted, 8 * n)


def rounds(
    turns: Mapping[str, Callable[[], float]], count: int, pause: float = PAUSE
) -> dict[str, list[float]]:
    """Each turn ``count`` times, A B C A B C; the seconds that each reports, by round."""
    times: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(count):
        for name, turn in turns.items():
            time.sleep(pause)
            times[name].append(turn())
    return times


def take_turns(
    processes: Mapping[str, Process], seconds: float, count: int
) -> dict[str, list[float]]:
    """Calibrate all processes, then let them run in turn: seconds for a step, by round."""
    turns = {name: partial(p.run, calibrate(p, seconds)) for name, p in processes.items()}
    return rounds(turns, count)


# ---- what a number was obtained with -------------------------------------------------------


def conditions(threads: int) -> dict[str, Any]:
    """Machine, versions, threads, date and command, for a result file."""
    dropped = {k: v for k, v in os.environ.items() if k.startswith(DROPPED)}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", *sys.orig_argv[1:]]),
        "cpu": cpu_model(),
        "cores": cores(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "threads": threads,
        "platform": platform.platform(),
        "versions": versions(),
        "not_handed_down": dropped,  # variables that the contenders did not see
    }


def own_conditions() -> dict[str, Any]:
    """The conditions of a script that computes itself, with the BLAS kernel that it has chosen."""
    about = conditions(cores())
    del about["not_handed_down"]  # nobody is handed anything
    return about | {"versions": versions() | kernel()}


def cpu_flags() -> set[str]:
    """What the processor says that it can do; nothing where the system does not tell."""
    try:
        return set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return set()


def cpu_model() -> str:
    """The processor's name, and the widest vectors it has."""
    flags = cpu_flags()
    return " ".join([processor(), *[v for v in ("avx512f", "avx2", "avx") if v in flags][:1]])


def write_json(path: Path | None, content: Mapping[str, Any]) -> None:
    """Write a result file, if one was asked for."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n")


def peer_cells(
    times: Mapping[str, float],
    result: Mapping[str, Any],
    peers: Sequence[str],
    digits: int,
    ratios: str = "ratio_ours_to",
) -> list[str]:
    """Each peer's time and our ratio to it; one that is absent says why in its column."""
    cells = []
    for peer in peers:
        if peer in times:
            cells += [f"{times[peer]:.{digits}f}", f"{result[ratios][peer]:.2f}"]
        else:
            missing = "not installed" in result["absent"].get(peer, "")
            cells += ["not installed" if missing else "failed", "–"]
    return cells


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns side by side: the first to the left, the others to the right."""
    lines = [list(headers), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    )
