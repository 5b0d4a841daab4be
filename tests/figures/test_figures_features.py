"""Figures of a table: every feature in its panel, with the error that NumPy computes."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from scratchvae.errors import ConfigError
from scratchvae.figures import feature_distributions, feature_errors, feature_reconstructions
from scratchvae.figures.features import unexplained_parts

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 3)) * [1.0, 10.0, 0.1]
Y = X + RNG.normal(size=(50, 3)) * [0.1, 5.0, 0.2]
NAMES = ("age", "income", "height")


def test_what_is_left_unexplained_is_one_minus_r_squared():
    expected = [1 - (1 - ((x - y) ** 2).sum() / ((x - x.mean()) ** 2).sum())
                for x, y in zip(X.T, Y.T, strict=True)]  # fmt: skip
    np.testing.assert_allclose(unexplained_parts(X, Y), expected, rtol=1e-12)
    assert unexplained_parts(np.ones((4, 1)), np.ones((4, 1))) == 0.0
    assert unexplained_parts(np.ones((4, 1)), np.zeros((4, 1))) == 1.0


def test_each_panel_shows_reconstructed_over_actual_values(raster):
    figure = feature_reconstructions(X, Y, NAMES)
    assert tuple(axes.get_title(loc="left") for axes in figure.axes) == NAMES
    for k, axes in enumerate(figure.axes):
        points = np.stack([X[:, k], Y[:, k]], axis=1)
        np.testing.assert_array_equal(axes.collections[0].get_offsets(), points)
    raster(figure)


def test_of_many_features_the_worst_are_shown():
    x = RNG.normal(size=(50, 30))
    y = x + RNG.normal(size=(50, 30)) * (np.arange(30) / 20)
    figure = feature_reconstructions(x, y)
    worst = sorted(np.argsort(-unexplained_parts(x, y))[:12])
    assert [a.get_title(loc="left") for a in figure.axes] == [f"feature {k + 1}" for k in worst]
    assert "the 12 worst of 30 features" in figure.texts[0].get_text()


def test_bars_are_the_unexplained_parts_from_the_largest_on(raster):
    (axes,) = feature_errors(X, Y, NAMES).axes
    parts = unexplained_parts(X, Y)
    order = np.argsort(-parts)
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], parts[order])
    assert [t.get_text() for t in axes.get_yticklabels()] == [NAMES[k] for k in order]
    raster(axes.figure)


def test_histograms_of_data_and_draws_have_the_same_area(raster):
    figure = feature_distributions(X, Y[:20], NAMES)
    assert len(figure.axes) == 3
    raster(figure)


@pytest.mark.parametrize(("rows", "bars"), [(15, 5), (1000, 20), (5000, 24)])
def test_few_rows_have_wide_bars(rows, bars):
    axes = feature_distributions(RNG.normal(size=(rows, 1)), Y[:, :1]).axes[0]
    assert sum(isinstance(patch, Rectangle) for patch in axes.patches) == bars


@pytest.mark.parametrize("draw", [feature_reconstructions, feature_errors, feature_distributions])
def test_constant_features_and_long_names_draw_without_a_warning(draw, raster):
    raster(draw(np.ones((5, 2)), np.ones((5, 2)), ("x" * 200, "\x1b[31m"), "caption"))


@pytest.mark.parametrize(
    ("x", "y", "names", "complaint"),
    [
        (X, Y[:, :2], (), "shape"),
        (X[0], Y[0], (), "shape"),
        (X, Y[:9], (), "50 rows and 9"),
        (X, np.full_like(X, np.nan), (), "finite"),
        (X, Y, ("one",), "1 names for 3 features"),
    ],
)
def test_tables_that_do_not_fit_are_refused(x, y, names, complaint):
    with pytest.raises(ConfigError, match=complaint):
        feature_reconstructions(x, y, names)
