"""A function with a hand-written backward, of any origin, as a subject."""

import inspect
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scratchvae.backend import Backend
from scratchvae.gradcheck.report import UncheckableError
from scratchvae.gradcheck.subjects.base import Arrays, Subject
from scratchvae.types import Function

Function = Function


class FunctionSubject(Subject):
    """y = f(*arrays), and ``backward(*arrays, dy)``: one gradient for each array, in order.

    A single array's gradient may come bare; None stands for an array without a gradient, which
    then is not checked. For a scalar f, dy is the number 1.
    """

    def __init__(
        self,
        f: Function,
        backward: Function,
        arrays: Sequence[ArrayLike],
        name: str | None = None,
    ) -> None:
        self.f, self.backward = f, backward
        self.name = name or getattr(f, "__name__", None) or type(f).__name__
        self.args = dict(zip(_names(f, len(arrays)), map(_checked, arrays), strict=True))
        rows = {a.shape[0] for a in self.args.values() if a.ndim}
        self.sizes = {"the batch size": self._rows()} if rows else {}
        self.y_shape: tuple[int, ...] | None = None

    def _rows(self) -> int:
        return next(a.shape[0] for a in self.args.values() if a.ndim)

    def bind(self, bk: Backend) -> "BoundFunction":
        return BoundFunction(self, bk.dtype)

    def cotangent_shape(self) -> tuple[int, ...]:
        if self.y_shape is None:
            y = BoundFunction(self, np.dtype(np.float64)).value(self.args)
            self.y_shape = y.shape
        return self.y_shape

    def cotangent(self, seed: int = 0) -> NDArray:
        """Ones for a scalar, so that backward may ignore dy; random for an array."""
        return np.ones(()) if self.cotangent_shape() == () else super().cotangent(seed)


class BoundFunction:
    """A function in one dtype."""

    def __init__(self, subject: FunctionSubject, dtype: np.dtype) -> None:
        self.subject, self.dtype = subject, dtype

    def value(self, args: Mapping[str, NDArray]) -> NDArray:
        arrays = [np.array(a, dtype=self.dtype) for a in args.values()]
        with np.errstate(all="ignore"):
            y = np.asarray(self.subject.f(*arrays))
        self._unchanged(self.subject.name, args, arrays)
        return y

    def gradient(self, args: Mapping[str, NDArray], w: NDArray) -> Arrays:
        arrays = [np.array(a, dtype=self.dtype) for a in args.values()]
        dy = np.array(w, dtype=self.dtype)
        with np.errstate(all="ignore"):
            found = self.subject.backward(*arrays, dy if dy.ndim else dy.dtype.type(dy))
        self._unchanged(f"the backward of {self.subject.name}", args, arrays)
        several = isinstance(found, tuple | list)
        gradients = list(found) if several else [found]
        if len(gradients) != len(args):
            raise UncheckableError(
                f"the backward of {self.subject.name} returned {len(gradients)} gradients for "
                f"{len(args)} arrays: return one for each, None where there is none"
            )
        return {
            name: np.asarray(g) for name, g in zip(args, gradients, strict=True) if g is not None
        }

    def _unchanged(self, who: str, args: Mapping[str, NDArray], arrays: Sequence[NDArray]) -> None:
        for (name, given), a in zip(args.items(), arrays, strict=True):
            if not np.array_equal(a, given.astype(self.dtype)):
                raise UncheckableError(f"{who} overwrites its argument {name}: copy it first")


def _names(f: Function, count: int) -> list[str]:
    """The names of f's parameters where they can be known, else arg0, arg1, …"""
    try:
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        found = [p.name for p in inspect.signature(f).parameters.values() if p.kind in kinds]
    except (TypeError, ValueError):
        found = []
    return found[:count] if len(found) >= count else [f"arg{i}" for i in range(count)]


def _checked(array: ArrayLike) -> NDArray:
    a = np.asarray(array)
    if a.dtype.kind not in "fiu":
        raise UncheckableError(f"an argument of dtype {a.dtype} has no gradient: give real numbers")
    if a.size == 0:
        raise UncheckableError(f"an argument of shape {a.shape} is empty: nothing to check")
    if not np.all(np.isfinite(a)):
        raise UncheckableError("an argument holds NaN or infinity: check at finite numbers")
    return a.astype(np.float64)
