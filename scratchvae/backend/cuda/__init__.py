"""CuPy on a GPU: kernels of its own where a step spends its time, CuPy's functions elsewhere.

The only part that imports CuPy, and only when a GPU is asked for.
"""

import math
from collections.abc import Callable
from functools import cached_property
from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from scratchvae.backend.allocation import checked_nbytes
from scratchvae.backend.base import Array, ArrayModule, Backend
from scratchvae.backend.cuda.availability import REINSTALL, first_line, load_cublas, unavailable
from scratchvae.backend.cuda.blas import Blas
from scratchvae.backend.cuda.graph import CudaStream, Recorded
from scratchvae.backend.cuda.operations import CudaOperations
from scratchvae.errors import ConfigError, DeviceError

__all__ = ["CupyBackend", "unavailable"]


class CupyBackend(CudaOperations):
    """CuPy arrays on the current CUDA device.

    With ``tf32``, matrix products of float32 round their factors to 10 bits of mantissa, which
    tensor cores multiply faster.
    """

    name = "cuda"

    def __init__(
        self, xp: ArrayModule = None, dtype: DTypeLike = "float32", tf32: bool = False
    ) -> None:
        tried = xp is not None
        if xp is None:
            reason = unavailable()
            if reason is not None:
                raise DeviceError(f"no GPU can be used: {reason}; or choose --device cpu")
            xp = _cupy()
        super().__init__(xp, dtype)
        if not tried:
            self._try()
        if tf32 and self.dtype != np.float32:
            raise ConfigError(f"TF32 is a way to multiply float32 numbers, not {self.dtype}")
        self.tf32 = tf32

    @property
    def records_steps(self) -> bool:  # type: ignore[override]
        """Complex numbers verify and never train."""
        return not self.is_complex

    def with_dtype(self, dtype: DTypeLike) -> Backend:
        """The same device with another float type, and without TF32: it is there to verify."""
        return type(self)(self.xp, dtype)

    def _try(self) -> None:
        """Compile and run a kernel of CuPy's and one of ours: what is missing shows here."""
        try:
            one = self.xp.ones((1, 1), dtype=self.dtype)
            self.sum_rows(one + 1, one[0])
            self.synchronize()
        except DeviceError:
            raise
        except Exception as error:
            raise DeviceError(
                f"no GPU can be used: CuPy finds one, but cannot compute on it: "
                f"{first_line(error)}; {REINSTALL}, or choose --device cpu"
            ) from error

    # ---- memory ------------------------------------------------------------------------------

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Array:
        try:
            return super().empty(shape, dtype)
        except MemoryError:
            kind = np.dtype(self.dtype if dtype is None else dtype)
            raise DeviceError(self._too_little(int(np.prod(shape)) * kind.itemsize)) from None

    def _too_little(self, size: int) -> str:
        free, total = self.xp.cuda.runtime.memGetInfo()
        return (
            f"not enough GPU memory: {size / 2**30:.1f} GiB more are needed, and "
            f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB are free; choose a smaller batch, "
            "fewer samples per image or --device cpu"
        )

    def load(self, host: ArrayLike, out: Array) -> None:
        out.set(np.asarray(host, dtype=out.dtype, order="C"))

    def to_host(self, a: Array) -> NDArray:
        return a.get()

    def page_locked(self, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> NDArray:
        kind = np.dtype(self.dtype if dtype is None else dtype)
        memory = self.xp.cuda.alloc_pinned_memory(max(checked_nbytes(shape, kind), 1))
        return np.frombuffer(memory, kind, math.prod(shape)).reshape(shape)

    def start_to_host(self, a: Array, out: NDArray) -> None:
        a.data.copy_to_host_async(out.ctypes.data, a.nbytes)  # on the current stream

    def start_load(self, host: NDArray, out: Array) -> None:
        out.data.copy_from_host_async(host.ctypes.data, out.nbytes)

    def synchronize(self) -> None:
        self.xp.cuda.get_current_stream().synchronize()

    # ---- products and recordings ---------------------------------------------------------------

    @cached_property
    def blas(self) -> Blas:
        """cuBLAS, for real numbers."""
        return Blas(self.xp, load_cublas(), self.dtype, self.tf32)

    def gemm(self, a: Array, b: Array, out: Array) -> None:
        if self.is_complex:
            self.xp.matmul(a, b, out=out)
        else:
            self.blas.gemm(a, b, out)

    def capture(self, step: Callable[[], None], times: int = 1) -> Callable[[], None]:
        return Recorded(self.xp, self._recording_stream, step, times)

    @cached_property
    def _recording_stream(self) -> CudaStream:
        return self.xp.cuda.Stream(non_blocking=True)  # else a recording would meet the default one

    def describe(self) -> dict[str, str]:
        """The name, memory and driver of the device, for people and for result files."""
        runtime = self.xp.cuda.runtime
        properties = runtime.getDeviceProperties(runtime.getDevice())
        return {
            "name": properties["name"].decode(),
            "memory": f"{properties['totalGlobalMem'] / 2**30:.0f} GiB",
            "driver": str(runtime.driverGetVersion()),
            "runtime": str(runtime.runtimeGetVersion()),
            "cupy": self.xp.__version__,
            "products": "TF32" if self.tf32 else str(self.dtype),
        }


def _cupy() -> ModuleType:
    """CuPy, with its reductions in a fixed order and without memory of their own.

    CUB's, its default, take memory from the pool, which a captured step must not.
    """
    import cupy
    from cupy._core import set_reduction_accelerators, set_routine_accelerators

    set_routine_accelerators([])
    set_reduction_accelerators([])
    return cupy
