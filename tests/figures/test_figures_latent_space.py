"""Interpolations, the film strip, completions and contours: every image in its place."""

import numpy as np
import pytest

from scratchvae.errors import ConfigError
from scratchvae.figures import (
    Plane,
    completions,
    film_strip,
    interpolations,
    posterior_contours,
    posterior_draws,
)
from scratchvae.figures.film import shown
from scratchvae.figures.page import MARGIN, TITLE_ROOM

H, W = 3, 2
D = H * W
RNG = np.random.default_rng(0)
GREY = RNG.random((4, D))


def greys(figure):
    """The canvas of each panel that shows images, in the order of drawing."""
    return [np.asarray(axes.images[0].get_array().filled(np.nan)) for axes in figure.axes]


def panels(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_a_way_stands_between_its_two_images():
    way = RNG.random((4, 5, D))
    figure = interpolations(GREY, {"Linear": way, "Spherical": way[:, ::-1]}, GREY[::-1], (H, W))
    assert panels(figure) == ["From", "Linear", "To", "From", "Spherical", "To"]
    left, middle, right = greys(figure)[:3]
    assert left.shape[0] == middle.shape[0] == right.shape[0]
    for canvas, images in ((left, GREY), (middle, way.reshape(20, D)), (right, GREY[::-1])):
        values = canvas[~np.isnan(canvas)]
        assert set(np.unique(values)) == set(np.unique(images))
    boxes = [axes.get_position() for axes in figure.axes]
    assert boxes[0].x1 < boxes[1].x0 < boxes[1].x1 < boxes[2].x0
    assert boxes[3].y1 < boxes[0].y0
    labels = [text.get_text() for text in figure.axes[1].get_xticklabels()]
    assert labels == ["t = 0", "0.25", "0.5", "0.75", "1"]


def test_ways_of_other_sizes_are_refused():
    for ways, second in (
        ({}, GREY),
        ({"a": np.zeros((3, 5, D))}, GREY),
        ({"a": np.zeros((4, 5, D + 1))}, GREY),
        ({"a": np.zeros((4, 5, D)), "b": np.zeros((4, 6, D))}, GREY),
        ({"a": np.zeros((4, 5, D))}, GREY[:2]),
        ({"a": np.zeros((4, D))}, GREY),
    ):
        with pytest.raises(ConfigError, match="each way must have shape"):
            interpolations(GREY, ways, second, (H, W))


def test_the_film_shows_each_epoch_in_a_row_of_its_own():
    frames = RNG.random((3, 4, D))
    figure = film_strip(GREY, frames, [1, 5, 20], (H, W))
    above, below = greys(figure)
    assert set(np.unique(above[~np.isnan(above)])) == set(np.unique(GREY))
    rows = np.array_split(below, 3)
    for row, frame in zip(rows, frames, strict=True):
        assert np.isin(np.unique(row[~np.isnan(row)]), frame).all()
    names = [text.get_text() for text in figure.axes[1].get_yticklabels()]
    assert names == ["epoch 1", "epoch 5", "epoch 20"]


@pytest.mark.parametrize("count", [1, 2, 5, 12, 13, 20, 50, 1000])
@pytest.mark.parametrize("rows", [1, 2, 7, 12])
def test_the_epochs_of_a_film_ascend_from_the_first_to_the_last(count, rows):
    chosen = shown(np.arange(1.0, count + 1), rows)
    assert len(chosen) == min(count, rows)
    assert chosen == sorted(set(chosen))
    assert chosen[-1] == count - 1
    assert rows == 1 or chosen[0] == 0


@pytest.mark.parametrize(
    ("frames", "epochs", "message"),
    [
        (np.zeros((3, 4, D)), [1, 2], "frames must have shape"),
        (np.zeros((3, 2, D)), [1, 2, 3], "frames must have shape"),
        (np.zeros((3, 4, D)), [1, 3, 2], "ascending"),
        (np.zeros((0, 4, D)), [], "at least one"),
    ],
)
def test_a_film_that_cannot_be_is_refused(frames, epochs, message):
    with pytest.raises(ConfigError, match=message):
        film_strip(GREY, frames, epochs, (H, W))


def test_hidden_pixels_are_drawn_in_the_grey_of_the_separators(raster):
    observed = np.arange(D) < D // 2 + 1
    figure = completions(np.zeros((2, D)), observed, np.ones((2, D)), None, (H, W))
    assert panels(figure) == ["Image", "Observed", "Completed"]
    whole, seen, completed = greys(figure)
    assert np.nanmax(whole) == 0
    assert np.nanmin(completed) == 1
    assert np.isnan(seen).mean() > 0.3 > np.isnan(whole).mean()
    shown_pixels = raster(figure)[TITLE_ROOM:, MARGIN:]
    assert (shown_pixels == 0xD2).all(axis=-1).any()


def test_each_image_has_its_own_mask_and_its_draws():
    masks = RNG.random((4, D)) < 0.5
    figure = completions(GREY, masks, GREY, RNG.random((4, 3, D)), (H, W))
    assert panels(figure)[-1] == "At z drawn from q(z)"
    assert greys(figure)[3].shape[1] > 2 * greys(figure)[2].shape[1]


@pytest.mark.parametrize(
    ("observed", "filled", "draws", "message"),
    [
        (np.ones(D + 1, bool), GREY, None, "observed must have shape"),
        (np.ones((3, D), bool), GREY, None, "observed must have shape"),
        (np.ones(D, bool), GREY[:3], None, "3 completions cannot stand beside 4"),
        (np.ones(D, bool), GREY, np.zeros((3, 2, D)), "draws must have shape"),
        (np.ones(D, bool), GREY, np.zeros((4, D)), "draws must have shape"),
    ],
)
def test_completions_that_do_not_fit_are_refused(observed, filled, draws, message):
    with pytest.raises(ConfigError, match=message):
        completions(GREY, observed, filled, draws, (H, W))


# ---- contours ----------------------------------------------------------------------------------


def plane(mu=(0.5, -0.5), std=(0.3, 0.6), reach=2.0):
    z1, z2, points = Plane.points((0.0, 0.0), reach, 161)
    log_density = -0.5 * (((points - mu) / std) ** 2).sum(axis=1)
    return Plane(z1, z2, log_density.reshape(161, 161))


def test_the_points_of_a_plane_come_row_by_row():
    z1, z2, points = Plane.points((1.0, -1.0), 0.5, 3)
    assert z1.tolist() == [0.5, 1.0, 1.5]
    assert z2.tolist() == [-1.5, -1.0, -0.5]
    np.testing.assert_array_equal(points.reshape(3, 3, 2)[2, 0], [0.5, -0.5])


def test_the_contours_of_a_gaussian_are_the_ellipses_of_the_same_gaussian():
    q = ((0.5, -0.5), np.log((0.3, 0.6)))
    figure = posterior_contours(plane(), plane(), q, q)
    axes = figure.axes[1]
    lines = axes.collections[1].get_paths()
    ellipses = axes.patches
    assert len(lines) == len(ellipses) == 4
    for line, ellipse in zip(lines, ellipses, strict=True):
        reach = line.vertices[:, 0].max() - line.vertices[:, 0].min()
        assert reach == pytest.approx(ellipse.width, rel=0.05)
        assert ellipse.height == pytest.approx(2 * ellipse.width)


def test_the_panels_show_q_before_and_after():
    before, after = ((2.0, -2.0), (0.5, 0.0)), ((0.5, -0.5), (-1.0, -0.7))
    figure = posterior_contours(plane(), plane(reach=1.0), before, after)
    assert panels(figure) == ["Before the fit", "After", "After, around q(z)"]
    means = [axes.lines[0].get_xydata()[0].tolist() for axes in figure.axes]
    assert means == [[2.0, -2.0], [0.5, -0.5], [0.5, -0.5]]
    assert figure.axes[2].get_xlim() == (-1.0, 1.0)


def test_draws_of_q_lie_in_the_plane_of_their_model():
    draws = np.array([[0.5, -0.5], [0.1, 0.2]])
    figure = posterior_draws([("Gaussian", plane(), draws), ("Flow", plane(reach=1.0), -draws)])
    assert panels(figure) == ["Gaussian", "Flow"]
    for axes, sign in zip(figure.axes, (1, -1), strict=True):
        np.testing.assert_array_equal(axes.lines[0].get_xydata(), sign * draws)
        assert len(axes.collections[1].get_paths()) == 4
    with pytest.raises(ConfigError, match=r"draws must be \(n, 2\), not of shape \(2, 3\)"):
        posterior_draws([("Flow", plane(), np.zeros((2, 3)))])


def test_planes_and_gaussians_that_cannot_be_are_refused():
    q, good = ((0.0, 0.0), (0.0, 0.0)), plane()
    for bad in (
        Plane(good.z1[::-1], good.z2, good.log_density),
        Plane(good.z1, good.z2[:-1], good.log_density),
    ):
        with pytest.raises(ConfigError, match="wide must hold ascending"):
            posterior_contours(bad, good, q, q)
    with pytest.raises(ConfigError, match="near must hold finite"):
        posterior_contours(good, good._replace(log_density=good.log_density * np.nan), q, q)
    with pytest.raises(ConfigError, match="after must be"):
        posterior_contours(good, good, q, ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)))
