"""A user's own images: a .npy, .npz or IDX file made into a Dataset."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchvae.data.dataset import Dataset, Split, require_finite
from scratchvae.data.files import open_binary
from scratchvae.data.idx import read_idx
from scratchvae.data.npy import read_npy, read_npz
from scratchvae.errors import DataError

Arrays = dict[str, NDArray[Any]]

TRAIN_KEYS, TEST_KEYS = ("train", "x_train"), ("test", "x_test")
SINGLE_KEYS, LABEL_KEYS = ("images", "x", "arr_0"), ("labels", "y")
ONE_OF_EACH = (  # of each line at most one array: two would leave it open which is meant
    (*SINGLE_KEYS, *TRAIN_KEYS),
    (*SINGLE_KEYS, *TEST_KEYS),
    (*LABEL_KEYS, "y_train"),
    (*LABEL_KEYS, "y_test"),
)
ALL_KEYS = (*TRAIN_KEYS, *TEST_KEYS, "y_train", "y_test", *SINGLE_KEYS, *LABEL_KEYS)


def load_file(path: Path) -> Dataset:
    """The images of ``path``, told apart by their first bytes, not by the file's name.

    Integers 0..255 are grey levels of 255 (of 1 if the brightest is 1), booleans are 0 and 1,
    floats are grey values and must be finite. Where the file has no test part, the last tenth
    of the images, at least one, becomes it, and a note says so.

    Raises DataError for everything that is not such a file.
    """
    with open_binary(path) as stream:
        magic = stream.read(6)
    if magic == b"\x93NUMPY":
        return from_arrays([read_npy(path)], [None], path)
    if magic[:2] == b"PK":
        return from_npz(path)
    if magic[:2] in (b"\0\0", b"\x1f\x8b"):
        images = read_idx(path, rank=3).array
        return from_arrays([images], [idx_labels_beside(path)], path)
    raise DataError(
        f"{path}: neither .npy, .npz nor IDX (it begins with {magic.hex(' ') or 'nothing'}); "
        f"save the images with np.save, shape (N, H, W) or (N, D)"
    )


def from_npz(path: Path) -> Dataset:
    """The Dataset of a .npz file: a train part and perhaps a test part, or one array."""
    arrays, names = read_npz(path, ALL_KEYS)
    require_one_meaning(arrays, path)
    train, test = first_of(arrays, TRAIN_KEYS), first_of(arrays, TEST_KEYS)
    if train is not None and test is not None:
        return from_arrays([train, test], [arrays.get("y_train"), arrays.get("y_test")], path)
    if train is not None:
        return from_arrays([train], [arrays.get("y_train")], path)
    single = first_of(arrays, SINGLE_KEYS)
    if single is not None:
        return from_arrays([single], [first_of(arrays, LABEL_KEYS)], path)
    raise DataError(
        f"{path}: holds the arrays {', '.join(map(repr, names)) or 'none'}; expected 'train' and "
        f"'test', or 'x_train' and 'x_test' (with 'y_train', 'y_test'), or one of 'images', 'x' "
        f"and 'arr_0' (with 'labels' or 'y')"
    )


def require_one_meaning(arrays: Arrays, path: Path) -> None:
    """Raise DataError where two arrays could be the images, or the labels, of one part."""
    for keys in ONE_OF_EACH:
        found = [key for key in keys if key in arrays]
        if len(found) > 1:
            raise DataError(
                f"{path}: holds both {found[0]!r} and {found[1]!r}, and which of them is meant "
                f"cannot be known; keep one of them"
            )


def from_arrays(
    images: Sequence[NDArray[Any]], labels: Sequence[NDArray[Any] | None], path: Path
) -> Dataset:
    """The Dataset of one array of images, to be split, or of two, train and test."""
    shape = image_shape_of(images, path)
    pixels, max_level, notes = as_pixels(images, path)
    parts = [
        Split(some, None if known is None else as_labels(known, len(some), path), max_level)
        for some, known in zip(pixels, labels, strict=True)
    ]
    if len(parts) == 1:
        whole = parts[0]
        if len(whole) < 2:
            raise DataError(f"{path}: holds one image; train and test need one each")
        cut = len(whole) - max(1, len(whole) // 10)
        parts = [whole.take(slice(None, cut)), whole.take(slice(cut, None))]
        notes.append(
            f"{path.name} has no test part: its last {len(whole) - cut} of {len(whole)} images "
            f"are the test split"
        )
    return Dataset(path.name, parts[0], parts[1], shape, tuple(notes))


def first_of(arrays: Arrays, keys: Sequence[str]) -> NDArray[Any] | None:
    """The array under the first of ``keys`` that is there."""
    return next((arrays[key] for key in keys if key in arrays), None)


def image_shape_of(arrays: Sequence[NDArray[Any]], path: Path) -> tuple[int, int]:
    """(height, width) of arrays (N, H, W) or (N, D); a square D is taken for a square image.

    Raises DataError for other ranks and for arrays that differ in it.
    """
    shapes = set()
    for array in arrays:
        if array.ndim == 3:
            shapes.add((array.shape[1], array.shape[2]))
        elif array.ndim == 2:
            side = math.isqrt(array.shape[1])
            shapes.add((side, side) if side * side == array.shape[1] else (1, array.shape[1]))
        else:
            raise DataError(
                f"{path}: an array of shape {array.shape}; images have the shape (N, H, W) or "
                f"(N, D). Reshape it, one grey channel only."
            )
    if len(shapes) != 1:
        raise DataError(f"{path}: train and test images differ in shape: {sorted(shapes)}")
    height, width = shapes.pop()
    return int(height), int(width)


def as_pixels(
    arrays: Sequence[NDArray[Any]], path: Path
) -> tuple[list[NDArray[Any]], int | None, list[str]]:
    """(images, max_level, notes): each array as (N, D), uint8 or float32, as a Split has it.

    All arrays are read alike, so that a test part without bright pixels keeps the scale of its
    train part. Raises DataError for dtypes that do not mix, integers outside 0..255, and values
    that are not finite.
    """
    flat = [array.reshape(len(array), -1) for array in arrays]
    kinds = {"float" if array.dtype.kind == "f" else "whole" for array in flat}
    if len(kinds) > 1:
        raise DataError(
            f"{path}: train and test images have dtypes {flat[0].dtype} and {flat[1].dtype}, one "
            f"of floats and one of integers; store both alike"
        )
    if kinds == {"float"}:
        return [as_float32(array, path) for array in flat], None, []
    whole = [as_uint8(array, path) for array in flat]
    if max(int(array.max()) for array in whole) != 1:
        return whole, 255, []
    if all(array.dtype.kind == "b" for array in flat):
        return whole, 1, []
    return whole, 1, [f"{path.name} holds only 0 and 1: read as binary pixels, not as k / 255"]


def as_float32(array: NDArray[Any], path: Path) -> NDArray[np.float32]:
    """``array`` as float32; raises DataError for values that are not finite there."""
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is reported
        values = np.ascontiguousarray(array, dtype=np.float32)
    require_finite(values, str(path))
    return values


def as_uint8(array: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """Whole numbers as uint8; raises DataError, with the range, if one lies outside 0..255."""
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 255:
        raise DataError(
            f"{path}: integers from {low} to {high} ({array.dtype}); grey levels lie in 0..255. "
            f"Rescale them, or store floats in [0, 1]."
        )
    return np.ascontiguousarray(array, dtype=np.uint8)


def as_labels(array: NDArray[Any], count: int, path: Path) -> NDArray[np.int64]:
    """``array`` as (count,) int64; raises DataError unless it is one whole number an image."""
    if array.dtype.kind not in "bui" or array.ndim != 1:
        raise DataError(
            f"{path}: labels of dtype {array.dtype} and shape {array.shape}; "
            f"expected integers of shape ({count},)"
        )
    if len(array) != count:
        raise DataError(f"{path}: {count} images but {len(array)} labels; they belong together")
    if int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{path}: label {int(array.max())} does not fit 64 bits with a sign")
    return array.astype(np.int64)


def idx_labels_beside(images: Path) -> NDArray[np.uint8] | None:
    """The labels whose file is named as the images' file is, or None if there is no such file."""
    stem = images.name.removesuffix(".gz")
    base = stem.removesuffix("-images-idx3-ubyte")
    if base == stem:
        return None
    for ending in ("", ".gz"):
        path = images.with_name(f"{base}-labels-idx1-ubyte{ending}")
        if path.exists():
            return read_idx(path, rank=1).array
    return None
