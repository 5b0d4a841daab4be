"""Write docs/equations.md: every label, its formula, the code that carries it, the tests of it.

python docs/make_equations.py            writes the map, then reports what is wrong with the labels
python docs/make_equations.py --check    writes nothing; a map that is out of date is a finding too

With the map goes scratchvae/pages/equations.json: the formulas, for the pages that set them.

A label has one display in docs/derivations.md (a line ``**(E12)** Title.``, then the formula
between two lines ``$$``), at least one docstring of the package that says "(E12)", and at least
one test with ``_e12_`` in its name. Both forms exit with 1 when anything is missing or dangles.
"""

import argparse
import ast
import io
import json
import re
import sys
import tokenize
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "python docs/make_equations.py"

DISPLAY = re.compile(r"^\*\*\(E(\d+)\)\*\* (.+)\.\n\n\$\$\n((?:(?!\$\$).+\n)+)\$\$$", re.MULTILINE)
HEADING = re.compile(r"^\*\*\(E(\d+)\)\*\*", re.MULTILINE)
CARRIED = re.compile(r"\(E\d+(?:, E\d+)*\)")  # (E12) or (E12, E13)
MENTION = re.compile(r"\bE(\d+)\b")
SECTION = re.compile(r"^#+ (.+)$", re.MULTILINE)
IN_NAME = re.compile(r"(?<=_)e(\d+)(?=_)")

INTRODUCTION = f"""# From equation to code to test

<!-- Written by `{COMMAND}`. Do not edit. -->

Each label stands once in the [derivations](derivations.md), in the docstring of the code that
computes it, and in the name of the tests that verify it. This page is generated from all three;
a test fails when one of them is missing or when the page is out of date. To write it again:
`{COMMAND}`.
"""


class Equation(NamedTuple):
    """A labelled display of the derivations."""

    label: int
    title: str
    formula: str


class Place(NamedTuple):
    """A function, class or module."""

    file: str
    line: int
    name: str


def equations(root: Path) -> list[Equation]:
    """The labelled displays of docs/derivations.md, in their order."""
    text = (root / "docs/derivations.md").read_text(encoding="utf-8")
    return [Equation(int(n), title, formula) for n, title, formula in DISPLAY.findall(text)]


def sources(root: Path, folder: str) -> Iterator[tuple[str, str]]:
    """(name, text) of every Python file below a folder, in the order of their names."""
    for path in sorted((root / folder).rglob("*.py")):
        yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")


def definitions(file: str, node: ast.AST, prefix: str = "") -> Iterator[tuple[Place, ast.AST]]:
    """Every function and class below a node, with its qualified name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = prefix + child.name
            yield Place(file, child.lineno, name), child
            yield from definitions(file, child, name + ".")
        else:
            yield from definitions(file, child, prefix)


def docstrings(root: Path) -> Iterator[tuple[Place, str]]:
    """Every docstring of the package."""
    for file, text in sources(root, "scratchvae"):
        module = ast.parse(text)
        for place, node in [(Place(file, 1, "the module"), module), *definitions(file, module)]:
            if doc := ast.get_docstring(node, clean=False):  # type: ignore[arg-type]
                yield place, doc


def comments(root: Path) -> Iterator[tuple[Place, str]]:
    """Every comment of the package, except those addressed to a linter."""
    for file, text in sources(root, "scratchvae"):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT and "noqa" not in token.string:
                yield Place(file, token.start[0], "a comment"), token.string


def carriers(root: Path) -> dict[int, list[Place]]:
    """Where the package carries each label: the docstrings that have it in parentheses."""
    found: dict[int, list[Place]] = {}
    for place, doc in docstrings(root):
        for label in sorted({int(n) for group in CARRIED.findall(doc) for n in labels_in(group)}):
            found.setdefault(label, []).append(place)
    return found


def verifiers(root: Path) -> dict[int, list[Place]]:
    """The tests whose names hold each label."""
    found: dict[int, list[Place]] = {}
    for file, text in sources(root, "tests"):
        for place, node in definitions(file, ast.parse(text)):
            name = place.name.rpartition(".")[2]
            if isinstance(node, ast.FunctionDef) and name.startswith("test_"):
                for label in {int(n) for n in IN_NAME.findall(name)}:
                    found.setdefault(label, []).append(place)
    return found


def labels_in(text: str) -> set[int]:
    """Every label that a text mentions."""
    return {int(n) for n in MENTION.findall(text)}


def formulas(root: Path) -> str:
    """The text of scratchvae/pages/equations.json: title, TeX and section of every label."""
    text, found = (root / "docs/derivations.md").read_text(encoding="utf-8"), {}
    for display in DISPLAY.finditer(text):
        heading = ["Derivations", *SECTION.findall(text, 0, display.start())][-1]
        anchor = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        label, title, formula = display.groups()
        found[f"E{label}"] = {"title": title, "section": anchor, "tex": formula.rstrip()}
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


# ---- what can be wrong ---------------------------------------------------------------------------


def findings(root: Path = ROOT) -> list[str]:
    """Everything that is missing, doubled or dangling, a sentence each; the map isn't looked at."""
    return [*in_derivations(root), *dangling(root), *missing(root)]


def in_derivations(root: Path) -> Iterator[str]:
    """Labels doubled, left out, or not followed by their display."""
    shown = [e.label for e in equations(root)]
    text = (root / "docs/derivations.md").read_text(encoding="utf-8")
    announced = [int(n) for n in HEADING.findall(text)]
    for label in sorted(set(announced) - set(shown)):
        yield f"derivations.md announces E{label}, but no display follows it"
    for label in sorted({n for n in announced if announced.count(n) > 1}):
        yield f"derivations.md displays E{label} {announced.count(label)} times"
    for label in left_out(announced):
        yield f"derivations.md has no display for E{label}"
    if announced != sorted(announced):
        yield "the displays of derivations.md are not in the order of their labels"


def left_out(announced: list[int]) -> Iterator[int]:
    """Labels between two that are announced; a subject may begin at a multiple of ten."""
    labels = sorted({0, *announced})
    for before, label in pairwise(labels):
        if label % 10:
            yield from range(before + 1, label)


def dangling(root: Path) -> Iterator[str]:
    """Labels that documents, code or tests use and that no display defines."""
    known = {e.label for e in equations(root)}
    for path in (*sorted(root.glob("*.md")), *sorted((root / "docs").glob("*.md"))):
        if path.name != "equations.md":
            for label in sorted(labels_in(path.read_text(encoding="utf-8")) - known):
                yield f"{path.name} mentions E{label}, which has no display"
    for place, text in (*docstrings(root), *comments(root)):
        for label in sorted(labels_in(text) - known):
            where = f"{place.file}:{place.line} ({place.name})"
            yield f"{where} mentions E{label}, which has no display"
    for label, places in sorted(verifiers(root).items()):
        if label not in known:
            yield f"{places[0].file}: {places[0].name} verifies E{label}, which has no display"


def missing(root: Path) -> Iterator[str]:
    """Labels that no docstring carries or no test verifies."""
    carried, verified = carriers(root), verifiers(root)
    for e in equations(root):
        if e.label not in carried:
            yield f"no docstring of the package carries (E{e.label}), {e.title}"
        if e.label not in verified:
            yield f"no test has e{e.label} in its name, for {e.title}"


# ---- the map -------------------------------------------------------------------------------------


def page(root: Path = ROOT) -> str:
    """The text of docs/equations.md."""
    carried, verified = carriers(root), verifiers(root)
    parts = [INTRODUCTION]
    for e in equations(root):
        lines = [f"## E{e.label} {e.title}", "", "$$", e.formula.rstrip(), "$$", "", "Code:", ""]
        for p in carried.get(e.label, []):
            lines.append(f"- [`{p.file}:{p.line}`](../{p.file}#L{p.line}) {p.name}")
        lines += ["", "Tests:", ""]
        tests: dict[str, list[str]] = {}
        for p in verified.get(e.label, []):
            tests.setdefault(p.file, []).append(p.name)
        for file, names in tests.items():
            lines.append(f"- [`{file}`](../{file})")
            lines += [f"  - `{name}`" for name in names]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def written(root: Path = ROOT) -> dict[str, str]:
    """The files that this script writes, with their texts."""
    return {"docs/equations.md": page(root), "scratchvae/pages/equations.json": formulas(root)}


def is_current(root: Path = ROOT) -> bool:
    """Whether the files are what this script would write."""
    return all(
        (root / file).exists() and (root / file).read_text(encoding="utf-8") == text
        for file, text in written(root).items()
    )


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write docs/equations.md, or check it.")
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(arguments).check
    found = findings(root)
    if not check:
        for file, text in written(root).items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text(text, encoding="utf-8")
    elif not is_current(root):
        found.append(f"{' or '.join(written(root))} is out of date; write it again: {COMMAND}")
    for finding in found:
        print(finding, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
