"""Which pixels of an image are observed: halves by name, or booleans from a file."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scratchvae.data.npy import read_npy
from scratchvae.errors import ConfigError, DataError

HALVES = ("top", "bottom", "left", "right")  # observed

Bools = NDArray[np.bool_]


def find_mask(name: str, shape: Sequence[int]) -> Bools:
    """The mask that ``name`` stands for, (D,), True where a value is observed.

    ``name``: one of ``HALVES``, or the path of a .npy file of booleans. ``shape``: that of an
    image, (H, W) or (H, W, C), or (D,) for a table; the file's is the same, (H, W) or (D,). With
    an odd number of rows (or columns) the middle one is hidden, and a pixel is observed in all its
    channels or none.

    Raises ``DataError`` for another size or dtype and if nothing is observed; ``ConfigError`` for
    another name and for half of a table.
    """
    shape, size = tuple(shape), math.prod(shape)
    mask: Bools
    if name in HALVES and len(shape) > 1:
        height, width = shape[:2]
        mask = np.zeros(shape, dtype=np.bool_)
        half = {
            "top": np.s_[: height // 2, :],
            "bottom": np.s_[height - height // 2 :, :],
            "left": np.s_[:, : width // 2],
            "right": np.s_[:, width - width // 2 :],
        }
        mask[half[name]] = True
        return observed_pixels(mask.reshape(-1), size, f"the mask {name!r}")
    if name in HALVES:
        raise ConfigError(f"a table has no {name} half: name a .npy file of {size} booleans")
    if Path(name).suffix != ".npy":
        raise ConfigError(f"the mask {name!r} is not one of {', '.join(HALVES)}, nor a .npy file")
    mask = read_npy(Path(name))
    if mask.dtype != np.bool_:
        raise DataError(f"{name}: a mask holds booleans, True where observed, not {mask.dtype}")
    if mask.shape == shape[:2]:
        mask = np.repeat(mask, size // mask.size)  # in all channels of a pixel
    elif mask.shape not in (shape, (size,)):
        what = f"the images have {' x '.join(map(str, shape))} pixels"
        raise DataError(f"{name}: the mask has the shape {mask.shape}, but {what}")
    return observed_pixels(mask.reshape(-1), size, name)


def observed_pixels(mask: NDArray, pixels: int, what: str = "the mask") -> Bools:
    """``mask``, (D,) or (N, D), checked: ``DataError`` for another size or nothing observed."""
    if mask.dtype != np.bool_ or mask.shape[-1:] != (pixels,) or mask.ndim > 2:
        raise DataError(
            f"{what} has shape {mask.shape} and dtype {mask.dtype}, expected {pixels} booleans"
        )
    if not mask.any(axis=-1).all():
        raise DataError(f"{what} observes nothing: at least one pixel has to be observed")
    return mask
