"""Partly observed images beside their completions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from scratchvae.errors import ConfigError
from scratchvae.figures.checks import as_float64, image_rows
from scratchvae.figures.page import MARGIN, TITLE_ROOM, new_page, place, text_width
from scratchvae.figures.style import LABEL, house_style
from scratchvae.figures.tiles import fit, show, tile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 1180, 1400  # pixels: at most, of all images together
APART = 24  # pixels between two panels


@house_style()
def completions(
    whole: ArrayLike,
    observed: ArrayLike,
    filled: ArrayLike,
    draws: ArrayLike | None,
    shape: Sequence[int],
    caption: str = "",
    *,
    colormap: str = "Greys",
) -> "Figure":
    """One row per image: the whole image (N, H·W), its observed pixels, and its completions.

    `observed` holds booleans, (N, H·W) or (H·W,); hidden pixels are drawn in the grey of the
    separators. `filled` (N, H·W) is the mean completion over q(z), `draws` (N, S, H·W) are the
    completions at S draws of z from q(z).
    """
    images = image_rows("whole", whole, shape)
    n, pixels = images.shape
    mask = as_float64("observed", observed) != 0
    if mask.shape not in ((n, pixels), (pixels,)):
        raise ConfigError(f"observed must have shape {(n, pixels)} like whole, got {mask.shape}")
    completed = image_rows("filled", filled, shape)
    panels = [
        ("Image", images, 1),
        ("Observed", np.where(mask, images, np.nan), 1),
        ("Completed", completed, 1),
    ]
    if draws is not None:
        each = as_float64("draws", draws)
        if each.ndim != 3 or len(each) != n or each.shape[2] != pixels:
            raise ConfigError(f"draws must have shape ({n}, S, {pixels}), got {each.shape}")
        title = "At z drawn from q(z)"
        panels.append((title, image_rows("draws", each.reshape(-1, pixels), shape), each.shape[1]))
    if len(completed) != n:
        raise ConfigError(f"{len(completed)} completions cannot stand beside {n} images")

    columns = sum(count for _, _, count in panels)
    scale = fit(shape, n, max(columns, 6), WIDTH, HEIGHT)
    left, width, placed = MARGIN, MARGIN, []
    for title, part, count in panels:
        canvas = tile(part, shape, n, count, scale)
        placed.append((title, canvas, left))
        width = left + max(canvas.shape[1], round(text_width(title, LABEL * 1.2)))
        left = width + APART
    tall = placed[0][1].shape[0]
    figure = new_page(width + MARGIN, TITLE_ROOM + tall, caption)
    for title, canvas, x in placed:
        show(place(figure, x, TITLE_ROOM, canvas.shape[1], tall, title), canvas, colormap)
    return figure
