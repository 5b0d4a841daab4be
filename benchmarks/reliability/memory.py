"""Whether the memory of a training stays as it is over 20,000 steps. Takes about a minute.

    python -m benchmarks.reliability.memory [--steps 20000] [--json FILE]

One process trains on scikit-learn's digits with everything that is written on the way: a checkpoint
every 100 steps, one after each epoch, a line of metrics. After each epoch its resident memory is
read. The growth is the largest of the last tenth of the steps less the largest of the second tenth;
the numbers of the epochs, which are kept, take some hundred bytes each. Needs Linux.
"""

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.harness import own_conditions, write_json
from scratchvae import TrainConfig, get_backend, load_dataset, train
from scratchvae.runs import RunFolder
from scratchvae.training import Progress

LIMIT = 2.0  # MiB


def resident() -> float:
    """The resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Watch(Progress):
    """Reads the memory after each epoch."""

    def __init__(self) -> None:
        self.readings: list[float] = []

    def epoch(self, metrics: Any) -> None:
        """An epoch has been completed."""
        self.readings.append(resident())


def main() -> int:
    """Train, read, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    dataset, batch = load_dataset("digits"), 10
    an_epoch = -(-len(dataset.train) // batch)
    config = TrainConfig(
        hidden=(100,), batch_size=batch, epochs=-(-args.steps // an_epoch), binarize="dynamic"
    )
    watch = Watch()
    with TemporaryDirectory() as folder:
        run = RunFolder.create(Path(folder) / "run", {"config": config.to_json()})
        train(
            config,
            dataset,
            backend=get_backend("cpu"),
            run=run,
            progress=watch,
            checkpoint_every=100,
        )
    tenth = max(config.epochs // 10, 1)
    early, late = max(watch.readings[tenth : 2 * tenth]), max(watch.readings[-tenth:])
    rows = {"steps": config.epochs * an_epoch, "epochs": config.epochs, "early_mib": early,
            "late_mib": late, "growth_mib": late - early}  # fmt: skip
    print(f"{rows['steps']} steps: {early:.1f} MiB early, {late:.1f} MiB late")
    write_json(args.json, own_conditions() | {"limit_mib": LIMIT, "rows": rows})
    return 0 if late - early <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
