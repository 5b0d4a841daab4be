"""What SciPy takes: an objective and its derivative for an optimizer, and linear operators."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scratchvae.errors import ConfigError
from scratchvae.gradcheck.adapters import Adapted
from scratchvae.gradcheck.points import point
from scratchvae.types import Function

Jacobian = Any  # (N,) or (M, N): an array, or a sparse matrix of SciPy


def optimizer(fun: Function, jac: object = True, args: Sequence[object] = ()) -> Adapted:
    """``fun(x, *args)`` and ``jac(x, *args)``; with ``jac=True``, fun returns both.

    The gradient of a scalar objective, as for ``minimize``, or the Jacobian (M, N), dense or
    sparse, of M residuals, as for ``least_squares`` and ``root``. Raises ``ConfigError`` for a
    ``jac`` that is neither True nor a function.
    """
    if jac is not True and not callable(jac):
        raise ConfigError(
            f"jac is {jac!r}: give a function jac(x, *args), or True where fun returns (f, g)"
        )

    def both(x: NDArray) -> tuple[ArrayLike, Jacobian]:
        found = fun(x, *args)
        if not isinstance(found, tuple) or len(found) != 2:
            raise ConfigError("with jac=True, fun returns the pair (f, g)")
        return found

    def f(x: NDArray) -> object:
        return both(x)[0] if jac is True else fun(x, *args)

    def vjp(x: NDArray, dy: NDArray | float) -> NDArray:
        found: Jacobian = both(x)[1] if jac is True else jac(x, *args)
        if np.ndim(dy) == 0:
            return dy * np.asarray(found).reshape(np.shape(x))
        return found.T @ np.asarray(dy)

    return Adapted(f, vjp, getattr(fun, "__name__", type(fun).__name__), names=("x",))


class LinearOperator(Protocol):
    """What SciPy's linear operators have, and those of other libraries."""

    shape: tuple[int, int]
    matvec: Function
    rmatvec: Function


def linear_operator(operator: LinearOperator, seed: int = 0) -> Adapted:
    """y = A x and Aᵀ dy of a real operator, at a seeded x: it needs no other argument.

    ``dot_test`` checks the same by one inner product, also for complex operators. Raises
    ``ConfigError`` for an object without ``shape``, ``matvec`` and ``rmatvec``.
    """
    for name in ("shape", "matvec", "rmatvec"):
        if not hasattr(operator, name):
            raise ConfigError(f"{type(operator).__name__} is no linear operator: it has no {name}")

    def f(x: NDArray) -> object:
        return operator.matvec(x)

    def vjp(x: NDArray, dy: NDArray) -> object:
        return operator.rmatvec(dy)

    at = point((int(operator.shape[1]),), seed, "linear operator")
    return Adapted(f, vjp, type(operator).__name__, (at,), ("x",))
