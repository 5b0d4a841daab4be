"""Whether all values are numbers, with an answer that names the first that is none."""

import numpy as np
from numpy.typing import NDArray

from scratchvae.errors import DataError


def require_finite(images: NDArray[np.floating], name: str) -> None:
    """Raise DataError, with their number and the first index, if a NaN or infinity is there."""
    finite = np.isfinite(images)
    if finite.all():
        return
    count = images.size - int(np.count_nonzero(finite))
    first = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), finite.shape))
    raise DataError(
        f"{name}: {count} of {images.size} values are NaN or infinite as float32, the first at "
        f"index {first} ({images[first]}). Repair or drop these images."
    )
