"""Interpolations between two images through the latent space."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from scratchvae.errors import ConfigError
from scratchvae.figures.checks import Float64, as_float64, drawn_size, image_rows
from scratchvae.figures.page import MARGIN, TITLE_ROOM, new_page, place
from scratchvae.figures.style import house_style
from scratchvae.figures.tiles import centres, fit, show, tile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STRIP = 1240  # pixels: the width of all images of a row
APART = 26  # pixels between the images and the way between them
BELOW = 44  # room for the values of t


@house_style()
def interpolations(
    first: ArrayLike,
    ways: Mapping[str, ArrayLike],
    second: ArrayLike,
    shape: Sequence[int],
    caption: str = "",
    *,
    colormap: str = "Greys",
) -> "Figure":
    """Two images at the ends of each row, and the decoder means between their encodings.

    `first` and `second` (P, H·W) are the images; `ways` maps a name ("Linear") to decoder means
    (P, n, H·W), from the first image's encoding to the second's. One panel per way.
    """
    ends = [image_rows(name, a, shape) for name, a in (("first", first), ("second", second))]
    width, size = drawn_size(shape)[1], ends[0].shape[1]
    pairs = len(ends[0])
    between: dict[str, Float64] = {name: as_float64(name, a) for name, a in ways.items()}
    steps = {a.shape[1] for a in between.values() if a.ndim == 3}
    fits = [a.ndim == 3 and a.shape[::2] == (pairs, size) for a in between.values()]
    if not between or len(ends[1]) != pairs or not all(fits) or len(steps) != 1:
        raise ConfigError(
            f"each way must have shape ({pairs}, n, {size}) with one n for all, for "
            f"{pairs} first and {len(ends[1])} second images; got "
            f"{', '.join(str(a.shape) for a in between.values()) or 'no way at all'}"
        )
    (n,) = steps
    scale = fit(shape, 1, n + 2, STRIP, STRIP)
    left, right = (tile(a, shape, pairs, 1, scale) for a in ends)
    tall, one = left.shape[:2]
    middle = n * (width * scale + 2) + 2
    start = MARGIN + one + APART
    page = start + middle + APART + one + MARGIN
    step = TITLE_ROOM + tall + BELOW
    figure = new_page(page, len(between) * step, caption)
    for row, (name, a) in enumerate(between.items()):
        top = row * step + TITLE_ROOM
        canvas = tile(image_rows(name, a.reshape(pairs * n, -1), shape), shape, pairs, n, scale)
        show(place(figure, MARGIN, top, one, tall, "From"), left, colormap)
        axes = place(figure, start, top, middle, tall, name)
        show(axes, canvas, colormap)
        show(place(figure, start + middle + APART, top, one, tall, "To"), right, colormap)
        labels = [f"{t:.2f}".rstrip("0").rstrip(".") for t in np.linspace(0.0, 1.0, n)]
        labels[0] = "t = 0"
        axes.set_xticks(centres(n, width, scale), labels)
    return figure
