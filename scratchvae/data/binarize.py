"""Four ways to turn grey pixels into what a Bernoulli likelihood sees; they are not comparable.

Numbers measured under different protocols differ by tens of nats on MNIST, so every printed
number carries :func:`describe`.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.noise import Purpose, Stream, fill_uniform
from scratchvae.data.arrays import range_of
from scratchvae.data.dataset import (
    Split,
    require_protocol,
    require_unit_interval,
    stream_of,
)
from scratchvae.data.mapped import Images, Index, MappedRows
from scratchvae.errors import ConfigError, DataError

BLOCK = 1 << 20  # uniforms drawn at a time: 8 MiB, however many images there are


def binarize(split: Split, protocol: str, *, seed: int = 0, lane: int = 0) -> Split:
    """The split as a model sees it under ``protocol``, which the new split records.

    "none": the grey values. "threshold": 1 if x > 1/2, so exactly 1/2 becomes 0. "static": one
    Bernoulli draw with mean x, made once; ``lane`` separates the draws of two splits.
    "dynamic": the grey values, from which training and evaluation draw afresh at every visit.
    Binary images are uint8 with ``max_level`` 1. A split that already has this protocol (and, for
    "static", this seed) is returned unchanged.

    Raises ConfigError for an unknown protocol and for a split that already has another one;
    DataError for grey values outside [0, 1], except under "none", and for a threshold that would
    turn grey images all black or all white.
    """
    require_protocol(protocol)
    if split.binarized != "none":
        require_binarized(split, protocol, seed)
        return split
    if protocol == "none":
        return split
    require_unit_interval(split, f"binarization '{protocol}'")
    if protocol == "dynamic":
        return replace(split, binarized=protocol)
    if protocol == "threshold":
        # 2k > max_level without leaving uint8: k > floor(max_level / 2) is the same, k being whole
        half = 0.5 if split.max_level is None else split.max_level // 2
        require_both_values(split, half)
        return Split(made(partial(above, half), split.images), split.labels, 1, protocol)
    draw = partial(drawn, split.max_level, stream_of(seed, Purpose.STATIC, lane))
    return Split(made(draw, split.images), split.labels, 1, protocol, seed)


def require_binarized(split: Split, protocol: str, seed: int) -> None:
    """Raise ConfigError unless the split has been binarized by ``protocol``, with ``seed``."""
    found, wanted = describe(split.binarized, split.static_seed), describe(protocol, seed)
    if found != wanted:
        raise ConfigError(
            f"the images are binarized already ({found}), so that they cannot become: {wanted}; "
            "begin with the grey images"
        )


def bernoulli(split: Split, stream: Stream, block: int = BLOCK) -> NDArray[np.uint8]:
    """Draw every pixel once: 1 if u < x, else 0  (E33). Returns (N, D) uint8.

    The grey values x lie in [0, 1] and u in [0, 1), so x = 0 always gives 0 and x = 1 always 1.
    Element e of the flattened images uses word e of ``stream``; ``block``, the images drawn at a
    time, bounds the memory without changing a bit.
    """
    return drawn(split.max_level, stream, split.images[:], np.arange(len(split)), block)


def drawn(
    max_level: int | None, stream: Stream, images: NDArray, numbers: Index, block: int = BLOCK
) -> NDArray[np.uint8]:
    """As :func:`bernoulli`, of the images (n, D) that have these numbers in the whole split."""
    pixels = np.empty(images.shape, dtype=np.uint8)
    u = np.empty(min(block, images.size))
    cuts = {0, len(images), *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist()}
    for first, end in pairwise(sorted(cuts)):  # images that follow each other
        source, found = images[first:end].reshape(-1), pixels[first:end].reshape(-1)
        position = int(numbers[first]) * images.shape[1]
        for start in range(0, source.size, block):
            part = slice(start, min(start + block, source.size))
            here = u[: part.stop - part.start]
            fill_uniform(here, stream, position=position + start)
            # float32, as a model sees it: the same greys give the same bits however they are stored
            x = source[part] if max_level is None else source[part] / np.float32(max_level)
            np.less(here, x, out=found[part].view(np.bool_))
    return pixels


def above(half: float, images: NDArray, numbers: Index) -> NDArray[np.uint8]:
    """1 where a pixel exceeds ``half``, else 0."""
    return (images > half).view(np.uint8)


def made(function: Callable[[NDArray, Index], NDArray], images: Images) -> Images:
    """Binary pixels, now or, of images in files, whenever they are read."""
    if isinstance(images, MappedRows):
        return images.made(function, np.uint8, (0, 1))
    return function(images, np.arange(len(images)))


def require_both_values(split: Split, half: float) -> None:
    """Raise DataError if a threshold turns grey images all black or all white."""
    if not len(split):
        return
    low, high = range_of([split.images])
    if low < high and (low > half) == (high > half):
        left = "white" if low > half else "black"
        low, high = split.range
        raise DataError(
            f"a threshold of 1/2 leaves every pixel {left}: the grey values lie from {low:g} to "
            f"{high:g}. Name the number that means white (--full-scale), rescale the images, or "
            f"choose another binarization"
        )


def describe(protocol: str, seed: int | None = None) -> str:
    """The protocol in words, as every printed number carries it; ``seed`` is that of "static".

    Raises ConfigError for an unknown protocol.
    """
    require_protocol(protocol)
    return {
        "none": "not binarized",
        "threshold": "pixels > 1/2",
        "dynamic": "fresh Bernoulli draws each visit",
        "static": "one Bernoulli draw" + ("" if seed is None else f", seed {seed}"),
    }[protocol]
