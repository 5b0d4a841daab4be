"""Operators for programs around the gradients: loops, conditions, and arguments on their way."""

import ast
import copy
from collections.abc import Iterator

IGNORED = "an argument ignored"

# Keywords that change no value: they make a mistake elsewhere an error, or keep one silent.
GUARDS = ("strict", "casting", "under", "invalid", "divide", "over", "all")


def of_programs(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The mutants of one node, each with the operator's name."""
    if isinstance(node, ast.For):
        yield (
            "one round only",
            ast.For(node.target, node.iter, [*node.body, ast.Break()], node.orelse, lineno=0),
        )
    elif isinstance(node, ast.IfExp):
        yield "a condition", node.body
        yield "a condition", node.orelse
    elif isinstance(node, ast.BoolOp):
        for k in range(len(node.values)):
            rest = [v for i, v in enumerate(node.values) if i != k]
            yield "a condition", rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "a condition", node.operand
    elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.In):
        opposite = {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn}[type(node.ops[0])]
        yield "a condition", ast.Compare(node.left, [opposite(), *node.ops[1:]], node.comparators)
    elif isinstance(node, ast.Call):
        yield from _arguments(node)
    elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.SetComp):
        for k, loop in enumerate(node.generators):
            if loop.ifs:
                mutant = copy.deepcopy(node)
                mutant.generators[k].ifs = []
                yield "a condition", mutant


def _arguments(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    """An argument that is not passed on, and a number that is always zero."""
    for k, argument in enumerate(node.args):
        if isinstance(argument, ast.Name | ast.Attribute) and not _is_handle(argument):
            mutant = copy.copy(node)
            mutant.args = [*node.args[:k], ast.Constant(0), *node.args[k + 1 :]]
            yield IGNORED, mutant
    for k, keyword in enumerate(node.keywords):
        if keyword.arg in GUARDS:
            continue
        mutant = copy.copy(node)
        mutant.keywords = [*node.keywords[:k], *node.keywords[k + 1 :]]
        yield IGNORED, mutant


def _is_handle(node: ast.Name | ast.Attribute) -> bool:
    """What cannot be zero without an error at once: an object with methods."""
    return isinstance(node, ast.Name) and node.id in ("self", "bk", "model", "vae", "workspace")
