"""What β does: the plain autoencoder beside the variational one, and numbers over a sweep of β."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from scratchvae.errors import ConfigError
from scratchvae.figures.checks import as_float64, image_rows, whole
from scratchvae.figures.page import MARGIN, TITLE_ROOM, new_page, note, place
from scratchvae.figures.scatter import finite_points, scatter
from scratchvae.figures.style import GREY, INK, TICK, house_style
from scratchvae.figures.tiles import fit, show, tile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = 560  # pixels: a square panel
LEFT, BELOW = 110, 84  # room for the labels of the axes
WORDS = 40  # a second line under a title


class Side(NamedTuple):
    """One model's half of the comparison; the numbers are in nats per image."""

    mu: ArrayLike  # posterior means of the test images (N, 2)
    samples: ArrayLike  # decoder means at z ~ p(z) (S, D)
    reconstruction: float  # −E log p(x|z)
    kl: float


@house_style()
def beta_comparison(
    sides: Mapping[str, Side],
    labels: ArrayLike | None,
    shape: Sequence[int],
    caption: str = "",
    *,
    columns: int = 10,
    colormap: str = "Greys",
) -> "Figure":
    """One column per model: posterior means μ of the same images, and decoder means at z ~ p(z).

    `sides` maps a model's title to its half; `labels` (N,) colour the points. Each panel has axes
    of its own, because without a KL the means lie far outside the prior. The circle holds 95 % of
    the prior.
    """
    if not sides:
        raise ConfigError("sides must hold at least one model")
    columns, count = whole("columns", columns), None
    canvases = []
    for title, side in sides.items():
        rows = image_rows(f"samples of {title}", side.samples, shape)
        if count is not None and len(rows) != count:
            raise ConfigError(f"{title} has {len(rows)} samples, the others {count}: show as many")
        count = len(rows)
        across = min(columns, count)
        down = -(-count // across)
        scale = fit(shape, down, across, SIDE, SIDE)
        canvases.append(tile(rows, shape, down, across, scale))
    tall, wide = canvases[0].shape[:2]

    second = TITLE_ROOM + WORDS + SIDE + BELOW + TITLE_ROOM
    figure = new_page(len(sides) * (LEFT + max(SIDE, wide)) + MARGIN, second + tall, caption)
    for number, (title, side) in enumerate(sides.items()):
        left = LEFT + number * (LEFT + max(SIDE, wide))
        axes = place(figure, left, TITLE_ROOM + WORDS, SIDE, SIDE, "")
        _means(axes, title, side, labels)
        axes = place(figure, left, second, wide, tall, "Decoder means, z ~ p(z)")
        show(axes, canvases[number], colormap)
    return figure


def _means(axes: "Axes", title: str, side: Side, labels: ArrayLike | None) -> None:
    """The scatter of one model, with its name and its numbers above."""
    from matplotlib.patches import Circle

    points, classes, dropped = finite_points(f"mu of {title}", side.mu, labels)
    reach = 1.08 * max(3.0, float(np.abs(points).max(initial=0.0)))
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="μ₁", ylabel="μ₂")
    axes.locator_params(nbins=6)
    axes.set_title(title, pad=5.0 + 0.36 * WORDS)
    words = f"reconstruction {side.reconstruction:.1f}, KL {side.kl:.1f} nats per image"
    axes.annotate(words, xy=(0.0, 1.0), xycoords="axes fraction", xytext=(0.0, 5.0),
                  textcoords="offset points", size=TICK, color=INK)  # fmt: skip
    scatter(axes, points, classes)
    radius = float(np.sqrt(-2.0 * np.log(0.05)))  # of a 2-D standard normal: 95 % lie within
    axes.add_patch(Circle((0.0, 0.0), radius, fill=False, edgecolor=GREY, linewidth=0.8,
                          linestyle=(0, (4, 3)), zorder=3))  # fmt: skip
    if dropped:
        note(axes, f"not finite, not drawn: {dropped}")


@house_style()
def beta_sweep(
    betas: Sequence[float], panels: Mapping[str, ArrayLike], caption: str = ""
) -> "Figure":
    """One panel for each quantity over β, on a logarithmic axis: a dot per seed, a line of means.

    ``panels``: by the quantity's name its values (B, S), of S seeds at each of the B β, which
    ascend from above 0.
    """
    x = as_float64("betas", betas)
    if x.ndim != 1 or len(x) < 2 or not (x[0] > 0 and (np.diff(x) > 0).all()):
        raise ConfigError(f"betas are at least two that ascend from above 0, not {betas}")
    if not panels:
        raise ConfigError("panels must hold at least one quantity")
    known = {name: as_float64(name, values) for name, values in panels.items()}
    for name, values in known.items():
        if values.ndim != 2 or len(values) != len(x) or values.shape[1] == 0:
            raise ConfigError(f"{name} has shape {values.shape}, expected {len(x)} rows of seeds")
    figure = new_page(len(known) * (LEFT + SIDE) + MARGIN, TITLE_ROOM + SIDE + BELOW, caption)
    for number, (name, values) in enumerate(known.items()):
        left = LEFT + number * (LEFT + SIDE)
        axes = place(figure, left, TITLE_ROOM, SIDE, SIDE, name)
        axes.set(xscale="log", xlabel="β")
        axes.set_xticks(x, [f"{beta:g}" for beta in x])
        axes.set_xticks([], minor=True)
        axes.plot(x, values, "o", color=GREY, ms=3, clip_on=False)
        axes.plot(x, values.mean(axis=1), color=INK)
        low = min(0.0, float(values.min()))
        axes.set_ylim(low, low + 1.1 * (float(values.max()) - low) or 1.0)
    return figure
