"""Room for arrays: whether there can be any, and room that processes share."""

import math
import mmap

import numpy as np
from numpy.typing import DTypeLike, NDArray

MOST_BYTES = 2**62


def checked_nbytes(shape: tuple[int, ...], dtype: DTypeLike) -> int:
    """The bytes of an array; ``MemoryError`` beyond what any machine can address."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > MOST_BYTES:
        raise MemoryError(f"an array of the shape {shape} is larger than any memory")
    return size


def shared_zeros(size: int, dtype: DTypeLike) -> NDArray:
    """An array of ``size`` zeros that this process has in common with those forked from it."""
    try:
        room = mmap.mmap(-1, size * np.dtype(dtype).itemsize)
    except OSError as error:
        raise MemoryError(f"there is no room for {size} numbers: {error}") from error
    return np.frombuffer(room, dtype)
