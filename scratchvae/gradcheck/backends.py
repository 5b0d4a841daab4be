"""Backends for checking: one that computes by the plain equations, and one that adds up magnitudes.

The magnitude of a gradient is the scale s of its error, from the same code that computes the
gradient. Arrays there are pairs: a value, and the sum that gave it with every term made positive.
Adding and subtracting add the magnitudes, products multiply them, and a function such as exp starts
afresh at |exp x|. Run a layer on this backend and each gradient comes with its s (E27).
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from scratchvae.backend import Array, Backend
from scratchvae.backend.base import ArrayModule
from scratchvae.backend.cpu import NumpyBackend


class PlainBackend(Backend):
    """NumPy arrays under the base class's own operations, and no faster form of any equation.

    Its memory starts as NaN, too.
    """

    name = "plain"

    def __init__(self, xp: ArrayModule = np, dtype: DTypeLike = "float64") -> None:
        super().__init__(xp, dtype)

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Array:
        return poisoned(super().empty(shape, dtype))

    def load(self, host: ArrayLike, out: Array) -> None:
        np.copyto(out, host, casting="same_kind")

    def to_host(self, a: Array) -> NDArray:
        return np.array(a)


class NaNBackend(NumpyBackend):
    """The CPU backend, except that memory starts as NaN, so that reading it unwritten shows."""

    name = "nan"

    def __init__(self, xp: ArrayModule = np, dtype: DTypeLike = "float64") -> None:
        super().__init__(xp, dtype)

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Array:
        return poisoned(super().empty(shape, dtype))


def poisoned(memory: NDArray) -> NDArray:
    """The same memory, filled with values that no computation survives."""
    memory.fill(np.nan if memory.dtype.kind in "fc" else 0x5A)
    return memory


class Pair:
    """An array with the magnitude of every element; views are views of both."""

    __slots__ = ("m", "v")
    __array_ufunc__ = None  # NumPy's operators give up on it: ours answer instead

    def __init__(self, v: NDArray, m: NDArray) -> None:
        self.v, self.m = v, m

    shape = property(lambda self: self.v.shape)
    dtype = property(lambda self: self.v.dtype)
    ndim = property(lambda self: self.v.ndim)
    size = property(lambda self: self.v.size)
    T = property(lambda self: Pair(self.v.T, self.m.T))
    real = property(lambda self: self)

    def __len__(self) -> int:
        return len(self.v)

    def reshape(self, *shape: int) -> "Pair":
        return Pair(self.v.reshape(*shape), self.m.reshape(*shape))

    def fill(self, value: float) -> None:
        self.v.fill(value)
        self.m.fill(abs(value))

    def __getitem__(self, key: Any) -> "Pair":
        return Pair(self.v[key], self.m[key])

    def __setitem__(self, key: Any, value: object) -> None:
        source = pair(value)
        self.v[key], self.m[key] = source.v, source.m


def pair(value: object) -> Pair:
    """Numbers and host arrays with themselves as magnitude; pairs as they are."""
    if isinstance(value, Pair):
        return value
    v = np.asarray(value, dtype=np.float64)
    return Pair(v, np.abs(v))


def _sum(a: Pair, b: Pair, sign: float) -> Pair:
    return Pair(a.v + sign * b.v, a.m + b.m)


RULES: dict[str, Callable[..., Pair]] = {
    "add": lambda a, b: _sum(pair(a), pair(b), 1.0),
    "subtract": lambda a, b: _sum(pair(a), pair(b), -1.0),
    "multiply": lambda a, b: Pair(pair(a).v * pair(b).v, pair(a).m * pair(b).m),
    "divide": lambda a, b: Pair(pair(a).v / pair(b).v, pair(a).m / np.abs(pair(b).v)),
    "matmul": lambda a, b: Pair(pair(a).v @ pair(b).v, pair(a).m @ pair(b).m),
    "negative": lambda a: Pair(-pair(a).v, pair(a).m),
    "sum": lambda a, **how: Pair(np.sum(a.v, **how), np.sum(a.m, **how)),
    "where": lambda c, a, b: Pair(
        np.where(c, pair(a).v, pair(b).v), np.where(c, pair(a).m, pair(b).m)
    ),
}


def _operators() -> None:
    """a + b, b + a, a += b, −a and a < b for pairs."""

    def install(name: str, rule: Callable[..., Pair]) -> None:
        def in_place(self: Pair, other: object) -> Pair:
            self[...] = rule(self, other)
            return self

        setattr(Pair, f"__{name}__", lambda self, other: rule(self, other))
        setattr(Pair, f"__r{name}__", lambda self, other: rule(other, self))
        setattr(Pair, f"__i{name}__", in_place)

    for name, rule in (
        ("add", "add"), ("sub", "subtract"), ("mul", "multiply"),
        ("truediv", "divide"), ("matmul", "matmul"),
    ):  # fmt: skip
        install(name, RULES[rule])
    setattr(Pair, "__neg__", RULES["negative"])  # noqa: B010
    for name in ("lt", "le", "gt", "ge"):
        compare = getattr(operator, name)
        setattr(Pair, f"__{name}__", lambda a, b, c=compare: c(a.v, pair(b).v))


_operators()


class Namespace:
    """NumPy's functions on pairs; ``out`` takes the result as NumPy's would."""

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        if not callable(function) or isinstance(function, type):
            return function
        rule = RULES.get(name)

        def on_pairs(*args: object, out: Pair | None = None, **how: Any) -> object:
            if rule is not None:
                result = rule(*args, **how)
            else:  # a function of values: what it was made of no longer matters
                value = np.asarray(function(*(pair(a).v for a in args), **how))
                result = Pair(value, np.abs(value))
            if out is None:
                return result
            out[...] = result
            return out

        setattr(self, name, on_pairs)
        return on_pairs


class MagnitudeBackend(Backend):
    """Float64 on the plain operations, with every array a :class:`Pair`."""

    name = "magnitude"

    def __init__(self) -> None:
        super().__init__(Namespace(), "float64")

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Pair:
        return Pair(np.empty(shape), np.empty(shape))

    def load(self, host: ArrayLike, out: Pair) -> None:
        out[...] = host

    def to_host(self, a: Pair) -> NDArray:
        return a.v.copy()

    def magnitude(self, a: Pair) -> NDArray:
        """The sum of the absolute values of the terms of each element."""
        return a.m.copy()
