"""Two result files of the same script side by side. Takes no time.

    python -m benchmarks.compare A.json B.json [--all]

Every number of the rows, in A, in B, and B over A; what differs in machine, versions or threads
comes first, because ratios across machines or days say little. Without --all: medians and ratios
only, not the spreads and sizes beside them.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import table

SHOWN = ("_ms", "_us", "ratio", "_mb", "late_to_early", "_to_first")
HIDDEN = ("rounds_ms", "contenders", "absent", "check_relative_errors")
CONDITIONS = ("cpu", "cores", "threads", "platform", "versions", "images")


def numbers(content: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number below ``content`` with its path, but those of single rounds."""
    if isinstance(content, dict):
        for name, part in content.items():
            if name not in HIDDEN:
                yield from numbers(part, f"{path} · {name}" if path else name)
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield path, float(content)


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Sentences about what the two files were not obtained alike with."""
    if a.get("script") != b.get("script"):
        return [f"different scripts: {a.get('script')} and {b.get('script')}"]
    return [
        f"different {name}: {a.get(name)} and {b.get(name)}"
        for name in CONDITIONS
        if a.get(name) != b.get(name)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the differences and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("a", type=Path, metavar="A.json")
    parser.add_argument("b", type=Path, metavar="B.json")
    parser.add_argument("--all", action="store_true", help="every number there is")
    args = parser.parse_args(argv)
    contents = []
    for path in (args.a, args.b):
        try:
            contents.append(json.loads(path.read_text()))
        except (OSError, ValueError) as error:
            parser.error(f"{path} is not a result file: {error}")
        if not isinstance(contents[-1], dict) or "rows" not in contents[-1]:
            parser.error(f"{path} is not a result file of these scripts: it has no rows")
    a, b = contents
    for line in differences(a, b):
        print(line)
    old, new = dict(numbers(a["rows"])), dict(numbers(b["rows"]))
    rows = [
        [name, f"{old[name]:.4g}", f"{new[name]:.4g}", _ratio(old[name], new[name])]
        for name in old
        if name in new and (args.all or any(part in name for part in SHOWN))
    ]
    print(table(["", "A", "B", "B ÷ A"], rows))
    for name, here, there in (("A", old, new), ("B", new, old)):
        only = sorted({path.split(" · ")[0] for path in here} - {p.split(" · ")[0] for p in there})
        if only:
            print(f"only in {name}: {', '.join(only)}")
    return 0


def _ratio(a: float, b: float) -> str:
    return f"{b / a:.3f}" if a else "–"


if __name__ == "__main__":
    sys.exit(main())
