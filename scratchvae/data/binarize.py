"""Four ways to turn grey pixels into what a Bernoulli likelihood sees; they are not comparable.

Numbers measured under different protocols differ by tens of nats on MNIST, so every printed
number carries :func:`describe`.
"""

import difflib

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.noise import Purpose, Stream, fill_uniform
from scratchvae.data.dataset import Split, require_unit_interval, stream_of
from scratchvae.errors import ConfigError

PROTOCOLS = ("none", "threshold", "dynamic", "static")

BLOCK = 1 << 20  # uniforms drawn at a time: 8 MiB, however many images there are


def binarize(split: Split, protocol: str, seed: int, lane: int) -> Split:
    """The split as ``protocol`` shows it to the model.

    "threshold": 1 where x > 1/2, so a pixel of exactly 1/2 becomes 0. "static": one Bernoulli
    draw with mean x, for good; ``lane`` keeps the draws of two splits apart. "none" and
    "dynamic": the split itself; the training step draws dynamic pixels at every visit.
    Binary images are uint8 with ``max_level`` 1.

    Raises ConfigError for an unknown protocol, DataError for grey values outside [0, 1] where
    the protocol needs them inside.
    """
    require_protocol(protocol)
    if protocol == "none":
        return split
    require_unit_interval(split, f"binarization '{protocol}'")
    if protocol == "dynamic":
        return split
    if protocol == "threshold":
        # 2k > max_level without leaving uint8: k > floor(max_level / 2) is the same, k being whole
        half = 0.5 if split.max_level is None else split.max_level // 2
        pixels = (split.images > half).view(np.uint8)
    else:
        pixels = bernoulli(split, stream_of(seed, Purpose.STATIC, lane))
    return Split(pixels, split.labels, 1)


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


def describe(protocol: str, seed: int = 0) -> str:
    """The phrase that every printed number carries; ``seed`` matters to "static" only."""
    require_protocol(protocol)
    return {
        "none": "grey pixels",
        "threshold": "pixels > 1/2",
        "dynamic": "fresh Bernoulli draws each visit",
        "static": f"one Bernoulli draw, seed {seed}",
    }[protocol]


def require_protocol(protocol: str) -> None:
    """Raise ConfigError, with the nearest name, unless ``protocol`` is one of PROTOCOLS."""
    if protocol in PROTOCOLS:
        return
    near = difflib.get_close_matches(str(protocol).lower(), PROTOCOLS, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise ConfigError(
        f"unknown binarization '{protocol}'.{hint} There are: {', '.join(PROTOCOLS)}."
    )
