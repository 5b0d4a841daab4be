"""Writes the table of docs/reliability.md from the result files of benchmarks/reliability.

    python docs/make_reliability.py [--check]

The lines between the two marks are replaced; ``--check`` only says whether they are current.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs" / "reliability.md", ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- checkpoints: measured -->\n", "<!-- checkpoints: end -->\n"


def result(name: str) -> dict[str, Any]:
    """A result file."""
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return content


def kills(r: dict[str, Any]) -> str:
    """Processes killed while they save."""
    return (
        f"{r['kills']:,} processes killed while they save: {r['loadable']:,} loadable, "
        f"{r['acknowledged saves lost']} of {r['acknowledged saves']:,} acknowledged saves lost; "
        f"{r['kills that left temporary files']:,} left temporary files, "
        f"{r['temporary files after a restart']} of these after a restart"
    )


def resumes(r: dict[str, Any]) -> str:
    """Runs killed at random and resumed."""
    places = sum(n for place, n in r["killed at"].items() if place != "after its end")
    return (
        f"{r['runs']} runs with drawn settings, killed {places} times and resumed: "
        f"{r['identical']} ended with the same SHA-256 as an uninterrupted run"
    )


def damage(r: dict[str, Any]) -> str:
    """A checkpoint damaged in every way."""
    words = [
        f"{row['made']:,} {kind}: {row['detected']:,} detected, "
        f"{row['the same in effect']:,} the same bytes, {row['unseen']} unseen"
        for kind, row in r.items()
    ]
    return "one checkpoint damaged; " + "; ".join(words)


def memory(r: dict[str, Any]) -> str:
    """The memory of a long training."""
    return f"memory over {r['steps']:,} steps: {r['growth_mib']:+.1f} MiB of {r['early_mib']:.0f}"


def table() -> str:
    """One row a script."""
    lines = ["| what was done, and what came of it | command | date |", "|---|---|---|"]
    for name, words in (("kills", kills), ("resumes", resumes), ("damage", damage),
                        ("memory", memory)):  # fmt: skip
        found = result(name)
        lines.append(f"| {words(found['rows'])} | `{found['command']}` | {found['date'][:10]} |")
    numpy, kernel = found["versions"]["numpy"], found["versions"]["kernel"]
    lines += ["", f"On {found['cpu']}, {found['cores']} cores, "
              f"NumPy {numpy}, kernel {kernel}."]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    new = before + BEGIN + table() + END + rest.split(END)[1]
    if args.check:
        return 0 if new == text else 1
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
