"""Every image stands in its place, on whole pixels, and wrong shapes get a clear sentence."""

import numpy as np
import pytest

from scratchvae.errors import ConfigError
from scratchvae.figures import (
    completions,
    data_samples,
    film_strip,
    interpolations,
    latent_grid,
    latent_grid_levels,
    prior_samples,
    reconstructions,
)
from scratchvae.figures.page import LINE, MARGIN, TITLE_ROOM, new_page, text_width, wrap
from scratchvae.figures.tiles import BLANK, GAP, centres, fit, tile

H, W = 3, 2  # neither square nor equal to the number of rows or columns below


def numbered(count):
    """Image k is k / 100 everywhere, plus its pixel's number / 1000."""
    return np.arange(count)[:, None] / 100.0 + np.arange(H * W) / 1000.0


@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.parametrize("gap", [0, 1, 2])
def test_image_k_stands_in_row_k_over_columns(scale, gap):
    rows, columns = 4, 5
    images = numbered(rows * columns)
    canvas = tile(images, (H, W), rows, columns, scale, gap)
    assert canvas.shape == (rows * (H * scale + gap) + gap, columns * (W * scale + gap) + gap)
    for k, image in enumerate(images):
        top = gap + (k // columns) * (H * scale + gap)
        left = gap + (k % columns) * (W * scale + gap)
        cell = canvas[top : top + H * scale, left : left + W * scale]
        for i in range(H):
            for j in range(W):
                block = cell[i * scale : (i + 1) * scale, j * scale : (j + 1) * scale]
                assert (block == image[i * W + j]).all()
    pixels = rows * columns * H * W * scale**2
    assert np.isnan(canvas).sum() == canvas.size - pixels  # all else is separator


def test_places_without_an_image_are_blank():
    canvas = tile(numbered(5), (H, W), 2, 3, gap=0)
    assert (canvas[H:, 2 * W :] == BLANK).all()
    assert (canvas == BLANK).sum() == H * W


def test_more_images_than_places_are_refused():
    with pytest.raises(ConfigError, match="7 images do not fit into 2 rows of 3"):
        tile(numbered(7), (H, W), 2, 3)


def test_the_scale_is_the_largest_that_fits():
    for limit in range(40, 400):
        scale = fit((H, W), 4, 5, limit, limit)
        sizes = [tile(numbered(20), (H, W), 4, 5, s).shape for s in (scale, scale + 1)]
        assert max(sizes[0]) <= limit < max(sizes[1])


def test_the_scale_is_at_least_one():
    assert fit((28, 28), 10, 10, 50, 50) == 1


def test_centres_are_the_middles_of_the_tiles():
    canvas = tile(numbered(5), (H, W), 1, 5, scale=3)
    middles = centres(5, W, 3)
    for k, middle in enumerate(middles):
        left = GAP + k * (3 * W + GAP)
        assert middle == left + (3 * W - 1) / 2.0
    assert middles[-1] + 3 * W / 2.0 + GAP == canvas.shape[1] - 0.5


@pytest.mark.parametrize("shape", [(28, 28), (28, 20), (8, 8), (3, 7)])
def test_one_pixel_of_the_canvas_is_one_pixel_of_the_png(shape, raster):
    pixels = shape[0] * shape[1]
    images = np.random.default_rng(0).random((100, pixels)).round()
    shown = raster(data_samples(images, shape))
    scale = fit(shape, 10, 10, 620, 620)
    canvas = tile(images, shape, 10, 10, scale)
    panel = shown[TITLE_ROOM : TITLE_ROOM + len(canvas), MARGIN : MARGIN + canvas.shape[1]]
    assert (panel[canvas == 1] == 0).all()
    assert (panel[canvas == 0] == 255).all()
    assert (panel[np.isnan(canvas)] == 0xD2).all()


def test_draws_stand_to_the_right_of_the_means(raster):
    dark, light = np.ones((100, 64)), np.zeros((100, 64))
    shown = raster(prior_samples(dark, light, (8, 8)))[TITLE_ROOM + 10 : TITLE_ROOM + 500]
    half = shown.shape[1] // 2
    assert shown[:, :half].mean() < 80 < 230 < shown[:, half:].mean()


def test_reconstructions_stand_below_the_originals(raster):
    dark, light = np.ones((10, 64)), np.zeros((10, 64))
    shown = raster(reconstructions(dark, light, (8, 8)))[:, 300:1200].mean(axis=(1, 2))
    assert shown[TITLE_ROOM + 20] < 10
    assert shown[TITLE_ROOM + 140] > 245


def test_without_draws_the_means_stand_alone():
    assert len(prior_samples(np.zeros((100, 4)), None, (2, 2)).axes) == 1


def test_at_most_the_asked_number_of_images_is_shown(raster):
    images = numbered(50)
    few = data_samples(images, (H, W), rows=2, columns=3)
    assert (raster(few) == raster(data_samples(images[:6], (H, W), rows=2, columns=3))).all()


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5, np.nan, np.inf, -np.inf, 7.0])
def test_constant_and_unusual_pixels_draw_without_a_warning(value, raster):
    images = np.full((3, H * W), value)
    raster(data_samples(images, (H, W), caption="constant"))
    raster(reconstructions(images, images, (H, W)))


def test_a_single_image_is_enough(raster):
    one = numbered(1)
    for figure in (
        data_samples(one, (H, W), "A title that is much wider than one image of six pixels"),
        reconstructions(one, one, (H, W)),
        prior_samples(one, one, (H, W)),
    ):
        raster(figure)


def test_nothing_touches_the_edge_of_the_page(gallery, raster):
    for name, figure in gallery().items():
        shown = raster(figure)
        edges = [shown[0], shown[-1], shown[:, 0], shown[:, -1]]
        assert all((edge == 255).all() for edge in edges), name


def test_a_long_caption_makes_its_own_room():
    short = new_page(600, 400, "one line")
    long = new_page(600, 400, "word " * 60)
    lines = len(long.texts)
    assert lines > 3
    taller = (long.get_size_inches() - short.get_size_inches())[1] * 200
    assert abs(taller - (lines - 1) * LINE) <= 25
    assert all(text_width(text.get_text(), 6.5) <= 600 - 2 * MARGIN for text in long.texts)


def test_a_caption_breaks_after_a_dot_before_it_breaks_a_phrase():
    width = text_width("alpha beta · gamma", 7.0)
    assert wrap("alpha  beta ·\ngamma delta · epsilon", 7.0, width) == [
        "alpha beta ·",
        "gamma delta ·",
        "epsilon",
    ]
    assert wrap("", 7.0, width) == []


def test_wrong_images_get_a_clear_sentence():
    good = numbered(4)
    with pytest.raises(ConfigError, match=r"Data must have shape \(N, 784\).*28×28.*\(4, 6\)"):
        data_samples(good, (28, 28))
    with pytest.raises(ConfigError, match=r"must have shape \(N, 6\)"):
        data_samples(good.reshape(4, H, W), (H, W))
    with pytest.raises(ConfigError, match=r"must have shape \(N, 6\)"):
        data_samples(good[:0], (H, W))
    with pytest.raises(ConfigError, match="divide by 255"):
        data_samples(np.full((4, 6), 255, np.uint8), (H, W))
    with pytest.raises(ConfigError, match="real numbers on the host"):
        data_samples(good.astype(complex), (H, W))
    with pytest.raises(ConfigError, match="4 originals cannot stand above 3"):
        reconstructions(good, good[:3], (H, W))
    with pytest.raises(ConfigError, match="same z"):
        prior_samples(good, good[:3], (H, W))
    with pytest.raises(ConfigError, match="no colormap 'grays of my own'"):
        data_samples(good, (H, W), colormap="grays of my own")
    with pytest.raises(ConfigError, match="columns must be a whole number"):
        reconstructions(good, good, (H, W), columns=0)
    with pytest.raises(ConfigError, match="side must be a whole number of at least 1, got 0"):
        prior_samples(good, good, (H, W), side=0)


@pytest.mark.parametrize("shape", [6, (6,), (3, 2, 0), (3, 2, 1, 1), (0, 6), (-3, -2), (1.5, 4)])
def test_a_shape_that_is_none_is_refused(shape):
    with pytest.raises(ConfigError, match=r"shape must be|must be a whole number"):
        data_samples(numbered(4), shape)


# ---- colours and channels ------------------------------------------------------------------------


def test_three_channels_are_drawn_in_their_own_colours(raster):
    red, green = np.tile([1.0, 0.0, 0.0], H * W), np.tile([0.0, 1.0, 0.0], H * W)
    shown = raster(data_samples([red, green], (H, W, 3), rows=1, columns=2))
    scale = fit((H, W), 1, 2, 620, 620)
    top, left = TITLE_ROOM + GAP, MARGIN + GAP
    assert (shown[top : top + H * scale, left : left + W * scale] == [255, 0, 0]).all()
    left += W * scale + GAP
    assert (shown[top : top + H * scale, left : left + W * scale] == [0, 255, 0]).all()
    assert (shown[top, left - 1] == 0xD2).all()


def test_a_canvas_of_colours_has_the_pixels_of_each_channel():
    images = np.random.default_rng(0).random((2, H * W * 3))
    canvas = tile(images, (H, W, 3), 1, 2, gap=0)
    np.testing.assert_array_equal(canvas[:, W:], images[1].reshape(H, W, 3))
    for channel in range(3):
        alone = tile(images.reshape(2, H * W, 3)[:, :, channel], (H, W), 1, 2, gap=0)
        np.testing.assert_array_equal(canvas[:, :, channel], alone)


def test_other_channels_stand_side_by_side():
    images = np.random.default_rng(0).random((1, H * W * 4))
    canvas = tile(images, (H, W, 4), 1, 1, gap=0)
    expected = np.concatenate(list(images.reshape(H, W, 4).transpose(2, 0, 1)), axis=1)
    np.testing.assert_array_equal(canvas, expected)


def test_every_figure_of_images_takes_colours(raster):
    shape, images = (3, 2, 3), np.random.default_rng(0).random((9, 18))
    levels = latent_grid_levels(3)
    for figure in (
        reconstructions(images, images, shape),
        prior_samples(images, images, shape),
        interpolations(images[:2], {"Linear": images[:8].reshape(2, 4, 18)}, images[:2], shape),
        film_strip(images, [images, images], [1, 2], shape),
        completions(images, np.arange(18) < 9, images, images.reshape(9, 1, 18), shape),
        latent_grid(images.reshape(3, 3, 18), shape, levels),
    ):
        pixels = raster(figure).reshape(-1, 3).astype(int)
        assert (np.ptp(pixels, axis=1) > 40).mean() > 0.05
