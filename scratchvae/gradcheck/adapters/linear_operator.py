"""A ``scipy.sparse.linalg.LinearOperator``, or anything with ``matvec`` and ``rmatvec``."""

from typing import Protocol

from numpy.typing import NDArray

from scratchvae.errors import ConfigError
from scratchvae.gradcheck.adapters.adapted import Adapted
from scratchvae.gradcheck.directions import point
from scratchvae.types import Function


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
