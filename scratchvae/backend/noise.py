"""All randomness, defined once: a function of (seed, purpose, step, lane, position) alone.

Nothing random is ever stored. From the seed, the noise of any step can be drawn again, on any
machine and any backend, so a run can be repeated, resumed, or split over workers. These functions
run on the host; a backend copies the numbers to its device.
"""

import hashlib
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.allocation import checked_nbytes
from scratchvae.errors import ConfigError

Float64 = NDArray[np.float64]


class Purpose(IntEnum):
    """What a stream of random numbers is for. Two purposes never share a number."""

    INITIAL_WEIGHTS = 1
    ORDER = 2  # the order of the images in an epoch
    LATENT = 3  # ε of the reparameterization while training
    BINARIZE = 4  # fresh Bernoulli draws of the pixels while training
    STATIC = 5  # the one draw of statically binarized pixels
    TEST_LATENT = 6  # ε while evaluating
    TEST_BINARIZE = 7  # fresh Bernoulli draws of the pixels while evaluating
    PRIOR = 8  # z ~ p(z)
    PIXELS = 9  # x ~ p(x | z)
    SPLIT = 10  # which images are held out for validation
    DIRECTION = 11  # random directions of the gradient checks
    FIGURE = 12  # which images a figure shows
    IMPORTANCE = 13  # ε of the importance-sampled log p(x)
    COMPLETION = 14  # ε while an image is completed


class Stream(NamedTuple):
    """The name of one stream: E26's key is (seed, purpose), its counter (block, step, lane, 0).

    ``lane`` tells apart streams of one seed, purpose and step: for initial weights it is a hash of
    the parameter's name. All but the purpose are whole numbers from 0 to 2⁶⁴ − 1.
    """

    seed: int
    purpose: Purpose
    step: int = 0
    lane: int = 0

    @staticmethod
    def named(seed: int, purpose: Purpose, name: str) -> "Stream":
        """The stream of ``name``: adding or removing other names does not change its numbers."""
        lane = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
        return Stream(seed, purpose, 0, lane)


def generator(stream: Stream, position: int = 0) -> np.random.Generator:
    """NumPy's Philox4x64-10, set to the stream and advanced past ``position`` words of 64 bits.

    ``ConfigError`` for a seed, step or lane that is negative or needs more than 64 bits.
    """
    for name in ("seed", "step", "lane"):
        value = getattr(stream, name)
        if not isinstance(value, int | np.integer) or not 0 <= value < 2**64:
            raise ConfigError(
                f"the {name} of a stream is {value!r}, but it must be a whole number from 0 to "
                "2⁶⁴ − 1"
            )
    block, rest = divmod(position, 4)  # one call of Philox yields four words
    bits = np.random.Philox(
        key=np.array([stream.seed, stream.purpose], dtype=np.uint64),
        counter=np.array([block, stream.step, stream.lane, 0], dtype=np.uint64),
    )
    if rest:
        bits.random_raw(rest, output=False)
    return np.random.Generator(bits)


def fill_uniform(out: Float64, stream: Stream, position: int = 0) -> None:
    """Write U[0, 1) into ``out`` (float64, contiguous): u = (word >> 11) · 2⁻⁵³ (E26).

    The first number is that of the stream's word ``position``.
    """
    generator(stream, position).random(out=out)


def normal_scratch_size(size: int) -> int:
    """The length of the float64 scratch array of :func:`fill_normal`, for ``size`` numbers."""
    pairs = (size + 1) // 2
    return 4 * pairs


def fill_normal(
    out: NDArray[np.floating], stream: Stream, scratch: Float64, position: int = 0
) -> None:
    """Write N(0, 1) into ``out`` (any float dtype, contiguous) by Box–Muller (E26).

    The words 2k and 2k+1 of the stream give u₁ and u₂, these the elements 2k and 2k+1:
    √(−2 ln(1 − u₁)) cos 2πu₂ and √(−2 ln(1 − u₁)) sin 2πu₂. ``out`` begins with the element
    ``position`` of the stream, an even number. The arithmetic is float64 for every dtype of
    ``out``, so that all dtypes get the same noise, rounded. ``scratch``: float64, at least
    ``normal_scratch_size(out.size)`` long; nothing is allocated.
    """
    flat = out.reshape(-1)
    pairs = (flat.size + 1) // 2
    u = scratch[: 2 * pairs]
    radius, angle = scratch[2 * pairs : 3 * pairs], scratch[3 * pairs : 4 * pairs]
    fill_uniform(u, stream, position)
    np.subtract(1.0, u[0::2], out=radius)  # in (0, 1]: its logarithm is finite
    np.log(radius, out=radius)
    np.multiply(radius, -2.0, out=radius)
    np.sqrt(radius, out=radius)
    np.multiply(u[1::2], 2 * np.pi, out=angle)
    cosine, sine = u[:pairs], u[pairs:]  # u is spent: its memory serves again
    np.cos(angle, out=cosine)
    np.multiply(cosine, radius, out=flat[0::2], casting="same_kind")
    np.sin(angle, out=sine)
    half = flat.size // 2
    np.multiply(sine[:half], radius[:half], out=flat[1::2], casting="same_kind")


def uniform(shape: tuple[int, ...], stream: Stream) -> Float64:
    """U[0, 1) of the given shape, float64."""
    checked_nbytes(shape, "float64")
    out = np.empty(shape)
    fill_uniform(out, stream)
    return out


def normal(shape: tuple[int, ...], stream: Stream) -> Float64:
    """N(0, 1) of the given shape, float64."""
    checked_nbytes(shape, "float64")
    out = np.empty(shape)
    fill_normal(out, stream, np.empty(normal_scratch_size(out.size)))
    return out


def permutation(n: int, stream: Stream) -> NDArray[np.int64]:
    """A permutation of 0 … n − 1, int64 (n,): the order that sorts ``n`` uniforms of the stream."""
    return np.argsort(uniform((n,), stream), kind="stable").astype(np.int64)
