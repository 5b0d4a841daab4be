"""Networks described in words, as in a training configuration, for every contender to interpret."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

Shape = tuple[int, ...]
ACTIVATIONS = ("relu", "tanh", "sigmoid")


class Layer(NamedTuple):
    """A layer, with the shapes of a row before and after it; images are (height, width, channels).

    W and b are those of scratchvae: W is (inputs, outputs), of a convolution Keras' kernel
    (k, k, C, O) as a matrix of k · k · C rows, of a transposed one (k, k, O, C) likewise.
    """

    name: str  # "encoder.3", as in scratchvae
    kind: str  # the first of its words
    before: Shape
    after: Shape
    kernel: int = 1
    stride: int = 1

    @property
    def weights(self) -> tuple[int, int] | None:
        """The shape of W; None for a layer without."""
        taps = self.kernel**2
        match self.kind:
            case "dense":
                return self.before[0], self.after[0]
            case "conv":
                return taps * self.before[2], self.after[2]
            case "conv-transpose":
                return taps * self.after[2], self.before[2]
        return None

    @property
    def biases(self) -> int:
        """The length of b, of a layer that has one."""
        return self.after[-1]

    @property
    def margins(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """What "same" padding adds before and after each axis; cropped where it is transposed.

        A convolution has ⌈size / stride⌉ outputs, a transposed one size · stride. Where the
        sum is odd, the larger half comes after: so in Keras, whatever its backend.
        """
        found = []
        for a, b in zip(self.before[:2], self.after[:2], strict=True):
            big, small = max(a, b), min(a, b)
            both = max((small - 1) * self.stride + self.kernel - big, 0)
            found.append((both // 2, both - both // 2))
        return found[0], found[1]

    @property
    def product(self) -> tuple[int, int, int]:
        """The matrix product behind it, (rows, n) times (n, m), rows for an image.

        A convolution is a product of windows with the kernel, or of all pixels with all taps:
        whichever has fewer numbers. A transposed one is the input gradient of another, so it
        costs the same.
        """
        if self.kind == "dense":
            return 1, self.before[0], self.after[0]
        big, small = self.before, self.after
        if self.kind == "conv-transpose":
            big, small = small, big
        taps = self.kernel**2
        windows = prod(small[:2]), taps * big[2], small[2]
        pixels = prod(big[:2]), big[2], taps * small[2]
        return min(windows, pixels, key=lambda p: p[0] * (p[1] + p[2]))


def describe(part: str, words: Sequence[str], row: Shape) -> tuple[Layer, ...]:
    """The layers of a part, ``encoder`` or ``decoder``, that is given rows of this shape.

    The words are those of ``scratchvae.models.specs``, which refuses what cannot be.
    """
    layers = []
    for i, text in enumerate(words):
        kind, *rest = text.split()
        numbers = [int(n) for n in rest]
        after, kernel, stride = row, 1, 1
        if kind == "dense":
            after = (numbers[0],)
        elif kind == "reshape":
            after = tuple(numbers)
        elif kind == "flatten":
            after = (prod(row),)
        elif kind in ("conv", "conv-transpose"):
            channels, kernel, stride = (*numbers, 1)[:3]
            sizes = (-(-n // stride) if kind == "conv" else n * stride for n in row[:2])
            after = (*sizes, channels)
        layers.append(Layer(f"{part}.{i}", kind, row, after, kernel, stride))
        row = after
    return tuple(layers)
