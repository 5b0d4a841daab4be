"""Figures that are made of images: a data set, reconstructions, samples from the prior."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from scratchvae.errors import ConfigError
from scratchvae.figures.checks import drawn_size, image_rows, whole
from scratchvae.figures.page import MARGIN, TITLE_ROOM, new_page, place, text_width
from scratchvae.figures.style import LABEL, house_style
from scratchvae.figures.tiles import centres, fit, show, tile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL = 620  # pixels: the longest side of a panel of tiles
BETWEEN = 44  # two panels
STRIP = 1120  # pixels: the width of two rows of reconstructions


@house_style()
def data_samples(
    images: ArrayLike,
    shape: Sequence[int],
    title: str = "Data",
    caption: str = "",
    *,
    rows: int = 10,
    columns: int = 10,
    colormap: str = "Greys",
) -> "Figure":
    """A grid of images (N, H·W) in reading order, at most the first rows · columns of them.

    `colormap="Greys"` shows ink on paper; `"gray"` shows light, as in photographs of faces. Images
    of shape (H, W, 3) are drawn in their own colours, here as in every figure of images.
    """
    return _panels([(title, images)], shape, caption, rows, columns, colormap)


@house_style()
def prior_samples(
    means: ArrayLike,
    draws: ArrayLike | None,
    shape: Sequence[int],
    caption: str = "",
    *,
    side: int = 10,
    colormap: str = "Greys",
    given: str = "",
) -> "Figure":
    """Decoder means (N, H·W) for z ~ p(z), beside draws (N, H·W) from p(x | z) for the same z.

    A mean is not a sample: what the model generates is the right panel. Without `draws` the left
    one stands alone. Each is a square of at most the first `side`² images. `given`: of a
    conditional model, what each row has, as in "given the label".
    """
    panels = [(f"Decoder means{given and ' ' + given}, z ~ p(z)", means)]
    if draws is not None:
        if len(image_rows("draws", draws, shape)) != len(image_rows("means", means, shape)):
            raise ConfigError(
                "means and draws show the same z: hand in as many of one as of the other"
            )
        panels.append(("Draws from p(x | z), same z", draws))
    side = whole("side", side)
    return _panels(panels, shape, caption, side, side, colormap)


@house_style()
def reconstructions(
    originals: ArrayLike,
    reconstructions: ArrayLike,
    shape: Sequence[int],
    caption: str = "",
    *,
    title: str = "Reconstructions",
    columns: int = 10,
    colormap: str = "Greys",
) -> "Figure":
    """Originals (N, H·W) above their reconstructions (N, H·W), at most the first `columns`."""
    above = image_rows("originals", originals, shape)
    below = image_rows("reconstructions", reconstructions, shape)
    if len(above) != len(below):
        raise ConfigError(f"{len(above)} originals cannot stand above {len(below)} reconstructions")
    count = min(whole("columns", columns), len(above))
    height = drawn_size(shape)[0]
    # Fewer than five columns would fill the strip with pixels as large as stamps.
    scale = fit(shape, 2, max(count, 5), STRIP, STRIP)
    names = ("original", "reconstruction")
    both = [tile(part[:count], shape, 1, count, scale) for part in (above, below)]

    left = MARGIN + round(max(text_width(name, LABEL) for name in names)) + 20
    tall, wide = both[0].shape[:2]
    step = tall + 8  # the two rows are two things: a little more than a hairline between them
    right = max(left + wide, MARGIN + round(text_width(title, LABEL * 1.2)))
    figure = new_page(right + MARGIN, TITLE_ROOM + step + tall, caption)
    for row, (name, canvas) in enumerate(zip(names, both, strict=True)):
        axes = place(figure, left, TITLE_ROOM + row * step, wide, tall, title if row == 0 else "")
        show(axes, canvas, colormap)
        axes.set_yticks(centres(1, height, scale), [name], size=LABEL)
    return figure


def _panels(
    panels: Sequence[tuple[str, ArrayLike]],
    shape: Sequence[int],
    caption: str,
    rows: int,
    columns: int,
    colormap: str,
) -> "Figure":
    """Panels of tiles side by side, all of the same size."""
    rows, columns = whole("rows", rows), whole("columns", columns)
    parts = [image_rows(title, images, shape)[: rows * columns] for title, images in panels]
    columns = min(columns, len(parts[0]))
    rows = -(-len(parts[0]) // columns)
    scale = fit(shape, rows, columns, PANEL, PANEL)
    canvases = [tile(part, shape, rows, columns, scale) for part in parts]

    tall, wide = canvases[0].shape[:2]
    titles = max(round(text_width(title, LABEL * 1.2)) for title, _ in panels)
    step = max(wide, titles) + BETWEEN
    figure = new_page(2 * MARGIN + len(panels) * step - BETWEEN, TITLE_ROOM + tall, caption)
    for number, ((title, _), canvas) in enumerate(zip(panels, canvases, strict=True)):
        axes = place(figure, MARGIN + number * step, TITLE_ROOM, wide, tall, title)
        show(axes, canvas, colormap)
    return figure
