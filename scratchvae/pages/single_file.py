"""Pages of one file: styles, scripts and data inlined, so that a page needs no server."""

import html
import json
import os
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import scratchvae
from scratchvae.errors import RunError
from scratchvae.pages.mathml import mathml
from scratchvae.storage.atomic import write_bytes
from scratchvae.types import Json, JsonView

SOURCE = Path(scratchvae.__file__).parents[1]  # of a checkout, the folder that holds docs/


def asset(name: str) -> str:
    """The text of a file that lies beside this one."""
    return (resources.files("scratchvae.pages") / name).read_text(encoding="utf-8")


def write_page(
    path: Path, title: str, body: str, styles: Iterable[str], scripts: Iterable[str], data: JsonView
) -> int:
    """Write a page to a new file; its size in bytes.

    ``body``, ``styles`` and ``scripts`` name files of this package; ``data`` lies in the page as
    JSON, for its scripts. ``RunError`` if the file exists or can't be written.
    """
    require_new(path)
    styled = "\n".join(f"<style>\n{asset(name)}</style>" for name in styles)
    scripted = "\n".join(f"<script>\n{asset(name)}</script>" for name in scripts)
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="scratchvae {scratchvae.__version__}">
<title>{html.escape(title)}</title>
<link rel="icon" href="data:,">
{styled}
</head>
<body>
{asset(body)}
<script type="application/json" id="data">{as_script(data)}</script>
{scripted}
</body>
</html>
"""
    content = page.encode()
    try:
        write_bytes(path, content)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}") from error
    return len(content)


def require_new(path: Path) -> None:
    """``RunError`` if there is such a file already: nothing is overwritten."""
    if os.path.lexists(path):
        raise RunError(f"{path} exists already: choose another name with --out, or remove it")


def as_script(data: JsonView) -> str:
    """JSON that no text in it can end: "<" is written as an escape."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", r"\u003c")


def equations_for(labels: Iterable[str], page: Path) -> dict[str, Json]:
    """Title, MathML and the link to the derivation of each label, in the order of the numbers.

    A label of the user's own, which no derivation has, is left out.
    """
    known = json.loads(asset("equations.json"))
    found = {}
    for label in sorted(known.keys() & set(labels), key=lambda label: int(label[1:])):
        about = known[label]
        href = link_to("docs/derivations.md", about["section"], page)
        found[label] = {"title": about["title"], "mathml": mathml(about["tex"]), "href": href}
    return found


def link_to(file: str, anchor: str, page: Path) -> str | None:
    """The address of a file of the checkout as seen from ``page``; None where there is none."""
    target = SOURCE / file
    if not (SOURCE / "docs/derivations.md").is_file() or not target.is_file():
        return None
    try:
        relative = os.path.relpath(target, page.resolve().parent)
    except ValueError:  # on another drive
        return None
    return re.sub(re.escape(os.sep), "/", relative) + (f"#{anchor}" if anchor else "")
