"""Write docs/results.md from the result files under benchmarks/results: no figure is typed in.

python docs/make_results.py
"""

import json
from pathlib import Path
from typing import Any

from result_tables import about, mean, sections, table, versions

from scratchvae.studies import STAGED, StagedStudy, find_study
from scratchvae.studies.stage_result import ablation, active_units, change_by_cut

ROOT = Path(__file__).resolve().parent.parent
STUDIES = ("gluon", "keras-conv", "pytorch", "tensorflow1", "flux",
           "quadrants-1", "quadrants-2", "quadrants-3")  # fmt: skip


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
    for name in STAGED:
        path = results / f"study_{name.replace('-', '_')}.json"
        if path.exists():
            parts += staged(name, json.loads(path.read_text(encoding="utf-8"))["rows"])
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


def staged(name: str, rows: list[dict[str, Any]]) -> list[str]:
    """A study in stages: a row for each stage of each training, and how they were obtained."""
    declared = STAGED[name]
    published = ", ".join(
        f"{objective.upper()} with k = {k} {value:.2f}"
        for (objective, k), value in declared.published.items()
    )
    cells = [
        [
            f"{r['run']}", f"{r['stage']}", f"{r['passes']}",
            f"{r['test_nll']:.2f} ± {r['standard_error']:.2f}",
            f"{r['half_nll'] - r['test_nll']:+.2f}",
            f"{r['train_nll_few'] - r['test_nll_few']:+.2f}",
            change_by_cut(r), f"{r['spread_over_draws']:.3f}", active_units(r),
            f"{r['training_seconds'] / 60:.0f}",
        ]
        for r in rows
    ]  # fmt: skip
    how = dict.fromkeys(
        f"`{r['command']}`, {r['date'][:10]}, {r['machine']['processor']}, "
        f"{versions(r['versions'])}, commit {r['commit'][:12]}: {r['protocol']}."
        for r in rows
    )
    head = ["run", "stage", "passes", "−log p(x), test", "half", "training images",
            "cut", "over draws", "active units", "minutes"]  # fmt: skip
    return [
        f"### {name}",
        f"After {declared.source.cite()}, which publishes after {declared.ends[-1]} passes "
        f"{published}.",
        table(head, cells),
        "“Half”: what −log p(x) changes by with half of the samples. “Cut”: what it changes by "
        "without the inactive units. “Over draws”: the standard deviation over draws of the test "
        "pixels. “Training images”: how theirs differs from that of the test images; it and the "
        "draws with a tenth of the samples. Minutes: of training up to here, beside other work.",
        *points(declared, rows),
        *how,
    ]


def points(declared: StagedStudy, rows: list[dict[str, Any]]) -> list[str]:
    """What each point changed alone does to −log p(x); nothing where none was."""
    changes = ablation(declared, rows)
    if not changes:
        return []
    cells = [
        [c.words, f"{c.stage}", f"{c.seeds}", f"{c.nll:.2f}", f"{c.nll - c.without:+.2f}"]
        for c in changes
    ]
    head = ["one point changed alone, k = 1", "stage", "seeds", "−log p(x), test", "difference"]
    return [table(head, cells)]


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
