"""The fixed list of operators: each rewrites the syntax tree of a function in one place.

A gradient gets every mutant of the operators for formulas. A program around the gradients (an
evaluation, a sampler, a schedule) is longer and mostly bookkeeping: it gets the operators for
programs as well, and of each operator one mutant at each place, which a committed seed draws; of
a call, every argument is ignored once.
"""

import ast
import copy
import random
from collections.abc import Iterator
from typing import Any, TypeVar

SEED = 20140501  # committed: it chooses which names and attributes are confused with which
CHOICES = 5  # how many wrong names are tried at each place

ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)
NUMERIC = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
FUNCTIONS = {
    "multiply": ("add", "subtract", "divide"),
    "subtract": ("add", "multiply"),
    "add": ("subtract", "multiply"),
    "divide": ("multiply", "subtract"),
    "sum": ("mean", "max"),
    "tanh": ("sin", "exp"),
    "exp": ("expm1", "tanh"),
    "sqrt": ("square", "exp"),
    "sign": ("negative", "square"),
    "sum_rows": (),
    "where": (),
}
ORDERED = ("subtract", "divide", "gemm", "matmul")  # swapping their arguments matters
FACTORS = (2.0, 0.5, -1.0, 0.0, 1.0005, 1.000001)
IGNORED = "an argument ignored"
# Keywords that change no value: they make a mistake elsewhere an error, or keep one silent.
GUARDS = ("strict", "casting", "under", "invalid", "divide", "over", "all")
Edit = tuple[str, str]  # the operator, and what it did
Target = ast.Name | ast.Attribute | ast.Subscript  # what a statement writes
Changes = TypeVar("Changes", bound=tuple)  # the operator's name comes first


def mutate(tree: ast.FunctionDef, program: bool = False) -> Iterator[Edit]:
    """The mutants of a function in a fixed order: the tree is changed while each is looked at.

    Every mutant of a formula; with ``program``, one of each kind at each place (see above).
    """
    names = _array_names(tree)
    places = [place for statement in tree.body for place in _places(statement)]
    places += [(tree.body, k, statement) for k, statement in enumerate(tree.body)]
    for i, (holder, key, node) in enumerate(places):
        replacements = list(_replacements(node, names, i))
        if program:
            replacements = _one_of_each(replacements + list(_of_programs(node)), ast.unparse(node))
        for operator, replacement in replacements:
            what = _described(node, replacement)
            holder[key] = replacement
            yield operator, what
            holder[key] = node
    for body in _bodies(tree):
        original = list(body)
        for statement in range(len(original)):
            changes = list(_statements(original, statement))
            if program:
                changes = _one_of_each(changes, ast.unparse(original[statement]))
            for operator, what, changed in changes:
                body[:] = changed
                yield operator, what
                body[:] = original


def _one_of_each(changes: list[Changes], place: str) -> list[Changes]:
    """Of the changes by the same operator, one: which, the source text of the place decides.

    Arguments that are ignored are all kept: they are different bugs.
    """
    by_operator: dict[str, list[Changes]] = {}
    for change in changes:
        by_operator.setdefault(change[0], []).append(change)
    ignored = by_operator.pop(IGNORED, [])
    return ignored + [
        random.Random(f"{SEED} {operator} {place}").choice(several)
        for operator, several in by_operator.items()
    ]


def _places(node: ast.AST) -> Iterator[tuple[Any, Any, ast.AST]]:
    """Every node below this one, and where it is held: (container, key, node).

    Not inside an identity test: ``if dx is not dy`` saves a copy, it does not decide a value. Not
    inside the text of an error or of a formatted string: what people read is no number.
    """
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Assert):
        return
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Is | ast.IsNot):
        return
    for field, value in ast.iter_fields(node):
        if isinstance(value, ast.AST):
            yield vars(node), field, value
            yield from _places(value)
        elif isinstance(value, list):
            for k, item in enumerate(value):
                if isinstance(item, ast.AST):
                    yield value, k, item
                    yield from _places(item)


def _replacements(node: ast.AST, names: list[str], i: int) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.BinOp):
        yield from _arithmetic(node)
    elif isinstance(node, ast.AugAssign):
        yield from _arithmetic(node)
        whole = ast.Subscript(_load(node.target), ast.Constant(...), ast.Store())
        yield "assigned, not accumulated", ast.Assign([whole], node.value, lineno=0)
    elif (
        isinstance(node, ast.Constant)
        and isinstance(node.value, int | float)
        and not isinstance(node.value, bool)
    ):
        for value in dict.fromkeys(_constants(node.value)):
            yield "a constant", ast.Constant(value)
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        yield from _attributes(node)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
        others = [n for n in names if n != node.id]
        random.Random(f"{SEED} {i} {node.id}").shuffle(others)
        for other in others[:CHOICES]:
            yield "a wrong name", ast.Name(other, node.ctx)
    elif isinstance(node, ast.Slice):
        yield from _slices(node)
    elif isinstance(node, ast.Compare) and isinstance(node.ops[0], NUMERIC):
        for op in (ast.Lt, ast.LtE, ast.Gt, ast.GtE):
            text = isinstance(node.comparators[0], ast.Constant | ast.Tuple) and not isinstance(
                getattr(node.comparators[0], "value", None), int | float
            )
            if not isinstance(node.ops[0], op) and not text:
                ops = [op(), *node.ops[1:]]
                yield "a comparison", ast.Compare(node.left, ops, node.comparators)
    elif isinstance(node, ast.If):
        yield "a condition", ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)


def _arithmetic(node: ast.BinOp | ast.AugAssign) -> Iterator[tuple[str, ast.AST]]:
    for op in ARITHMETIC:
        if isinstance(node.op, ARITHMETIC) and not isinstance(node.op, op):
            mutant = copy.copy(node)
            mutant.op = op()
            yield "arithmetic", mutant
    if isinstance(node, ast.BinOp):
        yield "a dropped term", node.left
        yield "a dropped term", node.right
        if isinstance(node.op, ast.Sub | ast.Div):
            yield "swapped operands", ast.BinOp(node.right, node.op, node.left)


def _constants(c: float) -> Iterator[float]:
    yield from (c + 1, 2 * c, -c, 0 * c, c + 1e-4) if isinstance(c, float) else (c + 1, -c, 0)
    if isinstance(c, float):
        yield 0.5 * c


def _calls(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    if not isinstance(node.func, ast.Attribute):
        return
    name = node.func.attr
    if len(node.args) >= 2:
        if name in ORDERED:
            mutant = copy.deepcopy(node)
            mutant.args[:2] = mutant.args[1::-1]
            yield "swapped operands", mutant
        for k in (0, 1):
            if name in FUNCTIONS or name == "gemm":
                mutant = copy.deepcopy(node)
                mutant.args[k] = ast.UnaryOp(ast.USub(), mutant.args[k])
                yield "a sign", mutant
            if name == "gemm" and not _transposed(node.args[k]):
                mutant = copy.deepcopy(node)
                mutant.args[k] = ast.Attribute(mutant.args[k], "T", ast.Load())
                yield "a transpose", mutant
    for other in FUNCTIONS.get(name, ()):
        mutant = copy.deepcopy(node)
        mutant.func = ast.Attribute(node.func.value, other, ast.Load())
        yield "a sum for a mean" if name == "sum" else "a function", mutant


def _transposed(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "T"


RELATED = (
    ("W", "b"),
    ("x", "y", "dy", "dx", "tmp"),
    ("z", "eps", "dz", "dz_tmp"),
    ("head", "dhead"),
    ("std", "kl", "kl_tmp"),
    ("logits", "dlogits"),
    ("beta", "samples"),
    ("beta1", "beta2", "lr", "eps"),
    ("p", "g", "m", "v"),
    ("m", "v"),
)


def _attributes(node: ast.Attribute) -> Iterator[tuple[str, ast.AST]]:
    if node.attr == "T":
        yield "a transpose", node.value
        return
    if node.attr == "real":
        return
    others = [o for group in RELATED if node.attr in group for o in group if o != node.attr]
    for other in dict.fromkeys(others):
        yield "a wrong name", ast.Attribute(node.value, other, ast.Load())


def _slices(node: ast.Slice) -> Iterator[tuple[str, ast.AST]]:
    if node.lower is None and node.upper is None:
        yield "an index", ast.Slice(ast.Constant(1), None)
        return
    yield "an index", ast.Slice(node.upper, node.lower)
    bound = node.lower or node.upper
    if bound is not None:
        less = ast.BinOp(bound, ast.Sub(), ast.Constant(1))
        yield "an index", ast.Slice(node.lower and less, node.upper and less)


def _of_programs(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The mutants that only a program gets: of loops, conditions, and arguments on their way."""
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


def _statements(body: list[ast.stmt], i: int) -> Iterator[tuple[str, str, list[ast.stmt]]]:
    """Mutants of statement i of a block: dropped, repeated, scaled, exchanged with the next."""
    statement = body[i]
    if not isinstance(statement, ast.Expr | ast.AugAssign | ast.Assign | ast.If | ast.For):
        return
    text = ast.unparse(statement).splitlines()[0]
    before, after = body[:i], body[i + 1 :]
    yield "a dropped statement", text, [*before, ast.Pass(), *after]
    if isinstance(statement, ast.AugAssign):
        yield "done twice", text, [*before, statement, statement, *after]
    if after and _depends(statement, after[0]):
        yield "in the wrong order", text, [*before, after[0], statement, *after[1:]]
    target = _written(statement)
    if not isinstance(target, Target):
        return
    for c in FACTORS:
        scaled = ast.AugAssign(_store(target), ast.Mult(), ast.Constant(c))
        what = f"{text}; {ast.unparse(target)} *= {c}"
        yield "a factor", what, [*before, statement, scaled, *after]


def _bodies(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    """Every block of statements."""
    for node in ast.walk(tree):
        for block in ("body", "orelse"):
            body = getattr(node, block, None)
            if isinstance(body, list) and body:
                yield body


def _written(statement: ast.stmt) -> ast.expr | None:
    """The array that a statement leaves its result in."""
    if isinstance(statement, ast.AugAssign):
        return _load(statement.target)
    if isinstance(statement, ast.Assign):
        target = statement.targets[0]
        return _load(target) if isinstance(target, ast.Subscript) else None
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        call = statement.value
        for keyword in call.keywords:
            if keyword.arg == "out":
                return keyword.value
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("gemm", "sum_rows"):
            return call.args[-1]
    return None


def _depends(first: ast.stmt, second: ast.stmt) -> bool:
    """Whether the second statement mentions what the first one writes, and they don't commute."""
    target = _written(first)
    if isinstance(first, ast.AugAssign) and isinstance(second, ast.AugAssign):
        same = ast.unparse(first.target) == ast.unparse(second.target)
        kinds = ((ast.Add, ast.Sub), (ast.Mult, ast.Div))
        if same and any(isinstance(first.op, k) and isinstance(second.op, k) for k in kinds):
            return False
    return target is not None and ast.unparse(target) in ast.unparse(second)


def _load(node: ast.expr) -> ast.expr:
    copied = copy.deepcopy(node)
    if hasattr(copied, "ctx"):
        copied.ctx = ast.Load()
    return copied


def _store(target: Target) -> Target:
    copied = copy.deepcopy(target)
    copied.ctx = ast.Store()
    return copied


def _array_names(tree: ast.FunctionDef) -> list[str]:
    """Parameters and local names that may be confused: everything but the handles."""
    handles = {"self", "bk", "p", "g", "work", "xp", "latent", "s", "r", "vae", "t", "scratch"}
    found = [a.arg for a in tree.args.args]
    found += [
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    ]
    return sorted({n for n in found if n not in handles and not n.startswith("_")})


def _described(node: ast.AST, replacement: ast.AST) -> str:
    before, after = ast.unparse(node), ast.unparse(ast.fix_missing_locations(replacement))
    return f"{before.splitlines()[0]} -> {after.splitlines()[0]}"
