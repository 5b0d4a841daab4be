"""Images that stay in their files: rows of .npy files, mapped and read when they are asked for.

A Split holds either an array or :class:`MappedRows`, and both give rows in the same way,
``images[rows]``; functions of all images go through :func:`blocks` of them. So no other module
needs to know which it is, and no process holds more of a file than the rows that it works on.
"""

import mmap
import os
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.data.files import open_binary
from scratchvae.data.npy import read_layout
from scratchvae.errors import DataError
from scratchvae.types import Values

BLOCK_BYTES = 1 << 23  # of rows that are read at a time, where all are read
MAX_MAPPED_FILES = 200  # a process may open about a thousand
Index = NDArray[np.int64]
Range = tuple[float, float]


class MappedRows(ABC):
    """Rows (N, …) that are read when they are asked for, by a slice or an index array."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @abstractmethod
    def read(self, index: Index) -> NDArray:
        """A copy of the rows of these numbers, (n, …)."""

    @property
    @abstractmethod
    def bounds(self) -> Range:
        """Numbers between which all values lie, known without reading; (NaN, NaN) with a NaN."""

    @cached_property
    def range(self) -> Range:
        """The smallest and the largest value, as Python numbers; both NaN if one is NaN."""
        return range_of_blocks(block for _, block in blocks(self))

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        """N, the number of rows."""
        return self.shape[0]

    def __getitem__(self, rows: Values) -> NDArray:
        return self.read(self._numbers(rows))

    def take(self, rows: Values) -> "MappedRows":
        """The chosen rows, still in their files."""
        return ChosenRows(self, self._numbers(rows))

    def made(
        self, function: Callable[[NDArray, Index], NDArray], dtype: Values, bounds: Range
    ) -> "MappedRows":
        """function(rows, their numbers), (n, D), computed from these whenever they are read."""
        return MadeRows(self, function, np.dtype(dtype), bounds)

    def _numbers(self, rows: Values) -> Index:
        if isinstance(rows, slice):
            return np.arange(*rows.indices(len(self)), dtype=np.int64)
        chosen = np.asarray(rows)
        if chosen.dtype == np.bool_:
            return np.flatnonzero(chosen)
        return np.where(chosen < 0, chosen + len(self), chosen).astype(np.int64)


class NpyFile(NamedTuple):
    """An array in a .npy file, and where in it the numbers begin."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int

    @property
    def end(self) -> int:
        """The size of the whole file in bytes."""
        return self.offset + int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


class FileRows(MappedRows):
    """The rows of one or several .npy files, one file after the other.

    All values are read once, for their range, and ``DataError`` is raised for files that do not
    fit together or hold no plain numbers. A copy for another process finds the files where it
    runs, and raises ``DataError`` where they are missing or others.
    """

    def __init__(self, files: Sequence[NpyFile]) -> None:
        self.files = list(files)
        require_alike(self.files)
        first = self.files[0]
        self.starts = np.cumsum([0, *(file.shape[0] for file in self.files)])
        self.shape = (int(self.starts[-1]), *first.shape[1:])
        self.dtype = first.dtype
        self._open()
        self._range = range_of_blocks(self._survey())

    def _open(self) -> None:
        self._found = [state_of(file.path) for file in self.files]
        self._mapped: OrderedDict[int, tuple[mmap.mmap, NDArray]] = OrderedDict()

    @property
    def bounds(self) -> Range:
        return self._range

    @cached_property
    def range(self) -> Range:
        return self._range

    def flat(self) -> "MappedRows":
        """The same rows as (N, D)."""
        found = copy(self)
        found.shape = (len(self), int(np.prod(self.shape[1:])))
        return found

    def read(self, index: Index) -> NDArray:
        found = np.empty((len(index), *self.shape[1:]), self.dtype)
        lies_in = np.searchsorted(self.starts, index, side="right") - 1
        for k in np.unique(lies_in):
            here = lies_in == k
            found[here] = self._rows_of(int(k))[index[here] - self.starts[k]].reshape(
                -1, *self.shape[1:]
            )
        return found

    def _rows_of(self, k: int) -> NDArray:
        """The mapped array of a file; ``DataError`` if the file has changed."""
        file = self.files[k]
        if state_of(file.path) != self._found[k]:  # reading a mapping of a shorter file is a fault
            raise DataError(
                f"{file.path}: has changed since it was opened; train on a file that stays as it is"
            )
        if k in self._mapped:
            self._mapped.move_to_end(k)
            return self._mapped[k][1]
        with open_binary(file.path) as stream:
            content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        rows = np.frombuffer(content, file.dtype, offset=file.offset).reshape(file.shape)
        self._mapped[k] = content, rows
        if len(self._mapped) > MAX_MAPPED_FILES:
            self._mapped.popitem(last=False)
        return rows

    def _survey(self) -> Iterator[NDArray]:
        """All values in blocks; ``DataError`` for bytes that only a damaged file can hold."""
        for start, block in blocks(self):
            if self.dtype.kind == "b":
                wrong = np.flatnonzero(block.view(np.uint8).reshape(len(block), -1).max(axis=1) > 1)
                if wrong.size:
                    k = int(np.searchsorted(self.starts, start + wrong[0], side="right")) - 1
                    raise DataError(
                        f"{self.files[k].path}: holds bytes other than 0 and 1 in an array of "
                        "bool; it is damaged. Write the file again."
                    )
            yield block

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("_mapped", "_found")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for file in self.files:
            if read_file(file.path) != file:
                raise DataError(f"{file.path}: is another file than the one that was opened first")
        self._open()


class ChosenRows(MappedRows):
    """Some of the rows of another source."""

    source: MappedRows
    index: Index

    def __init__(self, source: MappedRows, index: Index) -> None:
        self.source, self.index = source, index
        if isinstance(source, ChosenRows):
            self.source, self.index = source.source, source.index[index]
        self.shape, self.dtype = (len(index), *source.shape[1:]), source.dtype

    @property
    def bounds(self) -> Range:
        return self.source.bounds

    def read(self, index: Index) -> NDArray:
        return self.source.read(self.index[index])


class MadeRows(MappedRows):
    """Rows (N, D) that a function computes from another source's rows and their numbers."""

    def __init__(
        self,
        source: MappedRows,
        function: Callable[[NDArray, Index], NDArray],
        dtype: np.dtype,
        bounds: Range,
    ) -> None:
        self.source, self.function, self.dtype, self._bounds = source, function, dtype, bounds
        self.shape = (len(source), *self.read(np.zeros(1, np.int64)).shape[1:])

    @property
    def bounds(self) -> Range:
        return self._bounds

    def read(self, index: Index) -> NDArray:
        return self.function(self.source.read(index), index)


Images = NDArray | MappedRows


def blocks(images: Images) -> Iterator[tuple[int, NDArray]]:
    """(number of the first, rows) of all images in turn, a few megabytes at a time."""
    row_bytes = int(np.prod(images.shape[1:])) * images.dtype.itemsize
    each = max(BLOCK_BYTES // max(row_bytes, 1), 1)
    for start in range(0, len(images), each):
        yield start, images[start : start + each]


def range_of_blocks(found: Iterator[NDArray]) -> Range:
    """The smallest and the largest of all values, as Python numbers; both NaN if one is NaN."""
    low, high = zip(*((block.min(), block.max()) for block in found), strict=True)
    return np.min(low).item(), np.max(high).item()


def chosen(images: Images, rows: Values) -> Images:
    """The chosen rows, from memory or still in their files."""
    return images.take(rows) if isinstance(images, MappedRows) else images[rows]


def read_file(path: Path) -> NpyFile:
    """Where a .npy file has its array, so that rows can be read one by one.

    ``DataError`` if it is damaged, empty, holds anything but numbers, or holds them by columns.
    """
    with open_binary(path) as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        shape, fortran, dtype = read_layout(stream, size, path)
        offset = stream.tell()
    if fortran and len(shape) > 1:
        raise DataError(
            f"{path}: holds its numbers column by column (Fortran order), so that no row can be "
            "read alone; save np.ascontiguousarray(images)"
        )
    if len(shape) < 2:
        raise DataError(f"{path}: holds an array of shape {shape}; expected a row for each image")
    return NpyFile(path, shape, dtype, offset)


def require_alike(files: Sequence[NpyFile]) -> None:
    """``DataError`` unless all files have rows of the same shape and type."""
    first = files[0]
    for file in files[1:]:
        if file.shape[1:] != first.shape[1:]:
            raise DataError(
                f"{file.path}: holds images of shape {file.shape[1:]}, but those of "
                f"{first.path.name} have {first.shape[1:]}; all files of a data set must agree"
            )
        if file.dtype != first.dtype:
            raise DataError(
                f"{file.path}: holds {file.dtype}, but {first.path.name} {first.dtype}; "
                "save all files of a data set in one type"
            )


def state_of(path: Path) -> tuple[int, int]:
    """Size and time of the last change of a file; ``DataError`` if it no longer exists."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read any more ({error.strerror})") from error
    return found.st_size, found.st_mtime_ns
