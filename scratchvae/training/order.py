"""The order in which an epoch visits the images."""

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.noise import Purpose, Stream, permutation


def epoch_order(n: int, seed: int, epoch: int, shuffle: bool) -> NDArray[np.int64]:
    """The images of an epoch (from 1) in visiting order: a function of (seed, epoch) alone.

    Without ``shuffle``: the order of the file.
    """
    if not shuffle:
        return np.arange(n, dtype=np.int64)
    return permutation(n, Stream(seed, Purpose.ORDER, epoch))
