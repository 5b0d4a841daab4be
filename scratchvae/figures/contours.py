"""A posterior over a 2-D latent space beside what was fitted to it: a Gaussian, or draws of q."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from scratchvae.errors import ConfigError
from scratchvae.figures.checks import Float64, as_float64
from scratchvae.figures.page import MARGIN, TITLE_ROOM, new_page, place
from scratchvae.figures.style import BLUE, LABEL, VERMILLION, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = 420  # pixels: a square panel
LEFT, BELOW = 100, 80  # room for the labels of the axes
LEVELS = (0.01, 0.1, 0.5, 0.9)  # of the maximum of each density


class Plane(NamedTuple):
    """log p on a grid: the values of z₁ (n,) and z₂ (m,), ascending, and log p (m, n) in nats."""

    z1: Float64
    z2: Float64
    log_density: Float64

    @staticmethod
    def points(centre: ArrayLike, reach: float, n: int = 121) -> tuple[Float64, Float64, Float64]:
        """z₁ (n,) and z₂ (n,) of a square about ``centre``, and its points (n·n, 2), row by row."""
        middle, steps = np.asarray(centre, dtype=np.float64), np.linspace(-reach, reach, n)
        z1, z2 = middle[0] + steps, middle[1] + steps
        return z1, z2, np.stack([np.tile(z1, n), np.repeat(z2, n)], axis=1)


@house_style()
def posterior_contours(
    wide: Plane,
    near: Plane,
    before: tuple[ArrayLike, ArrayLike],
    after: tuple[ArrayLike, ArrayLike],
    caption: str = "",
) -> "Figure":
    """Contours of p(observed, z), and of q(z) before and after the fit.

    `wide` is the plane of the first two panels, `near` that of the third, the neighbourhood of the
    fitted q. `before` and `after` are (μ, log σ), (2,) each. The contours are at 1, 10, 50 and 90 %
    of the largest value of each density on the two planes; a cross marks the mean of q.
    """
    planes = [_checked("wide", wide), _checked("near", near)]
    q = [_gaussian("before", before), _gaussian("after", after)]
    top = max(float(plane.log_density.max()) for plane in planes)
    panels = (
        ("Before the fit", planes[0], q[0]),
        ("After", planes[0], q[1]),
        ("After, around q(z)", planes[1], q[1]),
    )
    figure = new_page(3 * (LEFT + SIDE) + MARGIN, TITLE_ROOM + SIDE + BELOW, caption)
    for number, (title, plane, (mu, std)) in enumerate(panels):
        axes = place(figure, LEFT + number * (LEFT + SIDE), TITLE_ROOM, SIDE, SIDE, title)
        axes.set(xlim=plane.z1[[0, -1]], ylim=plane.z2[[0, -1]], xlabel="z₁")
        axes.set_ylabel("z₂", rotation="horizontal", labelpad=4.0)
        axes.locator_params(nbins=6)
        axes.spines[:].set_visible(True)
        _draw(axes, plane, top, mu, std)
    names = (("p(observed, z)", VERMILLION), ("q(z)", BLUE))
    for line, (name, colour) in enumerate(names):
        figure.axes[0].annotate(
            name, xy=(0.03, 0.97 - 0.07 * line), xycoords="axes fraction", va="top", size=LABEL,
            color=colour, weight="bold",
        )  # fmt: skip
    return figure


@house_style()
def posterior_draws(models: Sequence[tuple[str, Plane, ArrayLike]], caption: str = "") -> "Figure":
    """Contours of p(x, z) of an image under each of some models, and draws of its q(z|x) as dots.

    Of each model its name, a plane, and the draws (n, 2). The contours are at 1, 10, 50 and 90 %
    of the largest value of each plane. Raises ``ConfigError`` for planes as
    :func:`posterior_contours` does, and for draws of another shape.
    """
    figure = new_page(len(models) * (LEFT + SIDE) + MARGIN, TITLE_ROOM + SIDE + BELOW, caption)
    for number, (title, plane, draws) in enumerate(models):
        plane, points = _checked(title, plane), as_float64("draws", draws)
        if points.ndim != 2 or points.shape[1] != 2:
            raise ConfigError(f"draws must be (n, 2), not of shape {points.shape}")
        axes = place(figure, LEFT + number * (LEFT + SIDE), TITLE_ROOM, SIDE, SIDE, title)
        axes.set(xlim=plane.z1[[0, -1]], ylim=plane.z2[[0, -1]], xlabel="z₁")
        axes.set_ylabel("z₂", rotation="horizontal", labelpad=4.0)
        axes.locator_params(nbins=6)
        axes.spines[:].set_visible(True)
        axes.plot(points[:, 0], points[:, 1], ".", color=BLUE, ms=2.0, mew=0.0, alpha=0.5)
        _draw_contours(axes, plane, float(plane.log_density.max()))
    return figure


def _draw_contours(axes: "Axes", plane: Plane, top: float) -> None:
    """The contours of the model, and a shade inside the outermost."""
    heights = [top + math.log(level) for level in LEVELS]
    axes.contourf(plane.z1, plane.z2, plane.log_density, [*heights, top + 1.0],
                  colors=[VERMILLION], alpha=0.10)  # fmt: skip
    axes.contour(plane.z1, plane.z2, plane.log_density, heights, colors=[VERMILLION],
                 linestyles="solid", linewidths=0.8)  # fmt: skip


def _draw(axes: "Axes", plane: Plane, top: float, mu: Float64, std: Float64) -> None:
    """The contours of the model, and those of q as the ellipses that they are."""
    from matplotlib.patches import Ellipse

    _draw_contours(axes, plane, top)
    for level in LEVELS:
        reach = 2.0 * math.sqrt(-2.0 * math.log(level)) * std
        ellipse = Ellipse((float(mu[0]), float(mu[1])), float(reach[0]), float(reach[1]))
        ellipse.set(fill=False, edgecolor=BLUE, linewidth=0.9)
        axes.add_patch(ellipse)
    axes.plot(*mu, "+", color=BLUE, ms=5, mew=0.9)


def _checked(name: str, plane: Plane) -> Plane:
    z1, z2, values = (as_float64(name, part) for part in plane)
    ascending = all(z.ndim == 1 and len(z) > 1 and (np.diff(z) > 0).all() for z in (z1, z2))
    if not ascending or values.shape != (len(z2), len(z1)):
        raise ConfigError(
            f"{name} must hold ascending z₁ (n,) and z₂ (m,) and log p (m, n), got shapes "
            f"{z1.shape}, {z2.shape} and {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ConfigError(f"{name} must hold finite log densities")
    return Plane(z1, z2, values)


def _gaussian(name: str, q: tuple[ArrayLike, ArrayLike]) -> tuple[Float64, Float64]:
    mu, logstd = (as_float64(name, part) for part in q)
    if mu.shape != (2,) or logstd.shape != (2,):
        raise ConfigError(f"{name} must be (mu, logstd), two numbers each")
    return mu, np.exp(logstd)
