"""Where a kernel lies on an image: sizes, padding and strides along one axis, as Keras has them."""

from collections.abc import Iterator
from typing import NamedTuple

from scratchvae.errors import ConfigError

PADDINGS = ("same", "valid")


class Phase(NamedTuple):
    """The pixels of the larger grid that see the same taps: every ``stride``-th, from ``start``.

    There are ``pixels`` of them, and ``taps`` taps, ``stride`` apart, from ``first`` on. The first
    window starts at ``origin`` in the padded smaller grid.
    """

    start: int
    pixels: int
    first: int
    taps: int
    origin: int


class Axis(NamedTuple):
    """One axis of a correlation between a grid of ``big`` pixels and one of ``small``.

    Output q of the smaller grid sees the pixels q · stride − before + i of the larger one, for
    the taps i = 0 … kernel − 1. Pixels outside the grid are zero.
    """

    big: int
    small: int
    kernel: int
    stride: int
    before: int

    @property
    def padded(self) -> int:
        """The length of the larger grid with its padding."""
        return max(self.before + self.big, (self.small - 1) * self.stride + self.kernel)

    @property
    def lead(self) -> int:
        """The number of zeros that windows on the smaller grid need before it."""
        return max(0, (self.kernel - 1 - self.before) // self.stride)

    @property
    def small_padded(self) -> int:
        """The length of the smaller grid with the zeros that windows on it need."""
        last = (self.before + self.big - 1) // self.stride  # no output begins behind the last pixel
        return self.lead + last + 1

    def phases(self) -> Iterator[Phase]:
        """The pixels of the larger grid, grouped by the taps that reach them.

        Padded pixel stride · Q + a receives from output Q − m through tap a + stride · m, for
        m = 0 … taps − 1.
        """
        for a in range(self.stride):
            taps = max(0, -(-(self.kernel - a) // self.stride))
            first = -(-(self.before - a) // self.stride)  # the first Q that is no padding
            start = self.stride * first + a - self.before
            count = -(-(self.big - start) // self.stride)
            if count > 0:
                yield Phase(start, count, a, taps, first - taps + 1 + self.lead)


def contracting(size: int, kernel: int, stride: int, padding: str) -> Axis:
    """The axis of a convolution over ``size`` pixels; ``ConfigError`` if the kernel is larger.

    "same": ⌈size / stride⌉ outputs; the larger half of an odd padding comes last.
    "valid": no padding, ⌊(size − kernel) / stride⌋ + 1 outputs.
    """
    if padding == "same":
        small = -(-size // stride)
        return Axis(size, small, kernel, stride, max((small - 1) * stride + kernel - size, 0) // 2)
    if kernel > size:
        raise ConfigError(
            f'a kernel of {kernel} does not fit into {size} pixels: use padding="same" '
            "or a smaller kernel"
        )
    return Axis(size, (size - kernel) // stride + 1, kernel, stride, 0)


def expanding(size: int, kernel: int, stride: int, padding: str) -> Axis:
    """The axis of a transposed convolution over ``size`` pixels.

    "same": size · stride outputs; "valid": (size − 1) · stride + max(kernel, stride).
    """
    if padding == "same":
        return Axis(size * stride, size, kernel, stride, max(kernel - stride, 0) // 2)
    return Axis((size - 1) * stride + max(kernel, stride), size, kernel, stride, 0)


def pair(value: int | tuple[int, int], what: str) -> tuple[int, int]:
    """``value``, one or two whole numbers of at least 1, as a pair; ``ConfigError`` otherwise.

    ``what`` names the setting in the message.
    """
    both = value if isinstance(value, tuple | list) else (value, value)
    fine = len(both) == 2 and all(
        isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in both
    )
    if not fine:
        raise ConfigError(
            f"the {what} must be a whole number of at least 1, or a pair of them, not {value!r}"
        )
    height, width = both
    return height, width
