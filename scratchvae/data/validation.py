"""Holding images out of the training split, so that the test split is looked at once."""

import numpy as np

from scratchvae.backend.noise import Purpose, permutation
from scratchvae.data.checks import stream_of
from scratchvae.data.dataset import Split
from scratchvae.errors import ConfigError


def hold_out(train: Split, count: int, seed: int) -> tuple[Split, Split]:
    """``train`` without ``count`` images, and these images: (rest, validation).

    Which images are held out is a function of (seed, len(train), count) alone; both parts keep
    the order of the file, and a larger count holds out the same images and more.

    Raises ConfigError unless 1 <= count < len(train).
    """
    if not 1 <= count < len(train):
        raise ConfigError(
            f"{count} images cannot be held out of {len(train)}: "
            f"at least one must be held out and at least one must remain"
        )
    order = permutation(len(train), stream_of(seed, Purpose.SPLIT))
    return train.take(np.sort(order[count:])), train.take(np.sort(order[:count]))
