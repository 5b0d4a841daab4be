"""Code of this package with its bodies taken out, or with them: what an exercise is made of.

Each class below names a part of a module and says how it becomes code of an exercise. The text
comes from the module's file each time, so that an exercise cannot fall behind the package.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

STUB = "raise NotImplementedError"
Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Whole:
    """A function as it stands; its body is what the student writes."""

    module: str  # reference, latent.gaussian, …
    name: str

    def text(self, solved: bool) -> str:
        """The function, with its body or without."""
        lines, node = definition(self.module, self.name)
        return source(lines, node) if solved else without_body(lines, node)


@dataclass(frozen=True)
class Class:
    """A class with some of its methods; the bodies of ``written`` are what the student writes."""

    module: str
    name: str
    written: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def text(self, solved: bool) -> str:
        """The class, with those bodies or without."""
        lines, node = definition(self.module, self.name)
        parts = [source(lines, node, upto=node.body[0])]
        for statement in node.body[1:]:
            if not isinstance(statement, ast.FunctionDef):
                parts.append(source(lines, statement))
            elif statement.name in self.written and not solved:
                parts.append(without_body(lines, statement))
            elif statement.name not in self.left_out:
                parts.append(source(lines, statement))
        return "\n\n".join(parts)


@dataclass(frozen=True)
class Gap:
    """A function in which the statements that assign ``first`` to ``last`` are to be written."""

    module: str
    name: str
    first: str
    last: str

    def text(self, solved: bool) -> str:
        """The function, whole or with the gap."""
        lines, node = definition(self.module, self.name)
        if solved:
            return source(lines, node)
        (begin,) = (s for s in node.body if self.first in assigned(s))
        (end,) = (s for s in node.body if self.last in assigned(s))
        before = lines[node.lineno - 1 : begin.lineno - 1]
        after = lines[(end.end_lineno or 0) : node.end_lineno]
        return "\n".join([*before, " " * begin.col_offset + STUB, *after])


@dataclass(frozen=True)
class Piece:
    """Statements of a longer function as a function of their own.

    They are those whose comments carry one of the ``labels``, such as "E16"; ``result`` is what
    the new function returns.
    """

    module: str
    name: str
    labels: tuple[str, ...]
    signature: str
    doc: str
    result: str

    def text(self, solved: bool) -> str:
        """The function of its own."""
        lines, node = definition(self.module, self.name)
        body = [textwrap.dedent(text) for text in labelled(lines, node, self.labels)]
        code = [*body, f"return {self.result}"] if solved else [STUB]
        head = f'{self.signature}\n    """{self.doc}"""\n'
        return head + textwrap.indent("\n".join(code), " " * 4)


@dataclass(frozen=True)
class Given:
    """Code that stands in the file already, below what is to be written."""

    code: str

    def text(self, solved: bool) -> str:
        """The code, either way."""
        return self.code


Code = Whole | Class | Gap | Piece | Given


@cache
def module_source(module: str) -> str:
    """The text of a module of this package."""
    spec = find_spec(f"scratchvae.{module}")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


def definition(module: str, name: str) -> tuple[list[str], Definition]:
    """The lines of a module, and the function or class of that name in it."""
    text = module_source(module)
    for node in ast.parse(text).body:
        if isinstance(node, Definition) and node.name == name:
            return text.splitlines(), node
    raise LookupError(f"scratchvae.{module} has no function or class {name}")


def source(lines: list[str], node: ast.stmt, upto: ast.stmt | None = None) -> str:
    """The lines of a statement, or those up to the end of one inside it."""
    return "\n".join(lines[node.lineno - 1 : (upto or node).end_lineno])


def without_body(lines: list[str], node: Definition) -> str:
    """Signature and docstring, and below them the stub."""
    return source(lines, node, upto=node.body[0]) + "\n" + " " * node.body[0].col_offset + STUB


def assigned(statement: ast.stmt) -> set[str]:
    """The names that an assignment binds."""
    if not isinstance(statement, ast.Assign):
        return set()
    nodes = (node for target in statement.targets for node in ast.walk(target))
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def labelled(lines: list[str], node: Definition, labels: tuple[str, ...]) -> Iterator[str]:
    """The simple statements whose comment carries one of the labels, in their order."""
    found = [s for s in ast.walk(node) if isinstance(s, ast.Assign)]
    for statement in sorted(found, key=lambda s: s.lineno):
        comment = lines[(statement.end_lineno or 0) - 1].partition("#")[2]
        if set(re.findall(r"E\d+", comment)) & set(labels):
            yield source(lines, statement)
