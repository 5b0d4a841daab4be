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
    """The split as ``protocol`` shows it to a model; it carries the protocol from then on.

    "threshold": 1 where x > 1/2, so a pixel of exactly 1/2 becomes 0. "static": one Bernoulli
    draw with mean x, for good; ``lane`` keeps the draws of two splits apart. "none": the split
    itself. "dynamic": its grey values, of which training and evaluation draw afresh at every
    visit. Binary images are uint8 with ``max_level`` 1. A split that has the protocol already (and
    for "static" the seed) is returned as it is.

    Raises ConfigError for an unknown protocol and for a split that has another one already,
    DataError for grey values outside [0, 1] where the protocol needs them inside, and where a
    threshold leaves nothing of them but black or white.
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
    """One draw of every pixel: 1 where u < x  (E33). (N, D) uint8; grey values lie in [0, 1].

    Element e of the flattened images uses word e of ``stream``: ``block`` bounds the memory and
    leaves every bit as it is. u lies in [0, 1), so that x = 0 gives 0 and x = 1 gives 1.
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
    """Raise DataError where a threshold has left nothing of grey images but black, or white."""
    if pixels.size and pixels.min() == pixels.max() and np.ptp(split.images) > 0:
        left = "white" if pixels.any() else "black"
        low, high = split.range
        raise DataError(
            f"a threshold of 1/2 leaves every pixel {left}: the grey values lie from {low:g} to "
            f"{high:g}. Name the number that means white (--full-scale), rescale the images, or "
            f"choose another binarization"
        )


def describe(protocol: str, seed: int | None = None) -> str:
    """The phrase that every printed number carries; ``seed`` matters to "static" only.

    Raises ConfigError for an unknown protocol.
    """
    require_protocol(protocol)
    return {
        "none": "grey pixels",
        "threshold": "pixels > 1/2",
        "dynamic": "fresh Bernoulli draws each visit",
        "static": "one Bernoulli draw" + ("" if seed is None else f", seed {seed}"),
    }[protocol]
