"""Which gradient checker finds real bugs, and which one blames right gradients. Takes minutes.

    python -m benchmarks.checkers [--random 200] [--json FILE]

Bugs that were reported in public (``gradients/bugs.py``, each with its address) and right gradients
that are hard to check (``gradients/right.py``) are given to every checker that is installed, with
the settings it has from its makers. A bug is found when the check fails; a right gradient whose
check fails is a false alarm; what a checker refuses or leaves open is not checked.

These were chosen, and ours was mended with them in view. So there are --random functions besides,
with gradients by PyTorch's autograd (``gradients/random_functions.py``): how many of them are
blamed, and how many are found wrong after one element was changed by a thousandth of itself.
"""

import argparse
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.gradients.bugs import BUGS
from benchmarks.gradients.case import Case
from benchmarks.gradients.contenders import NOT_CHECKED, RIGHT, WRONG, contenders, judge
from benchmarks.gradients.random_functions import cases
from benchmarks.gradients.right import RIGHT as RIGHT_CASES
from benchmarks.harness import own_conditions, write_json


def measure(random: Sequence[tuple[Case, Case | None]]) -> dict[str, Any]:
    """Every verdict of every checker, and the counts."""
    rows: dict[str, Any] = {}
    changed = [case for _, case in random if case is not None]
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
            "random_blamed": sum(judge(checker, case) == WRONG for case, _ in random),
            "random_found": sum(judge(checker, case) == WRONG for case in changed),
        }
        print(line(name, rows[name], len(random), len(changed)), flush=True)
    return rows


def line(name: str, row: dict[str, Any], random: int, changed: int) -> str:
    """One checker's counts."""
    return (
        f"{name:<24}{row['bugs_found']:>6} of {len(BUGS)}{row['false_alarms']:>10} of "
        f"{len(RIGHT_CASES)}{row['not_checked']:>14}{row['random_found']:>14} of {changed}"
        f"{row['random_blamed']:>10} of {random}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--random", type=int, default=200, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    print(
        f"{'checker':<24}{'bugs found':>12}{'false alarms':>16}{'not checked':>14}"
        f"{'changed found':>21}{'random blamed':>17}"
    )
    random = list(cases(args.random)) if find_spec("torch") else []
    content = {
        "random": len(random),
        "random_changed": sum(changed is not None for _, changed in random),
        "bugs": len(BUGS),
        "right": len(RIGHT_CASES),
        "sources": {case.name: case.source for case in BUGS},
        "rows": measure(random),
    }
    conditions = own_conditions()
    peers = {name: version(name) for name in ("scipy", "torch", "jax") if find_spec(name)}
    conditions["versions"] = conditions["versions"] | peers
    write_json(args.json, conditions | content)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
