"""Whether a GPU can be used; if not, one sentence that says what to install or change."""

import ctypes
from types import ModuleType

REINSTALL = "install scratchvae[cuda12] or scratchvae[cuda13], as the driver asks for"


def unavailable() -> str | None:
    """Why no GPU can be used here, in one sentence; None when one can."""
    try:
        import cupy
    except ImportError as error:
        if getattr(error, "name", None) == "cupy":
            return "CuPy is not installed; install scratchvae[cuda12] or scratchvae[cuda13]"
        return f"CuPy is installed but cannot be imported: {first_line(error)}"
    return _no_device(cupy.cuda.runtime) or _no_library()


def _no_device(runtime: ModuleType) -> str | None:
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        reason = first_line(error)
        if "NoDevice" in reason:
            return "CuPy is installed and a driver answers, but there is no CUDA device"
        if "InsufficientDriver" in reason:
            return "CuPy is installed, but there is no NVIDIA driver, or it is too old for CuPy"
        return f"CuPy is installed, but the CUDA runtime fails: {reason}"
    if count == 0:
        return "CuPy is installed and a driver answers, but there is no CUDA device"
    return None


def _no_library() -> str | None:
    """The compiler, its headers and cuBLAS come in wheels of their own, which CuPy doesn't need
    to be imported.
    """
    for what, load in (("the CUDA compiler NVRTC", load_compiler), ("cuBLAS", load_cublas)):
        try:
            load()
        except Exception as error:
            return f"{what} cannot be loaded: {first_line(error)}; {REINSTALL}"
    return None


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the name of its type."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def load_compiler() -> tuple[int, int]:
    """The version of NVRTC; raises CuPy's error if it cannot be loaded."""
    from cupy_backends.cuda.libs import nvrtc

    version: tuple[int, int] = nvrtc.getVersion()
    return version


def load_cublas() -> ctypes.CDLL:
    """cuBLAS as a ctypes library: the same file that CuPy would load."""
    from cuda import pathfinder

    return ctypes.CDLL(pathfinder.load_nvidia_dynamic_lib("cublas").abs_path)
