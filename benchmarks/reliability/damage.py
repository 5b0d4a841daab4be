"""Whether any damage to a checkpoint passes unseen. Takes about a minute.

    python -m benchmarks.reliability.damage [--every N] [--json FILE]

A small checkpoint, saved in the middle of an epoch, is damaged in every way of three kinds: cut
off at every length, every byte changed to three others, every eight bytes in a row set to zero.
Each damaged file is loaded. It must be refused, with the one type of error that there is; a hole
in bytes that were zero already leaves the file the same, and is counted as that.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import own_conditions, write_json
from scratchvae import TrainConfig, get_backend, load_dataset, train
from scratchvae.data import select
from scratchvae.errors import CheckpointError
from scratchvae.runs import RunFolder, load_checkpoint
from scratchvae.training import Progress

KINDS = ("truncations", "bytes changed", "8-byte holes")
XOR = (0x01, 0x80, 0xFF)


class StopError(Exception):
    """Ends a training in the middle of an epoch."""


class StopAfter(Progress):
    """Stops when ``steps`` steps have been seen."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def advance(self, steps: int, loss: float) -> None:
        """Called at the latest when a checkpoint is saved."""
        self.left -= steps
        if self.left < 0:
            raise StopError


def make_checkpoint(folder: Path) -> Path:
    """A checkpoint of some kilobytes, three steps into the second epoch."""
    config = TrainConfig(subset="first:100", hidden=(2,), optimizer="sgd", batch_size=20, epochs=3)
    dataset = select(load_dataset("digits"), config.subset)
    run = RunFolder.create(folder / "run", {"config": config.to_json()})
    bk = get_backend("cpu", config.dtype)
    try:
        train(config, dataset, backend=bk, run=run, progress=StopAfter(5 + 3), checkpoint_every=1)
    except StopError:
        return run.checkpoint_path
    raise AssertionError("the training was not stopped")


def variants(content: bytes, kind: str, every: int) -> Iterator[bytes]:
    """Damaged copies, one at a time, at every ``every``-th position."""
    for i in range(0, len(content), every):
        if kind == "truncations":
            yield content[:i]
        elif kind == "bytes changed":
            for mask in XOR:
                yield content[:i] + bytes([content[i] ^ mask]) + content[i + 1 :]
        elif i + 8 <= len(content):
            yield content[:i] + bytes(8) + content[i + 8 :]


def damaged(path: Path, kind: str, every: int = 1) -> dict[str, int]:
    """Damage the checkpoint at ``path`` and count what becomes of it; the good one comes back."""
    content = path.read_bytes()
    counts = {"made": 0, "detected": 0, "the same in effect": 0, "unseen": 0, "other errors": 0}
    for variant in variants(content, kind, every):
        path.write_bytes(variant)
        counts["made"] += 1
        try:
            load_checkpoint(path)
        except CheckpointError:
            counts["detected"] += 1
        except Exception:  # what must not be
            counts["other errors"] += 1
        else:
            counts["the same in effect" if variant == content else "unseen"] += 1
    path.write_bytes(content)
    return counts


def main() -> int:
    """Damage, count, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth position")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        path = make_checkpoint(Path(folder))
        size, losses = path.stat().st_size, len(load_checkpoint(path).losses)
        rows = {kind: damaged(path, kind, args.every) for kind in KINDS}
    print(f"a checkpoint of {size} bytes, {losses} steps into an epoch")
    for kind, row in rows.items():
        print(f"{kind:<15}" + ", ".join(f"{n} {name}" for name, n in row.items()))
    failed = sum(row["unseen"] + row["other errors"] for row in rows.values())
    write_json(args.json, own_conditions() | {"bytes": size, "every": args.every, "rows": rows})
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
