"""The film of a latent plane: where the test images lie, and what is decoded, epoch after epoch.

Its frames are those that a run keeps in film.npz. It plays in the page, on two canvases.
"""

import base64
import io

import numpy as np
from numpy.typing import NDArray

from scratchvae.data import Dataset
from scratchvae.figures.checks import drawn_size
from scratchvae.figures.run import drawing_scale
from scratchvae.figures.style import MANY
from scratchvae.figures.tiles import tile
from scratchvae.pages.single_file import as_script, asset
from scratchvae.runs import Snapshots
from scratchvae.runs.snapshots import REACH, SIDE
from scratchvae.types import Json

LEVELS = 32_767  # of a coordinate in the page: a 16-bit number
LARGE = 300  # pixels: of a wider plane every other point is shown, in both directions
FAR = 99.8  # percentile of |μ| that the axes reach at least
LOOK_FOR = (
    "When does a class leave the middle, and which never part? Between the epochs that were kept, "
    "points move straight."
)


def film_of(snapshots: Snapshots | None, dataset: Dataset) -> str:
    """The film as HTML; "" for a run that kept no plane, or that of one epoch alone."""
    if snapshots is None or len(snapshots.means) < 2 or not snapshots.epochs:
        return ""
    data = film_data(snapshots, dataset)
    body = asset("film.html").replace("LOOK_FOR", LOOK_FOR)
    inlined = f'<script type="application/json" id="film-data">{as_script(data)}</script>'
    return f"<style>{asset('film.css')}</style>{body}{inlined}<script>{asset('film.js')}</script>"


def film_data(snapshots: Snapshots, dataset: Dataset) -> Json:
    """What the player needs: positions (F, M, 2), labels (M,), a picture of each plane."""
    means = np.stack(snapshots.means).astype(np.float64)
    finite = np.abs(means[np.isfinite(means)])
    reach = max(3.2, float(np.percentile(finite, FAR)) * 1.06) if finite.size else 3.2
    steps = np.clip(np.nan_to_num(means) / reach, -1.0, 1.0) * LEVELS
    labels = dataset.test.labels
    known = None if labels is None else labels[: means.shape[1]]
    return {
        "epochs": snapshots.epochs,
        "reach": reach,
        "count": means.shape[1],
        "means": base64.b64encode(np.rint(steps).astype("<i2").tobytes()).decode(),
        "labels": None if known is None else [int(label) for label in known],
        "names": list(dataset.class_names),
        "colours": list(MANY),
        "plane": REACH,
        "planes": _planes(snapshots, dataset),
    }


def _planes(snapshots: Snapshots, dataset: Dataset) -> list[str]:
    """The decoded planes as addresses of PNG pictures; none of a table."""
    if dataset.image_shape is None:
        return []
    from matplotlib import colormaps

    as_drawn, _ = drawing_scale(dataset)
    palette = (colormaps[dataset.colormap](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    return [_picture(as_drawn(plane), dataset.row_shape, palette) for plane in snapshots.planes]


def _picture(plane: NDArray, shape: tuple[int, ...], palette: NDArray) -> str:
    from PIL import Image

    points = np.asarray(plane, np.float64).reshape(SIDE, SIDE, -1)
    if SIDE * max(drawn_size(shape)) > LARGE:
        points = points[::2, ::2]
    side = len(points)
    canvas = np.nan_to_num(tile(points.reshape(side**2, -1), shape, side, side, gap=1))
    levels = np.rint(np.clip(canvas, 0.0, 1.0) * 255).astype(np.uint8)
    image = Image.fromarray(levels)
    if levels.ndim == 2:
        image.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)  # fast, not small
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
