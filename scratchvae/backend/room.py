"""Whether an array can exist at all."""

import math

import numpy as np
from numpy.typing import DTypeLike

MOST_BYTES = 2**62


def memory_of(shape: tuple[int, ...], dtype: DTypeLike) -> int:
    """The bytes of an array; ``MemoryError`` beyond what any machine can address."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > MOST_BYTES:
        raise MemoryError(f"an array of the shape {shape} is larger than any memory")
    return size
