"""The figures of a run and of a completion, from the model, its data and its numbers."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.noise import Purpose, Stream, normal, permutation
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
from scratchvae.figures.features import (
    feature_distributions,
    feature_errors,
    feature_reconstructions,
)
from scratchvae.figures.film import film_strip
from scratchvae.figures.images import data_samples, prior_samples, reconstructions
from scratchvae.figures.interpolation import interpolations
from scratchvae.figures.manifold import latent_grid, latent_grid_levels, latent_grid_points
from scratchvae.figures.saving import render, write
from scratchvae.figures.scatter import latent_scatter
from scratchvae.models import Label, Model
from scratchvae.runs import Snapshots
from scratchvae.training import Prepared

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCATTER = 5_000  # points; more of them hide each other
PAIRS = 3  # of images to go from one to the other
COMPLETED, DRAWS = 8, 5  # images in the figure of a completion, and completions of each

Keep = Callable[["Figure", str], None]  # a figure, the name of its files


def draw_run(
    folder: Path,
    model: Model,
    prepared: Prepared,
    metrics: Sequence[Mapping[str, float]],
    caption: str,
    snapshots: Snapshots | None = None,
    published: Mapping[str, float] | None = None,
) -> list[Path]:
    """Draw the figures of a trained model and save them in ``folder``; returns the files' paths.

    Of images: data, reconstructions, prior samples, interpolations, snapshots and, if the latent
    space has two dimensions, the decoded plane. Of a table: reconstructions and errors by feature,
    and the distribution of each. Of both: losses and, in two dimensions, the scatters of μ. The
    first file is written when the last figure has been drawn; other files in the folder stay.
    """
    config, dataset = prepared.config, prepared.dataset
    files: dict[str, bytes] = {}

    def keep(figure: "Figure", name: str) -> None:
        files.update(render(figure, name))

    if dataset.image_shape is None:
        draw_features(keep, model, prepared, caption)
    else:
        draw_images(keep, model, prepared, caption, snapshots)
    if model.vae.latent_dim == 2:
        what = "images" if dataset.image_shape else "rows"
        for name, split in (
            ("latent_scatter", prepared.test),
            ("latent_scatter_train", prepared.train),
        ):
            encoded = split
            if config.sums_out_labels and split.labels is not None:  # M2 encodes what has a label
                encoded = split.take(split.labels >= 0)
            some = encoded.take(slice(0, SCATTER))
            mu, _ = model.encode(rows_of(some, prepared))
            of = f"{len(some):,} {'training' if split is prepared.train else 'test'} {what}"
            keep(
                latent_scatter(mu, some.labels, f"{of} · {caption}", names=dataset.class_names),
                name,
            )
    evaluated = [m for m in metrics if "test_loss" in m]
    if evaluated:
        names = ("train_loss", "test_loss", "test_reconstruction", "test_kl")
        series = {name: [m[name] for m in evaluated] for name in names}
        epochs = [m["epoch"] for m in evaluated]
        same = config.trains_what_is_tested
        keep(loss_curves(epochs, series, caption, published=published, of_one_kind=same), "losses")
    return write(files, folder)  # the losses last: their file says that all the others are there


def draw_images(
    keep: Keep,
    model: Model,
    prepared: Prepared,
    caption: str,
    snapshots: Snapshots | None,
) -> None:
    """Add the figures that are made of images."""
    config, dataset = prepared.config, prepared.dataset
    shape, colours = dataset.row_shape, dataset.colormap
    as_drawn, scale = drawing_scale(dataset)
    caption += scale
    condition = prepared.vae.evaluated.condition
    shown = as_drawn(condition.images(rows_of(pick(prepared.train, 100, config.seed), prepared)))
    keep(data_samples(shown, shape, "Training images", caption, colormap=colours), "data")

    originals = figure_originals(prepared)
    below = as_drawn(model.reconstruct(originals))
    above = as_drawn(condition.images(originals))
    keep(reconstructions(above, below, shape, caption, colormap=colours), "reconstructions")

    given, side = conditions_to_draw(originals, model)
    means, draws = (as_drawn(a) for a in model.sample(side**2, seed=config.seed, given=given))
    keep(
        prior_samples(
            means, draws, shape, caption, side=side, colormap=colours, given=condition.describe()
        ),
        "prior_samples",
    )  # fmt: skip
    if snapshots is not None and snapshots.epochs:
        above = as_drawn(condition.images(snapshots.originals))
        frames = as_drawn(np.asarray(snapshots.frames))
        keep(
            film_strip(above, frames, snapshots.epochs, shape, caption, colormap=colours),
            "film_strip",
        )
    if condition.kind:  # what follows decodes z alone
        return

    ends = rows_of(prepared.train.take(slice(0, 2 * PAIRS)), prepared)
    first, second = ends[: len(ends) // 2 * 2 : 2], ends[1::2]
    if len(second):
        ways = {path.capitalize(): as_drawn(interpolate(model, first, second, path=path))
                for path in ("linear", "spherical")}  # fmt: skip
        keep(
            interpolations(
                as_drawn(first), ways, as_drawn(second), shape, caption, colormap=colours
            ),
            "interpolations",
        )
    if model.vae.latent_dim == 2:
        levels, points = latent_grid_levels(), latent_grid_points()
        decoded = as_drawn(model.decode(points)).reshape(len(levels), len(levels), -1)
        keep(latent_grid(decoded, shape, levels, caption, colormap=colours), "latent_grid")


def draw_features(
    keep: Keep,
    model: Model,
    prepared: Prepared,
    caption: str,
) -> None:
    """Add the figures of a table."""
    config, dataset = prepared.config, prepared.dataset
    names = dataset.feature_names
    some = prepared.test.take(slice(0, SCATTER))
    rows = rows_of(some, prepared)
    x, y = prepared.vae.evaluated.condition.images(rows), model.reconstruct(rows)
    of = f"{len(some):,} test rows · {caption}"
    keep(feature_reconstructions(x, y, names, of), "feature_reconstructions")
    keep(feature_errors(x, y, names, of), "feature_errors")
    given = rows if prepared.vae.evaluated.condition.kind else None
    count = max(1000, len(some)) if given is None else len(some)
    _, draws = model.sample(count, seed=config.seed, given=given)
    keep(
        feature_distributions(x, draws, names, f"draws from p(x | z), z ~ p(z) · {of}"),
        "feature_distributions",
    )


def drawing_scale(dataset: Dataset) -> tuple[Callable[[NDArray], NDArray], str]:
    """(what turns values into grey between 0 and 1; a piece of caption that says so).

    Values of images between 0 and 1 are grey values; on another scale the smallest value of the
    training images is drawn as 0 and the largest as 1.
    """
    low, high = dataset.train.range
    if (low >= 0.0 and high <= 1.0) or high == low:
        return lambda values: values, ""
    text = f" · drawn from {low:.3g} to {high:.3g}".replace("-", "−")
    return lambda values: (np.asarray(values) - low) / (high - low), text


def draw_completion(
    folder: Path,
    model: Model,
    images: NDArray,
    found: Completion,
    settings: CompletionSettings,
    dataset: Dataset,
    caption: str,
) -> list[Path]:
    """Draw the completed ``images`` (N, D) and save them in ``folder``; returns the files' paths.

    If the latent space has two dimensions, also the contours of the first image's posterior; a
    table has the contours alone.
    """
    files: dict[str, bytes] = {}
    if dataset.image_shape is not None:
        figure = completed(model, images, found, settings, dataset, caption)
        files |= render(figure, "completion")
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


def completed(
    model: Model,
    images: NDArray,
    found: Completion,
    settings: CompletionSettings,
    dataset: Dataset,
    caption: str,
) -> "Figure":
    """The figure of the completed images, the first few."""
    n = min(len(images), COMPLETED)
    noise = normal((n, DRAWS, model.vae.latent_dim), Stream(settings.seed, Purpose.FIGURE))
    z = found.mu[:n, None] + np.exp(found.logstd[:n, None]) * noise
    draws = model.decode(z.reshape(-1, z.shape[-1])).reshape(n, DRAWS, -1)
    draws = np.where(found.observed[:n, None], images[:n, None], draws)
    as_drawn, scale = drawing_scale(dataset)
    return completions(
        as_drawn(images[:n]), found.observed[:n], as_drawn(found.filled[:n]), as_drawn(draws),
        dataset.row_shape, caption + scale, colormap=dataset.colormap,
    )  # fmt: skip


def figure_originals(prepared: Prepared) -> NDArray:
    """The rows (10, D) of the test images that are reconstructed in figures."""
    return rows_of(pick(prepared.test, 10, prepared.config.seed), prepared)


def conditions_to_draw(originals: NDArray, model: Model) -> tuple[NDArray | None, int]:
    """What is given in each row of the figure of samples, for all its images, and their number.

    Of labels each has a row; of parts of images, each of the ``originals``. A model without a
    condition has ten rows.
    """
    condition = model.vae.evaluated.condition
    if not condition.kind:
        return None, 10
    if isinstance(condition, Label):
        return np.repeat(np.arange(condition.classes), condition.classes), condition.classes
    return np.repeat(originals, len(originals), axis=0), len(originals)


def pick(split: Split, count: int, seed: int) -> Split:
    """``count`` images of a split, or all of them, chosen by the seed."""
    return split.take(permutation(len(split), Stream(seed, Purpose.FIGURE))[:count])


def rows_of(split: Split, prepared: Prepared) -> NDArray:
    """The images (N, D) as the model sees them: grey values, or binarized as in evaluation.

    A conditional model's have their condition, too.
    """
    condition = prepared.vae.condition  # that of training, in which labels may be missing
    return as_seen_by_model(split, seed=prepared.config.seed, condition=condition)
