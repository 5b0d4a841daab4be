"""A study in stages as one page: all that has been measured so far."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from scratchvae.config import TrainConfig
from scratchvae.figures.captions import in_order
from scratchvae.pages.document import (
    Section,
    document_link,
    equations_section,
    figures_of,
    page_of,
    pictures,
    settings_list,
    table,
    text,
    tiles,
    widest,
)
from scratchvae.pages.study_report import cited
from scratchvae.storage.atomic import write_bytes
from scratchvae.studies.equations import equations_of
from scratchvae.studies.stage_result import (
    ablation,
    active_units,
    change_by_cut,
    published_of,
    sorted_rows,
)
from scratchvae.studies.staged import StagedStudy
from scratchvae.types import JsonView

OF_A_RUN = ("lr", "estimator", "samples", "seed", "epochs", "evaluate_at")  # in which runs differ


def write_staged_report(
    path: Path,
    study: StagedStudy,
    variant: str,
    small: bool,
    rows: Sequence[JsonView],
    figures: Iterable[Path],
    pixels: int,
) -> None:
    """Write the report of the stages measured so far, which contains the ``figures``."""
    page, config = path.resolve(), study.settings(variant, small)
    drawn = pictures(in_order(figures))
    weighted = replace(config, estimator="iwae", samples=study.ks[-1])
    equations = equations_of(weighted, pixels)
    known = {label for statement in equations for label in statement.labels}
    version = f"variant {variant}{', small' * small}"
    head = [
        f"<h1>{text(study.title)}</h1>",
        f'<p class="soft">After {cited(study.source)}; {version}.</p>',
        _latest(rows),
        _table(study, rows),
        '<p class="small soft">−log p(x) in nats per image, ± the standard error over images; '
        "“half”: what it changes by with half of the samples; “cut”: what −log p(x) changes by "
        "without the inactive units; “training”: how that of the training images differs; “over "
        "draws”: the standard deviation over draws of the test pixels.</p>",
    ]
    defaults = TrainConfig().to_json()
    shared = {name: value for name, value in config.in_use().items() if name not in OF_A_RUN}
    sections = [
        *_ablation(study, rows),
        *figures_of(drawn, known),
        Section(
            "Settings that all runs share",
            settings_list(shared, defaults),
            is_open=False,
        ),
        Section("How it came about", _how(page, rows)),
        equations_section(page, equations),
    ]
    content = page_of(study.name, "\n".join(head), sections, widest(drawn))
    write_bytes(page, content.encode())


def _latest(rows: Sequence[JsonView]) -> str:
    """The last stage of each training, and the protocol that all share."""
    last = {str(row["run"]): row for row in sorted_rows(rows)}
    if not last:
        return '<p class="result">No stage has been measured yet.</p>'
    numbers = {
        f"{name}, stage {row['stage']}": f"{row['test_nll']:.2f}" for name, row in last.items()
    }
    protocols = "; ".join(dict.fromkeys(f"{r['protocol']}, {r['samples']} samples" for r in rows))
    return (
        f'<div class="result">{tiles(numbers)}<p class="small">−log p(x) of the test images, nats '
        f"per image. Protocol: {text(protocols)}.</p></div>"
    )


def _table(study: StagedStudy, rows: Sequence[JsonView]) -> str:
    head = ["", "stage", "passes", "−log p(x), test", "published", "half", "training",
            "cut", "over draws", "active units"]  # fmt: skip
    lines = []
    for row in sorted_rows(rows):
        spread = row["spread_over_draws"]
        cells = [
            row["run"], row["stage"], row["passes"],
            f"{row['test_nll']:.2f} ± {row['standard_error']:.2f}", published_of(study, row),
            f"{row['half_nll'] - row['test_nll']:+.2f}",
            f"{row['train_nll_few'] - row['test_nll_few']:+.2f}",
            change_by_cut(row), "" if spread is None else f"{spread:.3f}", active_units(row),
        ]  # fmt: skip
        lines.append([text(cell) for cell in cells])
    return table(head, lines)


def _ablation(study: StagedStudy, rows: Sequence[JsonView]) -> list[Section]:
    """What each point does alone; nothing where none was changed."""
    changes = ablation(study, rows)
    if not changes:
        return []
    lines = []
    for c in changes:
        cells = [c.words, c.stage, c.seeds, f"{c.nll:.2f}", f"{c.nll - c.without:+.2f}"]
        lines.append([text(cell) for cell in cells])
    head = ["", "stage", "seeds", "−log p(x)", "difference"]
    return [Section("One point changed alone, k = 1", table(head, lines))]


def _how(page: Path, rows: Sequence[JsonView]) -> str:
    """How the numbers came about: a line for each command, day and machine."""
    lines = {
        f"<li><code>{text(row['command'])}</code>, {row['date'][:10]}; "
        f"{text(row['machine']['processor'])}; "
        f"{text(', '.join(f'{k} {v}' for k, v in row['versions'].items()))}; commit "
        f"{row['commit']}; {text(row['protocol'])}, {row['samples']} samples, of training images "
        f"{row['few_samples']}.</li>": None
        for row in sorted_rows(rows)
    }
    runs = dict.fromkeys(str(row["run"]) for row in sorted_rows(rows))
    links = ", ".join(f'<a href="{text(run)}/report.html">{text(run)}</a>' for run in runs)
    return (
        f"<ul>{''.join(lines)}</ul><p>Every training has a report of its own: {links}.</p>"
        f"<p>To read: {document_link(page, 'tour.md', 'the tour')}, "
        f"{document_link(page, 'derivations.md', 'the derivations')}, "
        f"{document_link(page, 'results.md', 'the results of all studies')}.</p>"
    )
