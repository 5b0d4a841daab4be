"""The libraries of the CUDA toolkit that the backend calls beside CuPy."""

import ctypes
from typing import Any


def load_compiler() -> tuple[int, int]:
    """The version of NVRTC; an error of CuPy's where it cannot be loaded."""
    from cupy_backends.cuda.libs import nvrtc

    version: tuple[int, int] = nvrtc.getVersion()
    return version


def load_cublas() -> Any:
    """cuBLAS as ctypes sees it: the very library that CuPy would load."""
    from cuda import pathfinder

    return ctypes.CDLL(pathfinder.load_nvidia_dynamic_lib("cublas").abs_path)
