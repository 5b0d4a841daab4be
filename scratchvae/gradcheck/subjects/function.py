"""A function with a hand-written backward, of any origin, as a subject."""

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import Backend
from scratchvae.gradcheck.dual import Dual, Watch, direction_of, dual
from scratchvae.gradcheck.points import rays, rounding_along, typical_rounding
from scratchvae.gradcheck.report import BrokenContractError, UncheckableError
from scratchvae.gradcheck.subjects.base import Arrays, Subject
from scratchvae.gradcheck.trees import Leaf, Place, is_real, joined, leaves, rebuilt, words
from scratchvae.types import Function

COTANGENT = "the cotangent"  # no argument has this name
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Calls:
    """How a function and its backward are called.

    Both get the keyword arguments ``constants``. ``overwrites``: names of arguments, or "dy", that
    backward is declared to use as scratch. ``reseed()`` is called before each call of either, for a
    function that draws its own noise.
    """

    constants: Mapping[str, object] = field(default_factory=dict)
    overwrites: tuple[str, ...] = ()
    reseed: Function | None = None


class FunctionSubject(Subject):
    """y = f(*arguments, **constants), and ``backward(*arguments, dy, **constants)``.

    Arguments may be arrays, numbers, and tuples, lists and dicts of them. Floating-point ones have
    a gradient; whatever else is there (indices, masks, an axis) is handed through. ``backward``
    returns a gradient for each argument, in its structure, or for those alone that have one; a
    single argument's may come bare. None stands for one without a gradient, which then is not
    checked. y may be several arrays: dy has their structure. For a scalar f, dy is the number 1.
    """

    def __init__(
        self,
        f: Function,
        backward: Function,
        arguments: Sequence[object],
        name: str | None = None,
        names: Sequence[str] = (),
        calls: Calls | None = None,
    ) -> None:
        self.f, self.backward = f, backward
        self.name = name or getattr(f, "__name__", None) or type(f).__name__
        self.arguments, self.calls = tuple(arguments), calls or Calls()
        self.names = tuple(names) if len(names) == len(arguments) else _names(f, len(arguments))
        self.places: dict[str, Place] = {}
        self.args = {}
        for place, leaf in (p for i, a in enumerate(self.arguments) for p in leaves(a, (i,))):
            if is_real(leaf):
                name_ = words(place, self.names)
                self.places[name_] = place
                self.args[name_] = _checked(name_, leaf)
            else:
                _refuse_complex(leaf)
        if self.args and not any(a.size for a in self.args.values()):
            raise UncheckableError(
                f"every argument of {self.name} is empty: there is nothing to check"
            )
        if not self.args:
            raise UncheckableError(
                f"no argument of {self.name} has a gradient: it is taken with respect to floating-"
                "point numbers; integers, booleans and text are handed through as they are"
            )
        rows = next((a.shape[0] for a in self.args.values() if a.ndim), 0)
        self.sizes = {"the batch size": rows} if rows else {}
        self.remarks: list[str] = []  # what is no error, but worth a word
        self.single_only = False  # it refuses float64, and was given float32
        self._value: object = None

    @property
    def value_here(self) -> object:
        """What f returns at the point, in its own structure."""
        if self._value is None:
            try:
                self._value = BoundFunction(self, np.dtype(np.float64)).raw(self.args)
            except (TypeError, ValueError, RuntimeError):
                if not self._given_single():
                    raise
                self.single_only = True
                self.remarks.append("it takes float32 alone: what can be seen there is said")
                self._value = BoundFunction(self, np.dtype(np.float64)).raw(self.args)
        return self._value

    def _given_single(self) -> bool:
        """Whether every floating-point argument was handed in as float32."""
        given = (leaf for _, leaf in leaves(self.arguments) if is_real(leaf))
        return not self.single_only and all(np.asarray(a).dtype == np.float32 for a in given)

    def bind(self, bk: Backend) -> "BoundFunction":
        return BoundFunction(self, bk.dtype)

    def cotangent_shape(self) -> tuple[int, ...]:
        return _flat(self, self.value_here).shape

    def cotangent(self, seed: int = 0) -> NDArray:
        """Ones for a scalar, so that backward may ignore dy; random for an array."""
        return np.ones(()) if self.cotangent_shape() == () else super().cotangent(seed)

    def magnitudes(self, w: NDArray) -> Arrays:
        """What rounding does to the gradients, in units of its size: measured, not derived."""
        bound = BoundFunction(self, np.dtype(np.float64))
        sides = []
        moving = {**self.args, COTANGENT: w} if np.ndim(w) else self.args
        for ray in rays(moving):
            moved = [ray(k) for k in range(1, 8)]
            there = [bound.gradient(args, args.pop(COTANGENT, w)) for args in moved]
            sides.append({n: rounding_along([g[n] for g in there]) for n in there[0]})
        found = {n: typical_rounding([side[n] for side in sides]) / EPS for n in sides[0]}
        if np.ndim(w):  # the gradient of a linear function depends on nothing but dy
            here = bound.gradient(self.args, w)
            for part in (3.0, 7.0):
                other = bound.gradient(self.args, np.asarray(w) / part)
                for n, g in here.items():
                    change = np.minimum(np.abs(g - part * other[n]), 1e-6 * np.abs(g))
                    found[n] = np.fmax(found[n], change / EPS)
        return {n: np.fmax(a, np.mean(a)) if a.size else a for n, a in found.items()}

    def near(self, seed: int, ties: bool = False) -> "FunctionSubject":
        """The same function near this point; ``ties``: with zeros and equal numbers."""
        from scratchvae.gradcheck.points import nearby, with_ties

        move = with_ties if ties else nearby
        dtype = np.float32 if self.single_only else np.float64
        new = {
            self.places[n]: move(a, seed, f"{self.name} {n}").astype(dtype)
            for n, a in self.args.items()
        }
        arguments = [rebuilt(a, new, (i,)) for i, a in enumerate(self.arguments)]
        return self.at(arguments)

    def at(
        self, arguments: Sequence[object], backward: Function | None = None
    ) -> "FunctionSubject":
        """The same function at other arguments, perhaps with another backward."""
        return FunctionSubject(
            self.f, backward or self.backward, arguments, self.name, self.names, self.calls
        )


class BoundFunction:
    """A function in one dtype; in complex ones with the rules of real functions."""

    def __init__(self, subject: FunctionSubject, dtype: np.dtype) -> None:
        self.subject, self.watch = subject, Watch()
        real = np.dtype(np.float32) if subject.single_only else dtype
        self.dtype = dtype if dtype.kind == "c" else real

    def value(self, args: Mapping[str, NDArray]) -> NDArray:
        return _flat(self.subject, self.raw(args))

    def raw(self, args: Mapping[str, NDArray]) -> object:
        """What f returns, as it is."""
        arrays = self._copies(args)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            self._reseed()
            y = self.subject.f(*self._arguments(arrays), **self.subject.calls.constants)
        self._unchanged(self.subject.name, args, arrays, ())
        return y

    def gradient(self, args: Mapping[str, NDArray], w: NDArray) -> Arrays:
        """The gradients that backward returned, by argument; those that are None are not there."""
        calls, arrays, dy = self.subject.calls, self._copies(args), self._cotangent(w)
        before = [np.array(a) for _, a in leaves(dy)]
        with np.errstate(all="ignore"):
            self._reseed()
            found = self.subject.backward(*self._arguments(arrays), dy, **calls.constants)
        who = f"the backward of {self.subject.name}"
        self._unchanged(who, args, arrays, calls.overwrites)
        after = [np.asarray(a) for _, a in leaves(dy)]
        kept = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(before, after, strict=True))
        if not kept and "dy" not in calls.overwrites:
            raise BrokenContractError(
                f"{who} overwrites dy: copy it first, or declare overwrites=['dy']"
            )
        gradients = self._by_name(found)
        for name, g in gradients.items():
            for other, a in [*arrays.items(), *((f"dy{n or ''}", a) for n, a in leaves(dy))]:
                remark = (
                    f"the gradient of {name} is a view of {other}: what adds into it changes both"
                )
                if np.may_share_memory(g, a) and remark not in self.subject.remarks and a.ndim:
                    self.subject.remarks.append(remark)
        return {n: np.array(g) for n, g in gradients.items()}  # a buffer may be used again

    def _reseed(self) -> None:
        if self.subject.calls.reseed is not None:
            self.subject.calls.reseed()

    def _copies(self, args: Mapping[str, NDArray]) -> Arrays:
        if self.dtype.kind == "c":
            return {n: dual(np.array(a, self.dtype), self.watch) for n, a in args.items()}
        return {n: np.array(a, self.dtype) for n, a in args.items()}

    def _arguments(self, arrays: Mapping[str, NDArray]) -> list[object]:
        new = {self.subject.places[n]: a for n, a in arrays.items()}
        return [rebuilt(a, new, (i,)) for i, a in enumerate(self.subject.arguments)]

    def _cotangent(self, w: NDArray) -> object:
        """w in the structure of y, with a number for each scalar."""
        y, start, new = self.subject.value_here, 0, {}
        real = np.float64 if self.dtype.kind == "c" else self.dtype  # dy has no direction
        flat = np.asarray(w, dtype=real)
        if not isinstance(y, tuple | list | Mapping):
            return np.array(flat) if flat.ndim else flat.dtype.type(flat)
        flat = flat.reshape(-1)
        for place, leaf in leaves(y):
            shape = np.shape(leaf)
            if is_real(leaf):
                size = int(np.prod(shape, dtype=int))
                part = flat[start : start + size].reshape(shape).copy()
                new[place] = part if part.ndim else part.dtype.type(part)
                start += size
            else:
                new[place] = np.zeros(shape)
        return rebuilt(y, new)

    def _by_name(self, found: object) -> Arrays:
        subject, count = self.subject, len(self.subject.arguments)
        who = f"the backward of {subject.name}"
        if found is None:
            raise UncheckableError(f"{who} returned None: is its return statement missing?")
        with_gradient = sorted({place[0] for place in subject.places.values()})
        given = list(found) if isinstance(found, tuple | list) else [found]
        if count == 1 and isinstance(subject.arguments[0], tuple | list) and len(given) != 1:
            given = [found]
        if len(given) == count:
            by_argument = dict(enumerate(given))
        elif len(given) == len(with_gradient):
            by_argument = dict(zip(with_gradient, given, strict=True))
        else:
            raise UncheckableError(
                f"{who} returned {len(given)} gradients for {count} arrays: return one for each, "
                "None where there is none"
            )
        gradients = {}
        for name, (first, *rest) in subject.places.items():
            g: Any = by_argument[first]
            for key in rest:
                if g is None:
                    break
                try:
                    g = g[key]
                except (KeyError, IndexError, TypeError):
                    raise UncheckableError(
                        f"{who} returned nothing for {name}: return the structure of the argument"
                    ) from None
            if g is not None:
                gradients[name] = np.asarray(g)
        if not gradients:
            raise UncheckableError(f"{who} returned None for every argument: nothing to check")
        return gradients

    def _unchanged(
        self, who: str, args: Mapping[str, NDArray], arrays: Mapping[str, NDArray],
        allowed: Sequence[str],
    ) -> None:  # fmt: skip
        for name, a in arrays.items():
            bare = a.view(np.ndarray) if isinstance(a, Dual) else a
            same = np.array_equal(bare, np.asarray(args[name]).astype(self.dtype), equal_nan=True)
            if not same and name not in allowed:
                raise BrokenContractError(f"{who} overwrites its argument {name}: copy it first")


def _flat(subject: FunctionSubject, y: object) -> NDArray:
    """A single array as it is, several as one vector; integers among several have no gradient."""
    if not isinstance(y, tuple | list | Mapping):
        return _result(subject, y)
    real = [_result(subject, leaf) for _, leaf in leaves(y) if _moves(leaf)]
    strange = [
        leaf for _, leaf in leaves(y) if not isinstance(leaf, float | int | np.ndarray | np.generic)
    ]
    if strange or not real:
        what = type(strange[0]).__name__ if strange else "no floating-point number"
        raise UncheckableError(
            f"{subject.name} returns {what} among its values: for (y, residuals) see "
            "adapters.residuals, else return arrays"
        )
    return joined(real)


def _moves(leaf: Leaf) -> bool:
    return isinstance(leaf, float) or (
        isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind in "fc"
    )


def _result(subject: FunctionSubject, y: object) -> NDArray:
    if isinstance(y, Dual):
        direction_of(y)
        return y.view(np.ndarray)
    found = np.asarray(y)
    if found.dtype == object:
        raise UncheckableError(f"{subject.name} returns {type(y).__name__}: return an array")
    if found.dtype.kind == "c":
        direction_of(found)
    return found


def _names(f: Function, count: int) -> tuple[str, ...]:
    """The names of f's parameters where they can be known, else arg0, arg1, …"""
    try:
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        found = [p.name for p in inspect.signature(f).parameters.values() if p.kind in kinds]
    except (TypeError, ValueError):
        found = []
    return tuple(found[:count] if len(found) >= count else [f"arg{i}" for i in range(count)])


def _checked(name: str, leaf: Leaf) -> NDArray:
    a = np.asarray(leaf)
    if not np.all(np.isfinite(a)):
        raise UncheckableError(
            f"the argument {name} holds NaN or infinity: check at finite numbers"
        )
    return a.astype(np.float64)


def _refuse_complex(leaf: Leaf) -> None:
    if isinstance(leaf, complex | np.ndarray | np.generic) and np.asarray(leaf).dtype.kind in "cOU":
        raise UncheckableError(
            f"an argument of dtype {np.asarray(leaf).dtype} has no gradient: give real numbers"
        )
