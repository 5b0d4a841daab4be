"""The operations of a step as CUDA kernels. Each has its equation in the base class.

For complex numbers, and for arrays that are not contiguous, the base class computes an operation
with CuPy, with temporary arrays.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np

from scratchvae.backend.base import Array, Backend, Function, Weight, below_one
from scratchvae.backend.cuda.kernels import Kernels, blocks_for, contiguous, given
from scratchvae.backend.cuda.updates import FUSED, PARTIAL_SUMS
from scratchvae.backend.noise import Stream

COLUMNS = 32  # of a block that sums rows
NO_READ = (None, 1, 0, 0)


class CudaOperations(Backend):
    """Noise, batch, ReLU and the Bernoulli; the optimizers' kernels are in ``updates``."""

    fused_forms = FUSED

    @cached_property
    def kernels(self) -> Kernels:
        """The kernels of the backend's float type; they are compiled at the first launch."""
        return Kernels(self.xp, self.dtype)

    def _can(self, *arrays: Array | None) -> bool:
        return not self.is_complex and contiguous(*arrays)

    def fused(self, equation: Function) -> Callable[..., None] | None:
        return None if self.is_complex else Backend.fused(self, equation)

    def update_scratch(self, size: int) -> Array:
        return self.empty((2 * PARTIAL_SUMS,))

    # ---- noise -------------------------------------------------------------------------------

    def noise_scratch(self, size: int) -> Array:
        return super().noise_scratch(size) if self.is_complex else None

    def uniform(self, out: Array, stream: Stream, scratch: Array) -> None:
        if not self._can(out):
            return super().uniform(out, stream, scratch)
        n, top = out.size, below_one(self.dtype)
        self.kernels.each("uniform", -(-n // 4), out, n, top, *_words(stream))

    def normal(self, out: Array, stream: Stream, scratch: Array) -> None:
        if not self._can(out):
            return super().normal(out, stream, scratch)
        self.kernels.each("normal", -(-out.size // 4), out, out.size, *_words(stream))

    def binarize(self, x: Array, stream: Stream, draw: Array, scratch: Array) -> None:
        if not self._can(x):
            return super().binarize(x, stream, draw, scratch)
        n, top = x.size, below_one(self.dtype)
        self.kernels.each("binarize", -(-n // 4), x, n, top, *_words(stream))

    # ---- batch -------------------------------------------------------------------------------

    def gather(
        self, images: Array, index: Array, max_level: int | None, out: Array, raw: Array
    ) -> None:
        known = images.dtype.name in ("uint8", "float32", "float64") and index.dtype.name == "int64"
        if not (known and self._can(images, index, out)):
            return super().gather(images, index, max_level, out, raw)
        rows, pixels = out.shape
        name = f"gather_{images.dtype.name}"
        self.kernels.each(name, out.size, images, index, float(max_level or 1), out, rows, pixels)

    def begin_step(
        self, i: Array, order: Array, rates: Array, betas: Array, index: Array, lr: Array,
        beta: Array,
    ) -> None:  # fmt: skip
        n = index.size
        self.kernels.each("begin_step", n, i, order, rates, betas, index, n, lr, beta)

    def end_step(self, t: Array, i: Array, loss: Array, losses: Array) -> None:
        self.kernels.launch("end_step", 1, t, i, loss, losses)

    # ---- layers ------------------------------------------------------------------------------

    def sum_rows(self, a: Array, out: Array) -> None:
        if not self._can(a, out):
            return super().sum_rows(a, out)
        rows, columns = a.shape
        self.kernels.launch("sum_rows", -(-columns // COLUMNS), a, out, rows, columns)

    def relu(self, x: Array, out: Array) -> None:
        if not self._can(x, out):
            return super().relu(x, out)
        self.kernels.each("relu", x.size, x, out, x.size)

    def relu_grad(self, y: Array, dy: Array, dx: Array, tmp: Array) -> None:
        if not self._can(y, dy, dx):
            return super().relu_grad(y, dy, dx, tmp)
        self.kernels.each("relu_grad", y.size, y, dy, dx, y.size)

    # ---- the Bernoulli -----------------------------------------------------------------------

    def bernoulli_nll_terms(self, a: Array, x: Array, out: Array, tmp: Array) -> None:
        pixels = read(x, a.shape)
        if pixels is None or not self._can(a, x, out):
            return super().bernoulli_nll_terms(a, x, out, tmp)
        rows, columns = a.size // a.shape[-1], a.shape[-1]
        self.kernels.each("bernoulli_nll_terms", a.size, a, *pixels, out, rows, columns)

    def bernoulli(
        self, a: Array, x: Array, weight: Weight, nll: Array, da: Array, tmp: Array
    ) -> None:
        number = isinstance(weight, int | float | np.number)
        pixels = read(x, a.shape)
        weights = NO_READ if number else read(weight, a.shape)
        arrays = (a, x, nll, da, None if number else weight)
        if pixels is None or weights is None or not self._can(*arrays):
            return super().bernoulli(a, x, weight, nll, da, tmp)
        rows, columns = a.size // a.shape[-1], a.shape[-1]
        self.kernels.launch(
            "bernoulli", blocks_for(rows, 1), a, *pixels, *weights,
            float(weight) if number else 0.0, nll, da, rows, columns,
        )  # fmt: skip


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


def _words(stream: Stream) -> tuple[object, ...]:
    """Key and counter as arguments of a kernel; the step may lie on the device."""
    seed, purpose, lane = (np.uint64(int(n)) for n in (stream.seed, stream.purpose, stream.lane))
    return seed, purpose, *given(stream.step, int), lane
