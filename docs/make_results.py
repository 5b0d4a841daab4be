"""Write docs/results.md from the result files under benchmarks/results: no figure is typed in.

python docs/make_results.py
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
STUDIES = ("gluon", "keras-conv", "pytorch", "tensorflow1", "flux")
MODELS = ("gluon", "tensorflow1", "flux", "pytorch", "iwae")


def main() -> None:
    """Write the page."""
    parts = [
        "# Results",
        "Written by `python docs/make_results.py` from the files under "
        "[`benchmarks/results`](../benchmarks/results). Losses in nats an image.",
        "## Tutorials",
        *(study(name) for name in STUDIES if file_of(name).exists()),
        "## The training step",
        *step_table(),
    ]
    page = "\n\n".join(parts) + "\n"
    (ROOT / "docs" / "results.md").write_text(page, encoding="utf-8")


def file_of(name: str) -> Path:
    """The result file of a study."""
    return RESULTS / f"study_{name.replace('-', '_')}.json"


def study(name: str) -> str:
    """One study: its verdict, its table, how it was obtained."""
    c = json.loads(file_of(name).read_text(encoding="utf-8"))
    lines = [
        f"### {name}",
        "",
        f"{c['verdict'][0].upper()}{c['verdict'][1:]}.",
        "",
        "| | published | ours, by its formula | ours |",
        "|---|---|---|---|",
    ]
    for row in c["rows"]:
        error = "" if row["standard_error"] is None else f" ± {row['standard_error']:.2f}"
        published = "" if row["published"] is None else f"{row['published']:.2f}"
        name_of_row = f"{row['metric'].replace('_', ' ')}, epoch {row['epoch']}"
        lines.append(
            f"| {name_of_row} | {published} | {row['theirs']:.2f}{error} | "
            f"{row['mean']:.2f}{error} |"
        )
    seconds = "" if c["published_seconds"] is None else f"{c['published_seconds']:.0f}"
    lines.append(f"| seconds, {c['epochs']} epochs | {seconds} | | {c['seconds']:.0f} |")
    lines += ["", *(f"{note[0].upper()}{note[1:]}." for note in c["notes"])]
    if name == "pytorch":
        lines += peer()
    lines += [
        "",
        f"Test protocol: {c['protocol']}. Training loss: {c['train_protocol']}. Seeds: "
        f"{c['seeds']}. `{c['command']}`, {c['date']}, {versions(c['versions'])}.",
    ]
    return "\n".join(lines)


def peer() -> list[str]:
    """The same study in PyTorch."""
    path = RESULTS / "pytorch_study_peer.json"
    if not path.exists():
        return []
    c = json.loads(path.read_text(encoding="utf-8"))
    rows = (
        f"{name.replace('_', ' ')} {row['mean']:.2f} ± {row['standard_error']:.2f}"
        for name, row in c["rows"].items()
    )
    return [
        "",
        f"The same model, data and settings in PyTorch itself: {', '.join(rows)} "
        f"(`{c['command']}`, {c['date']}, {versions(c['versions'])}).",
    ]


def step_table() -> list[str]:
    """Milliseconds a step and ratios, from one run of benchmarks.step."""
    path = RESULTS / "step.json"
    if not path.exists():
        return []
    c = json.loads(path.read_text(encoding="utf-8"))
    lines = [
        "| model | batch | ours, ms | ÷ PyTorch's best | ÷ JAX | ÷ floor | memory ÷ PyTorch's |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in MODELS:
        row = c["rows"].get(name)
        if row is None:
            continue
        ratios, memory = row["ratio_ours_to"], row["peak_memory_mb"]
        cells = [
            ratio(ratios.get("best torch")),
            ratio(ratios.get("jax")),
            ratio(ratios.get("floor")),
            ratio(memory["ours"] / memory["torch"] if memory.get("torch") else None),
        ]
        lines.append(
            f"| {name} {row['model']} | {row['batch']} | {row['median_ms']['ours']:.2f} | "
            f"{' | '.join(cells)} |"
        )
    about = (
        f"Medians of {c['rounds']} alternating rounds; {c['cores']} cores, {c['cpu']}; "
        f"`{c['command']}`, {c['date'][:10]}, {versions(c['versions'])}. Load before the run: "
        f"{c['load_before']:.1f}; interquartile range of ours: "
        + ", ".join(f"{n} {c['rows'][n]['spread']['ours']:.0%}" for n in MODELS if n in c["rows"])
        + "."
    )
    return ["\n".join(lines), about]


def ratio(value: Any) -> str:
    """Two decimals, or nothing."""
    return "" if value is None else f"{value:.2f}"


def versions(found: dict[str, str]) -> str:
    """In words."""
    return ", ".join(f"{name} {version}" for name, version in found.items())


if __name__ == "__main__":
    main()
