"""Gradient estimators compared: variance and bias by layer, and the losses they train to."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from scratchvae.errors import ConfigError
from scratchvae.figures.checks import Float64, as_float64
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
    text_width,
)
from scratchvae.figures.style import (
    BLUE,
    GREY,
    HAIRLINE,
    INK,
    LABEL,
    TICK,
    VERMILLION,
    house_style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 50  # pixels: the height of an estimator's row
PANEL, BETWEEN = 430, 36  # the least width of a panel; the gap between two panels
UNDER = 84  # room for the ticks and the label of an axis
LEGEND = 50  # the height of the legend
KEY, APART = 26, 44  # from a mark to its name; from a name to the next mark
NO_BIAS = "no bias found: an upper limit"
MARKERS = "osD^v"  # by depth in the encoder or the decoder

GREEN, PURPLE = "#009e73", "#aa4499"
FOUR = (BLUE, GREEN, PURPLE, VERMILLION)
HEIGHT, WIDE, NARROW, LEFT, BELOW = 560, 640, 430, 120, 80


class GradientNoise(NamedTuple):
    """Arrays (M, E, L) by moment, estimator and layer, relative to the norm of the true gradient.

    ``limit`` is finite where no bias is significant: the smallest bias that would have been.
    """

    variance: ArrayLike
    bias: ArrayLike
    bias_squared_error: ArrayLike
    limit: ArrayLike


class Dots(NamedTuple):
    """Values (M, E, L) by moment, estimator and layer, with a title and the label of their axis.

    ``low`` and ``high`` are their error bars; where ``shown`` is 0, the value is an upper limit.
    """

    title: str
    label: str
    values: Float64
    low: Float64
    high: Float64
    shown: Float64


@house_style()
def gradient_noise(
    moments: Sequence[str],
    estimators: Sequence[str],
    layers: Mapping[str, str],
    noise: GradientNoise,
    caption: str = "",
    *,
    rule_after: int = 0,
) -> "Figure":
    """Variance above bias of every estimator's gradient by layer, a column for each moment.

    ``layers`` maps a layer's name, which begins with ``encoder`` or ``decoder``, to its text in the
    legend. Where no bias is significant, an open triangle marks the smallest one that would have
    been. Zero lies on the left edge; values that are not finite are left out, and counted in the
    figure. A line separates the first ``rule_after`` estimators from the others.
    """
    shape = (len(moments), len(estimators), len(layers))
    if 0 in shape:
        raise ConfigError("moments, estimators and layers must each hold at least one name")
    arrays = {name: as_float64(name, values) for name, values in noise._asdict().items()}
    for name, values in arrays.items():
        if values.shape != shape:
            raise ConfigError(f"{name} must have shape {shape}, got {values.shape}")
    v, b, error, most = arrays.values()
    seen = ~np.isfinite(most)
    low, high = (np.sqrt(np.maximum(b**2 + sign * error, 0.0)) for sign in (-1, 1))
    rows = [
        Dots("Variance", "E‖g − E g‖² / ‖E g*‖²", v, v, v, np.ones(shape)),
        Dots("Bias", "‖E g − E g*‖ / ‖E g*‖", np.where(seen, b, most), low, high, seen * 1.0),
    ]

    left = MARGIN + round(max(text_width(name, LABEL) for name in estimators)) + 20
    tall = ROW * len(estimators)
    texts = [*layers.values(), NO_BIAS]
    legend = sum(KEY + round(text_width(text, LABEL)) + APART for text in texts) - APART
    panel = max(PANEL, -(-(legend + BETWEEN) // shape[0]) - BETWEEN)
    width = left + shape[0] * (panel + BETWEEN) - BETWEEN + MARGIN
    figure = new_page(width, LEGEND + 2 * (TITLE_ROOM + tall + UNDER), caption)
    for number, dots in enumerate(rows):
        top = LEGEND + TITLE_ROOM + number * (TITLE_ROOM + tall + UNDER)
        positive = np.concatenate([dots.values.ravel(), dots.low[seen]])
        positive = positive[np.isfinite(positive) & (positive > 0)]
        span = (positive.min() / 1.8, positive.max() * 1.8) if len(positive) else (0.1, 10.0)
        for moment, name in enumerate(moments):
            x = left + moment * (panel + BETWEEN)
            axes = place(figure, x, top, panel, tall, f"{dots.title}, {name}")
            _rows(axes, estimators if moment == 0 else [""] * shape[1], span, rule_after)
            axes.set_xlabel(dots.label)
            _dots(axes, list(layers), Dots(*dots[:2], *(a[moment] for a in dots[2:])))
    _legend(figure, left, layers)
    return figure


def look_of(layer: str, layers: Sequence[str]) -> tuple[str, str]:
    """Colour by encoder or decoder, marker by depth."""
    part = layer.partition(".")[0]
    depth = [name for name in layers if name.partition(".")[0] == part].index(layer)
    colour = {"encoder": BLUE, "decoder": VERMILLION}.get(part, GREY)
    return colour, MARKERS[depth % len(MARKERS)]


def _rows(
    axes: "Axes", estimators: Sequence[str], span: tuple[float, float], rule_after: int
) -> None:
    """A logarithmic panel with a row for each estimator, the first one on top."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    count = len(estimators)
    axes.set(xscale="log", xlim=span, ylim=(count - 0.5, -0.5))
    axes.set_yticks(range(count), estimators, size=LABEL)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(lambda value, _: power(value))
    axes.grid(axis="x", color=HAIRLINE, linewidth=0.5)
    axes.set_axisbelow(True)
    for row in range(count):
        axes.axhline(row, color=HAIRLINE, linewidth=0.4, zorder=0)
    if 0 < rule_after < count:
        axes.axhline(rule_after - 0.5, color=GREY, linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)


def power(value: float) -> str:
    """A power of ten as text: 0.01, 1, 100, 10⁴."""
    exponent = round(np.log10(value)) if value > 0 else 0
    if -3 <= exponent <= 3:
        return f"{10.0**exponent:.{max(0, -exponent)}f}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _dots(axes: "Axes", layers: Sequence[str], dots: Dots) -> None:
    """The marks of a panel; the layers of an estimator lie a little above each other."""
    step = 0.62 / max(1, len(layers) - 1)
    left_edge = axes.get_xlim()[0]
    for number, layer in enumerate(layers):
        colour, marker = look_of(layer, layers)
        y = np.arange(len(dots.values)) + (number - (len(layers) - 1) / 2) * min(step, 0.2)
        value, shown = np.maximum(dots.values[:, number], left_edge), dots.shown[:, number] > 0
        low = np.maximum(dots.low[:, number], left_edge)
        high = dots.high[:, number]
        axes.hlines(y[shown], low[shown], high[shown], color=colour, linewidth=0.9)
        axes.plot(value[shown], y[shown], marker, color=colour, ms=3.6, mew=0, clip_on=False)
        axes.plot(value[~shown], y[~shown], "<", color=colour, ms=3.2, mew=0.6, mfc="white")
    if dropped := np.count_nonzero(~np.isfinite(dots.values)):
        note(axes, f"unknown, not drawn: {dropped}")


def _legend(figure: "Figure", left: int, layers: Mapping[str, str]) -> None:
    """The layers' marks and names in one line on top, and what an open triangle means."""
    from matplotlib.lines import Line2D

    columns, rows = (round(size * figure.dpi) for size in figure.get_size_inches())
    entries = [(*look_of(name, list(layers)), text, True) for name, text in layers.items()]
    entries.append((INK, "<", NO_BIAS, False))
    x, y = float(left), 1.0 - (LEGEND / 2 + 8) / rows
    for colour, marker, text, filled in entries:
        mark = Line2D([(x + 8) / columns], [y], marker=marker, color=colour, ms=4.2, lw=0,
                      mfc=colour if filled else "white", mew=0 if filled else 0.7)  # fmt: skip
        figure.add_artist(mark)
        figure.text((x + KEY) / columns, y, text, size=LABEL, va="center_baseline")
        x += KEY + text_width(text, LABEL) + APART


@house_style()
def estimator_curves(
    epochs: ArrayLike,
    losses: Mapping[str, ArrayLike],
    divergences: Mapping[str, ArrayLike],
    caption: str = "",
) -> "Figure":
    """Test −ELBO (E,) over the epochs for each of up to four estimators, and on the right the KL.

    Every line bears its name and where it ends. Values that are not finite are left out, and
    counted in the figure.
    """
    x = as_float64("epochs", epochs)
    if x.ndim != 1 or len(x) < 2 or np.any(np.diff(x) <= 0):
        raise ConfigError("epochs must be a sequence of ascending numbers, at least two")
    if not losses or len(losses) > len(FOUR) or list(losses) != list(divergences):
        raise ConfigError(
            f"losses and divergences must hold the same 1 to {len(FOUR)} estimators, "
            f"got {list(losses)} and {list(divergences)}"
        )
    panels = []
    for title, label, width, series in (
        ("Test loss", "−ELBO (nats per image)", WIDE, losses),
        ("KL term, test", "nats per image", NARROW, divergences),
    ):
        curves = {name: as_float64(name, values) for name, values in series.items()}
        for name, values in curves.items():
            if values.shape != x.shape:
                raise ConfigError(f"{name} must have shape {x.shape}, got {values.shape}")
        panels.append((title, label, width, curves))

    lefts, right = [], 0
    for _, _, width, curves in panels:
        lefts.append(right + LEFT)
        room = max(round(text_width(_ending(n, v), TICK)) for n, v in curves.items())
        right = lefts[-1] + width + OFFSET + room
    figure = new_page(right + MARGIN, TITLE_ROOM + HEIGHT + BELOW, caption)
    for left, (title, label, width, curves) in zip(lefts, panels, strict=True):
        axes = place(figure, left, TITLE_ROOM, width, HEIGHT, title)
        axes.set(xlabel="epoch", ylabel=label)
        _curves(axes, x, curves)
    return figure


def _ending(name: str, values: Float64) -> str:
    """An estimator's name and its last finite value."""
    finite = values[np.isfinite(values)]
    return f"{name} {finite[-1]:.1f}".replace(" -", " −") if len(finite) else name


def _curves(axes: "Axes", x: Float64, curves: Mapping[str, Float64]) -> None:
    """The lines of a panel, labelled at their right ends."""
    from matplotlib.ticker import MaxNLocator

    low, high = view(np.stack(list(curves.values())), np.array([]))
    axes.set(xlim=(x[0], x[-1]), ylim=(low, high))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    ends, dropped = [], 0
    # The first one is broad and beneath: where another runs along with it, both are seen.
    for order, ((name, values), colour) in enumerate(zip(curves.items(), FOUR, strict=False)):
        finite = np.isfinite(values)
        dropped += int(np.count_nonzero(~finite))
        axes.plot(x[finite], values[finite], color=colour, lw=1.1 if order else 2.6)
        if finite.any():
            end = values[finite][-1]
            axes.plot(x[finite][-1:], [end], "o", color=colour, ms=3, clip_on=False, zorder=5)
            ends.append((name, values, colour, (end - low) / (high - low) * HEIGHT))
    if dropped:
        note(axes, f"not finite, not drawn: {dropped}")
    heights = spread(np.array([end[3] for end in ends]), pixels(1.25 * TICK))
    for (name, values, colour, _), y in zip(ends, heights, strict=True):
        name_end(axes, _ending(name, values), y / HEIGHT, colour)
