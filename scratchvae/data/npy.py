"""NumPy's .npy and .npz files, read without trusting them: no pickle, no promise unchecked."""

import math
import warnings
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from scratchvae.data.files import Bytes, open_binary, read_exactly, require_size
from scratchvae.errors import DataError

NUMBER_KINDS = "buif"  # bool, unsigned, signed, floating: what pixels and labels can be


def read_npy(path: Path) -> NDArray[Any]:
    """The array of a .npy file; raises DataError for damage, objects and other non-numbers."""
    with open_binary(path) as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        return read_array(stream, size, path)


def read_npz(path: Path, wanted: Collection[str]) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """(the wanted arrays that are there, the names of all arrays) of a .npz file.

    Raises DataError for damage, and for two arrays of one name.
    """
    arrays: dict[str, NDArray[Any]] = {}
    with open_binary(path) as stream, zipfile.ZipFile(stream) as archive:
        members = {item.filename.removesuffix(".npy"): item for item in archive.infolist()}
        if len(members) != len(archive.infolist()):
            raise DataError(f"{path}: holds two arrays of one name; save the arrays again")
        chosen = {name: item for name, item in members.items() if name in wanted}
        require_size(sum(item.file_size for item in chosen.values()), None, path)
        for name, item in chosen.items():
            with archive.open(item) as inner:
                arrays[name] = read_array(inner, item.file_size, Path(f"{path} ({name})"))
    return arrays, list(members)


def read_array(stream: Bytes, size: int, path: Path) -> NDArray[Any]:
    """The array that ``size`` bytes of .npy hold, its header compared with the size first."""
    shape, fortran, dtype = read_header(stream, path)
    if dtype.hasobject:
        raise DataError(
            f"{path}: holds Python objects, which only unpickling could read and nothing here "
            f"unpickles; save a plain array of numbers"
        )
    if dtype.kind not in NUMBER_KINDS:
        raise DataError(f"{path}: holds {dtype}; save a plain array of integers or floats")
    if any(n < 0 for n in shape):
        raise DataError(f"{path}: its header declares the shape {shape}; it is damaged")
    count = math.prod(shape) * dtype.itemsize
    require_size(count, size - stream.tell(), path)
    if count == 0:
        raise DataError(f"{path}: is empty: its header declares the shape {shape}")
    data = read_exactly(stream, count, path)
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")


def read_header(stream: Bytes, path: Path) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, Fortran order, dtype) of the .npy file that ``stream`` opens."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd headers warn before they fail; the error says it all
        version = npy_format.read_magic(stream)
        if version == (1, 0):
            return npy_format.read_array_header_1_0(stream)
        if version == (2, 0):
            return npy_format.read_array_header_2_0(stream)
    # 3.0 exists for field names beyond Latin-1: never a plain array of numbers
    raise DataError(f"{path}: .npy version {version}; a plain array of numbers has 1.0 or 2.0")
