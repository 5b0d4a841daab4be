"""NumPy on a CPU: the plain operations again, in place, without a temporary array.

Written with ``self.xp``, so that the strict device can run the very same code; where that is not
possible, the strict device runs an operation as one piece.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import ArrayLike, DTypeLike, NDArray

from scratchvae.backend import cpu_elementwise, cpu_updates
from scratchvae.backend.allocation import ALIGNMENT, SharedMemory, checked_nbytes
from scratchvae.backend.base import FUSIBLE, Array, ArrayModule, Backend, Note, below_one, ignore
from scratchvae.backend.noise import Stream, fill_normal, fill_uniform
from scratchvae.types import Function, Item, Result

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

RUN = 5  # numbers in a row of a window, from which on copying rows beats copying pixels


@cache
def _blas() -> "ThreadpoolController":
    """The control of NumPy's BLAS, looked up once because that takes a millisecond."""
    from threadpoolctl import ThreadpoolController

    np.ones((2, 2)) @ np.ones((2, 2))  # some are loaded by the first product
    return ThreadpoolController().select(user_api="blas")


@cache
def numpy_has_avx512() -> bool:
    """Whether NumPy computes tanh with AVX-512; OpenBLAS then has kernels for it, too."""
    introspect = getattr(np.lib, "introspect", None)  # of NumPy 2.1
    found = introspect.opt_func_info(func_name="^tanh$", signature="float32") if introspect else {}
    used = [how["current"] for kinds in found.values() for how in kinds.values()]
    return any(name in ("X86_V4", "AVX512_SKX") for name in used)


def few_rows() -> int:
    """Up to how many rows a product with a transposed matrix is faster turned around.

    Measured for OpenBLAS' kernels with AVX-512, and for those without.
    """
    return 128 if numpy_has_avx512() else 56


class NumpyBackend(Backend):
    """NumPy arrays, computed in place."""

    name = "cpu"
    block_size = 1 << 19  # 2 MB of float32
    fused_forms: ClassVar = {**cpu_updates.FUSED, **cpu_elementwise.FUSED}

    def __init__(
        self,
        xp: ArrayModule = np,
        dtype: DTypeLike = "float32",
        shared_memory: SharedMemory | None = None,
    ) -> None:
        super().__init__(xp, dtype)
        self.shared_memory = shared_memory

    def for_workers(self, count: int) -> Backend:
        if count == 1 or self.shared_memory is not None:
            return self
        try:
            return type(self)(self.xp, self.dtype, SharedMemory())
        except (OSError, MemoryError, AttributeError):
            return self

    def with_compiled(self, wanted: bool, note: Note = ignore) -> Backend:
        if wanted == self.compiled:
            return self
        if not wanted:
            return NumpyBackend(self.xp, self.dtype, self.shared_memory)
        if self.is_complex or find_spec("numba") is None:
            return self
        try:
            from scratchvae.backend.compiled import CompiledBackend

            found = CompiledBackend(self.xp, self.dtype, self.shared_memory)
            found.compile(note)
        except Exception as error:  # whatever numba may raise: NumPy computes the same
            reason = str(error).strip().partition("\n")[0]
            note(f"numba cannot compile the loops, so NumPy computes without them: {reason}")
            return self
        return found

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Array:
        """An uninitialized array that starts on a cache line; in shared memory for workers."""
        kind = np.dtype(self.dtype if dtype is None else dtype)
        size = checked_nbytes(shape, kind)
        if self.shared_memory is not None:
            return self.shared_memory.zeros(size).view(kind).reshape(shape)
        room = np.empty(size + ALIGNMENT, dtype=np.uint8)
        start = -room.ctypes.data % ALIGNMENT
        return room[start : start + size].view(kind).reshape(shape)

    def load(self, host: ArrayLike, out: Array) -> None:
        np.copyto(out, host, casting="same_kind")

    def to_host(self, a: Array) -> NDArray:
        return np.array(a)

    def uniform(self, out: Array, stream: Stream, scratch: Array, position: int = 0) -> None:
        draw = scratch[: out.size]
        fill_uniform(draw, stream, position)
        np.minimum(draw, below_one(self.dtype), out=draw)
        np.copyto(out.reshape(-1), draw, casting="same_kind")

    def normal(self, out: Array, stream: Stream, scratch: Array, position: int = 0) -> None:
        fill_normal(out, stream, scratch, position)

    def blas_threads(self) -> int:
        return max((pool["num_threads"] for pool in _blas().info()), default=0)

    def limit_blas(self, count: int | None) -> AbstractContextManager[object]:
        return _blas().limit(limits=count) if count else nullcontext()

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        from concurrent.futures import ThreadPoolExecutor

        from scratchvae.versions import cores

        # As many threads as BLAS has, which then computes each product by one: what is no product
        # is divided, too, and the last bits depend on no number of threads.
        threads = max(1, min(self.blas_threads(), cores()))
        with self.limit_blas(1), ThreadPoolExecutor(threads) as pool:
            return list(pool.map(function, items))

    def gemm(self, a: Array, b: Array, out: Array) -> None:
        self.xp.matmul(a, b, out=out)

    def gemm_nt(self, a: Array, b: Array, out: Array, tmp: Array | None) -> None:
        if tmp is None or a.shape[0] > few_rows():
            self.xp.matmul(a, b.T, out=out)
            return
        # outᵀ = b aᵀ: BLAS then repacks the few rows of a and not the many of b.
        turned = tmp.reshape(out.shape[::-1])
        self.xp.matmul(b, a.T, out=turned)
        self.xp.copyto(out, turned.T)

    def sum_rows(self, a: Array, out: Array) -> None:
        self.xp.sum(a, axis=0, out=out)

    def gather(
        self, images: Array, index: Array, max_level: int | None, out: Array, raw: Array
    ) -> None:
        # mode="clip" writes straight into raw; the default would go through a temporary.
        self.xp.take(images, index, axis=0, out=raw, mode="clip")
        self.xp.copyto(out, raw)
        if max_level is not None and max_level != 1:
            out /= float(max_level)

    def windows(self, x: Array, stride: tuple[int, int], out: Array) -> None:
        if out.shape[4] * out.shape[5] < RUN:
            super().windows(x, stride, out)
            return
        # One copy of overlapping views: what a window has of a row of x lies there in one piece.
        n, row, column, channel = x.strides
        steps = (n, stride[0] * row, stride[1] * column, row, column, channel)
        np.copyto(out, as_strided(x, out.shape, steps))

    def fused(self, equation: Function) -> Function | None:
        """As in the base, except that complex numbers have no form of ReLU and the Bernoulli."""
        if self.is_complex and FUSIBLE.get(equation) in cpu_elementwise.FUSED:
            return None
        return super().fused(equation)

    def update_scratch(self, size: int) -> Array:
        return self.empty((min(size, max(cpu_updates.BLOCK, cpu_updates.NORM_BLOCK)),))
