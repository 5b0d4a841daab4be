"""Labels: in an array, or in an IDX file beside the images."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchvae.data.idx import read_idx
from scratchvae.errors import DataError


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
