"""An objective and its derivative as SciPy's optimizers take them: ``fun`` and ``jac``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scratchvae.errors import ConfigError
from scratchvae.gradcheck.adapters.adapted import Adapted
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
