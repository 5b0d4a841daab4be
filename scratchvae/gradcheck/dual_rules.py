"""The derivatives of real functions that NumPy has no complex form of, or another one.

``PARTIALS`` holds the partial derivatives of functions of numbers, ``FUNCTIONS`` functions of whole
arrays, ``REFUSED`` the names of those whose complex form is another function and that no rule
covers: singular values, eigenvectors, Fourier transforms.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scratchvae.types import Function

Axis = int | tuple[int, ...] | None  # of a reduction, as NumPy takes it
Derivative = Callable[..., NDArray | float]  # of a function of numbers, at its arguments
Mode = Literal["valid", "same", "full"]


class Refused(TypeError):  # noqa: N818  (it is caught, and its message is one name)
    """An operation that a complex step cannot pass; the message names it."""


def _expit(x: NDArray) -> NDArray:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def _zero(*args: NDArray) -> float:
    return 0.0


def _digamma(x: NDArray) -> NDArray:
    from scipy.special import digamma  # its gammaln was called: SciPy is there

    return np.asarray(digamma(x))


def _normal_ratio(x: NDArray) -> NDArray:
    from scipy.special import log_ndtr

    return np.asarray(np.exp(-0.5 * x * x - 0.5 * np.log(2 * np.pi) - log_ndtr(x)))


# For each function of numbers, NumPy's or SciPy's, its derivative in each argument.
PARTIALS: dict[str, tuple[Derivative, ...]] = {
    "sign": (_zero,),
    "floor": (_zero,),
    "ceil": (_zero,),
    "trunc": (_zero,),
    "rint": (_zero,),
    "heaviside": (_zero, _zero),
    "floor_divide": (_zero, _zero),
    "remainder": (lambda a, b: 1.0, lambda a, b: -np.floor(a / b)),
    "fmod": (lambda a, b: 1.0, lambda a, b: -np.trunc(a / b)),
    "copysign": (lambda a, b: np.copysign(1.0, a) * np.copysign(1.0, b), _zero),
    "arctan2": (lambda y, x: x / (x * x + y * y), lambda y, x: -y / (x * x + y * y)),
    "hypot": (
        lambda a, b: np.divide(a, np.hypot(a, b), out=np.zeros_like(a + b), where=(a != 0)),
        lambda a, b: np.divide(b, np.hypot(a, b), out=np.zeros_like(a + b), where=(b != 0)),
    ),
    "log1p": (lambda x: 1 / (1 + x),),  # whose complex form loses the digits of a small x
    "cbrt": (lambda x: 1 / (3 * np.cbrt(x) ** 2),),
    "logaddexp": (lambda a, b: _expit(a - b), lambda a, b: _expit(b - a)),
    "logaddexp2": (
        lambda a, b: _expit((a - b) * np.log(2)),
        lambda a, b: _expit((b - a) * np.log(2)),
    ),
    "deg2rad": (lambda x: np.pi / 180,),
    "radians": (lambda x: np.pi / 180,),
    "rad2deg": (lambda x: 180 / np.pi,),
    "degrees": (lambda x: 180 / np.pi,),
    "expit": (lambda x: _expit(x) * _expit(-x),),
    "log_expit": (lambda x: _expit(-x),),
    "logit": (lambda p: 1 / (p * (1 - p)),),
    "erf": (lambda x: 2 / np.sqrt(np.pi) * np.exp(-x * x),),
    "erfc": (lambda x: -2 / np.sqrt(np.pi) * np.exp(-x * x),),
    "ndtr": (lambda x: np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi),),
    "log_ndtr": (_normal_ratio,),
    "gammaln": (_digamma,),
    "xlogy": (lambda x, y: np.log(y), lambda x, y: x / y),
    "xlog1py": (lambda x, y: np.log1p(y), lambda x, y: x / (1 + y)),
    "entr": (lambda x: -np.log(x) - 1,),
    "rel_entr": (lambda x, y: np.log(x / y) + 1, lambda x, y: -x / y),
    "kl_div": (lambda x, y: np.log(x / y), lambda x, y: 1 - x / y),
}


def partial_of(ufunc: np.ufunc, args: Sequence[ArrayLike]) -> NDArray:
    """A function of numbers at its arguments, with Σ ∂/∂argument · direction as its direction."""
    x = [np.asarray(np.real(a), dtype=np.float64) for a in args]
    value = ufunc(*x)
    direction: NDArray | float = 0.0
    for derivative, a in zip(PARTIALS[ufunc.__name__], args, strict=True):
        if np.any(np.imag(a)):
            direction = direction + derivative(*x) * np.imag(a)
    return np.asarray(value + 1j * direction)


# Functions of arrays -----------------------------------------------------------------------------


def _norm(x: NDArray, ord: object = None, axis: Axis = None, keepdims: bool = False) -> ArrayLike:
    two = ord in (None, 2) and (axis is not None or np.ndim(x) == 1 or ord is None)
    two = two or (ord == "fro")
    if two and not (ord == 2 and isinstance(axis, tuple)):
        if ord is None and axis is None:
            x = x.reshape(-1) if not keepdims else x
        scale = np.max(np.abs(np.asarray(x).real), initial=0.0) or 1.0
        return np.sqrt(np.sum((x / scale) ** 2, axis=axis, keepdims=keepdims)) * scale
    if (axis is None and np.ndim(x) == 1) or isinstance(axis, int):
        if ord == 1:
            return np.sum(np.abs(x), axis=axis, keepdims=keepdims)
        if ord == np.inf:
            return np.max(np.abs(x), axis=axis, keepdims=keepdims)
        if isinstance(ord, int | float) and ord > 0:
            return np.sum(np.abs(x) ** ord, axis=axis, keepdims=keepdims) ** (1.0 / ord)
    raise Refused(f"linalg.norm of order {ord}")


def _plain(a: ArrayLike) -> NDArray:
    return np.asarray(a).view(np.ndarray)


def _slogdet(a: ArrayLike) -> tuple[ArrayLike, ArrayLike]:
    x, u = _plain(a).real, _plain(a).imag
    sign, value = np.linalg.slogdet(x)
    return sign, value + 1j * np.trace(np.linalg.solve(x, u), axis1=-2, axis2=-1)


def _cholesky(a: ArrayLike, **how: object) -> NDArray:
    """L with A = L Lᵀ; dL = L Φ(L⁻¹ dA L⁻ᵀ), where Φ takes the lower half and half the diagonal."""
    if how.get("upper"):
        raise Refused("linalg.cholesky with upper=True")
    x, u = _plain(a).real, _plain(a).imag
    u = np.tril(u) + np.swapaxes(np.tril(u, -1), -1, -2)  # NumPy reads the lower half alone
    lower = np.linalg.cholesky(x)
    inner = np.linalg.solve(lower, np.swapaxes(np.linalg.solve(lower, u), -1, -2))
    half = np.tril(inner) - 0.5 * inner * np.eye(x.shape[-1])
    return np.asarray(lower + 1j * (lower @ half))


def _vdot(a: ArrayLike, b: ArrayLike) -> ArrayLike:
    return np.dot(_plain(a).reshape(-1), _plain(b).reshape(-1))


def _correlate(a: ArrayLike, v: ArrayLike, mode: Mode = "valid") -> NDArray:
    conjugate = np.conj(_plain(v))
    return np.correlate(_plain(a), conjugate, mode)  # NumPy conjugates v once more


FUNCTIONS: dict[str, Function] = {
    "linalg.norm": _norm,
    "linalg.slogdet": _slogdet,
    "linalg.cholesky": _cholesky,
    "numpy.vdot": _vdot,
    "numpy.correlate": _correlate,
    "numpy.real": lambda a: a,
    "numpy.imag": lambda a: np.zeros(np.shape(a)),
    "numpy.iscomplexobj": lambda a: False,
    "numpy.isrealobj": lambda a: True,
    "numpy.isreal": lambda a: np.ones(np.shape(a), bool),
    "numpy.iscomplex": lambda a: np.zeros(np.shape(a), bool),
}

REFUSED = frozenset(
    [f"linalg.{name}" for name in (
        "cond", "eig", "eigh", "eigvals", "eigvalsh", "lstsq", "matrix_rank", "pinv", "qr", "svd",
        "svdvals", "vector_norm", "matrix_norm",
    )]
    + [f"numpy.{name}" for name in ("angle", "corrcoef", "cov", "interp", "unwrap")]
)  # fmt: skip
