"""Real numbers on the way along a direction: a complex step that knows the rules of real functions.

A complex step (E28) evaluates f at x + ihv and reads the derivative off the imaginary part. NumPy
takes x + ihv for a complex number, so that ``abs``, ``sign``, ``conj``, a norm or a standard
deviation lose the derivative or give another one, and nothing says so. :class:`Dual` is an array
that takes it for what it is, the real number x with a direction v: each of those functions follows
its rule for real numbers, comparisons see x alone, and what has no rule is refused by name. Its
:class:`Watch` remembers what was met on the way, and decides which branch is taken at a tie, where
a function has a kink.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from scratchvae.gradcheck.dual_rules import FUNCTIONS, PARTIALS, REFUSED, Axis, Refused, partial_of
from scratchvae.types import Function

TINY = 2.0**-60  # an imaginary part beyond this is no direction: the code computes with i

Rule = Callable[..., ArrayLike]  # (watch, *arguments of a ufunc) -> its value

TIES = ("plain", "along", "first", "second", "first of two", "second of two")


@dataclass
class Watch:
    """What an evaluation met. ``ties``: which branch where two numbers that decide are equal.

    ``plain`` is what the code does with real numbers; ``along`` follows the direction, as a
    one-sided derivative does; ``first`` and ``second`` let the first or second operand win, or the
    first or last of many; ``first of two`` and ``second of two`` of many the other one.
    """

    ties: str = "plain"
    met: dict[str, None] = field(default_factory=dict)  # what a plain complex step gets wrong
    tied: int = 0  # equal numbers at which a branch was chosen
    branches: bool = False  # anything that can have a kink: comparisons, abs, maximum
    single: bool = False  # numbers were rounded to float32 or less


class Dual(np.ndarray):
    """x + ihv, complex128 or complex64, under the rules of real functions."""

    watch: Watch | None

    def __array_finalize__(self, source: object) -> None:
        self.watch = getattr(source, "watch", None)

    # Operations ----------------------------------------------------------------------------------

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: ArrayLike,
        out: tuple[NDArray, ...] | None = None, **how: Any,
    ) -> object:  # fmt: skip
        watch = _watch_of(inputs)
        bare = tuple(_bare(a) for a in inputs)
        targets = None if out is None else tuple(_bare(a) for a in out)
        if method == "reduce" and ufunc.__name__ in EXTREMA:
            return _store(_reduced(watch, ufunc, bare[0], **how), targets, True, watch)
        if method == "__call__" and ufunc.__name__ in RULES:
            where = how.pop("where", True)
            return _store(RULES[ufunc.__name__](watch, *bare), targets, where, watch)
        if method == "__call__" and ufunc.__name__ in PARTIALS:
            where = how.pop("where", True)
            watch.met[ufunc.__name__] = None
            return _store(partial_of(ufunc, bare), targets, where, watch)
        if not any("D" in kind for kind in ufunc.types):
            raise Refused(ufunc.__name__)
        if targets is not None:
            how["out"] = targets
        result = getattr(ufunc, method)(*bare, **how)
        return wrap(result, watch) if out is None else out[0]

    def __array_function__(
        self, func: Function, types: Iterable[type], args: Iterable[object],
        kwargs: Mapping[str, object],
    ) -> object:  # fmt: skip
        watch = self.watch or Watch()
        name = f"{func.__module__}.{func.__name__}".replace("numpy.linalg", "linalg")
        if func.__module__ == "numpy.fft" or name in REFUSED:
            raise Refused(name)
        if name in FUNCTIONS:
            watch.met[func.__name__] = None
            return wrap(FUNCTIONS[name](*args, **kwargs), watch)
        result = super().__array_function__(func, types, args, kwargs)
        return wrap(result, watch)

    # What a real number would answer -------------------------------------------------------------

    @property  # type: ignore[misc]
    def real(self) -> "Dual":  # type: ignore[override]
        """A real number's real part is itself."""
        return self

    @property  # type: ignore[misc]
    def imag(self) -> NDArray:
        """A real number has no imaginary part."""
        return np.zeros(self.shape)

    def conj(self) -> "Dual":
        """A real number's conjugate is itself."""
        return self

    conjugate = conj

    def astype(self, dtype: DTypeLike | None, *args: Any, **how: Any) -> Any:
        kind = np.dtype(dtype)
        if kind.kind not in "fc":
            return _bare(self).real.astype(dtype, *args, **how)
        if kind.itemsize // (2 if kind.kind == "c" else 1) >= 8:
            return self.copy()
        (self.watch or Watch()).single = True
        return wrap(_bare(self).astype(np.complex64), self.watch)

    def var(  # type: ignore[override]
        self, axis: Axis = None, dtype: object = None, out: object = None, ddof: float = 0,
        keepdims: bool = False, *, where: object = True, mean: object = None,
        correction: object = None,
    ) -> NDArray:  # fmt: skip
        """The mean of (x − mean x)²; NumPy takes |x − mean x|² of complex numbers."""
        if where is not True or out is not None:
            raise Refused("var with where or out")
        ddof = correction if isinstance(correction, int | float) else ddof
        count = self.size / max(1, np.sum(_bare(self), axis=axis).size)
        apart = self - self.mean(axis=axis, keepdims=True)
        return (apart * apart).sum(axis=axis, keepdims=bool(keepdims)) / (count - ddof)

    def std(self, *args: Any, **how: Any) -> Any:
        """The root of :meth:`var`."""
        return np.sqrt(self.var(*args, **how))

    def round(self, decimals: SupportsIndex = 0, out: NDArray | None = None) -> Any:
        """Rounded numbers do not move with x (and NumPy would ask for parts that never end)."""
        return np.round(_bare(self).real, decimals, out)

    def __getitem__(self, key: object) -> Any:
        return wrap(super().__getitem__(_index(key)), self.watch)

    def __setitem__(self, key: object, value: object) -> None:
        super().__setitem__(_index(key), _bare(value))

    def __iter__(self) -> Iterator[NDArray]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(_bare(self).real != 0)

    def __float__(self) -> NoReturn:
        raise Refused("float()")

    def __int__(self) -> int:
        return int(_bare(self).real)

    def __complex__(self) -> NoReturn:
        raise Refused("complex()")

    def item(self, *args: object) -> NoReturn:
        raise Refused(".item()")

    def tolist(self) -> NoReturn:
        raise Refused(".tolist()")


def dual(x: NDArray, watch: Watch) -> Dual:
    """A complex array as real numbers with a direction."""
    found = np.asarray(x, dtype=np.complex128).view(Dual)
    found.watch = watch
    return found


def wrap(result: object, watch: Watch | None) -> Any:
    """Complex results as :class:`Dual`, inside tuples and lists too; others as they are."""
    if isinstance(result, tuple) and type(result) is not tuple and hasattr(result, "_fields"):
        return type(result)(*(wrap(r, watch) for r in result))
    if isinstance(result, tuple | list):
        return type(result)(wrap(r, watch) for r in result)
    if isinstance(result, np.ndarray | np.generic) and result.dtype.kind == "c":
        found = np.asarray(result).view(Dual)
        found.watch = watch
        return found
    return result


def direction_of(y: object) -> NDArray:
    """The imaginary part of a result; ``Refused`` where the code has computed with i."""
    bare = np.asarray(_bare(y))
    if bare.dtype.kind != "c":
        return np.zeros(bare.shape)
    if np.any(np.abs(bare.imag) > TINY * (1 + np.abs(bare.real))):
        raise Refused("complex numbers of its own")
    return np.asarray(bare.imag)


def _bare(a: object) -> Any:
    """The array beneath; complex constants with a real imaginary part are refused."""
    if isinstance(a, Dual):
        return a.view(np.ndarray)
    if isinstance(a, complex) and a.imag != 0:
        raise Refused("complex numbers of its own")
    if not isinstance(a, np.ndarray | np.generic) or a.dtype.kind != "c" or not a.size:
        return a
    if np.max(np.abs(a.imag)) > TINY * (1 + np.max(np.abs(a.real))):
        raise Refused("complex numbers of its own")
    return a


def _index(key: object) -> Any:
    if isinstance(key, tuple):
        return tuple(_index(k) for k in key)
    return _bare(key).real.astype(int) if isinstance(key, Dual) else key


def _watch_of(inputs: Iterable[object]) -> Watch:
    found = (a.watch for a in inputs if isinstance(a, Dual) and a.watch is not None)
    return next(found, Watch())


def _store(
    result: ArrayLike, targets: tuple[NDArray, ...] | None, where: object, watch: Watch
) -> object:
    """A result, or its copy in ``out``, where NumPy puts results of its own."""
    if targets is None:
        if where is not True:
            raise Refused("where without out")
        return wrap(result, watch)
    np.copyto(targets[0], result, where=np.asarray(where), casting="same_kind")
    return wrap(targets[0], watch)


# Branches ----------------------------------------------------------------------------------------


def parts(a: ArrayLike) -> tuple[NDArray, NDArray]:
    """The numbers and their direction."""
    return np.real(a), np.imag(a)


def _first_wins(watch: Watch, a: ArrayLike, b: ArrayLike, strict: bool) -> NDArray:
    """Where a counts as the greater of two numbers; ``strict`` decides ties of the plain code."""
    (x, u), (y, v) = parts(a), parts(b)
    tie = np.equal(x, y)
    watch.tied += int(np.count_nonzero(tie & (np.not_equal(u, v))))
    watch.branches = True
    branches: dict[str, ArrayLike] = {
        "plain": not strict,
        "along": (u > v) if strict else (u >= v),
        "first": np.where(u == v, not strict, True),
        "second": np.where(u == v, not strict, False),
    }
    at_tie = branches[watch.ties.removesuffix(" of two")]
    return np.greater(x, y) | (tie & at_tie)


def _maximum(watch: Watch, a: ArrayLike, b: ArrayLike) -> NDArray:
    return np.where(_first_wins(watch, a, b, strict=False), a, b)


def _minimum(watch: Watch, a: ArrayLike, b: ArrayLike) -> NDArray:
    return np.where(_first_wins(watch, a, b, strict=False), b, a)


def _clip(watch: Watch, a: ArrayLike, low: ArrayLike | None, high: ArrayLike | None) -> ArrayLike:
    above = a if low is None else _maximum(watch, a, low)
    return above if high is None else _minimum(watch, above, high)


def _absolute(watch: Watch, a: ArrayLike) -> NDArray:
    watch.met["abs"] = None
    watch.branches = True
    x, u = parts(a)
    at_zero = x == 0
    watch.tied += int(np.count_nonzero(at_zero & (u != 0)))
    slopes = {"plain": 0.0 * u, "along": np.abs(u), "first": u, "second": -u}
    tie = slopes[watch.ties.removesuffix(" of two")]
    return np.abs(x) + 1j * np.where(at_zero, tie, np.sign(x) * u)


def _equal(watch: Watch, a: ArrayLike, b: ArrayLike) -> NDArray:
    return np.equal(np.real(a), np.real(b))


def _on_reals(function: Function) -> Rule:
    """A function of the numbers alone, whose result has no direction."""

    def rule(watch: Watch, *args: ArrayLike) -> NDArray:
        watch.branches = True
        return np.asarray(function(*(np.real(a) for a in args)))

    return rule


RULES: dict[str, Rule] = {
    "absolute": _absolute,
    "fabs": _absolute,
    "conjugate": lambda watch, a: a,
    "maximum": _maximum,
    "fmax": _maximum,
    "minimum": _minimum,
    "fmin": _minimum,
    "clip": _clip,
    "greater": lambda w, a, b: _first_wins(w, a, b, strict=True),
    "greater_equal": lambda w, a, b: _first_wins(w, a, b, strict=False),
    "less": lambda w, a, b: ~_first_wins(w, a, b, strict=False),
    "less_equal": lambda w, a, b: ~_first_wins(w, a, b, strict=True),
    "equal": _equal,
    "not_equal": lambda w, a, b: ~_equal(w, a, b),
    **{
        f.__name__: _on_reals(f)
        for f in (np.isnan, np.isfinite, np.isinf, np.signbit, np.logical_not, np.logical_and,
                  np.logical_or, np.logical_xor)
    },
}  # fmt: skip

EXTREMA = {"maximum": 1.0, "fmax": 1.0, "minimum": -1.0, "fmin": -1.0}


def _reduced(
    watch: Watch, ufunc: np.ufunc, a: NDArray, axis: Axis = 0, initial: object = None,
    keepdims: bool = False, **others: object,
) -> NDArray:  # fmt: skip
    """``ufunc.reduce`` of max or min."""
    if others.pop("where", True) is not True or others.pop("dtype", None) is not None:
        raise Refused(f"{ufunc.__name__}.reduce with where or dtype")
    found = _extremum(watch, EXTREMA[ufunc.__name__], a, axis, keepdims)
    if initial is None or initial is np._NoValue:
        return found
    return np.asarray(RULES[ufunc.__name__](watch, found, initial))


def _extremum(watch: Watch, sign: float, a: NDArray, axis: Axis, keepdims: bool) -> NDArray:
    """max or, with ``sign`` −1, min over axes: the winner's number and direction."""
    watch.branches = True
    axes = tuple(range(a.ndim)) if axis is None else np.atleast_1d(axis) % max(a.ndim, 1)
    axes = tuple(int(i) for i in axes)
    kept = [i for i in range(a.ndim) if i not in axes]
    flat = a.transpose(*kept, *axes).reshape(*(a.shape[i] for i in kept), -1)
    x, u = sign * flat.real, sign * flat.imag
    best = x == x.max(axis=-1, keepdims=True)
    watch.tied += int(np.sum(np.count_nonzero(best, axis=-1) > 1))
    if watch.ties == "along":
        at = np.argmax(np.where(best, u, -np.inf), axis=-1)
    elif watch.ties in ("second", "first of two"):
        at = best.shape[-1] - 1 - np.argmax(best[..., ::-1], axis=-1)
    else:
        at = np.argmax(best, axis=-1)
    found = np.take_along_axis(flat, at[..., None], axis=-1)[..., 0]
    if keepdims:
        found = np.expand_dims(found, axes)
    return np.asarray(found)
