"""Whether a job of several ranks that loses one ends soon and whole. Takes about 20 minutes.

    python -m benchmarks.reliability.mpi_kills [--kills 200] [--seed 0] [--json FILE]

A training by two or three ranks is started; after a random time the process of a random rank is
killed (SIGKILL). The job must end within ten seconds, with exit code 2 and a sentence that names
the rank, and leave no process; resumed by another number of ranks, the run must end with the
checkpoint of one that was never interrupted, to the byte. Needs Linux, mpi4py and mpiexec.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.harness import own_conditions, write_json

SOON = 10.0  # seconds
TRAIN = [
    *("train", "--hidden", "16", "--no-figures", "--no-compiled", "--quiet", "--out", "run"),
    *("--subset", "first:230", "--pieces", "4", "--epochs", "40", "--checkpoint-every", "3"),
]


def launch(ranks: int, words: list[str], folder: Path) -> subprocess.Popen[str]:
    """Start a job."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    launcher = shutil.which("mpiexec", path=path)
    if launcher is None:
        raise SystemExit("there is no mpiexec: pip install mpi4py mpich")
    return subprocess.Popen(
        [launcher, "-n", str(ranks), sys.executable, "-m", "scratchvae", *words],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def descendants(process: int) -> Iterator[int]:
    """The processes that a process has started, and theirs."""
    for each in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((each / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if parent == process:
            yield int(each.name)
            yield from descendants(int(each.name))


def variable(process: int, name: str) -> str:
    """A variable of a process's environment; "" where there is none."""
    try:
        words = Path(f"/proc/{process}/environ").read_bytes().decode().split("\0")
    except OSError:
        return ""
    return next((w.partition("=")[2] for w in words if w.startswith(f"{name}=")), "")


def computing(job: subprocess.Popen[str]) -> dict[str, int]:
    """By rank, the process that computes: the one that has no process of its own below it."""
    found: dict[str, int] = {}
    for process in descendants(job.pid):
        rank = variable(process, "PMI_RANK")
        if rank and not any(True for _ in descendants(process)):
            found[rank] = process
    return found


def runs(process: int) -> bool:
    """Whether a process is there, and not one that has ended and waits to be counted as such."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def checkpoint(folder: Path) -> str:
    """SHA-256 of a run's checkpoint; "" where there is none."""
    path = folder / "run" / "checkpoint.npz"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def kill_one(folder: Path, chosen: random.Random, expected: str) -> dict[str, Any]:
    """One job, killed and resumed: what came of it."""
    ranks = chosen.choice((2, 3))
    job = launch(ranks, TRAIN, folder)
    while not checkpoint(folder) and job.poll() is None:
        time.sleep(0.02)
    time.sleep(chosen.uniform(0, 0.5))
    victims = computing(job)
    if job.poll() is not None or len(victims) < ranks:
        job.communicate()
        return {"ended_before": True}
    victim = chosen.choice(sorted(victims))
    with suppress(ProcessLookupError):
        os.kill(victims[victim], signal.SIGKILL)
    begun = time.monotonic()
    _, said = job.communicate(timeout=60)
    seconds = time.monotonic() - begun
    if job.returncode == 0:  # it had done everything
        return {"ended_before": True}
    again = launch(chosen.choice([n for n in (1, 2, 3) if n != ranks]),
                   ["train", "--resume", "run", "--quiet"], folder)  # fmt: skip
    again.communicate(timeout=120)
    return {
        "seconds": seconds,
        "soon": seconds < SOON,
        "told": job.returncode == 2 and f"scratchvae: rank {victim} " in said,
        "gone": not any(map(runs, victims.values())),
        "same_bits": again.returncode == 0 and checkpoint(folder) == expected,
    }


def main() -> int:
    """Kill, resume, compare; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    chosen = random.Random(args.seed)
    found: list[dict[str, Any]] = []
    with TemporaryDirectory() as whole:
        launch(1, TRAIN, Path(whole)).communicate()
        expected = checkpoint(Path(whole))
    while sum("seconds" in each for each in found) < args.kills:
        with TemporaryDirectory() as folder:
            found.append(kill_one(Path(folder), chosen, expected))
    killed = [each for each in found if "seconds" in each]
    counts = {name: sum(each[name] for each in killed) for name in ("soon", "told", "gone",
                                                                    "same_bits")}  # fmt: skip
    longest = max(each["seconds"] for each in killed)
    print(f"{len(killed)} kills: {counts}, the longest {longest:.1f} s until the job had ended")
    write_json(args.json, own_conditions() | {"kills": len(killed), **counts,
                                              "longest_seconds": longest})  # fmt: skip
    return 0 if all(count == len(killed) for count in counts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
