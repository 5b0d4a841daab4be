"""CuPy on a GPU: the plain verbs of the contract, as CuPy executes them.

The only module that imports CuPy, and only when a GPU is asked for.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from scratchvae.backend.base import Array, Backend
from scratchvae.errors import DeviceError


def unavailable() -> str | None:
    """Why no GPU can be used here, in one sentence; None when one can."""
    try:
        import cupy
    except ImportError as error:
        if getattr(error, "name", None) == "cupy":
            return "CuPy is not installed; install scratchvae[cuda12] or scratchvae[cuda13]"
        return f"CuPy is installed but cannot be imported: {_first_line(error)}"
    runtime = cupy.cuda.runtime
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        reason = _first_line(error)
        if "NoDevice" in reason:
            return "CuPy is installed and a driver answers, but there is no CUDA device"
        if "InsufficientDriver" in reason:
            return "CuPy is installed, but there is no NVIDIA driver, or it is too old for CuPy"
        return f"CuPy is installed, but the CUDA runtime fails: {reason}"
    if count == 0:
        return "CuPy is installed and a driver answers, but there is no CUDA device"
    return None


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class CupyBackend(Backend):
    """CuPy arrays on the current CUDA device."""

    name = "cuda"

    def __init__(self, xp: Any = None, dtype: DTypeLike = "float32") -> None:
        if xp is None:
            reason = unavailable()
            if reason is not None:
                raise DeviceError(f"no GPU can be used: {reason}; or choose --device cpu")
            import cupy

            xp = cupy
        super().__init__(xp, dtype)

    def load(self, host: NDArray, out: Array) -> None:
        out.set(np.ascontiguousarray(host, dtype=out.dtype))

    def to_host(self, a: Array) -> NDArray:
        return a.get()

    def synchronize(self) -> None:
        self.xp.cuda.get_current_stream().synchronize()

    def gemm(self, a: Array, b: Array, out: Array) -> None:
        self.xp.matmul(a, b, out=out)

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
        }
