"""How many planted bugs a user's own gradient test catches.

The operators are those that plant bugs in this package: a sign, a factor, another function, a
statement left out, two arguments exchanged. What survives is either a gap in the test or a change
that makes no difference; each is shown with its file and line.
"""

import ast
import copy
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scratchvae.errors import ConfigError
from scratchvae.selfcheck.mutation.mutants import compiled, function_tree, swapped_code
from scratchvae.selfcheck.mutation.operators import mutate
from scratchvae.types import Function


@dataclass(frozen=True)
class Detection:
    """Planted bugs, and those that the test let pass."""

    backward: str
    planted: int
    survivors: tuple[str, ...]  # "layers.py:12: arithmetic: a * b -> a + b"

    @property
    def caught(self) -> int:
        """How many bugs made the test fail."""
        return self.planted - len(self.survivors)

    def __str__(self) -> str:
        head = f"{self.caught} of {self.planted} bugs planted in {self.backward} were caught"
        return "\n".join([head, *(f"  survived: {s}" for s in self.survivors)])


def detects(backward: Function, test: Callable[[], object]) -> Detection:
    """Plant bugs in ``backward``, one at a time, and run ``test()`` with each.

    The test catches a bug by raising anything. ``backward`` is a function or method with its source
    in a file; it is the same object everywhere it is called, and as it was afterwards. Raises
    ``ConfigError`` for a lambda or builtin, and for a test that fails without any bug.
    """
    function = inspect.unwrap(getattr(backward, "__func__", backward))
    if not inspect.isfunction(function) or function.__name__ == "<lambda>":
        raise ConfigError(f"bugs are planted in functions written with def, not in {backward!r}")
    if not _passes(test):
        raise ConfigError("the test fails before any bug is planted: it can catch none")
    tree = function_tree(function)
    before, start = _statements(tree), function.__code__.co_firstlineno
    file = inspect.getsourcefile(function) or "<unknown>"
    seen, planted, survivors = {ast.unparse(tree)}, 0, []
    for operator, what in mutate(tree):
        text = ast.unparse(tree)
        if text in seen:
            continue
        seen.add(text)
        planted += 1
        with swapped_code(function, compiled(tree, function)):
            caught = not _passes(test)
        if not caught:
            line = start - 1 + _changed(before, _statements(tree))
            survivors.append(f"{file.rpartition('/')[2]}:{line}: {operator}: {what}")
    return Detection(function.__qualname__, planted, tuple(survivors))


def _passes(test: Callable[[], object]) -> bool:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            test()
        except Exception:
            return False
    return True


def _statements(tree: ast.FunctionDef) -> list[tuple[str, int]]:
    """The source of every statement with its line, outer ones first."""
    found = [node for node in ast.walk(copy.deepcopy(tree)) if isinstance(node, ast.stmt)]
    return [(ast.unparse(node), getattr(node, "lineno", 1)) for node in found[1:]]


def _changed(before: list[tuple[str, int]], after: list[tuple[str, int]]) -> int:
    """The line of the innermost statement that is not as it was."""
    kept = [text for text, _ in after]
    lines = [line for text, line in before if text not in kept]
    return max(lines, default=1)
