"""Random functions whose right gradient comes from PyTorch's autograd, and slightly wrong ones.

An expression of up to five levels is drawn from what models are made of: NumPy evaluates it, and
PyTorch the same expression, to differentiate it. No case was chosen, and no checker has seen any.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.gradients.case import Case, softmax

WRONG_BY = 1e-3  # relative, one element that is not small
SCALES = (1.0, 1.0, 1.0, 0.1, 10.0, 1e-3, 100.0)  # of the arguments


class Operation(NamedTuple):
    """A function of one or two arrays (rows, columns), in NumPy and in PyTorch."""

    numpy: Callable[..., Any]
    torch: Callable[..., Any]  # torch, *tensors -> tensor


OF_ONE = (
    Operation(lambda a: np.exp(np.clip(a, -1, 1)), lambda t, a: t.exp(t.clip(a, -1, 1))),
    Operation(lambda a: np.log(np.abs(a) + 1e-3), lambda t, a: t.log(t.abs(a) + 1e-3)),
    Operation(np.sin, lambda t, a: t.sin(a)),
    Operation(np.tanh, lambda t, a: t.tanh(a)),
    Operation(np.abs, lambda t, a: t.abs(a)),
    Operation(lambda a: np.sqrt(a * a + 1e-6), lambda t, a: t.sqrt(a * a + 1e-6)),
    Operation(lambda a: np.log1p(a * a), lambda t, a: t.log1p(a * a)),
    Operation(lambda a: 1 / (1 + np.exp(-a)), lambda t, a: 1 / (1 + t.exp(-a))),
    Operation(lambda a: np.logaddexp(0 * a, a), lambda t, a: t.logaddexp(0 * a, a)),
    Operation(lambda a: np.maximum(a, 0 * a), lambda t, a: t.maximum(a, 0 * a)),
    Operation(lambda a: np.cumsum(a, axis=1), lambda t, a: t.cumsum(a, 1)),
    Operation(softmax, lambda t, a: t.softmax(a, 1)),
    Operation(lambda a: a - np.max(a, axis=1, keepdims=True), lambda t, a: a - t.amax(a, 1, True)),
    Operation(
        lambda a: (a - a.mean(0)) / np.sqrt(a.var(0) + 1e-5),
        lambda t, a: (a - a.mean(0)) / t.sqrt(a.var(0, correction=0) + 1e-5),
    ),
    Operation(
        lambda a: np.linalg.norm(a, axis=1, keepdims=True) + 0 * a,
        lambda t, a: t.linalg.norm(a, dim=1, keepdim=True) + 0 * a,
    ),
    Operation(
        lambda a: a @ np.linspace(-1, 1, 3 * a.shape[1]).reshape(-1, 3) @ np.eye(3, a.shape[1]),
        lambda t, a: (
            a
            @ t.linspace(-1, 1, 3 * a.shape[1], dtype=a.dtype).reshape(-1, 3)
            @ t.eye(3, a.shape[1], dtype=a.dtype)
        ),
    ),
)
OF_TWO = (
    Operation(lambda a, b: a + b, lambda t, a, b: a + b),
    Operation(lambda a, b: a * b, lambda t, a, b: a * b),
    Operation(lambda a, b: a / (b * b + 0.1), lambda t, a, b: a / (b * b + 0.1)),
    Operation(np.maximum, lambda t, a, b: t.maximum(a, b)),
    Operation(
        lambda a, b: np.where(a > b, a * b, b - a), lambda t, a, b: t.where(a > b, a * b, b - a)
    ),
    Operation(np.logaddexp, lambda t, a, b: t.logaddexp(a, b)),
)


class Expression(NamedTuple):
    """An operation on expressions; without one, the argument x or y itself."""

    operation: Operation | None
    parts: tuple[Any, ...]

    def numpy(self, x: NDArray, y: NDArray) -> NDArray:
        """Its value."""
        if self.operation is None:
            return x if self.parts == ("x",) else y
        return self.operation.numpy(*(p.numpy(x, y) for p in self.parts))

    def torch(self, torch: Any, x: Any, y: Any) -> Any:
        """Its value as a tensor."""
        if self.operation is None:
            return x if self.parts == ("x",) else y
        return self.operation.torch(torch, *(p.torch(torch, x, y) for p in self.parts))

    def vjp(self, x: NDArray, y: NDArray, dy: NDArray) -> tuple[NDArray, ...]:
        """The gradients with respect to x and y, by autograd."""
        import torch

        a, b = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (x, y))
        with torch.enable_grad():
            out, w = self.torch(torch, a, b), torch.as_tensor(np.array(dy))
            found = torch.autograd.grad(out, (a, b), w, allow_unused=True)
        return tuple(
            np.zeros(v.shape) if g is None else g.numpy()
            for v, g in zip((x, y), found, strict=True)
        )


def drawn(rng: np.random.Generator, depth: int) -> Expression:
    """A random expression."""
    if depth == 0 or rng.random() < 0.1:
        return Expression(None, ("x",) if rng.random() < 0.6 else ("y",))
    if rng.random() < 0.65:
        return Expression(OF_ONE[rng.integers(len(OF_ONE))], (drawn(rng, depth - 1),))
    parts = drawn(rng, depth - 1), drawn(rng, depth - 1)
    return Expression(OF_TWO[rng.integers(len(OF_TWO))], parts)


def cases(count: int, seed: int = 0) -> Iterator[tuple[Case, Case | None]]:
    """Random functions, each with its gradient by autograd, and with one element of it changed.

    There is no changed one where no element of the gradient is large enough to see it in. Where
    autograd meets an overflow and answers NaN, there is no right gradient and no case.
    """
    number, given = -1, 0
    while given < count:
        number += 1
        rng = np.random.default_rng([seed, number])
        expression, shape = drawn(rng, int(rng.integers(2, 6))), rng.integers(2, 6, 2)
        x, y = rng.normal(size=(2, *shape)) * rng.choice(SCALES)
        if rng.random() < 0.15:
            x = np.round(x)  # ties and zeros

        with np.errstate(all="ignore"):
            value = expression.numpy(x, y)
        right = Case(f"random {number}", expression.numpy, expression.vjp, (x, y), "autograd")
        if not all(np.all(np.isfinite(g)) for g in expression.vjp(x, y, np.ones(value.shape))):
            continue
        given += 1
        yield right, _changed(right, value, rng)


def _changed(case: Case, value: NDArray, rng: np.random.Generator) -> Case | None:
    """The same with one element wrong, of those that are not small beside the largest."""
    gradient = np.concatenate(
        [g.reshape(-1) for g in case.vjp(*case.arguments, np.ones(value.shape))]
    )
    large = np.flatnonzero(np.abs(gradient) > 1e-3 * np.max(np.abs(gradient)))
    if not large.size:
        return None
    chosen = int(rng.choice(large))

    def vjp(x: NDArray, y: NDArray, dy: NDArray) -> Any:
        found = [np.array(g) for g in case.vjp(x, y, dy)]
        which, at = divmod(chosen, x.size)
        found[which].reshape(-1)[at] *= 1 + WRONG_BY
        return tuple(found)

    return case._replace(name=f"{case.name}, changed", vjp=vjp)
