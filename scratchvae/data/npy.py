"""NumPy's .npy and .npz files, read without trusting them: no pickle, no promise unchecked."""

import io
import math
import reprlib
import warnings
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from scratchvae.data.files import MAX_BYTES, Bytes, open_binary, read_exactly, require_size
from scratchvae.errors import DataError

NUMBER_KINDS = "buif"  # bool, unsigned, signed, floating: what pixels and labels can be
MAX_HEADER = 10_000  # bytes, NumPy's own limit; that of a plain array has about a hundred
MAX_RANK = 64  # NumPy's own limit
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what NumPy writes


def read_npy(path: Path) -> NDArray:
    """The array of a .npy file; raises DataError if it is damaged or holds anything but numbers."""
    with open_binary(path) as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        return read_array(stream, size, path)


def read_npz(path: Path, wanted: Collection[str]) -> tuple[dict[str, NDArray], list[str]]:
    """The ``wanted`` arrays that a .npz file holds, and the names of all its arrays.

    Raises DataError for a damaged file, two arrays of one name, and compression that NumPy does
    not write: zipfile would expand bzip2 and LZMA without limit, a gigabyte from a kilobyte.
    """
    arrays: dict[str, NDArray] = {}
    with open_binary(path) as stream, zipfile.ZipFile(stream) as archive:
        members = {item.filename.removesuffix(".npy"): item for item in archive.infolist()}
        if len(members) != len(archive.infolist()):
            raise DataError(f"{path}: holds two arrays of one name; save the arrays again")
        chosen = {name: item for name, item in members.items() if name in wanted}
        if any(item.compress_type not in METHODS for item in chosen.values()):
            raise DataError(
                f"{path}: its arrays are compressed in a way that NumPy does not write; save them "
                f"with np.savez or np.savez_compressed"
            )
        require_size(sum(item.file_size for item in chosen.values()), None, path)
        for name, item in chosen.items():
            with archive.open(item) as inner:
                arrays[name] = read_array(inner, item.file_size, Path(f"{path} ({name})"))
    return arrays, list(members)


def read_array(stream: Bytes, size: int, path: Path) -> NDArray:
    """The array in ``size`` bytes of .npy; its header must agree with the size."""
    shape, fortran, dtype = read_layout(stream, size, path)
    count = math.prod(shape) * dtype.itemsize
    require_size(count, None, path)
    data = read_exactly(stream, count, path)
    if dtype.kind == "b":  # NumPy would take any byte but 0 for a 1
        largest = int(np.frombuffer(data, dtype=np.uint8).max())
        if largest > 1:
            raise DataError(
                f"{path}: holds the byte {largest} where only 0 and 1 can be (bool); it is "
                f"damaged. Write the file again."
            )
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")


def read_layout(stream: Bytes, size: int, path: Path) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, whether in Fortran order, dtype) of the numbers that follow in ``size`` bytes.

    ``DataError`` if there are none, other than plain numbers, or more or fewer than declared.
    """
    shape, fortran, dtype = read_header(stream, path)
    if dtype.hasobject:
        raise DataError(
            f"{path}: holds Python objects, which only unpickling could read and nothing here "
            f"unpickles; save a plain array of numbers"
        )
    if dtype.kind not in NUMBER_KINDS:
        raise DataError(f"{path}: holds {dtype}; save a plain array of integers or floats")
    if len(shape) > MAX_RANK or not all(0 <= n <= MAX_BYTES for n in shape):
        raise DataError(
            f"{path}: its header declares the shape {reprlib.repr(shape)}, which cannot be; at "
            f"most {MAX_BYTES} bytes are read, and the file is damaged or should be split"
        )
    count = math.prod(shape) * dtype.itemsize
    if size - stream.tell() != count:
        require_size(count, size - stream.tell(), path)
    if count == 0:
        raise DataError(f"{path}: is empty: its header declares the shape {shape}")
    return shape, fortran, dtype


def read_header(stream: Bytes, path: Path) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, whether in Fortran order, dtype), from the .npy header at the start of ``stream``."""
    version = npy_format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        # 3.0 exists for field names beyond Latin-1: never a plain array of numbers
        raise DataError(f"{path}: .npy version {version}; a plain array of numbers has 1.0 or 2.0")
    field = stream.read(2 if version == (1, 0) else 4)
    length = int.from_bytes(field, "little")
    if length > MAX_HEADER:
        raise DataError(
            f"{path}: declares a .npy header of {length} bytes; at most {MAX_HEADER} are read, and "
            f"a plain array of numbers has about a hundred. It is damaged."
        )
    header = io.BytesIO(field + stream.read(length))
    parse = (
        npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd headers warn before they fail; the error says it all
        return parse(header)
