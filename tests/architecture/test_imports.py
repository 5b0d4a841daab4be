"""Who may import whom, read from the syntax trees: the one-way order, and who knows which library.

Only imports that run when a module is loaded count for cycles; the order holds for all of them.
"""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import scratchvae

ROOT = Path(scratchvae.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# Each line may import from the lines above it, and from its own where the table below says so.
ORDER = (
    {"types"},
    {"errors", "versions", "reference", "tables"},
    {"backend", "storage"},
    {"memory"},
    {"layers", "latent", "likelihoods", "optim"},
    {"models"},
    {"data"},
    {"config", "gradcheck", "evaluation"},
    {"runs"},
    {"training"},
    {"mpi"},
    {"studies", "interop", "sklearn"},
    {"figures", "selfcheck", "exercises"},
    {"pages"},
    {"cli"},
    {"__main__"},
)
BESIDE = {"tables": {"errors"}, "latent": {"layers"}, "likelihoods": {"layers"}}
RANK = {part: rank for rank, parts in enumerate(ORDER) for part in parts}


class Import(NamedTuple):
    module: str  # absolute: scratchvae.layers.dense, numpy.typing, …
    at_load: bool  # not inside a function, not for the type checker alone
    line: int


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def exists(module: str) -> bool:
    path = ROOT.parent.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """Every import of a file, with the module that it really means."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    return tuple(imports_of(path.read_text(encoding="utf-8"), package))


def imports_of(source: str, package: str) -> Iterator[Import]:
    """The imports of source code that lies in the package."""

    def walk(node: ast.AST, at_load: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            inner = at_load and not is_type_checking(child)
            inner = inner and not isinstance(child, ast.FunctionDef | ast.Lambda)
            if isinstance(child, ast.Import):
                for name in child.names:
                    yield Import(name.name, at_load, child.lineno)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    above = package.split(".")[: len(package.split(".")) - child.level + 1]
                    base = ".".join([*above, base] if base else above)
                for name in child.names:
                    full = f"{base}.{name.name}"
                    yield Import(full if exists(full) else base, at_load, child.lineno)
            yield from walk(child, inner)

    yield from walk(ast.parse(source), at_load=True)


def part_of(module: str) -> str:
    """layers for scratchvae.layers.dense; nothing for the package itself."""
    return module.split(".")[1] if "." in module else ""


def show(path: Path) -> str:
    return str(path.relative_to(ROOT.parent))


def test_every_part_of_the_package_has_its_place_in_the_order():
    assert len(FILES) > 30
    assert {part_of(module_of(path)) for path in FILES} - {""} <= set(RANK)


@pytest.mark.parametrize("path", FILES, ids=show)
def test_imports_run_one_way(path):
    here = part_of(module_of(path))
    for found in imports(path):
        there = part_of(found.module) if found.module.split(".")[0] == "scratchvae" else ""
        if here and there and here != there:
            allowed = RANK[there] < RANK[here] or there in BESIDE.get(here, set())
            assert allowed, f"{show(path)}:{found.line}: {here} imports {there}"


def test_no_module_imports_itself_through_others():
    graph = {
        module_of(path): {f.module for f in imports(path) if f.at_load and exists(f.module)}
        for path in FILES
    }
    assert sum(map(len, graph.values())) > 100
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("a circle of imports: " + " -> ".join(error.args[1]))


def core_files() -> list[Path]:
    core = ("layers", "latent", "likelihoods", "models", "optim")
    steps = [
        ROOT / "training" / name for name in ("step.py", "clock.py", "partition.py", "workers.py")
    ]
    found = [path for path in FILES if part_of(module_of(path)) in core]
    return [*found, *(path for path in steps if path.exists())]


@pytest.mark.parametrize("path", core_files(), ids=show)
def test_the_mathematics_knows_neither_numpy_nor_cupy(path):
    """It computes with the backend it is handed; a host array is the backend's HostArray."""
    for found in imports(path):
        library = found.module.split(".")[0]
        assert library not in {"numpy", "cupy", "scipy"}
    names = {
        node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)
    }
    assert not names & {"np", "numpy", "cp", "cupy"}


COMMANDS = [path for path in FILES if part_of(module_of(path)) == "cli"]


@pytest.mark.parametrize("path", COMMANDS, ids=show)
def test_a_command_parses_calls_and_prints_and_computes_with_no_array(path):
    libraries = {found.module.split(".")[0] for found in imports(path)}
    assert not libraries & {"numpy", "scipy"}


OUTSIDE = [path for path in FILES if part_of(module_of(path)) != "backend"]


@pytest.mark.parametrize("path", OUTSIDE, ids=show)
def test_cupy_is_named_in_the_backend_alone(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        name = getattr(node, "id", None) or getattr(node, "attr", None)
        assert name not in {"cupy", "cupyx"}
        assert not (isinstance(node, ast.Constant) and node.value in {"cupy", "cupyx"})
    assert not {f.module.split(".")[0] for f in imports(path)} & {"cupy", "cupyx"}


@pytest.mark.parametrize("path", FILES, ids=show)
def test_no_automatic_differentiation_anywhere(path):
    libraries = {found.module.split(".")[0] for found in imports(path)}
    assert not libraries & {"torch", "jax", "autograd", "tensorflow", "aesara", "pytensor"}


def test_the_reader_of_imports_sees_what_it_should():
    source = """
import numpy as np
from numpy.typing import NDArray
from . import gaussian
from ..errors import ConfigError
if TYPE_CHECKING:
    from scratchvae.cli.main import main
def later():
    from scratchvae import models
    from scratchvae.layers import Dense
"""
    assert [(f.module, f.at_load) for f in imports_of(source, "scratchvae.latent")] == [
        ("numpy", True),
        ("numpy.typing", True),
        ("scratchvae.latent.gaussian", True),
        ("scratchvae.errors", True),
        ("scratchvae.cli.main", False),
        ("scratchvae.models", False),
        ("scratchvae.layers", False),
    ]
