"""How training went: −ELBO over the epochs, and its two terms."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from scratchvae.errors import ConfigError
from scratchvae.figures.checks import Float64, as_float64
from scratchvae.figures.page import (
    MARGIN,
    OFFSET,
    TITLE_ROOM,
    name_end,
    new_page,
    note,
    pixels,
    place,
    text_width,
)
from scratchvae.figures.style import BLUE, GREY, TICK, VERMILLION, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT, WIDE, NARROW = 560, 640, 400  # pixels: the panel of the loss; the two panels of its terms
LEFT, BELOW = 120, 80  # room for the labels of the axes
BETWEEN = 80  # the upper and the lower panel

KEYS = ("train_loss", "test_loss", "test_reconstruction", "test_kl")


class Line(NamedTuple):
    """One curve: its name in the figure, its colour, and its values (E,)."""

    name: str
    colour: str
    values: Float64


@house_style()
def loss_curves(
    epochs: ArrayLike,
    series: Mapping[str, ArrayLike],
    caption: str = "",
    *,
    published: Mapping[str, float] | None = None,
    of_one_kind: bool = True,
) -> "Figure":
    """Training and test −ELBO, and on the right the test set's reconstruction term and KL.

    `epochs` (E,) ascend; `series` maps any of `train_loss`, `test_loss`, `test_reconstruction` and
    `test_kl` to values (E,) in nats per image. `published` maps names to values that others
    reported, drawn as dashed lines. Values that are not finite are left out, and counted in the
    figure. If the first epochs dwarf the rest, they are cut off at the top of the panel.
    `of_one_kind`: whether the training loss is −ELBO, too, and not the estimator's own bound.
    """
    x, curves = _checked(epochs, series)
    others = {name: as_float64(name, value).item() for name, value in (published or {}).items()}
    if not all(math.isfinite(value) for value in others.values()):
        raise ConfigError("published values must be finite numbers, in nats per image")
    losses = [
        Line(name, colour, curves[key])
        for key, name, colour in (("train_loss", "train", BLUE), ("test_loss", "test", VERMILLION))
        if key in curves
    ]
    terms = [
        ([Line("", VERMILLION, curves[key])], title)
        for key, title in (
            ("test_reconstruction", "Reconstruction term, test"),
            ("test_kl", "KL term, test"),
        )
        if key in curves
    ]

    # The room on the right of a panel is what its labels need, so that none is cut off.
    room = OFFSET + _widest([*losses, *_published(others)])
    second = LEFT + WIDE + room + LEFT if losses else LEFT
    ends = [second + NARROW + OFFSET + _widest(lines) for lines, _ in terms]
    width = max([LEFT + WIDE + room if losses else 0, *ends]) + MARGIN
    figure = new_page(width, TITLE_ROOM + HEIGHT + BELOW, caption)
    if losses:
        axes = place(figure, LEFT, TITLE_ROOM, WIDE, HEIGHT, "Training and test loss")
        _draw(axes, x, losses, others, HEIGHT)
        what = "−ELBO" if of_one_kind else "loss; test: −ELBO"
        axes.set(xlabel="epoch", ylabel=f"{what} (nats per image)")
    height = (HEIGHT - (BETWEEN if len(terms) > 1 else 0)) // max(1, len(terms))
    for number, (lines, title) in enumerate(terms):
        top = TITLE_ROOM + number * (height + BETWEEN)
        axes = place(figure, second, top, NARROW, height, title)
        _draw(axes, x, lines, {}, height)
        axes.set_ylabel("nats per image")
        if number == len(terms) - 1:
            axes.set_xlabel("epoch")
        else:
            axes.tick_params(labelbottom=False)
    return figure


def view(values: Float64, published: Float64) -> tuple[float, float]:
    """Lower and upper limit for curves (C, E) so that the epochs that matter fill the panel.

    Nothing is cut off at the bottom. The first tenth of the epochs is cut off at the top if showing
    it would squeeze the rest into less than half of the height.
    """
    start = max(1, values.shape[1] // 10) if values.shape[1] > 2 else 0
    whole = np.concatenate([values[np.isfinite(values)], published])
    late = values[:, start:]
    late = np.concatenate([late[np.isfinite(late)], published])
    if not len(whole):
        return 0.0, 1.0
    low, high = float(whole.min()), float(whole.max())
    if len(late) and high - low > 2.0 * (float(late.max()) - low) > 0.0:
        high = float(late.max())
    margin = 0.06 * (high - low) or 0.01 * abs(low) or 1.0
    return low - margin, high + margin


def spread(wanted: Float64, gap: float) -> Float64:
    """Heights (N,) moved as little as needed so that any two are at least `gap` apart."""
    order = np.argsort(wanted, kind="stable")
    # With slot k shifted down by k·gap, "apart by gap" becomes "not decreasing": pool neighbours
    # that are out of order into their mean.
    blocks: list[tuple[float, int]] = []
    for rank, index in enumerate(order):
        total, count = float(wanted[index]) - rank * gap, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            before, size = blocks.pop()
            total, count = total + before, count + size
        blocks.append((total, count))
    levels = [total / count for total, count in blocks for _ in range(count)]
    placed = np.empty(len(wanted))
    placed[order] = np.array(levels) + gap * np.arange(len(wanted))
    return placed


def _checked(
    epochs: ArrayLike, series: Mapping[str, ArrayLike]
) -> tuple[Float64, dict[str, Float64]]:
    """The epochs (E,) and the curves (E,); `ConfigError` if they do not fit together."""
    x = as_float64("epochs", epochs)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all() or np.any(np.diff(x) <= 0):
        raise ConfigError("epochs must be a sequence of ascending numbers, at least one")
    unknown = sorted(set(series) - set(KEYS))
    if unknown or not series:
        raise ConfigError(f"series must hold some of {', '.join(KEYS)}, got {unknown or 'none'}")
    curves = {name: as_float64(name, values) for name, values in series.items()}
    for name, values in curves.items():
        if values.shape != x.shape:
            raise ConfigError(f"{name} must have shape {x.shape} like epochs, got {values.shape}")
    return x, curves


def _published(values: Mapping[str, float]) -> list[Line]:
    """What others reported, as lines of one value."""
    return [Line(f"{name}:", GREY, np.array([value])) for name, value in values.items()]


def _end(line: Line) -> float | None:
    """The last finite value of a curve."""
    finite = line.values[np.isfinite(line.values)]
    return float(finite[-1]) if len(finite) else None


def _label(line: Line) -> str:
    """A curve's name and where it ends."""
    end = _end(line)
    return "" if end is None else f"{line.name} {end:.1f}".strip().replace("-", "−")


def _widest(lines: list[Line]) -> int:
    """The width in pixels of the longest label."""
    return max((round(text_width(_label(line), TICK)) for line in lines), default=0)


def _draw(
    axes: "Axes", x: Float64, lines: list[Line], published: Mapping[str, float], height: int
) -> None:
    """Curves and dashed lines in one panel, each labelled at its right end."""
    from matplotlib.ticker import FixedLocator, MaxNLocator

    reference = _published(published)
    low, high = view(np.stack([line.values for line in lines]), np.array([*published.values()]))
    first, last = (x[0], x[-1]) if len(x) > 1 else (x[0] - 0.5, x[0] + 0.5)
    axes.set(xlim=(first, last), ylim=(low, high))
    axes.xaxis.set_major_locator(
        MaxNLocator(6, integer=True, steps=[1, 2, 5, 10])
        if len(x) > 1
        else FixedLocator(x.tolist())
    )
    axes.yaxis.set_major_locator(MaxNLocator(8 if height > HEIGHT // 2 else 5, steps=[1, 2, 5, 10]))
    for _, colour, values in reference:
        axes.axhline(values[0], color=colour, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
    dropped = 0
    for _, colour, values in lines:
        finite = np.isfinite(values)
        dropped += int(np.count_nonzero(~finite))
        axes.plot(x[finite], values[finite], color=colour)
        axes.plot(x[finite][-1:], values[finite][-1:], "o", color=colour, ms=3, clip_on=False)
    if dropped:
        note(axes, f"not finite, not drawn: {dropped}")

    named = [(line, end) for line in (*lines, *reference) if (end := _end(line)) is not None]
    ends = np.array([(end - low) / (high - low) * height for _, end in named])
    for (line, _), y in zip(named, spread(ends, pixels(1.25 * TICK)), strict=True):
        name_end(axes, _label(line), y / height, line.colour)
