"""The CUDA kernels, executed on the CPU: the same sources, compiled by g++ behind ``cuda.h``.

``EmulatedBackend`` is the CUDA backend's operations on the strict device: its launches are those of
a GPU, in their order and with their arguments, and can be recorded as a captured step is.
"""

import ctypes
import re
import shutil
import subprocess
import tempfile
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from scratchvae.backend.base import Backend
from scratchvae.backend.cuda.kernels import THREADS, Kernels, argument, options, source
from scratchvae.backend.cuda.operations import CudaOperations
from scratchvae.backend.strict import Array, StrictBackend

HERE = Path(__file__).parent
WORDS = (HERE / "words.cu").read_text()
KERNEL = re.compile(r"__global__ void (\w+)\(")
SHIPPED, OWN = KERNEL.findall(source()), KERNEL.findall(WORDS)
TABLE = """
extern "C" int emulate(const char* name, unsigned blocks, unsigned threads, bool backwards,
                       void** values, int count) {
#define KERNEL(k) \\
    if (!strcmp(name, #k)) return launch(k, blocks, threads, backwards, values, count);
    %s
    return 2;
}
"""


@cache
def library(dtype: str) -> Any:
    """The kernels for one float type as a shared library of the host."""
    folder = Path(tempfile.mkdtemp(prefix="scratchvae-emulation-"))
    table = TABLE % " ".join(f"KERNEL({name})" for name in SHIPPED + OWN)
    code = f'#include "{HERE / "cuda.h"}"\n{source()}\n{WORDS}\n{table}'
    (folder / "kernels.cpp").write_text(code)
    command = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", "-w", *options(np.dtype(dtype))]
    subprocess.run([*command, "-o", "kernels.so", "kernels.cpp"], cwd=folder, check=True)
    loaded = ctypes.CDLL(str(folder / "kernels.so"))
    shutil.rmtree(folder)
    return loaded


class EmulatedKernels(Kernels):
    """Launches that run here; ``backwards`` reverses the order in which threads and blocks run."""

    backwards = False

    def launch(self, name: str, blocks: int, *args: Any) -> None:
        """As on the GPU; arrays of the strict device are recorded while it records."""
        values = [value(a) for a in args]
        addresses = (ctypes.c_void_p * len(values))(*[ctypes.addressof(v) for v in values])

        def run() -> None:
            status = library(self.dtype.name).emulate(
                name.encode(), blocks, THREADS, self.backwards, addresses, len(values)
            )
            assert status == 0, f"{name} does not take {len(values)} arguments"
            assert values  # they live as long as this launch

        devices = {a.device for a in args if isinstance(a, Array)}
        devices.pop().launch(run) if devices else run()


def value(a: Any) -> Any:
    """An argument as C sees it: in CUDA's own width, an array as its address."""
    memory = a._a if isinstance(a, Array) else a
    if isinstance(memory, np.ndarray):
        assert memory.flags.c_contiguous
        return ctypes.c_void_p(memory.ctypes.data)
    number = argument(memory)
    return np.ctypeslib.as_ctypes_type(number.dtype)(number.item())


class EmulatedBackend(CudaOperations, StrictBackend):
    """The CUDA backend without a GPU: its kernels emulated, the base's equations elsewhere."""

    windows = Backend.windows

    @cached_property
    def kernels(self) -> EmulatedKernels:
        return EmulatedKernels(self.xp, self.dtype)

    def gemm(self, a: Any, b: Any, out: Any) -> None:
        self.xp.matmul(a, b, out=out)

    def gemm_nt(self, a: Any, b: Any, out: Any, tmp: Any) -> None:
        self.gemm(a, b.T, out)
