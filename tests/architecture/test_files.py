"""Files say what they are."""

import ast
from pathlib import Path

import pytest

import scratchvae

ROOT = Path(scratchvae.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def show(path: Path) -> str:
    return str(path.relative_to(ROOT.parent))


@pytest.mark.parametrize("path", FILES, ids=show)
def test_a_file_says_in_its_first_lines_what_it_is(path):
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring
    assert docstring.splitlines()[0].strip()


def public_definitions(path: Path):
    """Public classes and functions of a module, and public methods of its public classes."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node


@pytest.mark.parametrize("path", FILES, ids=show)
def test_a_public_class_or_function_is_explained(path):
    assert [name for name, node in public_definitions(path) if not ast.get_docstring(node)] == []


def test_the_package_is_typed():
    assert (ROOT / "py.typed").is_file()
