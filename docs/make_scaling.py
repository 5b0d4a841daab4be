"""Writes the tables of docs/scaling.md from benchmarks/results/mpi.json: no figure is typed in.

    python docs/make_scaling.py

What was measured and what the model predicts from it, each between two marks.
"""

import json
import sys
from pathlib import Path
from typing import Any

from result_tables import about, table

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "python docs/make_scaling.py"
PAGE, RESULT = ROOT / "docs" / "scaling.md", ROOT / "benchmarks" / "results" / "mpi.json"
Content = dict[str, Any]


def measured(c: Content) -> str:
    """Steps, messages and networks."""
    strong = []
    for batch, times in c["strong"].items():
        workers = times["two workers"]
        strong += [[f"batch {int(batch):,}, {name}", f"{ms:.2f}", f"{ms / workers:.2f}"]
                   for name, ms in times.items()]  # fmt: skip
    weak = [[name, f"{ms:.2f}", ""] for name, ms in c["weak"].items()]
    messages = [
        [name, f"{c['links'][name]['latency']:.0f}", f"{times['300000'] / 1e3:.2f}",
         f"{4 / c['links'][name]['per_number']:,.0f}"]
        for name, times in c["messages"].items()
    ]  # fmt: skip
    networks = [
        [name.partition(": ")[2], f"{n['measured_ms']:.1f}", f"{n['model_ms']:.1f}",
         f"{n['model_ms'] / n['measured_ms'] - 1:+.0%}",
         f"{c['networks'][name + ', overlap']['measured_ms']:.1f}"]
        for name, n in c["networks"].items() if not name.endswith(", overlap")
    ]  # fmt: skip
    return "\n\n".join([
        table(["a step of the gluon network", "ms", "÷ two workers"], strong + weak),
        table(["between two ranks", "smallest message, µs", "300,000 numbers, ms", "MB/s"],
              messages),
        table(["network of limited rate", "ms", "model, ms", "off by",
               "sent while computing, ms"], networks),
        about(c),
    ])  # fmt: skip


def predicted(c: Content) -> str:
    """What the model expects of more ranks, a table for each network."""
    sys.path.insert(0, str(ROOT))  # benchmarks lies beside the package
    from benchmarks.mpi import predict

    return "\n\n".join(table(*each) for each in predict(c))


def page(text: str, c: Content) -> str:
    """The page with its tables made anew."""
    for name, made in (("measured", measured), ("predicted", predicted)):
        begin, end = f"<!-- {name} -->\n\n", f"\n\n<!-- {name}: end -->\n"
        before, _, rest = text.partition(begin)
        text = before + begin + made(c) + end + rest.partition(end)[2]
    return text


def is_current() -> bool:
    """Whether the page is what the result file makes it."""
    text = PAGE.read_text(encoding="utf-8")
    return page(text, json.loads(RESULT.read_text(encoding="utf-8"))) == text


if __name__ == "__main__":
    PAGE.write_text(
        page(PAGE.read_text(encoding="utf-8"), json.loads(RESULT.read_text(encoding="utf-8"))),
        encoding="utf-8",
    )
