"""Four ways to turn grey pixels into what a Bernoulli likelihood sees; they are not comparable.

Numbers measured under different protocols differ by tens of nats on MNIST, so every printed
number carries :func:`describe`.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.noise import Purpose, Stream, fill_uniform
from scratchvae.data.dataset import (
    Split,
    require_protocol,
    require_unit_interval,
    stream_of,
)
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
        pixels = (split.images > half).view(np.uint8)
        require_both_values(pixels, split)
        return Split(pixels, split.labels, 1, protocol)
    pixels = bernoulli(split, stream_of(seed, Purpose.STATIC, lane))
    return Split(pixels, split.labels, 1, protocol, seed)


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
    source = split.images.reshape(-1)
    pixels = np.empty(source.size, dtype=np.uint8)
    u = np.empty(min(block, source.size))
    for start in range(0, source.size, block):
        part = slice(start, min(start + block, source.size))
        here = u[: part.stop - part.start]
        fill_uniform(here, stream, position=start)
        # float32, as the model sees it: the same greys give the same bits however they are stored
        x = source[part] if split.max_level is None else source[part] / np.float32(split.max_level)
        np.less(here, x, out=pixels[part].view(np.bool_))
    return pixels.reshape(split.images.shape)


def require_both_values(pixels: NDArray[np.uint8], split: Split) -> None:
    """Raise DataError if a threshold has turned grey images all black or all white."""
    if pixels.size and pixels.min() == pixels.max() and np.ptp(split.images) > 0:
        left = "white" if pixels.any() else "black"
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
