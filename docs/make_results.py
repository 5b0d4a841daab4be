"""Write docs/results.md from the result files under benchmarks/results: no figure is typed in.

python docs/make_results.py
"""

import json
from pathlib import Path
from typing import Any

from result_tables import about, mean, sections, table, versions

from scratchvae.studies import find_study

ROOT = Path(__file__).resolve().parent.parent
STUDIES = ("gluon", "keras-conv", "pytorch", "tensorflow1", "flux")


def page(results: Path) -> str:
    """The whole page, from what result files there are."""
    parts = [
        "# Results",
        "Written by `python docs/make_results.py` from the files under "
        "[`benchmarks/results`](../benchmarks/results). Losses in nats per image.",
        "## Tutorials",
    ]
    for name in STUDIES:
        path = results / f"study_{name.replace('-', '_')}.json"
        if path.exists():
            parts += study(name, json.loads(path.read_text(encoding="utf-8")))
            peer = results / f"{name}_study_peer.json"
            if peer.exists():
                parts.append(in_pytorch(json.loads(peer.read_text(encoding="utf-8"))))
    parts += sections(results)
    return "\n\n".join(filter(None, parts)) + "\n"


def study(name: str, c: dict[str, Any]) -> list[str]:
    """One study: its verdict, its table, its notes, how it was obtained."""
    rows = []
    for row in c["rows"]:
        published = "" if row["published"] is None else f"{row['published']:.2f}"
        by_its_formula = mean(row | {"mean": row["in_tutorial_units"]})
        epoch = f"{row['metric'].replace('_', ' ')}, epoch {row['epoch']}"
        rows.append([epoch, published, by_its_formula, mean(row)])
    seconds = "" if c["published_seconds"] is None else f"{c['published_seconds']:.0f}"
    rows.append([f"seconds, {c['epochs']} epochs", seconds, "", f"{c['seconds']:.0f}"])
    return [
        f"### {name}",
        f"After {find_study(name).tutorial.cite()}.",
        sentence(c["verdict"]),
        table(["", "published", "ours, by its formula", "ours"], rows),
        *map(sentence, c["notes"]),
        f"Test protocol: {c['protocol']}. Training loss: {c['train_protocol']}. Seeds: "
        f"{c['seeds']}. `{c['command']}`, {c['date']}, {versions(c['versions'])}.",
    ]


def in_pytorch(c: dict[str, Any]) -> str:
    """The same study in PyTorch."""
    found = ", ".join(f"{name.replace('_', ' ')} {mean(row)}" for name, row in c["rows"].items())
    return f"The same model, data and settings in PyTorch itself: {found}. {about(c)}"


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


if __name__ == "__main__":
    (ROOT / "docs" / "results.md").write_text(
        page(ROOT / "benchmarks" / "results"), encoding="utf-8"
    )
