"""A study as one page: its numbers beside the published ones, figures, errata, settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scratchvae.config import TrainConfig
from scratchvae.figures.captions import DATA, captioned
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
from scratchvae.storage.atomic import write_bytes
from scratchvae.studies.equations import equations_of
from scratchvae.studies.reproduce import Reproduction, plural
from scratchvae.studies.study import Study, Tutorial


@dataclass(frozen=True)
class Provenance:
    """How a study's numbers came about: all that is needed to obtain them again."""

    command: str
    date: str
    device: Mapping[str, object]
    machine: Mapping[str, object]
    versions: Mapping[str, str]

    def facts(self) -> dict[str, str]:
        """By name, as HTML."""
        name, *more = self.device.items()
        machine = self.machine
        return {
            "command": f"<code>{text(self.command)}</code>",
            "date": text(self.date),
            "machine": text(
                f"{machine['processor']}, {machine['system']}, {machine['cores']} cores"
            ),
            "device": text(", ".join([str(name[1]), *(f"{k} {v}" for k, v in more)])),
            "versions": text(", ".join(f"{k} {v}" for k, v in self.versions.items())),
        }


def write_report(
    path: Path,
    study: Study,
    result: Reproduction,
    provenance: Provenance,
    first_run: Path,
    pixels: int,
) -> None:
    """Write the report of a study, with the figures of its ``first_run``, as far as it has any.

    ``pixels``: of an image, for the equations of the model.
    """
    page = path.resolve()
    settings = study.config.in_use() | {"epochs": result.epochs}
    del settings["seed"]
    figures = pictures(captioned(first_run / "figures"))
    equations = equations_of(study.config, pixels, study.completion is not None)
    known = {label for statement in equations for label in statement.labels}
    head = [
        f"<h1>{text(study.title)}</h1>",
        f'<p class="soft">After {cited(study.tutorial)}.</p>',
        '<div class="result">',
        _headline(study, result),
        f"<p><strong>{text(result.study)}: {text(result.verdict)}.</strong></p>",
        f'<p class="small">Nats per image; {text(plural(result.seeds, "seed"))}. Test protocol: '
        f"{text(result.protocol)}. Training loss: {text(result.train_protocol)}.</p></div>",
        _table(result),
        *(f"<p>{text(note[0].upper() + note[1:])}.</p>" for note in result.notes),
    ]
    errata = "".join(f"<li>It {text(erratum)}.</li>" for erratum in study.errata)
    runs = ", ".join(
        f'<a href="{name}/report.html">seed {seed}</a>'
        for seed, name in ((s, f"seed-{s}") for s in range(result.seeds))
    )
    sections = [
        *([Section("Errata of the tutorial", f"<ul>{errata}</ul>")] if errata else []),
        *figures_of(figures, known),
        Section("Settings", settings_list(settings, TrainConfig().to_json()), is_open=False),
        Section(
            "How it came about",
            table((), ((name, fact) for name, fact in provenance.facts().items()), "words")
            + f"<p>The figures are those of the first seed. The runs, each with a report of its "
            f"own: {runs}.</p>" + f"<p>To read: {document_link(page, 'tour.md', 'the tour')}, "
            f"{document_link(page, 'derivations.md', 'the derivations')}, "
            f"{document_link(page, 'results.md', 'the results of all studies')}.</p>",
        ),
        equations_section(page, equations),
    ]
    sections = [s._replace(is_open=False) if s.title == DATA else s for s in sections]
    content = page_of(study.name, "\n".join(head), sections, widest(figures))
    write_bytes(page, content.encode())


def _headline(study: Study, result: Reproduction) -> str:
    """The figure that decides, beside the published one; nothing where there is none."""
    target = study.target
    decides = [
        row for row in result.rows if target and (row.metric, row.epoch) ==
        (target.metric, target.epoch)
    ]  # fmt: skip
    if not decides:
        return ""
    (row,) = decides
    error = "" if row.standard_error is None else f" ± {row.standard_error:.2f}"
    what = f"{row.metric.replace('_', ' ')}, epoch {row.epoch}"
    return tiles({
        f"{what}, scratchvae": f"{row.in_tutorial_units:.2f}{error}",
        "published": f"{row.published:.2f}",
    })  # fmt: skip


def cited(source: Tutorial) -> str:
    """A citation as HTML, its address as a link."""
    link = r'<a href="\g<0>">\g<0></a>'
    return re.sub(r"https://[^\s,]+", link, text(source.cite()))


def _table(result: Reproduction) -> str:
    other_formula = any(row.in_tutorial_units != row.mean for row in result.rows)
    head = ["", "published", *(["its formula"] if other_formula else []), "scratchvae"]
    lines = []
    for row in result.rows:
        error = "" if row.standard_error is None else f" ± {row.standard_error:.2f}"
        cells = [
            f"{row.metric.replace('_', ' ')}, epoch {row.epoch}",
            "" if row.published is None else f"{row.published:.2f}",
            *([f"{row.in_tutorial_units:.2f}{error}"] if other_formula else []),
            f"{row.mean:.2f}{error}",
        ]
        lines.append([text(cell) for cell in cells])
    published = "" if result.published_seconds is None else f"{result.published_seconds:.0f}"
    cells = [
        f"seconds, {plural(result.epochs, 'epoch')}",
        published,
        *([""] if other_formula else []),
        f"{result.seconds:.0f}",
    ]
    return table(head, [*lines, cells])
