"""The latent plane: which way is up, which z is where, and classes told apart."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import ndtr

from scratchvae.errors import ConfigError
from scratchvae.figures import (
    latent_grid,
    latent_grid_levels,
    latent_grid_points,
    latent_scatter,
)
from scratchvae.figures.scatter import spread


def test_the_points_are_quantiles_with_z2_falling_from_row_to_row():
    z = latent_grid_points(4, 0.1, 0.7)
    assert z.shape == (16, 2)
    assert z.dtype == np.float64
    levels = ndtr(z).reshape(4, 4, 2)
    np.testing.assert_allclose(levels[:, :, 0], np.tile([0.1, 0.3, 0.5, 0.7], (4, 1)), atol=1e-15)
    np.testing.assert_allclose(levels[:, 0, 1], [0.7, 0.5, 0.3, 0.1], atol=1e-15)
    assert (levels[:, :, 1] == levels[:, :1, 1]).all()


def test_a_grid_of_one_is_the_middle():
    assert latent_grid_points(1, 0.25, 0.75).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("axis", [0, 1])
def test_z1_grows_to_the_right_and_z2_upwards(axis, raster):
    n, shape = 6, (3, 4)
    z = latent_grid_points(n)
    darkness = ndtr(z[:, axis])  # a decoder whose ink is one coordinate
    decoded = np.repeat(darkness, 12).reshape(n, n, 12)
    figure = latent_grid(decoded, shape, latent_grid_levels(n))
    box = figure.axes[0].get_window_extent()
    shown = 255.0 - raster(figure)[::-1].mean(axis=2)  # rows from the bottom, as z₂ counts
    panel = shown[round(box.y0) : round(box.y1), round(box.x0) : round(box.x1)]
    across, up = panel.mean(axis=0), panel.mean(axis=1)
    growing, constant = (across, up) if axis == 0 else (up, across)
    sixths = [part.mean() for part in np.array_split(growing, n)]
    assert (np.diff(sixths) > 10.0).all()
    assert np.ptp([part.mean() for part in np.array_split(constant, n)]) < 10.0


def test_the_labels_are_the_values_of_z_at_their_tiles():
    n = 5
    figure = latent_grid(np.zeros((n, n, 6)), (3, 2), latent_grid_levels(n, 0.1, 0.9))
    axes = figure.axes[0]
    expected = ["−1.28", "−0.52", "0.00", "0.52", "1.28"]
    assert [label.get_text() for label in axes.get_xticklabels()] == expected
    assert [label.get_text() for label in axes.get_yticklabels()] == expected
    assert (np.diff(axes.get_xticks()) > 0).all()
    assert (np.diff(axes.get_yticks()) < 0).all()  # rows of an image count downwards, z₂ upwards


@pytest.mark.parametrize("n", [1, 2, 7, 20])
def test_grids_of_any_size_draw_without_a_warning(n, raster):
    raster(latent_grid(np.zeros((n, n, 6)), (3, 2), latent_grid_levels(n)))


def test_wrong_grids_get_a_clear_sentence():
    levels = latent_grid_levels(3)
    with pytest.raises(ConfigError, match=r"decoded must have shape \(n, n, 6\).*got \(9, 6\)"):
        latent_grid(np.zeros((9, 6)), (3, 2), levels)
    with pytest.raises(ConfigError, match="quantiles must be 3 ascending levels"):
        latent_grid(np.zeros((3, 3, 6)), (3, 2), levels[::-1])
    with pytest.raises(
        ConfigError, match=r"a quantile must lie strictly between 0 and 1, got 1\.5"
    ):
        latent_grid(np.zeros((3, 3, 6)), (3, 2), [0.5, 0.6, 1.5])
    with pytest.raises(ConfigError, match="low must lie strictly between 0 and 1"):
        latent_grid_points(3, 0.0, 0.9)
    with pytest.raises(ConfigError, match="low must be below high"):
        latent_grid_levels(3, 0.9, 0.1)
    with pytest.raises(ConfigError, match="n must be a whole number"):
        latent_grid_points(0)


def test_the_right_panel_shows_the_cdf_of_the_left_one():
    mu = np.random.default_rng(0).standard_normal((50, 2))
    left, right = latent_scatter(mu).axes
    np.testing.assert_array_equal(left.collections[0].get_offsets(), mu)
    np.testing.assert_array_equal(right.collections[0].get_offsets(), ndtr(mu))
    assert right.get_xlim() == right.get_ylim() == (0.0, 1.0)


def test_each_label_is_written_at_the_median_of_its_class(raster):
    labels = np.arange(90) % 3
    centres = np.array([[-2.0, 1.0], [0.0, -1.0], [2.0, 2.0]])
    mu = centres[labels] + 0.1 * np.random.default_rng(0).standard_normal((90, 2))
    figure = latent_scatter(mu, labels)
    texts = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert sorted(texts) == ["0", "1", "2"]
    for label in range(3):
        median = np.median(mu[labels == label], axis=0)
        np.testing.assert_allclose(texts[str(label)], median, atol=1e-12)
    raster(figure)


def test_a_class_has_the_same_colour_whichever_others_are_shown():
    mu = np.zeros((4, 2))
    alone = latent_scatter(mu, [7, 7, 7, 7]).axes[0].collections[0].get_facecolors()
    mixed = latent_scatter(mu, [1, 7, 3, 0]).axes[0].collections[0].get_facecolors()
    assert (alone[0] == mixed[1]).all()
    assert len(np.unique(mixed, axis=0)) == 4


def test_names_at_the_same_place_move_apart():
    placed = spread(np.array([[5.0, 5.0], [5.0, 5.0], [5.0, 6.0], [90.0, 3.0]]), 10.0)
    gaps = np.hypot(*(placed[:, None] - placed[None]).transpose(2, 0, 1))
    assert gaps[np.triu_indices(4, 1)].min() >= 10.0
    assert placed[3].tolist() == [90.0, 3.0]


@pytest.mark.parametrize("labels", [None, [4] * 30])
@pytest.mark.parametrize("value", [0.0, 1e-300, -50.0])
def test_points_all_at_one_place_draw_without_a_warning(value, labels, raster):
    raster(latent_scatter(np.full((30, 2), value), labels))


def test_points_that_are_not_finite_are_left_out_and_counted(raster):
    mu = np.zeros((5, 2))
    mu[1, 0], mu[2, 1] = np.nan, np.inf
    figure = latent_scatter(mu, [0, 1, 2, 3, 3])
    assert [text.get_text() for text in figure.axes[0].texts] == [
        "0",
        "3",
        "not finite, not drawn: 2",
    ]
    raster(figure)
    raster(latent_scatter(np.full((3, 2), np.nan), [1, 2, 3]))


def test_wrong_points_and_labels_get_a_clear_sentence():
    with pytest.raises(ConfigError, match=r"mu must have shape \(N, 2\).*got \(5, 3\)"):
        latent_scatter(np.zeros((5, 3)))
    with pytest.raises(ConfigError, match=r"labels must have shape \(5,\)"):
        latent_scatter(np.zeros((5, 2)), [1, 2])
    with pytest.raises(ConfigError, match="whole numbers from 0"):
        latent_scatter(np.zeros((2, 2)), [0.5, -1])
    with pytest.raises(ConfigError, match="whole numbers from 0"):
        latent_scatter(np.zeros((1, 2)), [-2])


def colours_of(labels):
    mu = np.zeros((len(labels), 2))
    return latent_scatter(mu, labels).axes[0].collections[0].get_facecolors()[:, :3]


def test_a_point_without_a_label_is_grey_and_has_no_name():
    colours = colours_of([-1, 3, -1])
    assert np.ptp(colours[0]) == 0.0
    assert (colours[0] == colours[2]).all()
    assert np.ptp(colours[1]) > 0.1
    assert [t.get_text() for t in latent_scatter(np.zeros((2, 2)), [-1, 3]).axes[0].texts] == ["3"]


@pytest.mark.parametrize("labels", [np.arange(30), np.arange(30) * 1000])
def test_thirty_classes_have_thirty_colours(labels):
    assert len(np.unique(colours_of(labels), axis=0)) == 30


def test_more_labels_are_colours_on_a_scale_in_their_order(raster):
    figure = latent_scatter(np.random.default_rng(0).normal(size=(1000, 2)), np.arange(1000) + 7)
    colours = figure.axes[0].collections[0].get_facecolors()
    assert len(np.unique(colours, axis=0)) == 256
    assert np.abs(np.diff(colours[:, :3], axis=0)).max() < 0.02
    texts = [text.get_text() for axes in figure.axes for c in axes.child_axes for text in c.texts]
    assert texts == ["7", "label 1006"] * 2
    raster(figure)


def key_of(figure):
    """The names in the key by the colour of the dot before each."""
    texts = [text for text in figure.texts if text.get_text()]
    return {n.get_text(): tuple(dot.get_color()) for dot, n in pairwise(texts)
            if dot.get_text() == "●"}  # fmt: skip


def test_the_names_of_classes_stand_in_a_key_and_hide_no_point(raster):
    figure = latent_scatter(np.zeros((3, 2)), [0, 1, 2], names=("cat", "dog"))
    assert not figure.axes[0].texts
    dots = figure.axes[0].collections[0].get_facecolors()[:, :3]
    key = key_of(figure)
    assert list(key) == ["cat", "dog", "2"]
    np.testing.assert_array_equal([colour[:3] for colour in key.values()], dots)
    figure = latent_scatter(np.zeros((2, 2)), [0, 1], names=("\x1b[31m", "w" * 200))
    first, second = key_of(figure)
    assert first == "\ufffd[31m"
    assert second.endswith("w…")
    assert len(second) < 30
    raster(figure)


def test_thirty_long_names_are_a_key_of_several_lines_inside_the_page(raster):
    names = [f"{k}, a kind of animal" for k in range(30)]
    figure = latent_scatter(np.zeros((30, 2)), np.arange(30), names=names)
    assert len(key_of(figure)) == 30
    raster(figure)
