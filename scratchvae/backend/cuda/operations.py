"""The operations of a step as CUDA kernels. Each has its equation in the base class.

For complex numbers, and for arrays that are not contiguous, the base class computes an operation
with CuPy, with temporary arrays.
"""

from functools import cached_property
from typing import ClassVar

import numpy as np

from scratchvae.backend.base import Array, Backend, below_one
from scratchvae.backend.cuda import elementwise, updates
from scratchvae.backend.cuda.kernels import Kernels, contiguous, given
from scratchvae.backend.noise import Stream
from scratchvae.types import Function

COLUMNS = 32  # of a block that sums rows


class CudaOperations(Backend):
    """Noise, batch and sums over rows, and the forms in ``elementwise`` and ``updates``."""

    fused_forms: ClassVar = {**updates.FUSED, **elementwise.FUSED}

    @cached_property
    def kernels(self) -> Kernels:
        """The kernels of the backend's float type; they are compiled at the first launch."""
        return Kernels(self.xp, self.dtype)

    def _can(self, *arrays: Array | None) -> bool:
        return not self.is_complex and contiguous(*arrays)

    def fused(self, equation: Function) -> Function | None:
        return None if self.is_complex else Backend.fused(self, equation)

    def update_scratch(self, size: int) -> Array:
        return self.empty((2 * updates.PARTIAL_SUMS,))

    # ---- noise -------------------------------------------------------------------------------

    def noise_scratch(self, size: int) -> Array:
        return super().noise_scratch(size) if self.is_complex else None

    def uniform(self, out: Array, stream: Stream, scratch: Array, position: int = 0) -> None:
        if position or not self._can(out):
            scratch = super().noise_scratch(out.size) if scratch is None else scratch
            return super().uniform(out, stream, scratch, position)
        n, top = out.size, below_one(self.dtype)
        self.kernels.each("uniform", -(-n // 4), out, n, top, *_words(stream))

    def normal(self, out: Array, stream: Stream, scratch: Array, position: int = 0) -> None:
        if position or not self._can(out):
            scratch = super().noise_scratch(out.size) if scratch is None else scratch
            return super().normal(out, stream, scratch, position)
        self.kernels.each("normal", -(-out.size // 4), out, out.size, *_words(stream))

    def binarize(
        self, x: Array, stream: Stream, draw: Array, scratch: Array, position: int = 0
    ) -> None:
        if position or not self._can(x):
            return super().binarize(x, stream, draw, scratch, position)
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


def _words(stream: Stream) -> tuple[object, ...]:
    """Key and counter as arguments of a kernel; the step may lie on the device."""
    seed, purpose, lane = (np.uint64(int(n)) for n in (stream.seed, stream.purpose, stream.lane))
    return seed, purpose, *given(stream.step, int), lane
