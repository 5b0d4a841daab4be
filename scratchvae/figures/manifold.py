"""The decoder's means over a 2-D latent plane: the learned manifold."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from scratchvae.errors import ConfigError
from scratchvae.figures.checks import (
    Float64,
    as_float64,
    drawn_size,
    image_rows,
    image_shape,
    quantile_level,
    whole,
)
from scratchvae.figures.page import MARGIN, TITLE_ROOM, new_page, place
from scratchvae.figures.style import house_style
from scratchvae.figures.tiles import centres, fit, show, tile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 1180  # pixels: the longest side of the grid
LEFT, BELOW = 110, 80  # room for the labels of the axes
TICKS = 6


def latent_grid_levels(n: int = 20, low: float = 0.02, high: float = 0.98) -> Float64:
    """The n quantile levels along one axis of the grid, evenly spaced from low to high."""
    n = whole("n", n)
    low, high = quantile_level("low", low), quantile_level("high", high)
    if low >= high:
        raise ConfigError(f"low must be below high, got {low} and {high}")
    return np.linspace(low, high, n) if n > 1 else np.array([(low + high) / 2.0])


def latent_grid_points(n: int = 20, low: float = 0.02, high: float = 0.98) -> Float64:
    """The z (n·n, 2) to decode for `latent_grid`, row by row as the figure shows them.

    Levels u evenly spaced in (0, 1) become z = Φ⁻¹(u), so that every image stands for the same
    probability under the prior (Kingma and Welling 2013, appendix A). z₁ grows to the right and z₂
    upwards: the first point is the upper left one, with the smallest z₁ and the largest z₂.
    """
    from scipy.special import ndtri

    z = ndtri(latent_grid_levels(n, low, high))
    right, up = np.meshgrid(z, z[::-1])
    return np.stack([right.ravel(), up.ravel()], axis=1)


@house_style()
def latent_grid(
    decoded: ArrayLike,
    shape: Sequence[int],
    quantiles: ArrayLike,
    caption: str = "",
    *,
    title: str = "Decoder means over the latent plane",
    colormap: str = "Greys",
) -> "Figure":
    """Decoder means (n, n, H·W) at `latent_grid_points`, with the values of z along both axes.

    `quantiles` (n,) are the levels of `latent_grid_levels`, ascending. `decoded` is
    what the decoder returns for the points, reshaped; `decoded[0, 0]` is drawn at the upper left.
    """
    from scipy.special import ndtri

    height, width = drawn_size(shape)
    size = math.prod(image_shape(shape))
    grid = as_float64("decoded", decoded)
    n = len(grid) if grid.ndim else 0
    if n < 1 or grid.shape != (n, n, size):
        raise ConfigError(
            f"decoded must have shape (n, n, {size}), a square of flattened images of "
            f"{'×'.join(map(str, shape))} pixels, got {grid.shape}"
        )
    levels = as_float64("quantiles", quantiles)
    if levels.shape != (n,) or np.any(np.diff(levels) <= 0):
        raise ConfigError(f"quantiles must be {n} ascending levels, one per column of the grid")
    z = ndtri([quantile_level("a quantile", level) for level in levels.tolist()])

    scale = fit(shape, n, n, SIDE, SIDE)
    canvas = tile(image_rows("decoded", grid.reshape(n * n, -1), shape), shape, n, n, scale)
    tall, wide = canvas.shape[:2]
    figure = new_page(LEFT + wide + MARGIN, TITLE_ROOM + tall + BELOW, caption)
    axes = place(figure, LEFT, TITLE_ROOM, wide, tall, title)
    show(axes, canvas, colormap)
    shown = np.unique(np.linspace(0, n - 1, min(n, TICKS)).round().astype(int))
    labels = [f"{value:.2f}".replace("-", "−") for value in z[shown]]
    axes.set_xticks(centres(n, width, scale)[shown], labels)
    axes.set_yticks(centres(n, height, scale)[n - 1 - shown], labels)  # z₂ grows upwards
    axes.set_xlabel("z₁")
    axes.set_ylabel("z₂", rotation="horizontal", labelpad=1.0)
    axes.tick_params(length=2.5)
    return figure
