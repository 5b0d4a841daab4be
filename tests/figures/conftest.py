"""Small figures of every kind, and the environment of a reader whose settings are all different."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scratchvae import figures

GALLERY = '''
import numpy as np
from scratchvae import figures

def gallery():
    """One small figure of every kind, by name: the same numbers in every process."""
    images = np.arange(12 * 30).reshape(12, 30) % 17 / 16.0
    shape, caption = (6, 5), "digits, grey pixels · 30-7-2 · test ELBO −14.0 nats per image"
    x = np.arange(1, 8)
    series = {"train_loss": 90 / x, "test_loss": 95 / x}
    series |= {"test_reconstruction": 90 / x, "test_kl": 5 / x}
    angle = np.arange(40) * 0.7
    mu = np.stack([angle / 9 * np.cos(angle), angle / 9 * np.sin(angle)], axis=1)
    levels = figures.latent_grid_levels(3)
    z = np.linspace(-2, 2, 21)
    plane = figures.Plane(z, z, -3 * (z[:, None] - 0.5) ** 2 - z**2)
    film = np.stack([images[:4] * k / 5 for k in range(1, 6)])
    return {
        "data": figures.data_samples(images, shape, "Data", caption),
        "prior": figures.prior_samples(images, images > 0.5, shape, caption),
        "rows": figures.reconstructions(images, images[::-1], shape, caption),
        "loss": figures.loss_curves(x, series, caption, published={"published": 12.0}),
        "way": figures.interpolations(
            images[:2], {"Linear": images[:10].reshape(2, 5, 30)}, images[2:4], shape, caption),
        "film": figures.film_strip(images[:4], film, np.arange(1, 6), shape, caption),
        "completion": figures.completions(
            images[:2], np.arange(30) < 15, images[2:4], images[:6].reshape(2, 3, 30), shape,
            caption),
        "posterior": figures.posterior_contours(
            plane, plane, ([0, 0], [0, 0]), ([0, 0.5], [-0.3, -0.9]), caption),
        "scatter": figures.latent_scatter(mu, np.arange(40) % 10, caption),
        "grid": figures.latent_grid(images[:9].reshape(3, 3, 30), shape, levels, caption),
    }
'''

HOSTILE = """
backend: tkagg
text.usetex: True
font.family: serif
font.size: 31
svg.fonttype: none
svg.hashsalt: another
savefig.bbox: tight
savefig.dpi: 37
savefig.transparent: True
figure.autolayout: True
figure.dpi: 41
axes.grid: True
axes.facecolor: yellow
image.origin: lower
image.cmap: jet
lines.linewidth: 9
path.sketch: 1, 100, 2
"""


@pytest.fixture(scope="session")
def gallery_source() -> str:
    """Source text that defines `gallery`, for this process and for others."""
    return GALLERY


@pytest.fixture(scope="session")
def gallery(gallery_source: str) -> Callable[[], dict]:
    """The function that draws one small figure of every kind."""
    names: dict = {}
    exec(gallery_source, names)
    return names["gallery"]


@pytest.fixture(scope="session")
def one_figure() -> object:
    """The smallest figure, for tests that only need something to save."""
    return figures.data_samples(np.eye(4), (2, 2))


@pytest.fixture
def hostile_config(tmp_path: Path) -> Path:
    """A folder for MPLCONFIGDIR whose matplotlibrc changes everything that it can."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    (folder / "matplotlibrc").write_text(HOSTILE)
    return folder


@pytest.fixture
def raster() -> Callable:
    """A function that renders a figure as the PNG shows it: (height, width, 3) of bytes."""
    from scratchvae.figures.style import house_style

    @house_style()
    def render(figure: object) -> np.ndarray:
        figure.canvas.draw()
        return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()

    return render
