"""Checks of what a figure is given; an error names the argument and the shape it should have."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scratchvae.errors import ConfigError

Float64 = NDArray[np.float64]


def as_float64(name: str, values: ArrayLike) -> Float64:
    """Any real host array as float64; `ConfigError` with its `name` otherwise."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"dtype {array.dtype}")
        return array.astype(np.float64)
    except (TypeError, ValueError) as trouble:  # CuPy refuses an implicit copy with a TypeError
        raise ConfigError(
            f"{name} must be an array of real numbers on the host ({trouble}); "
            "copy a device array to the host first"
        ) from trouble


def image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """The (height, width, channels) of an image as positive Python ints; 1 channel for (H, W)."""
    if np.shape(shape) not in ((2,), (3,)):
        raise ConfigError(
            f"shape must be (height, width) or (height, width, channels), got {shape!r}"
        )
    return (
        whole("the height of an image", shape[0]),
        whole("the width of an image", shape[1]),
        whole("the number of channels", shape[2]) if len(shape) == 3 else 1,
    )


def drawn_size(shape: Sequence[int]) -> tuple[int, int]:
    """(height, width) of what is drawn of an image: one or three channels are one picture.

    Other channels stand side by side, as grey pictures.
    """
    height, width, channels = image_shape(shape)
    return height, width if channels in (1, 3) else width * channels


def image_rows(name: str, images: ArrayLike, shape: Sequence[int]) -> Float64:
    """Images (N, H·W) or (N, H·W·C) with N ≥ 1 and pixels in [0, 1].

    Pixels outside [0, 1] are clipped: the mean or a draw of a Gaussian may lie there. NaN stays
    NaN and is drawn in the grey of the separators.
    """
    size = math.prod(image_shape(shape))
    rows = as_float64(name, images)
    if rows.ndim != 2 or rows.shape[0] < 1 or rows.shape[1] != size:
        raise ConfigError(
            f"{name} must have shape (N, {size}), one flattened image of "
            f"{'×'.join(map(str, shape))} pixels per row, got {rows.shape}"
        )
    if np.asarray(images).dtype.kind in "iu" and rows.max() > 1:
        raise ConfigError(
            f"{name} must hold pixels in [0, 1], got whole numbers up to {rows.max():.0f}; "
            "divide by 255 first"
        )
    return np.clip(rows, 0.0, 1.0)


def whole(name: str, value: object) -> int:
    """A count: a whole number ≥ 1."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, got {value!r}")
    return int(value)


def quantile_level(name: str, value: float) -> float:
    """A probability strictly between 0 and 1, where the inverse normal CDF is finite."""
    if not (math.isfinite(value) and 0.0 < value < 1.0):
        raise ConfigError(f"{name} must lie strictly between 0 and 1, got {value!r}")
    return float(value)
