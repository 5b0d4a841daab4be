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
    image_shape: tuple[int, int]


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
    shapes = {image_shape(array) for array in arrays}
    require(len(shapes) == 1)
    for array, known in zip(arrays, labels, strict=True):
        require(known is None or (known.dtype.kind in "bui" and known.shape == array.shape[:1]))
        require(known is None or int(known.max()) < 2**63)
    max_level = None
    rows = [array.reshape(len(array), -1) for array in arrays]
    if all(array.dtype.kind == "f" for array in rows):
        rows = [array.astype(np.float32) for array in rows]
        require(all(bool(np.isfinite(array).all()) for array in rows))
    else:
        require(all(array.dtype.kind in "bui" for array in rows))
        require(all(int(a.min()) >= 0 and int(a.max()) <= 255 for a in rows))
        max_level = 1 if max(int(array.max()) for array in rows) == 1 else 255
        rows = [array.astype(np.uint8) for array in rows]
    if len(rows) == 1:
        require(len(rows[0]) >= 2)
        cut = len(rows[0]) - max(1, len(rows[0]) // 10)
        rows = [rows[0][:cut], rows[0][cut:]]
        labels = [None, None] if labels[0] is None else [labels[0][:cut], labels[0][cut:]]
    return Reading(rows[0], rows[1], labels[0], labels[1], max_level, shapes.pop())


def image_shape(array: NDArray[Any]) -> tuple[int, int]:
    """(height, width) of images (N, H, W) or (N, D), where a square D is a square."""
    require(array.ndim in (2, 3))
    if array.ndim == 3:
        return array.shape[1], array.shape[2]
    side = math.isqrt(array.shape[1])
    return (side, side) if side**2 == array.shape[1] else (1, array.shape[1])


def require(fine: bool) -> None:
    """Raise ValueError for a file without one meaning."""
    if not fine:
        raise ValueError("no meaning, or several")
