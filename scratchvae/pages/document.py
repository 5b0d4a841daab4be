"""What all pages share: their look, sections that fold, figures of one text size, tables, links.

A page is one HTML file that needs nothing else. It follows the reader's light or dark setting, fits
a phone, and prints everything, also what is folded. All figures are drawn with the same font sizes
(`figures.style`) and shown at the same scale, so that the text in them is of one size throughout; a
figure wider than the screen is scrolled sideways.
"""

import base64
import html
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from scratchvae.figures.captions import About
from scratchvae.pages.single_file import link_to
from scratchvae.studies.equations import Statement
from scratchvae.types import JsonView

ON_SCREEN = 0.55  # CSS pixels for a pixel of a figure: labels are 12 pixels high
ON_PAPER = 660.0  # CSS pixels: the width of a page of A4 between its margins
OWN = ' class="own"'  # of a value that is no default
LABEL = re.compile(r"\bE\d+\b")

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d8dde3;
  --paper: #fff; --card: #f5f7f9; --link: #0b5394; --warn: #9a4a00; --scale: SCREEN; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e7ea; --soft: #9ba5af; --line: #3a424a;
  --paper: #14171a; --card: #1d2125; --link: #86bdf2; --warn: #f0a860; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  color: var(--ink); background: var(--paper); max-width: 58rem; margin: 0 auto;
  padding: 2rem 1rem 4rem; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.25; font-weight: 600; margin: 0 0 .25rem; }
h2, h3 { display: inline; font-weight: 600; line-height: 1.3; margin: 0; }
h2 { font-size: 1.2rem; } h3 { font-size: 1rem; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
p { margin: .6rem 0; } p, li { max-width: 50rem; } ul { margin: .6rem 0; padding-left: 1.25rem; }
code, pre { font: .86em/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
pre { background: var(--card); border-radius: 6px; padding: .6rem .8rem; overflow-x: auto;
  margin: .5rem 0; }
.soft, figcaption { color: var(--soft); } .small { font-size: .88rem; }
.warn { color: var(--warn); }
.result { background: var(--card); border-radius: 8px; padding: .9rem 1.1rem; margin: 1.2rem 0; }
.tiles { display: flex; flex-wrap: wrap; gap: .6rem 2.2rem; margin: .2rem 0 .7rem; }
.tiles div { min-width: 7rem; } .tiles b { display: block; font-size: 1.55rem; line-height: 1.3;
  font-weight: 600; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: .88rem; }
nav { margin: 1rem 0; font-size: .92rem; display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; }
details { border-top: 1px solid var(--line); padding: .75rem 0; margin: 0; }
details details { border: 0; padding: .4rem 0; }
summary { cursor: pointer; } details[open] > summary { margin-bottom: .6rem; }
figure { margin: 1.1rem 0 1.7rem; }
.frame { width: fit-content; max-width: 100%; overflow-x: auto; background: #fff;
  border: 1px solid var(--line); border-radius: 6px; }
.frame img { display: block; width: calc(var(--w) * var(--scale) * 1px); height: auto;
  max-width: none; }
figcaption { font-size: .92rem; margin-top: .35rem; }
.scroll { overflow-x: auto; }
dl { columns: 17rem; column-gap: 2rem; margin: .5rem 0; font-size: .92rem; }
dl div { display: flex; gap: .8rem; padding: .12rem 0; break-inside: avoid; }
dt { flex: 0 0 9.5rem; } dd { margin: 0; min-width: 0; } dd.own { font-weight: 600; }
table { border-collapse: collapse; margin: .5rem 0; font-size: .92rem; }
td, th { padding: .22rem 1.1rem .22rem 0; text-align: left; vertical-align: top; }
th { font-weight: 500; color: var(--soft); border-bottom: 1px solid var(--line); }
.words td + td { overflow-wrap: anywhere; }
.numbers td, .numbers th { text-align: right; font-variant-numeric: tabular-nums; }
.numbers td:first-child, .numbers th:first-child { text-align: left; }
@media (prefers-color-scheme: dark) { .frame { filter: brightness(.93); } }
@media (max-width: 480px) { body { padding: 1rem .8rem 3rem; } h1 { font-size: 1.35rem; }
  .tiles { gap: .5rem 1.2rem; } .tiles b { font-size: 1.3rem; } .tiles div { min-width: 6rem; } }
@media print { @page { margin: 15mm; }
  :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --paper: #fff;
    --card: #f4f4f4; --link: #000; --scale: PAPER; }
  body { font-size: 10pt; max-width: none; padding: 0; } .screen { display: none; }
  figure, .result, tr { break-inside: avoid; } summary { break-after: avoid; list-style: none; }
  .frame { overflow: visible; border: 0; filter: none; }
  pre { white-space: pre-wrap; }
  .scroll { overflow: visible; }
  .part:not([open])::details-content { content-visibility: visible; block-size: auto; } }
"""


class Section(NamedTuple):
    """A part of a page under a heading, which a reader may fold."""

    title: str
    body: str  # HTML
    is_open: bool = True

    @property
    def anchor(self) -> str:
        """Where a link leads: "All settings" is #all-settings."""
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")


def page_of(title: str, head: str, sections: Sequence[Section], widest: float = 0.0) -> str:
    """A page as text: ``head`` (HTML) above the contents, then the sections.

    ``widest``: the pixels of the widest figure, which must fit on paper.
    """
    paper = min(ON_SCREEN, ON_PAPER / widest) if widest else ON_SCREEN
    style = STYLE.replace("SCREEN", f"{ON_SCREEN:g}").replace("PAPER", f"{paper:.4g}")
    links = "".join(f'<a href="#{s.anchor}">{text(s.title)}</a>' for s in sections)
    nav = f'<nav class="screen">{links}</nav>' if len(sections) > 1 else ""
    parts = [
        f'<details class="part" id="{s.anchor}"{" open" * s.is_open}>'
        f"<summary><h2>{text(s.title)}</h2></summary>\n{s.body}\n</details>"
        for s in sections
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{style}</style></head>\n<body>\n{head}\n{nav}\n"
        + "\n".join(parts)
        + f"\n<script>{UNFOLD}</script>\n</body></html>\n"
    )


# A link to something in a folded section unfolds it.
UNFOLD = """
function unfold() {
  let part = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const target = part;
  for (; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  if (target) target.scrollIntoView();
}
addEventListener("hashchange", unfold);
unfold();
"""


def text(value: object) -> str:
    """A value as HTML shows it."""
    return html.escape(str(value))


def fold(title: str, body: str) -> str:
    """A folded part within a section."""
    return f'<details class="part"><summary><h3>{text(title)}</h3></summary>\n{body}\n</details>'


def tiles(numbers: Mapping[str, str]) -> str:
    """Large numbers, each above what it is."""
    return (
        '<div class="tiles">'
        + "".join(f"<div><b>{text(n)}</b><span>{text(w)}</span></div>" for w, n in numbers.items())
        + "</div>"
    )


def table(head: Iterable[str], rows: Iterable[Iterable[str]], kind: str = "numbers") -> str:
    """A table of cells that are HTML already; ``kind``: "numbers", or "words"."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    lines = ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in ([top] if top else []) + lines)
    return f'<div class="scroll"><table class="{kind}">{body}</table></div>'


# ---- figures -----------------------------------------------------------------------------------


class Picture(NamedTuple):
    """A figure of a page."""

    name: str
    png: bytes
    about: About

    @property
    def width(self) -> int:
        """The pixels in a row, from the header of the PNG."""
        return int(struct.unpack(">I", self.png[16:20])[0])


def pictures(figures: Mapping[Path, About]) -> list[Picture]:
    """PNG files as figures of a page."""
    return [Picture(path.stem, path.read_bytes(), about) for path, about in figures.items()]


def figures_of(figures: Iterable[Picture], known: Iterable[str]) -> list[Section]:
    """The figures in their sections; labels among ``known`` lead to the equation."""
    sections: dict[str, list[str]] = {}
    for figure in figures:
        sections.setdefault(figure.about.section, []).append(_figure(figure, set(known)))
    return [Section(title, "\n".join(parts)) for title, parts in sections.items()]


def widest(figures: Iterable[Picture]) -> int:
    """The pixels of the widest figure; 0 of none."""
    return max((figure.width for figure in figures), default=0)


def _figure(figure: Picture, known: set[str]) -> str:
    data, about = base64.b64encode(figure.png).decode(), figure.about
    return (
        f'<figure id="figure-{text(figure.name)}"><div class="frame" tabindex="0">'
        f'<img alt="{text(about.shows)}" style="--w:{figure.width}" '
        f'src="data:image/png;base64,{data}"></div>'
        f"<figcaption>{linked(about.look_for or about.shows, known)}</figcaption></figure>"
    )


def linked(words: str, known: set[str]) -> str:
    """Words as HTML in which the label of a known equation is a link to it."""

    def link(label: re.Match[str]) -> str:
        name = label[0]
        return f'<a href="#{name}">{name}</a>' if name in known else name

    return LABEL.sub(link, text(words))


# ---- equations, settings, links ----------------------------------------------------------------


def equations_section(page: Path, equations: Sequence[Statement]) -> Section:
    """What the code computes, with the code; links to a label lead to its first row.

    ``page``: an absolute path, for the link to the derivations.
    """
    seen: set[str] = set()
    rows = []
    for labels, where, words, source in equations:
        anchors = "".join(f'<a id="{label}"></a>' for label in labels if label not in seen)
        seen.update(labels)
        code = f"<code>{text(where)}</code>"
        if source:
            code = f"<details><summary>{code}</summary><pre>{text(source)}</pre></details>"
        rows.append((anchors + ", ".join(labels), f"{text(words)}{code}"))
    derived = document_link(page, "derivations.md", "derived one by one")
    intro = (
        f"<p>What the code of this model computes, from its own docstrings; {derived}. Unfold a "
        "name to read the code.</p>"
    )
    return Section("Equations and code", intro + table((), rows, "words"), is_open=False)


def document_link(page: Path, name: str, words: str) -> str:
    """Words that lead from the page to a document of the source, where that lies beside the code.

    Elsewhere the document's name stands after the words. ``page``: an absolute path.
    """
    target = link_to(f"docs/{name}", "", page)
    if target is not None:
        return f'<a href="{quote(target)}">{text(words)}</a>'
    return f"{text(words)} (<code>docs/{text(name)}</code> of the source)"


def settings_list(settings: JsonView, defaults: JsonView) -> str:
    """Settings by name, in columns; values other than the default are set in bold."""
    items = (
        f"<div><dt><code>{text(name)}</code></dt>"
        f"<dd{OWN * (value != defaults.get(name, value))}>{shown(value)}</dd></div>"
        for name, value in settings.items()
    )
    return f"<dl>{''.join(items)}</dl>"


def shown(value: object) -> str:
    """A setting's value as HTML."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    return "–" if value in ("", None) else text(value)
