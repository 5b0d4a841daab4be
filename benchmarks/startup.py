"""How long importing the package takes, beside importing NumPy. Takes about ten seconds.

    python -m benchmarks.startup [--rounds 21] [--json FILE]

Each import runs in a fresh process, the contenders in turn, round after round; the figures are
medians, the ratio is the median of the rounds' ratios.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import median

from benchmarks import harness
from scratchvae.versions import cores

MEASURE = """
import time
start = time.perf_counter()
{statement}
print(time.perf_counter() - start)
"""

CONTENDERS = {
    "numpy": "import numpy",
    "scratchvae": "import scratchvae",
    "scratchvae, everything but figures": "import scratchvae.cli.main",
}


def seconds(statement: str) -> float:
    """The time a statement takes in a new process, without the interpreter's own start."""
    code = MEASURE.format(statement=statement)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return float(result.stdout)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    machine = harness.conditions(cores())
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(args.rounds):
        for name, statement in CONTENDERS.items():
            times[name].append(seconds(statement))
    rows = {
        name: {
            "median_ms": 1e3 * median(values),
            "ratio_to_numpy": median(v / n for v, n in zip(values, times["numpy"], strict=True)),
        }
        for name, values in times.items()
    }
    print(f"{'import':<38}{'ms':>8}{'÷ numpy':>10}")
    for name, row in rows.items():
        print(f"{name:<38}{row['median_ms']:8.1f}{row['ratio_to_numpy']:10.2f}")
    content = {"script": "startup", **machine, "rounds": args.rounds}
    harness.write_json(args.json, content | {"rows": rows})


if __name__ == "__main__":
    main()
