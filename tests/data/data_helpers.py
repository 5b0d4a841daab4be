"""What several tests of the data need: a small image set, and its files in a folder."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.reliability.mirror import ARRAYS, NAMES, idx_bytes, packed
from scratchvae.data import Split


def known_labels(split: Split) -> NDArray[np.int64]:
    assert split.labels is not None
    return split.labels


def write_files(
    folder: Path, *, compress: bool = True, level: int = 9, skip: tuple[str, ...] = ()
) -> None:
    """The four tiny files in ``folder``, without those whose name begins with one of ``skip``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(NAMES, ARRAYS, strict=True):
        if not name.startswith(skip or ("-",)):
            path = folder / (f"{name}.gz" if compress else name)
            path.write_bytes(packed(array, level) if compress else idx_bytes(array))
