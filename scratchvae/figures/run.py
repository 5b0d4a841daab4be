"""The figures of a run and of a completion, from the model, its data and its numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.noise import Purpose, Stream, normal, permutation
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset, Split
from scratchvae.evaluation import (
    Completion,
    CompletionSettings,
    as_seen_by_model,
    interpolate,
    log_joint,
)
from scratchvae.figures.completion import completions
from scratchvae.figures.contours import Plane, posterior_contours
from scratchvae.figures.curves import loss_curves
from scratchvae.figures.film import film_strip
from scratchvae.figures.images import data_samples, prior_samples, reconstructions
from scratchvae.figures.interpolation import interpolations
from scratchvae.figures.manifold import latent_grid, latent_grid_levels, latent_grid_points
from scratchvae.figures.saving import render, write
from scratchvae.figures.scatter import latent_scatter
from scratchvae.models import Model
from scratchvae.runs import Snapshots
from scratchvae.training import Views

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCATTER = 5_000  # points; more of them hide each other
PAIRS = 3  # of images to go from one to the other
COMPLETED, DRAWS = 8, 5  # images in the figure of a completion, and completions of each


def draw_run(
    folder: Path,
    model: Model,
    config: TrainConfig,
    dataset: Dataset,
    views: Views,
    metrics: Sequence[Mapping[str, float]],
    caption: str,
    snapshots: Snapshots | None = None,
    published: Mapping[str, float] | None = None,
) -> list[Path]:
    """Draw the figures of a trained model and save them in ``folder``; returns the files' paths.

    Data, reconstructions, prior samples, interpolations, snapshots, losses and, if the latent space
    has two dimensions, the scatters of μ and the decoded plane. The first file is written when the
    last figure has been drawn; other files in the folder stay.
    """
    shape, files = dataset.image_shape, dict[str, bytes]()

    def keep(figure: "Figure", name: str) -> None:
        files.update(render(figure, name))

    shown = pick(views.train, 100, config.seed)
    keep(data_samples(visible_of(shown, config), shape, "Training images", caption), "data")

    originals = figure_originals(views, config)
    keep(reconstructions(originals, model.reconstruct(originals), shape, caption),
         "reconstructions")  # fmt: skip

    means, draws = model.sample(100, seed=config.seed)
    keep(prior_samples(means, draws, shape, caption), "prior_samples")

    ends = visible_of(views.train.take(slice(0, 2 * PAIRS)), config)
    first, second = ends[: len(ends) // 2 * 2 : 2], ends[1::2]
    if len(second):
        ways = {path.capitalize(): interpolate(model, first, second, path=path)
                for path in ("linear", "spherical")}  # fmt: skip
        keep(interpolations(first, ways, second, shape, caption), "interpolations")

    if snapshots is not None and snapshots.epochs:
        keep(
            film_strip(snapshots.originals, snapshots.frames, snapshots.epochs, shape, caption),
            "film_strip",
        )

    if model.vae.latent_dim == 2:
        for name, split in (("latent_scatter", views.test), ("latent_scatter_train", views.train)):
            some = split.take(slice(0, SCATTER))
            mu, _ = model.encode(visible_of(some, config))
            of = f"{len(some):,} {'training' if split is views.train else 'test'} images"
            keep(latent_scatter(mu, some.labels, f"{of} · {caption}"), name)
        levels, points = latent_grid_levels(), latent_grid_points()
        decoded = model.decode(points).reshape(len(levels), len(levels), -1)
        keep(latent_grid(decoded, shape, levels, caption), "latent_grid")

    if metrics:
        names = ("train_loss", "test_loss", "test_reconstruction", "test_kl")
        series = {name: [m[name] for m in metrics] for name in names}
        epochs = [m["epoch"] for m in metrics]
        keep(loss_curves(epochs, series, caption, published=published), "losses")
    return write(files, folder)  # the losses last: their file says that all the others are there


def draw_completion(
    folder: Path,
    model: Model,
    images: NDArray,
    found: Completion,
    settings: CompletionSettings,
    shape: tuple[int, int],
    caption: str,
) -> list[Path]:
    """Draw the completed ``images`` (N, D) and save them in ``folder``; returns the files' paths.

    If the latent space has two dimensions, also the contours of the first image's posterior.
    """
    n = min(len(images), COMPLETED)
    noise = normal((n, DRAWS, model.vae.latent_dim), Stream(settings.seed, Purpose.FIGURE))
    z = found.mu[:n, None] + np.exp(found.logstd[:n, None]) * noise
    draws = model.decode(z.reshape(-1, z.shape[-1])).reshape(n, DRAWS, -1)
    draws = np.where(found.observed[:n, None], images[:n, None], draws)
    figure = completions(images[:n], found.observed[:n], found.filled[:n], draws, shape, caption)
    files = render(figure, "completion")
    if model.vae.latent_dim == 2:
        q = (found.mu[0], found.logstd[0])
        reach = 6.0 * float(np.exp(q[1]).max())
        planes = []
        for centre, far in (((0.0, 0.0), max(3.0, *np.abs(q[0]) + reach)), (q[0], reach)):
            z1, z2, points = Plane.points(centre, float(far))
            joint = log_joint(model, images[0], found.observed[0], points)
            planes.append(Plane(z1, z2, joint.reshape(len(z2), len(z1))))
        figure = posterior_contours(planes[0], planes[1], settings.start(2), q, caption)
        files |= render(figure, "posterior")
    return write(files, folder)


def figure_originals(views: Views, config: TrainConfig) -> NDArray:
    """The test images (10, D) that are reconstructed in figures, as the model sees them."""
    return visible_of(pick(views.test, 10, config.seed), config)


def pick(split: Split, count: int, seed: int) -> Split:
    """``count`` images of a split, or all of them, chosen by the seed."""
    return split.take(permutation(len(split), Stream(seed, Purpose.FIGURE))[:count])


def visible_of(split: Split, config: TrainConfig) -> NDArray:
    """The images (N, D) as the model sees them: grey values, or binarized as in evaluation."""
    return as_seen_by_model(split, seed=config.seed)
