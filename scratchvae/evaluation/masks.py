"""Which pixels of an image are observed: halves by name, or booleans from a file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scratchvae.data.npy import read_npy
from scratchvae.errors import ConfigError, DataError

HALVES = ("top", "bottom", "left", "right")  # observed

Bools = NDArray[np.bool_]


def find_mask(name: str, shape: Sequence[int]) -> Bools:
    """True where a pixel is observed, (H · W,): one of ``HALVES``, or the path of a .npy file.

    Of an odd number of rows (or columns), the one in the middle is hidden. The file holds booleans
    of shape (H, W) or (H · W,). Raises ``DataError`` for another size or dtype, and where nothing
    is observed.
    """
    height, width = shape
    if name in HALVES:
        mask = np.zeros((height, width), dtype=np.bool_)
        half = {
            "top": np.s_[: height // 2, :],
            "bottom": np.s_[height - height // 2 :, :],
            "left": np.s_[:, : width // 2],
            "right": np.s_[:, width - width // 2 :],
        }
        mask[half[name]] = True
        return observed_pixels(mask.reshape(-1), height * width, f"the mask {name!r}")
    if Path(name).suffix != ".npy":
        raise ConfigError(f"the mask {name!r} is not one of {', '.join(HALVES)}, nor a .npy file")
    mask = read_npy(Path(name))
    if mask.dtype != np.bool_:
        raise DataError(f"{name}: a mask holds booleans, True where observed, not {mask.dtype}")
    if mask.shape not in ((height, width), (height * width,)):
        raise DataError(
            f"{name}: the mask has the shape {mask.shape}, but the images have {height} x {width} "
            "pixels"
        )
    return observed_pixels(mask.reshape(-1), height * width, name)


def observed_pixels(mask: NDArray, pixels: int, what: str = "the mask") -> Bools:
    """The mask itself, (D,) or (N, D); ``DataError`` for another size or nothing observed."""
    if mask.dtype != np.bool_ or mask.shape[-1:] != (pixels,) or mask.ndim > 2:
        raise DataError(
            f"{what} has shape {mask.shape} and dtype {mask.dtype}, expected {pixels} booleans"
        )
    if not mask.any(axis=-1).all():
        raise DataError(f"{what} observes nothing: at least one pixel has to be observed")
    return mask
