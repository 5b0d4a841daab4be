"""Two backends to compare with: the plain verbs on NumPy, and NumPy on memory full of NaN."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from scratchvae.backend import Array, Backend
from scratchvae.backend.cpu import NumpyBackend


class PlainBackend(Backend):
    """NumPy arrays under the base class's own verbs: no in-place tricks, every equation whole.

    Its memory starts as NaN, too.
    """

    name = "plain"

    def __init__(self, xp: Any = np, dtype: DTypeLike = "float64") -> None:
        super().__init__(xp, dtype)

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Array:
        return poisoned(super().empty(shape, dtype))

    def load(self, host: ArrayLike, out: Array) -> None:
        np.copyto(out, host, casting="same_kind")

    def to_host(self, a: Array) -> NDArray:
        return np.array(a)


class NaNBackend(NumpyBackend):
    """The CPU backend, except that memory starts as NaN: who reads it unwritten is found out."""

    name = "nan"

    def __init__(self, xp: Any = np, dtype: DTypeLike = "float64") -> None:
        super().__init__(xp, dtype)

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Array:
        return poisoned(super().empty(shape, dtype))


def poisoned(memory: NDArray) -> NDArray:
    """The same memory, filled with what nobody can use."""
    memory.fill(np.nan if memory.dtype.kind in "fc" else 0x5A)
    return memory
