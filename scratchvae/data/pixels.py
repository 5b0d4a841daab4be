"""What the numbers of a user's array mean as pixels."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchvae.data.finite import require_finite
from scratchvae.errors import DataError


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
    """(images, levels, notes): each array flattened to (N, D), uint8 or float32, as a Split has it.

    All arrays are read alike, so that a test part without bright pixels keeps the levels of its
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
