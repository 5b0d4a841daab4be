"""ReLU and the Bernoulli as CUDA kernels, for contiguous arrays.

Each is the fused form of an equation in ``layers/`` or ``likelihoods/``. For other arrays it
answers ``NotImplemented``, and the equation is computed as it stands, with temporary arrays.
"""

from typing import TYPE_CHECKING

import numpy as np

from scratchvae.backend.base import Array, FormResult
from scratchvae.backend.cuda.kernels import blocks_for, contiguous
from scratchvae.types import Function

if TYPE_CHECKING:
    from scratchvae.backend.cuda.operations import CudaOperations


def relu(bk: "CudaOperations", x: Array, y: Array) -> FormResult:
    """y = x where x > 0, else 0  (E10)."""
    if not contiguous(x, y):
        return NotImplemented
    bk.kernels.each("relu", x.size, x, y, x.size)
    return None


def relu_grad(bk: "CudaOperations", y: Array, dy: Array, dx: Array, tmp: Array) -> FormResult:
    """dx = dy where y > 0, else 0  (E11)."""
    if not contiguous(y, dy, dx):
        return NotImplemented
    bk.kernels.each("relu_grad", y.size, y, dy, dx, y.size)
    return None


def bernoulli_nll_terms(
    bk: "CudaOperations", a: Array, x: Array, out: Array, tmp: Array
) -> FormResult:
    """out = log(1 + eᵃ) − x a  (E18)."""
    pixels = read(x, a.shape)
    if pixels is None or not contiguous(a, x, out):
        return NotImplemented
    rows, columns = a.size // a.shape[-1], a.shape[-1]
    bk.kernels.each("bernoulli_nll_terms", a.size, a, *pixels, out, rows, columns)
    return None


def bernoulli_nll(
    bk: "CudaOperations", a: Array, x: Array, nll: Array, tmp: Array, tmp2: Array
) -> FormResult:
    """nll = Σ_d log(1 + eᵃ) − x a  (E18)."""
    if bernoulli_nll_terms(bk, a, x, tmp, tmp2) is NotImplemented:
        return NotImplemented
    bk.xp.sum(tmp, axis=-1, out=nll)
    return None


def bernoulli_nll_and_grad(
    bk: "CudaOperations", a: Array, x: Array, nll: Array, da: Array, tmp: Array, tmp2: Array
) -> FormResult:
    """nll = Σ_d log(1 + eᵃ) − x a; da = sigmoid(a) − x  (E18, E19)."""
    pixels = read(x, a.shape)
    if pixels is None or not contiguous(a, x, nll, da):
        return NotImplemented
    rows, columns = a.size // a.shape[-1], a.shape[-1]
    bk.kernels.launch(
        "bernoulli_nll_and_grad", blocks_for(rows, 1), a, *pixels, nll, da, rows, columns
    )
    return None


def read(x: Array, shape: tuple[int, ...]) -> tuple[Array, int, int, int] | None:
    """How a kernel reads a contiguous array that is broadcast to ``shape``, row by row.

    Element (row // repeat) · row_step + column · column_step, for the rows of the last axis; None
    where no such numbers say it.
    """
    if x.ndim != len(shape):
        return None
    *leading, width = x.shape
    *whole, columns = shape
    kept = len(leading)
    while kept and leading[kept - 1] == 1:  # axes of 1 at the end: the rows of an image repeat
        kept -= 1
    if leading[:kept] != whole[:kept] or width not in (1, columns):
        return None
    repeat = int(np.prod(whole[kept:], dtype=np.int64))
    return x, repeat, width, int(width == columns)


FUSED: dict[str, Function] = {
    "relu": relu,
    "relu grad": relu_grad,
    "bernoulli nll terms": bernoulli_nll_terms,
    "bernoulli nll": bernoulli_nll,
    "bernoulli nll and grad": bernoulli_nll_and_grad,
}
