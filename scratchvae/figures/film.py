"""The same images reconstructed after each epoch, one row per epoch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from scratchvae.errors import ConfigError
from scratchvae.figures.checks import as_float64, drawn_size, image_rows, whole
from scratchvae.figures.page import MARGIN, TITLE_ROOM, new_page, place, text_width
from scratchvae.figures.style import LABEL, house_style
from scratchvae.figures.tiles import centres, fit, show, tile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 1120, 1500  # pixels: at most, of all frames together
TITLE = "Reconstructions over the epochs"
APART = 16  # pixels between the originals and the film


@house_style()
def film_strip(
    originals: ArrayLike,
    frames: ArrayLike,
    epochs: ArrayLike,
    shape: Sequence[int],
    caption: str = "",
    *,
    rows: int = 12,
    colormap: str = "Greys",
) -> "Figure":
    """Originals (n, H·W) above their reconstructions (E, n, H·W) after the `epochs` (E,).

    At most `rows` epochs are shown: the first, the last, and others between them at equal ratios,
    because most of the change happens early.
    """
    images = image_rows("originals", originals, shape)
    n, pixels = images.shape
    film, numbers = as_float64("frames", frames), as_float64("epochs", epochs)
    if film.ndim != 3 or film.shape[1:] != (n, pixels) or numbers.shape != film.shape[:1]:
        raise ConfigError(
            f"frames must have shape (E, {n}, {pixels}) for epochs (E,), got {film.shape} and "
            f"{numbers.shape}"
        )
    if not len(numbers) or (np.diff(numbers) <= 0).any() or (numbers < 0).any():
        raise ConfigError("epochs must be ascending numbers, not negative, at least one")
    chosen = shown(numbers, whole("rows", rows))
    count, height = len(chosen), drawn_size(shape)[0]
    scale = fit(shape, count + 1, max(n, 5), WIDTH, HEIGHT)
    above = tile(images, shape, 1, n, scale)
    names = [f"epoch {numbers[i]:g}" for i in chosen]
    flat = image_rows("frames", film[chosen].reshape(count * n, pixels), shape)
    below = tile(flat, shape, count, n, scale)

    left = MARGIN + round(max(text_width(name, LABEL) for name in ("original", *names))) + 20
    wide, tall = above.shape[1], above.shape[0] + APART + below.shape[0]
    width = max(left + wide, MARGIN + round(text_width(TITLE, LABEL * 1.2))) + MARGIN
    figure = new_page(width, TITLE_ROOM + tall, caption)
    axes = place(figure, left, TITLE_ROOM, wide, above.shape[0], TITLE)
    show(axes, above, colormap)
    axes.set_yticks(centres(1, height, scale), ["original"], size=LABEL)
    axes = place(figure, left, TITLE_ROOM + above.shape[0] + APART, wide, below.shape[0], "")
    show(axes, below, colormap)
    axes.set_yticks(centres(count, height, scale), names, size=LABEL)
    return figure


def shown(epochs: np.ndarray, rows: int) -> list[int]:
    """Which of the epochs (E,) to show: indices, ascending, `rows` of them or all."""
    if len(epochs) <= rows:
        return list(range(len(epochs)))
    if rows == 1:
        return [len(epochs) - 1]
    wanted = np.geomspace(1.0, len(epochs), rows)
    chosen = [0]
    for k in range(1, rows):  # the next one that is free, and room for those that follow
        nearest = round(float(wanted[k])) - 1
        chosen.append(min(max(nearest, chosen[-1] + 1), len(epochs) - rows + k))
    return chosen
