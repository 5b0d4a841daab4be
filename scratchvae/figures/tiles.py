"""Many small images on one canvas, at a whole number of canvas pixels for each image pixel."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scratchvae.errors import ConfigError
from scratchvae.figures.checks import Float64, drawn_size, image_rows, image_shape, whole
from scratchvae.figures.style import HAIRLINE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GAP = 2  # canvas pixels between two images, and around all of them
BLANK = -1.0  # a place that no image takes; drawn white
_SEPARATOR = np.nan  # drawn as a hairline


def fit(shape: Sequence[int], rows: int, columns: int, width: int, height: int) -> int:
    """The largest scale at which rows × columns images stay within width × height, at least 1."""
    image_height, image_width = drawn_size(shape)
    across = (width - GAP * (columns + 1)) // (columns * image_width)
    down = (height - GAP * (rows + 1)) // (rows * image_height)
    return max(1, min(across, down))


def tile(
    images: Float64, shape: Sequence[int], rows: int, columns: int, scale: int = 1, gap: int = GAP
) -> Float64:
    """Compose images (N, H·W) or (N, H·W·C) into a canvas, in reading order.

    Image k stands in row k // columns and column k % columns.
    The canvas has shape (rows·(H·scale + gap) + gap, columns·(W·scale + gap) + gap), and a last
    axis of 3 where images have three channels; W counts as in `drawn_size`. The gaps are NaN,
    places without an image are `BLANK`.
    """
    flat = image_rows("images", images, shape)
    height, width, channels = image_shape(shape)
    rows, columns, scale = whole("rows", rows), whole("columns", columns), whole("scale", scale)
    if len(flat) > rows * columns:
        raise ConfigError(f"{len(flat)} images do not fit into {rows} rows of {columns}")
    cells = np.full((rows * columns, height * width * channels), BLANK)
    cells[: len(flat)] = flat
    blocks = cells.reshape(rows, columns, height, width, channels)
    if channels not in (1, 3):
        height, width = drawn_size(shape)
        blocks = np.moveaxis(blocks, 4, 3).reshape(rows, columns, height, width, 1)
    blocks = blocks.repeat(scale, axis=2).repeat(scale, axis=3)
    none = (0, 0)
    frame = (none, none, (gap, 0), (gap, 0), none)  # each cell brings the gap above and left of it
    blocks = np.pad(blocks, frame, constant_values=_SEPARATOR)
    canvas = blocks.transpose(0, 2, 1, 3, 4).reshape(
        rows * (height * scale + gap), columns * (width * scale + gap), -1
    )
    canvas = np.pad(canvas, ((0, gap), (0, gap), none), constant_values=_SEPARATOR)
    return canvas if channels == 3 else canvas[..., 0]


def centres(count: int, size: int, scale: int, gap: int = GAP) -> Float64:
    """Where the middles of `count` images of `size` pixels lie along one side of a canvas."""
    pitch = float(size * scale + gap)
    return pitch * np.arange(count, dtype=np.float64) + (pitch + gap - 1.0) / 2.0


def show(axes: "Axes", canvas: Float64, colormap: str) -> None:
    """Draw a canvas of tiles into axes of the same size in pixels, without ticks or frame.

    A canvas of three channels is drawn in its own colours, any other by the `colormap`.
    """
    import matplotlib
    from matplotlib.colors import to_rgb

    if colormap not in matplotlib.colormaps:
        raise ConfigError(f"matplotlib knows no colormap {colormap!r}; try 'Greys' or 'gray'")
    colours = matplotlib.colormaps[colormap].with_extremes(bad=HAIRLINE, under="white")
    if canvas.ndim == 3:
        canvas = np.where(canvas == BLANK, 1.0, canvas)
        canvas = np.where(np.isnan(canvas), to_rgb(HAIRLINE), canvas)
    axes.imshow(canvas, cmap=colours, vmin=0.0, vmax=1.0, interpolation="nearest", aspect="equal")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
