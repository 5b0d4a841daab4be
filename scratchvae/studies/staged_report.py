"""A study in stages as one HTML file that needs nothing else: table, figures, equations."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from scratchvae.studies.equations import equations_of
from scratchvae.studies.report import cited, text, write_page
from scratchvae.studies.stage_result import ablation, published_of, sorted_rows
from scratchvae.studies.staged import StagedStudy
from scratchvae.types import JsonView

OF_A_RUN = ("lr", "estimator", "samples", "seed", "epochs", "evaluate_at")  # in which runs differ


def write_staged_report(
    path: Path,
    study: StagedStudy,
    variant: str,
    small: bool,
    rows: Sequence[JsonView],
    figures: Mapping[Path, str],
    pixels: int,
) -> None:
    """Write the report of the stages measured so far, which contains the ``figures``."""
    config = study.settings(variant, small)
    version = f"variant {variant}{', small' * small}"
    parts = [
        f"<h1>{text(study.title)}</h1>",
        f"<p class=small>After {cited(study.source)}; {version}.</p>",
        _table(study, rows),
        "<p class=small>−log p(x) in nats per image, ± the standard error over images; “half”: "
        "what it changes by with half of the samples; “cut”: what −log p(x) changes by without "
        "the inactive units; “training”: how that of the training images differs; “over "
        "draws”: the standard deviation over draws of the test pixels.</p>",
        *_how(rows),
        *_ablation(study, rows),
    ]
    weighted = replace(config, estimator="iwae", samples=study.ks[-1])
    shared = {name: value for name, value in config.in_use().items() if name not in OF_A_RUN}
    write_page(path, study.name, parts, figures, equations_of(weighted, pixels), shared)


def _table(study: StagedStudy, rows: Sequence[JsonView]) -> str:
    head = ["", "stage", "passes", "−log p(x), test", "published", "half", "training",
            "cut", "over draws", "active units"]  # fmt: skip
    lines = ["".join(f"<th>{text(name)}</th>" for name in head)]
    for row in sorted_rows(rows):
        spread = row["spread_over_draws"]
        cells = [
            row["run"], row["stage"], row["passes"],
            f"{row['test_nll']:.2f} ± {row['standard_error']:.2f}", published_of(study, row),
            f"{row['half_nll'] - row['test_nll']:+.2f}",
            f"{row['train_nll_few'] - row['test_nll_few']:+.2f}",
            f"{row['cut_nll'] - row['test_nll']:+.3f}",
            "" if spread is None else f"{spread:.3f}", row["active_units"],
        ]  # fmt: skip
        lines.append("".join(f"<td>{text(cell)}</td>" for cell in cells))
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _ablation(study: StagedStudy, rows: Sequence[JsonView]) -> list[str]:
    """What each point does alone; nothing where none was changed."""
    changes = ablation(study, rows)
    if not changes:
        return []
    lines = ["<th></th><th>stage</th><th>seeds</th><th>−log p(x)</th><th>difference</th>"]
    for c in changes:
        cells = [c.words, c.stage, c.seeds, f"{c.nll:.2f}", f"{c.nll - c.without:+.2f}"]
        lines.append("".join(f"<td>{text(cell)}</td>" for cell in cells))
    table = "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
    return ["<h2>One point changed alone, k = 1</h2>", table]


def _how(rows: Sequence[JsonView]) -> list[str]:
    """How the numbers came about: a line for each command, day and machine."""
    lines = {
        f"<p class=small><code>{text(row['command'])}</code>, {row['date'][:10]}; "
        f"{text(row['machine']['processor'])}; commit {row['commit']}; {text(row['protocol'])}, "
        f"{row['samples']} samples, of training images {row['few_samples']}.</p>": None
        for row in sorted_rows(rows)
    }
    return list(lines)
