"""A function with a hand-written gradient, right or wrong on purpose, and where it comes from."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Case(NamedTuple):
    """``f(*arguments)`` and ``vjp(*arguments, dy)``, at a point that a user might choose."""

    name: str
    f: Callable[..., Any]
    vjp: Callable[..., Any]
    arguments: tuple[Any, ...]
    source: str  # the address of the report, or why others have trouble with it


def normal(*shape: int, seed: int = 0) -> NDArray[np.float64]:
    """Seeded normal numbers."""
    return np.random.default_rng(seed).normal(size=shape)


def softmax(a: NDArray) -> NDArray:
    """Along the last axis."""
    e = np.exp(a - np.max(a, axis=-1, keepdims=True))
    return np.asarray(e / np.sum(e, axis=-1, keepdims=True))
