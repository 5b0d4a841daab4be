"""Mutants: named, compiled in memory, and put in place of the real code for a while."""

import ast
import copy
import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from types import CodeType

from scratchvae.errors import RunError
from scratchvae.selfcheck.mutation.operators import mutate
from scratchvae.selfcheck.mutation.targets import TARGETS, Target
from scratchvae.types import Function


@dataclass(frozen=True)
class Mutant:
    """One planted bug.

    Its name says what was changed in source code that :mod:`ast` wrote: line breaks, parentheses,
    quotes and comments of the file are not in it.
    """

    name: str  # "Tanh.grad_input: arithmetic: y * y -> y + y", with a number where it is ambiguous
    target: Target
    operator: str
    code: CodeType

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The bug in place, by whatever name the function is called; restored on the way out."""
        with swapped_code(self.target.function, self.code):
            yield


@contextmanager
def swapped_code(function: Function, code: CodeType) -> Iterator[None]:
    """Another body for a function object: every name it is known by sees the change."""
    real = function.__code__
    function.__code__ = code
    try:
        yield
    finally:
        function.__code__ = real


def all_mutants(targets: tuple[Target, ...] = TARGETS) -> list[Mutant]:
    """The mutants of every target, in a fixed order. Two that compile to the same are one."""
    return [
        Mutant(name, target, operator, code)
        for target in targets
        for name, operator, code in islice(
            mutants_of(target.function, f"plain {target.name}" if target.plain else target.name),
            0,
            None,
            target.every,
        )
    ]


def mutants_of(
    function: Function, label: str, program: bool = False
) -> Iterator[tuple[str, str, CodeType]]:
    """(name, operator, code) of every mutant of a function; ``program`` as in ``mutate``."""
    tree = function_tree(function)
    seen = {_fingerprint(compiled(tree, function))}
    names: dict[str, int] = {}
    for operator, what in mutate(tree, program):
        code = compiled(tree, function)
        if _fingerprint(code) in seen:
            continue
        seen.add(_fingerprint(code))
        name = f"{label}: {operator}: {what}"
        names[name] = names.get(name, 0) + 1
        yield name if names[name] == 1 else f"{name} (#{names[name]})", operator, code


def function_tree(function: Function) -> ast.FunctionDef:
    """The syntax tree of a function or method."""
    source = textwrap.dedent(inspect.getsource(function))
    tree = next(iter(ast.parse(source).body), None)
    if not isinstance(tree, ast.FunctionDef) or tree.name != function.__name__:
        raise RunError(
            f"the file of {function.__qualname__} has changed since it was imported: run again"
        )
    tree.returns, tree.decorator_list = None, []
    for a in (*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs):
        a.annotation = None
    if isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[0].value, ast.Constant):
        tree.body[0] = ast.Pass()  # the docstring
    return tree


def compiled(tree: ast.FunctionDef, function: Function) -> CodeType:
    """The code object of a mutated tree, fit to be put into ``function``."""
    free = function.__code__.co_freevars  # __class__, for super()
    # A mutant that has lost its super() is a closure as before: a branch not taken names it.
    named = [ast.parse(f"if False:\n    {name}").body[0] for name in free]
    inside = copy.copy(tree)
    inside.body = [*named, *tree.body]
    outer = ast.parse("def outer():\n    pass").body[0]
    assert isinstance(outer, ast.FunctionDef)
    outer.body = [ast.Global([function.__name__])]  # a call of itself finds the module's function
    outer.body += [ast.parse(f"{name} = None").body[0] for name in free]
    outer.body.append(inside)
    module = ast.fix_missing_locations(ast.Module([outer], []))
    code = compile(module, f"<planted in {function.__qualname__}>", "exec")
    return _child(_child(code, "outer"), function.__name__)


def _child(code: CodeType, name: str) -> CodeType:
    return next(c for c in code.co_consts if isinstance(c, CodeType) and c.co_name == name)


def _fingerprint(code: CodeType) -> tuple[object, ...]:
    constants = tuple(
        _fingerprint(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts
    )
    return code.co_code, constants, code.co_names, code.co_varnames
