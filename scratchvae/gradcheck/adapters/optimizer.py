"""An objective and its derivative as SciPy's optimizers take them: ``fun`` and ``jac``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchvae.errors import ConfigError
from scratchvae.gradcheck.adapters.adapted import Adapted
from scratchvae.types import Function


def optimizer(fun: Function, jac: Any = True, args: Sequence[Any] = ()) -> Adapted:
    """``fun(x, *args)`` and ``jac(x, *args)``; with ``jac=True``, fun returns both.

    The gradient of a scalar objective, as for ``minimize``, or the Jacobian (M, N), dense or
    sparse, of M residuals, as for ``least_squares`` and ``root``. Raises ``ConfigError`` for a
    ``jac`` that is neither True nor a function.
    """
    if jac is not True and not callable(jac):
        raise ConfigError(
            f"jac is {jac!r}: give a function jac(x, *args), or True where fun returns (f, g)"
        )

    def both(x: NDArray) -> tuple[Any, Any]:
        found = fun(x, *args)
        if not isinstance(found, tuple) or len(found) != 2:
            raise ConfigError("with jac=True, fun returns the pair (f, g)")
        return found

    def f(x: NDArray) -> Any:
        return both(x)[0] if jac is True else fun(x, *args)

    def vjp(x: NDArray, dy: Any) -> Any:
        found = both(x)[1] if jac is True else jac(x, *args)
        if np.ndim(dy) == 0:
            return dy * np.asarray(found).reshape(np.shape(x))
        return found.T @ np.asarray(dy)

    return Adapted(f, vjp, getattr(fun, "__name__", type(fun).__name__), names=("x",))
