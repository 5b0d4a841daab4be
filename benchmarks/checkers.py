"""Which gradient checker finds real bugs, and which one blames right gradients. Takes minutes.

    python -m benchmarks.checkers [--json FILE]

Bugs that were reported in public (``gradients/bugs.py``, each with its address) and right gradients
that are hard to check (``gradients/right.py``) are given to every checker that is installed, with
the settings it has from its makers. A bug is found when the check fails; a right gradient whose
check fails is a false alarm; what a checker refuses or leaves open is not checked.
"""

import argparse
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.gradients.bugs import BUGS
from benchmarks.gradients.contenders import NOT_CHECKED, RIGHT, WRONG, contenders, judge
from benchmarks.gradients.right import RIGHT as RIGHT_CASES
from benchmarks.harness import own_conditions, write_json


def measure() -> dict[str, Any]:
    """Every verdict of every checker, and the counts."""
    rows: dict[str, Any] = {}
    for name, checker in contenders().items():
        bugs = {case.name: judge(checker, case) for case in BUGS}
        right = {case.name: judge(checker, case) for case in RIGHT_CASES}
        both = [*bugs.values(), *right.values()]
        rows[name] = {
            "bugs_found": sum(v == WRONG for v in bugs.values()),
            "false_alarms": sum(v == WRONG for v in right.values()),
            "not_checked": both.count(NOT_CHECKED),
            "missed": [n for n, v in bugs.items() if v != WRONG],
            "blamed": [n for n, v in right.items() if v == WRONG],
            "left_open": [n for n, v in (bugs | right).items() if v == NOT_CHECKED],
            "confirmed": sum(v == RIGHT for v in right.values()),
        }
        print(line(name, rows[name]), flush=True)
    return rows


def line(name: str, row: dict[str, Any]) -> str:
    """One checker's counts."""
    return (
        f"{name:<24}{row['bugs_found']:>6} of {len(BUGS)}{row['false_alarms']:>10} of "
        f"{len(RIGHT_CASES)}{row['not_checked']:>14}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    print(f"{'checker':<24}{'bugs found':>12}{'false alarms':>16}{'not checked':>14}")
    content = {
        "bugs": len(BUGS),
        "right": len(RIGHT_CASES),
        "sources": {case.name: case.source for case in BUGS},
        "rows": measure(),
    }
    conditions = own_conditions()
    peers = {name: version(name) for name in ("scipy", "torch", "jax") if find_spec(name)}
    conditions["versions"] = conditions["versions"] | peers
    write_json(args.json, conditions | content)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
