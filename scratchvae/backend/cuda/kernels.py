"""The CUDA sources, compiled when the first of them is launched."""

from functools import cached_property
from importlib.resources import files
from typing import Protocol

import numpy as np

from scratchvae.backend.base import Array, ArrayModule, Function, Number

THREADS = 256  # of every block, as kernels/common.cu has it
MOST_BLOCKS = 2048  # more of them would wait for each other; a thread then has several elements
FILES = ("common", "noise", "batch", "layers", "bernoulli", "updates")
C_TYPES = {"float32": "float", "float64": "double"}


def source() -> str:
    """All kernels as one source, without an include."""
    folder = files("scratchvae.backend.cuda") / "kernels"
    return "\n".join((folder / f"{name}.cu").read_text(encoding="utf-8") for name in FILES)


def options(dtype: np.dtype) -> tuple[str, ...]:
    """What the compiler is told. CuPy adds -ftz=true: subnormals become zero.

    No fast mathematics: division and square root stay those of IEEE, and exp those of CUDA's
    accurate library.
    """
    return (f"-DREAL={C_TYPES[dtype.name]}",)


class CudaModule(Protocol):
    """A compiled source of CuPy's."""

    def get_function(self, name: str) -> Function:
        """The kernel of this name."""


class Kernels:
    """The kernels for one float type, on the current device."""

    def __init__(self, xp: ArrayModule, dtype: np.dtype) -> None:
        self.xp, self.dtype = xp, dtype
        self.functions: dict[str, Function] = {}

    @cached_property
    def module(self) -> CudaModule:
        """CuPy's module, compiled here or found in CuPy's cache."""
        return self.xp.RawModule(code=source(), options=options(self.dtype))

    def launch(self, name: str, blocks: int, *args: object) -> None:
        """Run a kernel on ``blocks`` blocks, on CuPy's current stream.

        Arrays are handed over as addresses, whatever their strides; None is no address.
        """
        if name not in self.functions:
            self.functions[name] = self.module.get_function(name)
        self.functions[name]((blocks,), (THREADS,), tuple(map(argument, args)))

    def each(self, name: str, n: int, *args: object) -> None:
        """Run a kernel whose threads share ``n`` elements."""
        self.launch(name, blocks_for(n), *args)


def blocks_for(n: int, each: int = THREADS) -> int:
    """How many blocks cover ``n`` elements, ``each`` a block."""
    return max(1, min(-(-n // each), MOST_BLOCKS))


def argument(value: object) -> object:
    """A kernel's argument, in one of the four forms that kernels take."""
    if value is None:
        return np.uint64(0)
    if isinstance(value, int):
        return np.int64(value)
    return np.float64(value) if isinstance(value, float) else value


def contiguous(*arrays: Array | None) -> bool:
    """Whether all arrays are contiguous: kernels know no strides."""
    return all(a is None or a.flags.c_contiguous for a in arrays)


def given(value: Number, kind: type) -> tuple[Array | None, Number]:
    """A number as two arguments of a kernel: its place on the device or None, and its value."""
    on_host = isinstance(value, int | float | np.number)
    return (None, kind(value)) if on_host else (value, kind(0))
