"""Allocation: size checks, and memory that processes share."""

import importlib
import io
import math
import mmap
import os
import pickle
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple
from weakref import finalize, ref

import numpy as np
from numpy.typing import DTypeLike, NDArray

MOST_BYTES = 2**62
PIECE = 1 << 24  # bytes of shared memory mapped at once, from which small arrays are cut
ALIGNMENT = 64  # bytes; a cache line, and the widest vector register


def checked_nbytes(shape: tuple[int, ...], dtype: DTypeLike) -> int:
    """The bytes of an array; ``MemoryError`` beyond what any machine can address."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > MOST_BYTES:
        raise MemoryError(f"an array of the shape {shape} is larger than any memory")
    return size


def numbers_in_cache(arrays: int) -> int:
    """How many float32 numbers of each of ``arrays`` arrays two thirds of a core's L2 cache hold.

    The length of a block that several passes go over: at least 8,192, because shorter ones spend
    their time in calls, and no more than 65,536. 1 MB is assumed where the system does not say.
    """
    try:
        text = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text(encoding="ascii")
        nbytes = int(text.strip().removesuffix("K")) << 10
    except (OSError, ValueError):
        nbytes = 1 << 20
    fitting = 2 * nbytes // (3 * 4 * arrays) // 1024 * 1024
    return min(max(fitting, 8_192), 65_536)


def require_memory(nbytes: int, what: str) -> None:
    """``MemoryError`` if ``nbytes`` exceed the memory of this machine, swap included.

    A system may promise more than it has, and end the process that uses it.
    """
    most = _machine_memory()
    if most is not None and nbytes > most:
        raise MemoryError(
            f"{what} needs {nbytes / 1e9:,.1f} GB, and this machine has {most / 1e9:,.1f} GB"
        )


def _machine_memory() -> int | None:
    """The bytes of physical memory and swap; None if the system does not say."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("SwapTotal:"):
                total += 1024 * int(line.split()[1])
    return total if total > 0 else None


class SharedMemory:
    """Memory that other processes can map too: files without names, which lie in memory.

    It is taken in pieces, each of which lives as long as an array in it. ``OSError`` or
    ``MemoryError`` where the system refuses it, ``AttributeError`` where there is no such thing.
    """

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []
        self._free = self._map(PIECE)  # the rest of the latest piece

    def zeros(self, nbytes: int) -> NDArray[np.uint8]:
        """``nbytes`` zeros, (nbytes,) uint8, from the start of a cache line; or ``MemoryError``."""
        taken = -(-nbytes // ALIGNMENT) * ALIGNMENT
        if taken > self._free.size:
            self._free = self._map(max(taken, PIECE))
        found, self._free = self._free[:nbytes], self._free[taken:]
        return found

    def _map(self, nbytes: int) -> NDArray[np.uint8]:
        file = os.memfd_create("scratchvae")
        try:
            os.ftruncate(file, nbytes)
            content = mmap.mmap(file, nbytes)
        except (OSError, OverflowError) as error:
            os.close(file)
            raise MemoryError(
                f"no memory for {nbytes} bytes that processes share: {error}"
            ) from error
        finalize(content, os.close, file)
        array = np.frombuffer(content, np.uint8)
        self._pieces.append(_Piece(ref(content), file, array.ctypes.data, nbytes))
        return array

    def __reduce__(self) -> tuple[object, ...]:
        """A copy has none: its arrays lie in memory of its own."""
        return type(None), ()

    def pieces(self) -> list["_Piece"]:
        """Those in use, in the order in which they were taken."""
        self._pieces = [piece for piece in self._pieces if piece.content() is not None]
        return self._pieces


class _Piece(NamedTuple):
    content: "ref[mmap.mmap]"
    file: int
    address: int
    nbytes: int


class _Pickler(pickle.Pickler):
    """Pickles arrays in shared memory as their place in it, and modules by name."""

    def __init__(self, out: io.BytesIO, pieces: list[_Piece]) -> None:
        super().__init__(out, pickle.HIGHEST_PROTOCOL)
        self.pieces = pieces

    def persistent_id(self, obj: object) -> tuple[object, ...] | None:
        if isinstance(obj, ModuleType):
            return "module", obj.__name__
        if isinstance(obj, np.ndarray) and obj.size:
            address = obj.ctypes.data
            for number, piece in enumerate(self.pieces):
                if 0 <= address - piece.address < piece.nbytes:
                    offset = address - piece.address
                    return "array", number, offset, obj.shape, obj.strides, obj.dtype.str
        return None

    def reducer_override(self, obj: object) -> Any:
        if isinstance(obj, type | FunctionType) and obj.__module__ == "__main__":
            raise pickle.PicklingError(
                f"{obj.__qualname__} is defined in the main program, from which other processes "
                "cannot import it: move it to a module"
            )
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    """Puts the arrays in shared memory back in their places."""

    def __init__(self, content: bytes, files: Sequence[int]) -> None:
        super().__init__(io.BytesIO(content))
        self.pieces = [mmap.mmap(file, 0) for file in files]

    def persistent_load(self, pid: tuple) -> object:
        kind, *rest = pid
        if kind == "module":
            return importlib.import_module(*rest)
        number, offset, shape, strides, dtype = rest
        return np.ndarray(shape, dtype, self.pieces[number], offset, strides)


def dumps(obj: object, memory: SharedMemory | None = None) -> tuple[bytes, list[int]]:
    """``obj`` pickled for another process, and the open files that its shared arrays lie in.

    An array outside ``memory`` goes as a copy. ``pickle.PicklingError``, ``TypeError`` or
    ``AttributeError`` say what cannot be pickled.
    """
    out, pieces = io.BytesIO(), [] if memory is None else memory.pieces()
    _Pickler(out, pieces).dump(obj)
    return out.getvalue(), [piece.file for piece in pieces]


def loads(content: bytes, files: Sequence[int] = ()) -> Any:
    """What :func:`dumps` pickled, given files that are those of the process that pickled it."""
    return _Unpickler(content, files).load()
