"""Whether a process killed while it saves ever loses a checkpoint. Takes about a minute.

    python -m benchmarks.reliability.kills [--kills 1000] [--seed 0] [--json FILE]

A process saves one checkpoint after the other and names each step as soon as its save returned;
after a random time it is killed (SIGKILL). Then the file must load, be of the last step named or
of a later one, and hold that step's numbers; so must the one before it; and when the run is taken
up again no temporary file may be left. Needs a system that can fork.
"""

import argparse
import itertools
import os
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.harness import own_conditions, write_json
from scratchvae.errors import CheckpointError
from scratchvae.runs import Checkpoint, RunFolder, load_checkpoint

SIZE = 20_000  # numbers in a checkpoint
LONGEST = 0.1  # seconds until a process is killed


def checkpoint(step: int) -> Checkpoint:
    """A checkpoint whose every number is the step it belongs to."""
    arrays = {name: np.full(SIZE // 2, step, np.float32) for name in ("W", "b")}
    return Checkpoint({}, 1, 0, step, {"params": arrays})


def save_for_ever(run: RunFolder, start: int, pipe: int) -> None:
    """Save step after step; each is named when its save has returned."""
    for step in itertools.count(start):
        run.save(checkpoint(step))
        os.write(pipe, step.to_bytes(8, "little"))


def kill_one(run: RunFolder, start: int, delay: float) -> tuple[int, int]:
    """A process that saves from ``start`` on, killed after ``delay`` s: saves named, last step."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            save_for_ever(run, start, write)
        finally:
            os._exit(1)  # only an error ends the loop
    os.close(write)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(read, "rb") as pipe:
        named = pipe.read()
    count = len(named) // 8
    return count, int.from_bytes(named[-8:], "little") if count else start - 1


def is_whole(path: Path, least: int) -> tuple[bool, int]:
    """Whether a checkpoint loads with the numbers of its step, and that step; −1 if not."""
    try:
        found = load_checkpoint(path)
    except CheckpointError as error:
        print(error)
        return False, -1
    right = all((a == found.step).all() for a in found.buffers["params"].values())
    return right and found.step >= least, found.step


def main() -> int:
    """Kill, count, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    counts = {"kills": 0, "loadable": 0, "acknowledged saves": 0, "acknowledged saves lost": 0,
              "the one before loadable": 0, "kills that left temporary files": 0,
              "temporary files after a restart": 0}  # fmt: skip
    with TemporaryDirectory() as name:
        run = RunFolder(Path(name))
        for step in (0, 1):
            run.save(checkpoint(step))
        for _ in range(args.kills):
            saves, least = kill_one(run, step + 1, float(rng.uniform(0, LONGEST)))
            whole, found = is_whole(run.checkpoint_path, least)
            counts["kills"] += 1
            counts["loadable"] += found >= 0
            counts["acknowledged saves"] += saves
            counts["acknowledged saves lost"] += not whole
            counts["the one before loadable"] += is_whole(run.previous_path, 0)[0]
            counts["kills that left temporary files"] += any(run.path.glob(".*"))
            run.remove_temporary_files()  # as whoever takes the run up again does
            counts["temporary files after a restart"] += len(list(run.path.glob(".*")))
            step = max(found, least)
    for what, count in counts.items():
        print(f"{what:<34}{count:>8}")
    write_json(args.json, own_conditions() | {"seed": args.seed, "rows": counts})
    right = counts["kills"] == counts["loadable"] == counts["the one before loadable"]
    lost = counts["acknowledged saves lost"] + counts["temporary files after a restart"]
    return 0 if right and not lost else 1


if __name__ == "__main__":
    sys.exit(main())
