"""Questions that are asked of values, with answers that name a pixel."""

import numpy as np

from scratchvae.backend.noise import Purpose, Stream
from scratchvae.data.dataset import Split
from scratchvae.errors import ConfigError, DataError


def require_unit_interval(split: Split, name: str) -> None:
    """Raise DataError unless every grey value lies in [0, 1].

    Likelihoods of grey values in [0, 1] (Bernoulli) and draws of binary pixels ask this; a
    Gaussian likelihood does not. ``name`` says in the message whose images these are.
    """
    if split.levels is not None:
        return  # k / levels with 0 <= k <= levels: a Split has checked it
    outside = ~((split.images >= 0) & (split.images <= 1))
    if not outside.any():
        return
    count = int(np.count_nonzero(outside))
    image, pixel = divmod(int(np.argmax(outside)), outside.shape[1])
    raise DataError(
        f"{name}: {count} of {outside.size} pixels lie outside [0, 1], the first in image {image}, "
        f"pixel {pixel} (value {split.images[image, pixel]:g}). Grey values between 0 and 1 are "
        f"needed here: rescale the images, store them as uint8, or use a Gaussian likelihood."
    )


def stream_of(seed: int, purpose: Purpose, lane: int = 0) -> Stream:
    """The stream of ``seed``; raises ConfigError for a seed that 64 bits cannot hold."""
    if not 0 <= seed < 2**64:
        raise ConfigError(f"seed {seed}: a seed is a whole number from 0 to 2**64 - 1")
    return Stream(seed, purpose, 0, lane)
