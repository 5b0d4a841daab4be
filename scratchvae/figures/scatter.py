"""Posterior means of a 2-D latent space, coloured by label."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scratchvae.errors import ConfigError
from scratchvae.figures.checks import Float64, as_float64
from scratchvae.figures.page import (
    LINE,
    MARGIN,
    TITLE_ROOM,
    new_page,
    note,
    place,
    shortened,
    text_width,
)
from scratchvae.figures.style import BLUE, HAIRLINE, INK, MANY, TICK, TITLE, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patheffects import AbstractPathEffect

SIDE = 560  # pixels: a square panel
LEFT, BELOW = 110, 80  # room for the labels of the axes
NAME = 300.0  # pixels: the longest name of a class
DOT, GAP = 22.0, 30.0  # pixels: before a name in the key, and between two
NEAR = 26.0  # pixels: two class labels are kept this far apart
CLASSES = len(MANY)  # labels beyond this many are numbers on a scale, not classes
SCALE = "viridis"


@house_style()
def latent_scatter(
    mu: ArrayLike,
    labels: ArrayLike | None = None,
    caption: str = "",
    *,
    names: Sequence[str] = (),
) -> "Figure":
    """Posterior means μ (N, 2) by label (N,), and beside them Φ(μ) on the unit square.

    Under a perfect fit of the aggregate posterior to the prior, Φ(μ) would nearly fill the square
    evenly; μ itself varies less than z, whose variance also counts σ². A label is written at its
    class's median; names of classes, of which `names` holds the k-th for label k, stand in a key
    below, where they hide no point. −1, no label, is grey. More labels than can be told apart as
    classes are colours on a scale. Points that are not finite are left out, and counted in the
    figure.
    """
    from scipy.special import ndtr

    points, classes, dropped = finite_points("mu", mu, labels)
    reach = 1.05 * max(3.0, float(np.abs(points).max(initial=0.0)))
    known = _known(classes)
    key = _key(known, names)
    width, height = 2 * (LEFT + SIDE) + MARGIN, TITLE_ROOM + SIDE + BELOW
    figure = new_page(width, height + LINE * len(key), caption)
    left = place(figure, LEFT, TITLE_ROOM, SIDE, SIDE, "Posterior means μ")
    left.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="μ₁", ylabel="μ₂")
    right = place(figure, 2 * LEFT + SIDE, TITLE_ROOM, SIDE, SIDE, "Φ(μ), Φ the normal CDF")
    right.set(xlim=(0.0, 1.0), ylim=(0.0, 1.0), xlabel="Φ(μ₁)", ylabel="Φ(μ₂)")
    right.spines[:].set_visible(True)
    for axes, values in ((left, points), (right, ndtr(points))):
        axes.locator_params(nbins=6)
        scatter(axes, values, classes, numbered=not key)
    _draw_key(figure, key, height)
    if dropped:
        note(left, f"not finite, not drawn: {dropped}")
    return figure


def finite_points(
    name: str, mu: ArrayLike, labels: ArrayLike | None
) -> tuple[Float64, NDArray[np.int64] | None, int]:
    """The finite points (n, 2), their classes (n,), and the number of points left out."""
    points = as_float64(name, mu)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ConfigError(f"{name} must have shape (N, 2), a 2-D latent, got {points.shape}")
    classes = None if labels is None else _classes(labels, len(points))
    finite = np.isfinite(points).all(axis=1)
    kept = None if classes is None else classes[finite]
    return points[finite], kept, int(np.count_nonzero(~finite))


def _classes(labels: ArrayLike, count: int) -> NDArray[np.int64]:
    """Labels as whole numbers from −1, one for each point."""
    values = as_float64("labels", labels)
    if values.shape != (count,):
        raise ConfigError(
            f"labels must have shape ({count},) one per row of mu, got {values.shape}"
        )
    if not np.isfinite(values).all() or np.any(values % 1) or np.any(values < -1):
        raise ConfigError("labels must be whole numbers from 0 up, or −1 for a point without one")
    return values.astype(np.int64)


def scatter(
    axes: "Axes", points: Float64, classes: NDArray[np.int64] | None, *, numbered: bool = True
) -> None:
    """One dot per point, in the order of the data so that no class covers the others.

    `numbered`: write each label at the median of its class.
    """
    if not len(points):
        return
    known = _known(classes)
    area = float(np.clip(12000.0 / len(points), 2.0, 8.0))  # square points
    colours = BLUE if classes is None else _colours(classes, known)
    # Rasterized: ten thousand dots would make an SVG of megabytes.
    x, y = points.T
    axes.scatter(x, y, s=area, c=colours, alpha=0.7, linewidths=0, rasterized=True)
    if classes is not None and len(known) > CLASSES:
        _name_scale(axes, int(known[0]), int(known[-1]))
    elif classes is not None and len(known) and numbered:
        _number_classes(axes, points, classes, known)


def _known(classes: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """The labels that occur, ascending, without −1."""
    return np.zeros(0, np.int64) if classes is None else np.unique(classes[classes >= 0])


def _key(known: NDArray[np.int64], names: Sequence[str]) -> list[list[tuple[float, str, int]]]:
    """Lines of (pixels from the left, name, label), one name for each label; none without names."""
    if not len(known) or len(known) > CLASSES or known[0] >= len(names):
        return []
    lines: list[list[tuple[float, str, int]]] = [[]]
    x, right = float(LEFT), 2.0 * (LEFT + SIDE)
    for label in known.tolist():
        name = shortened(names[label], TICK, NAME) if label < len(names) else str(label)
        wide = DOT + text_width(name, TICK) + GAP
        if lines[-1] and x + wide - GAP > right:
            lines.append([])
            x = float(LEFT)
        lines[-1].append((x, name, label))
        x += wide
    return lines


def _draw_key(figure: "Figure", lines: list[list[tuple[float, str, int]]], top: float) -> None:
    """Write the names below the panels, each after a dot of its colour."""
    columns, rows = (size * figure.dpi for size in figure.get_size_inches())
    known = np.array([label for line in lines for _, _, label in line], dtype=np.int64)
    colours = dict(zip(known.tolist(), _colours(known, known), strict=True)) if len(known) else {}
    for number, line in enumerate(lines):
        y = 1.0 - (top + (number + 0.5) * LINE) / rows
        for x, name, label in line:
            figure.text(x / columns, y, "●", size=TICK, color=colours[label], va="center")
            figure.text((x + DOT) / columns, y, name, size=TICK, color=INK, va="center")


def _colours(classes: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.float64]:
    """A colour (N, 4) for each point: of its class, or on a scale; grey for −1."""
    import matplotlib
    from matplotlib.colors import to_rgba, to_rgba_array

    if len(known) > CLASSES:
        span = float(known[-1] - known[0])
        colours = np.asarray(matplotlib.colormaps[SCALE]((classes - known[0]) / span))
    else:
        # By value where that is possible: a 7 has the same colour in a figure that shows only 7s.
        small = not len(known) or known[-1] < CLASSES
        index = classes if small else np.searchsorted(known, classes)
        colours = to_rgba_array(list(MANY))[index]
    colours[classes < 0] = to_rgba(HAIRLINE)
    return colours


def _name_scale(axes: "Axes", low: int, high: int) -> None:
    """The scale of the labels in the lower right corner, from the lowest to the highest."""
    bar = axes.inset_axes((0.70, 0.035, 0.27, 0.025))
    bar.imshow(np.linspace(0.0, 1.0, 256)[None], cmap=SCALE, aspect="auto")
    bar.set(xticks=[], yticks=[])
    bar.spines[:].set_visible(False)
    for x, text, side in ((0.0, str(low), "left"), (1.0, f"label {high}", "right")):
        written = bar.text(x, 1.3, text, transform=bar.transAxes, ha=side, size=TICK, color=INK)
        written.set_path_effects(_halo())


def _halo() -> list["AbstractPathEffect"]:
    """A white rim, so that a text can be read on points."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.6, foreground="white")]


def _number_classes(
    axes: "Axes", points: Float64, classes: NDArray[np.int64], known: NDArray[np.int64]
) -> None:
    """Write each label at the median of its class, with a white halo."""
    medians = np.stack([np.median(points[classes == name], axis=0) for name in known])
    low = np.array([axes.get_xlim()[0], axes.get_ylim()[0]])
    span = np.array([axes.get_xlim()[1], axes.get_ylim()[1]]) - low
    inside = spread((medians - low) / span * SIDE, NEAR).clip(NEAR / 2.0, SIDE - NEAR / 2.0)
    places = low + span * inside / SIDE
    for label, (x, y) in zip(known.tolist(), places, strict=True):
        text = axes.text(x, y, str(label), ha="center", va="center", size=TITLE, weight="bold")
        text.set(color=INK, path_effects=_halo(), clip_on=False)


def spread(points: Float64, distance: float, rounds: int = 200) -> Float64:
    """Push points (N, 2) apart, pair by pair, until none are closer than `distance`."""
    points = points.copy()
    order = np.arange(len(points))
    apart_by_order = np.sign(order[:, None] - order[None])  # for points at the same place
    for _ in range(rounds):
        delta = points[:, None] - points[None]  # (N, N, 2), from the second to the first
        length = np.hypot(delta[..., 0], delta[..., 1])
        delta[length == 0, 1] = apart_by_order[length == 0]
        overlap = np.where(order[:, None] == order[None], 0.0, distance * 1.001 - length).clip(0.0)
        if not overlap.any():
            break
        unit = delta / np.maximum(np.hypot(delta[..., 0], delta[..., 1]), 1e-300)[..., None]
        points += 0.5 * (overlap[..., None] * unit).sum(axis=1)
    return points
