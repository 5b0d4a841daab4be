"""What an image file means, read a second time, strictly, by NumPy's and Python's own readers.

Written against the documents, not against the package: it shares no code with ``scratchvae.data``.
"""

import gzip
import io
import math
import struct
import zipfile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Reading(NamedTuple):
    """Both parts of a data set as (N, D) arrays, their labels, and what a pixel means."""

    train: NDArray[Any]
    test: NDArray[Any]
    train_labels: NDArray[Any] | None
    test_labels: NDArray[Any] | None
    max_level: int | None
    image_shape: tuple[int, ...] | None


def read(content: bytes) -> Reading:
    """The one meaning of the file; any exception: it has none."""
    if content.startswith(b"\x93NUMPY"):
        return meaning([one_npy(content)], [None])
    if not content.startswith(b"PK"):
        return meaning([one_idx(content)], [None])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        require(len(set(names)) == len(names))
        contents = {n: archive.read(m) for n, m in zip(names, archive.namelist(), strict=True)
                    if n in KEYS}  # fmt: skip
    arrays = {name: one_npy(inner) for name, inner in contents.items()}
    images = [name for name in PARTS if name in arrays]
    keys = PARTS[images[0]]
    require(len(images) == 1 or {keys, PARTS[images[1]]} == {("y_train",), ("y_test",)})
    labels = [[arrays[k] for k in PARTS[name] if k in arrays] for name in images]
    require(all(len(found) <= 1 for found in labels) and PARTS[images[0]] != ("y_test",))
    return meaning([arrays[name] for name in images], [f[0] if f else None for f in labels])


PARTS = {"images": ("labels", "y"), "x": ("labels", "y"), "arr_0": ("labels", "y"),
         "train": ("y_train",), "x_train": ("y_train",),
         "test": ("y_test",), "x_test": ("y_test",)}  # fmt: skip
KEYS = {*PARTS, *(key for keys in PARTS.values() for key in keys)}


def one_npy(content: bytes) -> NDArray[Any]:
    """The array of a .npy file that ends where its array does."""
    stream = io.BytesIO(content)
    array = np.load(stream, allow_pickle=False)
    require(stream.tell() == len(content) and array.dtype.kind in "buif" and array.size > 0)
    require(array.dtype.kind != "b" or bool((array.view(np.uint8) <= 1).all()))
    return np.asarray(array)


def one_idx(content: bytes) -> NDArray[Any]:
    """The array of an IDX file of unsigned bytes, rank 3."""
    data = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    *magic, n, height, width = struct.unpack(">4B3I", data[:16])
    require(magic == [0, 0, 8, 3] and len(data) == 16 + math.prod((n, height, width)) > 16)
    return np.frombuffer(data[16:], np.uint8).reshape(n, height, width)


def meaning(arrays: list[NDArray[Any]], labels: list[NDArray[Any] | None]) -> Reading:
    """Pixels and labels of one array, to be cut, or of two."""
    shapes = {array.shape[1:] for array in arrays}
    require(len(shapes) == 1 and all(array.ndim in (2, 3, 4) for array in arrays))
    known = [None if some is None else whole_numbers(some) for some in labels]
    for array, some in zip(arrays, known, strict=True):
        require(some is None or some.shape == array.shape[:1])
    floats = {array.dtype.kind == "f" for array in arrays}
    require(len(floats) == 1)
    low, high = min(a.min() for a in arrays), max(a.max() for a in arrays)
    shape = image_shape(shapes.pop(), low >= 0 and high <= (1 if floats == {True} else 255))
    rows = [array.reshape(len(array), -1) for array in arrays]
    max_level = None
    if floats == {True} or (shape is None and (low < 0 or high > 255)):
        rows = [array.astype(np.float64).astype(np.float32) for array in rows]
        require(all(bool(np.isfinite(array).all()) for array in rows))
    elif high > 255 and all(array.dtype == np.uint16 for array in rows):
        rows = [(array / 65535).astype(np.float32) for array in rows]
    else:
        require(low >= 0 and high <= 255)
        max_level = 1 if high == 1 else 255
        rows = [array.astype(np.uint8) for array in rows]
    if len(rows) == 1:
        require(len(rows[0]) >= 2)
        cut = len(rows[0]) - max(1, len(rows[0]) // 10)
        rows = [rows[0][:cut], rows[0][cut:]]
        known = [None, None] if known[0] is None else [known[0][:cut], known[0][cut:]]
    return Reading(rows[0], rows[1], known[0], known[1], max_level, shape)


def whole_numbers(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Labels from −1 up, however they are stored."""
    require(bool(np.isfinite(labels).all()) and int(labels.max()) < 2**63 and labels.min() >= -1)
    require(bool((labels == np.floor(labels.astype(np.float64))).all()))
    return labels.astype(np.int64)


def image_shape(shape: tuple[int, ...], grey: bool) -> tuple[int, ...] | None:
    """(H, W) or (H, W, C) of an image; of a flattened one where it is a square of grey values."""
    if len(shape) == 1:
        side = math.isqrt(shape[0])
        return (side, side) if side**2 == shape[0] and side >= 4 and grey else None
    require(len(shape) == 2 or shape[2] <= 4 or shape[0] not in (1, 3, 4))  # channels come last
    return shape[:2] if shape[2:] == (1,) else shape


def require(fine: bool) -> None:
    """Raise ValueError for a file without one meaning."""
    if not fine:
        raise ValueError("no meaning, or several")
