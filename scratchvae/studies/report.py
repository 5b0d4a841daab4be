"""A study as one HTML file that needs nothing else: settings, table, curves, figures."""

import base64
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scratchvae.studies.equations import Statement, equations_of
from scratchvae.studies.reproduce import Reproduction, plural
from scratchvae.studies.study import Study, Tutorial
from scratchvae.types import JsonView

STYLE = """
body { font: 16px/1.5 Georgia, serif; color: #222; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; }
h1, h2 { font-weight: normal; line-height: 1.2; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; margin: 1rem 0; }
td, th { padding: .25rem 1rem .25rem 0; text-align: right; font-variant-numeric: tabular-nums; }
td:first-child, th:first-child { text-align: left; }
th { font-weight: normal; color: #666; border-bottom: 1px solid #ccc; }
figure { margin: 2rem 0; } img { max-width: 100%; height: auto; }
figcaption, .small { color: #666; font-size: .9rem; }
code { font-size: .9rem; }
.words td { text-align: left; vertical-align: top; }
a { color: #0b5394; text-decoration: none; }
"""

LABEL = r"\bE\d+\b"


@dataclass(frozen=True)
class Provenance:
    """How a study's numbers came about: all that is needed to obtain them again."""

    command: str
    date: str
    device: Mapping[str, object]
    machine: Mapping[str, object]
    versions: Mapping[str, str]

    def describe(self) -> str:
        """In a sentence."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        machine = f"{self.machine['processor']}, {self.machine['cores']} cores"
        name, *more = self.device.items()
        device = ", ".join([str(name[1]), *(f"{key} {value}" for key, value in more)])
        return f"{self.date}; device {device}; {machine}, {self.machine['system']}; {versions}"


def write_report(
    path: Path,
    study: Study,
    result: Reproduction,
    provenance: Provenance,
    figures: Mapping[Path, str],
    pixels: int,
) -> None:
    """Write the report, which contains the ``figures``: PNG files and their captions, in order.

    ``pixels``: of an image, for the equations of the model.
    """
    settings = study.config.in_use() | {"epochs": result.epochs}
    del settings["seed"]
    parts = [
        f"<h1>{text(study.title)}</h1>",
        f"<p class=small>After {cited(study.tutorial)}.</p>",
        f"<p><strong>{text(result.study)}: {text(result.verdict)}.</strong></p>",
        _table(result),
        *(f"<p>{text(note[0].upper() + note[1:])}.</p>" for note in result.notes),
        f"<p class=small>Nats per image; {text(plural(result.seeds, 'seed'))}; test protocol: "
        f"{text(result.protocol)}; training loss: {text(result.train_protocol)}.</p>",
        f"<p class=small><code>{text(provenance.command)}</code>, "
        f"{text(provenance.describe())}.</p>",
    ]
    if study.errata:
        parts += [
            "<h2>Errata of the tutorial</h2>",
            "<ul>" + "".join(f"<li>It {text(erratum)}.</li>" for erratum in study.errata) + "</ul>",
        ]
    if figures:
        parts += ["<h2>Figures of the first seed</h2>"]
    equations = equations_of(study.config, pixels, study.completion is not None)
    write_page(path, study.name, parts, figures, equations, settings)


def write_page(
    path: Path,
    name: str,
    parts: Sequence[str],
    figures: Mapping[Path, str],
    equations: Sequence[Statement],
    settings: JsonView,
) -> None:
    """Write a page: its own ``parts``, then figures with captions, equations and settings."""
    known = {label for statement in equations for label in statement.labels}
    body = [
        *parts,
        *(_figure(figure, caption, known) for figure, caption in figures.items()),
        "<h2>Equations</h2>",
        "<p>What the code of this model computes, from its own docstrings; derived one by one in "
        "<code>docs/derivations.md</code> of the source.</p>",
        _equations(equations),
        "<h2>Settings</h2>",
        "<table>" + "".join(_setting(k, v) for k, v in settings.items()) + "</table>",
    ]
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{text(name)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )
    path.write_text(page, encoding="utf-8")


def cited(source: Tutorial) -> str:
    """A citation as HTML, its address as a link."""
    link = r'<a href="\g<0>">\g<0></a>'
    return re.sub(r"https://[^\s,]+", link, text(source.cite()))


def _table(result: Reproduction) -> str:
    other_formula = any(row.in_tutorial_units != row.mean for row in result.rows)
    head = ["", "published", *(["ours, by its formula"] if other_formula else []), "ours"]
    lines = ["".join(f"<th>{text(name)}</th>" for name in head)]
    for row in result.rows:
        error = "" if row.standard_error is None else f" ± {row.standard_error:.2f}"
        cells = [
            f"{row.metric.replace('_', ' ')}, epoch {row.epoch}",
            "" if row.published is None else f"{row.published:.2f}",
            *([f"{row.in_tutorial_units:.2f}{error}"] if other_formula else []),
            f"{row.mean:.2f}{error}",
        ]
        lines.append("".join(f"<td>{text(cell)}</td>" for cell in cells))
    published = "" if result.published_seconds is None else f"{result.published_seconds:.0f}"
    cells = [
        f"seconds, {plural(result.epochs, 'epoch')}",
        published,
        *([""] if other_formula else []),
        f"{result.seconds:.0f}",
    ]
    lines.append("".join(f"<td>{text(cell)}</td>" for cell in cells))
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _figure(path: Path, caption: str, known: set[str]) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    caption = text(caption)

    def link(label: re.Match[str]) -> str:
        name = label[0]
        return f'<a href="#{name}">{name}</a>' if name in known else name

    return (
        f'<figure id="{path.stem}"><img alt="{caption}" src="data:image/png;base64,{data}">'
        f"<figcaption>{re.sub(LABEL, link, caption)}</figcaption></figure>"
    )


def _equations(equations: Sequence[Statement]) -> str:
    """A row per statement; links to a label lead to its first row."""
    seen: set[str] = set()
    rows = []
    for labels, where, words in equations:
        anchors = "".join(f'<a id="{label}"></a>' for label in labels if label not in seen)
        seen.update(labels)
        rows.append(
            f"<tr><td>{anchors}{', '.join(labels)}</td><td>{text(words)}</td>"
            f"<td><code>{text(where)}</code></td></tr>"
        )
    return '<table class="words">' + "".join(rows) + "</table>"


def _setting(name: str, value: object) -> str:
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    elif isinstance(value, bool):
        value = "yes" if value else "no"
    shown = text(value) if value != "" else "–"
    return f"<tr><td><code>{text(name)}</code></td><td>{shown}</td></tr>"


def text(value: object) -> str:
    """A value as HTML shows it."""
    return html.escape(str(value))
