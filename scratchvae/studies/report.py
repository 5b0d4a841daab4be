"""A study as one HTML file that needs nothing else: settings, table, curves, figures."""

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path

from scratchvae.studies.equations import Statement, equations_of
from scratchvae.studies.reproduce import Reproduction
from scratchvae.studies.study import Study

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
CAPTIONS = {  # and the order in which the figures stand
    "losses": "Losses over the epochs (E2).",
    "data": "Training images, as the model sees them.",
    "reconstructions": "Test images above their reconstructions.",
    "film_strip": "The same test images, reconstructed after more and more epochs.",
    "prior_samples": "Images from the prior: means of the decoder, and draws (E20).",
    "interpolations": "From one training image to another: decoder means on the way between their "
    "posterior means, along the line and along the sphere (E62).",
    "latent_scatter": "Posterior means of test images (E12).",
    "latent_scatter_train": "Posterior means of training images (E12).",
    "latent_grid": "Means of the decoder over the latent plane.",
    "completion": "A training image, what is seen of it, and its completion: E[x|z] averaged over "
    "the fitted q(z), and single draws of z (E60, E61).",
    "posterior": "log p(seen part, z) over the latent plane, and q(z) before and after the fit "
    "(E60).",
}


def write_report(
    path: Path,
    study: Study,
    result: Reproduction,
    figures: Sequence[Path],
    command: str,
    pixels: int,
) -> None:
    """Write the report; ``figures`` are PNG files, which it will contain.

    ``pixels``: of an image, for the equations of the model.
    """
    equations = equations_of(study, pixels)
    known = {label for statement in equations for label in statement.labels}
    settings = {k: v for k, v in study.config.to_json().items() if v not in ([], "", 0)}
    settings["epochs"] = result.epochs
    parts = [
        f"<h1>{_text(study.title)}</h1>",
        f"<p class=small>{_text(study.source)}. Reproduced by <code>{_text(command)}</code></p>",
        f"<p><strong>{_text(result.study)}: {_text(result.verdict)}.</strong></p>",
        _table(result),
        *(f"<p>{_text(note[0].upper() + note[1:])}.</p>" for note in result.notes),
        f"<p class=small>Nats an image; test protocol: {_text(result.protocol)}; training loss: "
        f"{_text(result.train_protocol)}.</p>",
        "<h2>What the tutorial says that is not so</h2>",
        "<ul>" + "".join(f"<li>It {_text(erratum)}.</li>" for erratum in study.errata) + "</ul>",
        "<h2>Figures</h2>",
        *(_figure(figure, known) for figure in sorted(figures, key=_place)),
        "<h2>Equations</h2>",
        "<p>What the code of this model computes, from its own docstrings; derived one by one in "
        "<code>docs/derivations.md</code> of the source.</p>",
        _equations(equations),
        "<h2>Settings</h2>",
        "<table>" + "".join(_setting(k, v) for k, v in settings.items()) + "</table>",
    ]
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{_text(study.name)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )
    path.write_text(page, encoding="utf-8")


def _table(result: Reproduction) -> str:
    other_formula = any(row.in_tutorial_units != row.mean for row in result.rows)
    head = ["", "published", *(["ours, by its formula"] if other_formula else []), "ours"]
    lines = ["".join(f"<th>{_text(name)}</th>" for name in head)]
    for row in result.rows:
        error = "" if row.standard_error is None else f" ± {row.standard_error:.2f}"
        cells = [
            f"{row.metric.replace('_', ' ')}, epoch {row.epoch}",
            "" if row.published is None else f"{row.published:.2f}",
            *([f"{row.in_tutorial_units:.2f}{error}"] if other_formula else []),
            f"{row.mean:.2f}{error}",
        ]
        lines.append("".join(f"<td>{_text(cell)}</td>" for cell in cells))
    published = "" if result.published_seconds is None else f"{result.published_seconds:.0f}"
    cells = [f"seconds, {result.epochs} epochs", published, *([""] if other_formula else []),
             f"{result.seconds:.0f}"]  # fmt: skip
    lines.append("".join(f"<td>{_text(cell)}</td>" for cell in cells))
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _place(path: Path) -> int:
    return list(CAPTIONS).index(path.stem)


def _figure(path: Path, known: set[str]) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    caption = _text(CAPTIONS[path.stem])

    def link(label: re.Match[str]) -> str:
        name = label[0]
        return f'<a href="#{name}">{name}</a>' if name in known else name

    return (
        f'<figure id="{path.stem}"><img alt="{caption}" src="data:image/png;base64,{data}">'
        f"<figcaption>{re.sub(LABEL, link, caption)}</figcaption></figure>"
    )


def _equations(equations: Sequence[Statement]) -> str:
    """A row a statement; links to a label lead to its first row."""
    seen: set[str] = set()
    rows = []
    for labels, where, text in equations:
        anchors = "".join(f'<a id="{label}"></a>' for label in labels if label not in seen)
        seen.update(labels)
        rows.append(
            f"<tr><td>{anchors}{', '.join(labels)}</td><td>{_text(text)}</td>"
            f"<td><code>{_text(where)}</code></td></tr>"
        )
    return '<table class="words">' + "".join(rows) + "</table>"


def _setting(name: str, value: object) -> str:
    return f"<tr><td><code>{_text(name)}</code></td><td>{_text(value)}</td></tr>"


def _text(value: object) -> str:
    return html.escape(str(value))
