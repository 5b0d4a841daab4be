"""Figures of a table: how well each feature is reconstructed, and how the model spreads it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from scratchvae.errors import ConfigError
from scratchvae.figures.checks import Float64, as_float64
from scratchvae.figures.page import MARGIN, TITLE_ROOM, new_page, place, shortened, text_width
from scratchvae.figures.style import BLUE, GREY, HAIRLINE, INK, LABEL, TICK, VERMILLION, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = 230  # pixels: a square panel of one feature
LEFT, BELOW = 92, 84  # room for the labels of its axes
COLUMNS = 4
PANELS = 12  # features in a figure of panels
BARS = 40  # features in the figure of errors
BAR = 30  # pixels of height for each
LONGEST = PANEL + 24  # pixels: the width of a name
HEAD = 50  # pixels for the title of a page


@house_style()
def feature_reconstructions(
    actual: ArrayLike, reconstructed: ArrayLike, names: Sequence[str] = (), caption: str = ""
) -> "Figure":
    """Reconstructed over actual values, a panel for each feature: (N, D) both, `names` D or none.

    On the line they are equal. Of more than twelve features those are shown of which the largest
    part is left unexplained.
    """
    x, y, titles = checked(actual, reconstructed, names)
    unexplained = unexplained_parts(x, y)
    chosen = np.sort(np.argsort(-unexplained, kind="stable")[:PANELS])
    what = "Reconstructed over actual values"
    figure, panels = page_of_panels(head(what, len(chosen), len(titles)), len(chosen), caption)
    for (left, top), k in zip(panels, chosen, strict=True):
        axes = place(figure, left, top, PANEL, PANEL, "")
        axes.set_title(titles[k], size=LABEL)
        low, high = limits(np.concatenate([x[:, k], y[:, k]]))
        axes.plot([low, high], [low, high], color=HAIRLINE, linewidth=1.0, zorder=1)
        axes.scatter(x[:, k], y[:, k], s=4, color=BLUE, alpha=0.6, linewidths=0, rasterized=True)
        axes.set(xlim=(low, high), ylim=(low, high))
        axes.locator_params(nbins=4)
        remark(axes, f"{1.0 - unexplained[k]:.0%} explained".replace("-", "−"))
    return figure


@house_style()
def feature_errors(
    actual: ArrayLike, reconstructed: ArrayLike, names: Sequence[str] = (), caption: str = ""
) -> "Figure":
    """The part of each feature's variance that its reconstruction leaves unexplained: (N, D) both.

    Mean squared error over variance; at 1 the mean alone would do as well. A feature that does not
    vary has a part of 0 if it is met, else of 1. At most forty, the largest.
    """
    x, y, titles = checked(actual, reconstructed, names)
    parts = unexplained_parts(x, y)
    chosen = np.argsort(-parts, kind="stable")[:BARS]
    left = MARGIN + 20 + round(max(text_width(titles[k], TICK) for k in chosen))
    tall = BAR * len(chosen)
    figure = new_page(left + 3 * PANEL + 4 * MARGIN, TITLE_ROOM + tall + BELOW, caption)
    title = head("Variance left unexplained by the reconstruction", len(chosen), len(titles))
    axes = place(figure, left, TITLE_ROOM, 3 * PANEL, tall, title)
    heights = np.arange(len(chosen))
    axes.barh(heights, parts[chosen], height=0.62, color=BLUE)
    for height, part in zip(heights, parts[chosen], strict=True):
        axes.annotate(f"{part:.0%}", xy=(part, height), xytext=(4, 0), size=TICK, color=INK,
                      textcoords="offset points", va="center",
                      bbox={"color": "white", "pad": 0.6})  # fmt: skip
    reach = max(1.0, float(parts[chosen].max(initial=0.0)))
    axes.axvline(1.0, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.annotate("the mean alone", xy=(1.0, 0.0), xycoords=("data", "axes fraction"), size=TICK,
                  xytext=(4, 5), textcoords="offset points", color=GREY)  # fmt: skip
    axes.set(xlim=(0.0, 1.12 * reach), ylim=(len(chosen) - 0.4, -0.6))
    axes.set_yticks(heights, [titles[k] for k in chosen], size=TICK)
    axes.set_xlabel("mean squared error / variance")
    axes.tick_params(axis="y", length=0)
    return figure


@house_style()
def feature_distributions(
    data: ArrayLike, draws: ArrayLike, names: Sequence[str] = (), caption: str = ""
) -> "Figure":
    """How each feature is spread in the data (N, D), and in the model's own draws (M, D).

    A panel per feature, for the first twelve, with two histograms of equal area. Their bars become
    narrower with the number of rows (Rice's rule: 2 ∛N), up to twenty-four.
    """
    x, y, titles = checked(data, draws, names, alike=False)
    count = min(PANELS, len(titles))
    bars = min(24, round(2 * len(x) ** (1 / 3)))
    title = head("The data, and draws from the model", count, len(titles), "the first {}")
    figure, panels = page_of_panels(title, count, caption)
    for k, (left, top) in enumerate(panels):
        axes = place(figure, left, top, PANEL, PANEL, "")
        axes.set_title(titles[k], size=LABEL)
        # Draws of a wide Gaussian must not squeeze the data into one bar.
        low, high = limits(np.concatenate([x[:, k], np.quantile(y[:, k], [0.01, 0.99])]))
        bins = np.linspace(low, high, bars + 1).tolist()
        axes.hist(x[:, k], bins, density=True, color=HAIRLINE)
        axes.hist(y[:, k], bins, density=True, histtype="step", color=VERMILLION, linewidth=1.0)
        axes.set(xlim=(low, high), yticks=[])
        axes.locator_params(axis="x", nbins=4)
        axes.spines["left"].set_visible(False)
    title_end = LEFT + text_width(title, TICK * 1.3) + 24
    across, down = (size * figure.dpi for size in figure.get_size_inches())
    for name, colour in (("data", GREY), ("draws", VERMILLION)):
        figure.text(title_end / across, 1.0 - 34 / down, name, size=TICK, color=colour,
                    weight="bold", va="center")  # fmt: skip
        title_end += 70
    return figure


def page_of_panels(title: str, count: int, caption: str) -> tuple["Figure", list[tuple[int, int]]]:
    """A page with room for `count` panels, and the upper left corner of each."""
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    step = TITLE_ROOM + PANEL + BELOW - 30
    wide = max(columns * (LEFT + PANEL), round(text_width(title, TICK * 1.3)) + LEFT + 180)
    figure = new_page(wide + MARGIN, HEAD + rows * step, caption)
    across, down = (size * figure.dpi for size in figure.get_size_inches())
    figure.text(LEFT / across, 1.0 - 34 / down, title, size=TICK * 1.3, color=INK, va="center")
    corners = [
        (LEFT + (k % columns) * (LEFT + PANEL), HEAD + (k // columns) * step + TITLE_ROOM - 10)
        for k in range(count)
    ]
    return figure, corners


def head(what: str, shown: int, count: int, which: str = "the {} worst") -> str:
    """The title of a page, with the features that it shows, if not all."""
    return what if shown == count else f"{what}: {which.format(shown)} of {count} features"


def remark(axes: "Axes", text: str) -> None:
    """A line in the upper left corner of a panel."""
    axes.annotate(text, xy=(0.03, 0.97), xycoords="axes fraction", va="top", size=TICK, color=GREY)


def limits(values: Float64) -> tuple[float, float]:
    """Limits of an axis that holds all values, a little apart from them."""
    low, high = float(values.min()), float(values.max())
    room = 0.05 * (high - low) or max(1e-6, 0.05 * abs(low))
    return low - room, high + room


def unexplained_parts(x: Float64, y: Float64) -> Float64:
    """Mean squared error of y over the variance of x, (N, D) both; (D,)."""
    error, variance = ((x - y) ** 2).mean(axis=0), x.var(axis=0)
    constant = variance == 0
    return np.where(constant, (error > 0) * 1.0, error / np.where(constant, 1.0, variance))


def checked(
    first: ArrayLike, second: ArrayLike, names: Sequence[str], *, alike: bool = True
) -> tuple[Float64, Float64, list[str]]:
    """Both as (N, D) float64, and D names, shortened; `alike`: with as many rows."""
    x, y = as_float64("the first table", first), as_float64("the second table", second)
    if x.ndim != 2 or y.ndim != 2 or not x.size or x.shape[1:] != y.shape[1:] or not len(y):
        raise ConfigError(f"both tables must have shape (N, D), got {x.shape} and {y.shape}")
    if alike and len(x) != len(y):
        raise ConfigError(f"{len(x)} rows and {len(y)} reconstructions of them do not fit")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ConfigError("both tables must hold finite numbers")
    if names and len(names) != x.shape[1]:
        raise ConfigError(f"{len(names)} names for {x.shape[1]} features")
    titles = [str(name) for name in names] or [f"feature {k + 1}" for k in range(x.shape[1])]
    return x, y, [shortened(title, LABEL, LONGEST) for title in titles]
