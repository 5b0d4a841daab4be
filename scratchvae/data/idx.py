"""IDX, the format of the MNIST files: two zeros, a dtype code, the rank, the sizes, the bytes.

Only unsigned bytes (code 0x08) are read: no image set in use has others.
"""

import hashlib
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.data.files import open_maybe_gzip, read_exactly, require_size
from scratchvae.errors import DataError

UNSIGNED_BYTE = 0x08
OTHER_CODES = {
    0x09: "signed bytes",
    0x0B: "16-bit integers",
    0x0C: "32-bit integers",
    0x0D: "32-bit floats",
    0x0E: "64-bit floats",
}


class Idx(NamedTuple):
    """The uint8 array of an IDX file, and SHA-256 (hex) of its uncompressed bytes."""

    array: NDArray[np.uint8]
    sha256: str


def read_idx(path: Path, rank: int) -> Idx:
    """Read an IDX file of unsigned bytes, raw or gzip; ``rank`` is 3 for images, 1 for labels.

    Raises DataError, naming the file, for another type or rank and for missing or extra bytes.
    """
    with open_maybe_gzip(path) as (stream, size):
        head = stream.read(4)
        require_magic(head, rank, path)
        sizes = stream.read(4 * rank)
        if len(sizes) < 4 * rank:
            raise DataError(f"{path}: ends inside its IDX header; fetch the file again")
        shape = tuple(int(n) for n in np.frombuffer(sizes, dtype=">u4"))
        count = math.prod(shape)
        if count == 0:
            raise DataError(f"{path}: is empty: its IDX header declares the shape {shape}")
        header = head + sizes
        require_size(count, None if size is None else size - len(header), path)
        data = read_exactly(stream, count, path)
    digest = hashlib.sha256(header)
    digest.update(data)
    return Idx(np.frombuffer(data, dtype=np.uint8).reshape(shape), digest.hexdigest())


def require_magic(head: bytes, rank: int, path: Path) -> None:
    """Raise DataError unless ``head`` begins an IDX file of unsigned bytes of this rank."""
    what = "images" if rank == 3 else "labels"
    if len(head) < 4 or head[:2] != b"\0\0":
        raise DataError(
            f"{path}: not an IDX file (it begins with {head.hex(' ') or 'nothing'}, "
            f"{what} begin with 00 00 08 {rank:02x})"
        )
    code, found = head[2], head[3]
    if code != UNSIGNED_BYTE:
        name = OTHER_CODES.get(code, "an unknown type")
        raise DataError(
            f"{path}: IDX dtype code 0x{code:02x} ({name}); only 0x08 (unsigned bytes) is read. "
            f"Save these data as .npy instead."
        )
    if found != rank:
        raise DataError(
            f"{path}: an IDX file of rank {found}, but {what} have rank {rank}; "
            f"is it the file you meant?"
        )
