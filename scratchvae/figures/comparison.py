"""Runs beside each other: their curves in one axes, the KL of their units, the same images."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from scratchvae.errors import ConfigError
from scratchvae.figures.checks import Float64, as_float64, drawn_size, image_rows
from scratchvae.figures.curves import spread, view
from scratchvae.figures.page import (
    MARGIN,
    OFFSET,
    TITLE_ROOM,
    name_end,
    new_page,
    note,
    pixels,
    place,
    shortened,
    text_width,
)
from scratchvae.figures.style import BLUE, LABEL, TICK, VERMILLION, house_style
from scratchvae.figures.tiles import centres, fit, show, tile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (BLUE, VERMILLION, "#009e73", "#aa4499", "#b8860b", "#555555")  # as many runs at most
HEIGHT, WIDE, NARROW, LEFT, BELOW = 520, 560, 430, 120, 80
NAME = 300.0  # pixels: the longest name of a run
IMAGES = 1080  # pixels: the width of a row of images


class History(NamedTuple):
    """A run's test numbers (E,) after the ``epochs`` (E,), in nats per image."""

    epochs: ArrayLike
    negative_elbo: ArrayLike
    kl: ArrayLike


@house_style()
def compared_curves(
    runs: Mapping[str, History], caption: str = "", *, comparable: bool = True
) -> "Figure":
    """−ELBO of the test images over the epochs, a line for each run, and on the right the KL.

    Runs that are not ``comparable`` share the axes of the KL alone. Values that are not finite are
    left out, and counted in the figure.
    """
    _require_some(runs)
    panels = [("KL, test", NARROW, {name: (h.epochs, h.kl) for name, h in runs.items()})]
    if comparable:
        elbos = {name: (h.epochs, h.negative_elbo) for name, h in runs.items()}
        panels.insert(0, ("−ELBO, test", WIDE, elbos))
    checked = [
        (title, width, {name: _checked(name, *curve) for name, curve in curves.items()})
        for title, width, curves in panels
    ]
    lefts, right = [], 0
    for _, width, curves in checked:
        lefts.append(right + LEFT)
        room = max(round(text_width(_ending(n, v), TICK)) for n, (_, v) in curves.items())
        right = lefts[-1] + width + OFFSET + room
    figure = new_page(right + MARGIN, TITLE_ROOM + HEIGHT + BELOW, caption)
    for left, (title, width, curves) in zip(lefts, checked, strict=True):
        axes = place(figure, left, TITLE_ROOM, width, HEIGHT, title)
        axes.set(xlabel="epoch", ylabel="nats per image")
        _draw_curves(axes, curves)
    return figure


def _require_some(runs: Mapping[str, object]) -> None:
    if not 1 <= len(runs) <= len(COLOURS):
        raise ConfigError(f"there must be 1 to {len(COLOURS)} runs to draw, not {len(runs)}")


def _checked(name: str, epochs: ArrayLike, values: ArrayLike) -> tuple[Float64, Float64]:
    x, y = as_float64("epochs", epochs), as_float64(name, values)
    if x.ndim != 1 or not len(x) or (np.diff(x) <= 0).any() or x.shape != y.shape:
        raise ConfigError(f"{name} must have a value for each of its epochs, which ascend")
    return x, y


def _ending(name: str, values: Float64) -> str:
    """A run's name and its last finite value."""
    finite = values[np.isfinite(values)]
    name = shortened(name, TICK, NAME)
    return f"{name} {finite[-1]:.1f}".replace(" -", " −") if len(finite) else name


def _draw_curves(axes: "Axes", curves: Mapping[str, tuple[Float64, Float64]]) -> None:
    """The lines of a panel, named at their right ends."""
    from matplotlib.ticker import MaxNLocator

    longest = max(len(y) for _, y in curves.values())
    padded = [np.pad(y, (0, longest - len(y)), constant_values=np.nan) for _, y in curves.values()]
    low, high = view(np.stack(padded), np.array([]))
    first, last = (f(x) for f, x in ((min, [c[0][0] for c in curves.values()]),
                                     (max, [c[0][-1] for c in curves.values()])))  # fmt: skip
    axes.set(xlim=(first, last if last > first else first + 1), ylim=(low, high))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    ends, dropped = [], 0
    for (name, (x, y)), colour in zip(curves.items(), COLOURS, strict=False):
        finite = np.isfinite(y)
        dropped += int(np.count_nonzero(~finite))
        axes.plot(x[finite], y[finite], color=colour, lw=1.3)
        if finite.any():
            axes.plot(x[finite][-1:], y[finite][-1:], "o", color=colour, ms=3, clip_on=False)
            ends.append((name, y, colour, (y[finite][-1] - low) / (high - low) * HEIGHT))
    if dropped:
        note(axes, f"not finite, not drawn: {dropped}")
    heights = spread(np.array([end[3] for end in ends]), pixels(1.25 * TICK))
    for (name, y, colour, _), height in zip(ends, heights, strict=True):
        name_end(axes, _ending(name, y), height / HEIGHT, colour)


@house_style()
def kl_by_unit(units: Mapping[str, ArrayLike], caption: str = "") -> "Figure":
    """The KL (Z,) of each latent unit of each run, the largest first: nats per image."""
    from matplotlib.ticker import MaxNLocator

    _require_some(units)
    ordered = {name: np.sort(as_float64(name, kl))[::-1] for name, kl in units.items()}
    if any(kl.ndim != 1 or not len(kl) or not np.isfinite(kl).all() for kl in ordered.values()):
        raise ConfigError("each run must have a finite KL for each of its latent units")
    names = {name: shortened(name, TICK, NAME) for name in ordered}
    room = round(max(text_width(name, TICK) for name in names.values())) + OFFSET
    figure = new_page(LEFT + 2 * WIDE + room + MARGIN, TITLE_ROOM + HEIGHT + BELOW, caption)
    axes = place(figure, LEFT, TITLE_ROOM, 2 * WIDE, HEIGHT, "KL of each latent unit")
    most = max(map(len, ordered.values()))
    top = 1.06 * max(float(kl[0]) for kl in ordered.values()) or 1.0
    axes.set(xlim=(0.5, most + 0.5), ylim=(0.0, top))
    axes.set(xlabel="latent unit, by its KL", ylabel="nats per image")
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    for number, ((name, kl), colour) in enumerate(zip(ordered.items(), COLOURS, strict=False)):
        axes.plot(np.arange(1, len(kl) + 1), kl, "o-", color=colour, ms=3.5, lw=1.1, clip_on=False)
        name_end(axes, names[name], 1.0 - (number + 0.5) * pixels(1.5 * TICK) / HEIGHT, colour)
    return figure


@house_style()
def compared_images(
    rows: Mapping[str, ArrayLike],
    shape: Sequence[int],
    title: str,
    caption: str = "",
    *,
    colormap: str = "Greys",
) -> "Figure":
    """A row of images (n, H·W) for each name: originals above what each run makes of them."""
    if not rows:
        raise ConfigError("rows must hold at least one row of images")
    found = {name: image_rows(name, images, shape) for name, images in rows.items()}
    n = len(next(iter(found.values())))
    if any(len(images) != n for images in found.values()):
        raise ConfigError("each row must have as many images as the others")
    names = [shortened(name, LABEL, NAME) for name in found]
    scale = fit(shape, len(found), max(n, 5), IMAGES, 10**6)
    canvas = tile(np.concatenate(list(found.values())), shape, len(found), n, scale)
    left = MARGIN + round(max(text_width(name, LABEL) for name in names)) + 20
    wide, tall = canvas.shape[1], canvas.shape[0]
    least = MARGIN + round(text_width(title, LABEL * 1.2))
    figure = new_page(max(left + wide, least) + MARGIN, TITLE_ROOM + tall, caption)
    axes = place(figure, left, TITLE_ROOM, wide, tall, title)
    show(axes, canvas, colormap)
    axes.set_yticks(centres(len(found), drawn_size(shape)[0], scale), names, size=LABEL)
    return figure
