"""Estimators beside each other, and an autoencoder beside a VAE: what is drawn where."""

import numpy as np
import pytest

from scratchvae.errors import ConfigError
from scratchvae.figures import (
    GradientNoise,
    Side,
    beta_comparison,
    beta_sweep,
    estimator_curves,
    gradient_noise,
    save,
)
from scratchvae.figures.estimators import look_of, power

LAYERS = {"encoder.0": "encoder, layer 1", "encoder.2": "encoder, head", "decoder.0": "decoder"}
SHAPE = (2, 4, 3)  # moments, estimators, layers
NAMES = ["analytic", "detached", "iwae", "dreg"]


def noise(**changes):
    variance = np.geomspace(0.01, 1e4, 24).reshape(SHAPE)
    bias = np.full(SHAPE, 0.01)
    bias[:, 1] = 1.0
    limit = np.full(SHAPE, 0.05)
    limit[:, 1] = np.inf
    given = {"variance": variance, "bias": bias, "bias_squared_error": bias**2 / 8, "limit": limit}
    return given | changes


def draw(**changes):
    moments = ["epoch 0", "epoch 9"]
    return gradient_noise(
        moments, NAMES, LAYERS, GradientNoise(**noise(**changes)), "x", rule_after=2
    )


def marks(axes, style):
    """The x of all marks of a kind, row by row of the data."""
    return [line.get_xdata() for line in axes.lines if line.get_marker() == style]


def test_variance_stands_above_bias_with_a_column_for_each_moment(raster):
    figure = draw()
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    expected = [f"{what}, epoch {e}" for what in ("Variance", "Bias") for e in (0, 9)]
    assert titles == expected
    first = figure.axes[0]
    assert [label.get_text() for label in first.get_yticklabels()] == NAMES
    low, high = first.get_ylim()
    assert low > high  # the first estimator is on top
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}
    assert first.get_xlim() == figure.axes[1].get_xlim()
    (circles, _) = marks(first, "o")
    np.testing.assert_array_equal(circles, noise()["variance"][0, :, 0])
    raster(figure)


def test_a_bias_that_was_not_found_is_an_open_mark_at_its_limit(raster):
    bias = draw().axes[2]
    assert all((x == 0.05).all() and len(x) == 3 for x in marks(bias, "<"))
    assert all(x.tolist() == [1.0] for x in marks(bias, "o"))


def test_unknown_numbers_are_left_out_and_counted(raster):
    hole = np.ones(SHAPE)
    hole[0, 2, 1] = np.nan
    figure = draw(**{name: values * hole for name, values in noise().items()})
    texts = [[t.get_text() for t in axes.texts] for axes in figure.axes]
    assert texts == [["unknown, not drawn: 1"], [], ["unknown, not drawn: 1"], []]
    raster(figure)
    raster(draw(**{name: values * np.nan for name, values in noise().items()}))


def test_zero_lies_on_the_left_edge(raster):
    zeros = np.zeros(SHAPE)
    raster(draw(variance=zeros, bias=zeros, bias_squared_error=zeros, limit=zeros + np.inf))
    variance = noise()["variance"]
    variance[0, 0, 0] = 0.0
    first = draw(variance=variance).axes[0]
    assert marks(first, "o")[0][0] == first.get_xlim()[0] > 0


def test_colour_tells_encoder_from_decoder_and_the_mark_the_depth():
    looks = [look_of(name, list(LAYERS)) for name in LAYERS]
    assert looks[0][0] == looks[1][0] != looks[2][0]
    assert looks[0][1] == looks[2][1] != looks[1][1]


def test_the_page_is_as_wide_as_the_legend_of_many_layers(raster):
    layers = {f"{part}.{n}": f"{part}, layer {n}" for part in ("encoder", "decoder") for n in "123"}
    arrays = {name: np.ones((1, 2, 6)) for name in noise()}
    figure = gradient_noise(["epoch 0"], ["a", "b"], layers, GradientNoise(**arrays))
    raster(figure)
    edges = [text.get_window_extent().x1 for text in figure.texts]
    assert len(edges) == 7
    assert max(edges) < figure.get_figwidth() * figure.dpi


def test_powers_of_ten_are_written_as_people_do():
    assert [power(v) for v in (0.001, 0.1, 1, 1000, 1e4, 1e-12)] == [
        *("0.001", "0.1", "1", "1000"),
        *("10⁴", "10⁻¹²"),
    ]


@pytest.mark.parametrize("name", ["variance", "bias", "limit"])
def test_arrays_of_another_shape_are_refused(name):
    with pytest.raises(ConfigError, match=rf"{name} must have shape \(2, 4, 3\), got \(2, 4\)"):
        draw(**{name: np.ones((2, 4))})
    with pytest.raises(ConfigError, match="at least one name"):
        gradient_noise([], NAMES, LAYERS, GradientNoise(**noise()))


# ---- curves --------------------------------------------------------------------------------------

FALLING = 30 - np.arange(6.0)


def test_every_curve_bears_its_name_and_its_end(raster):
    losses = {"analytic": FALLING, "detached": FALLING + 9}
    figure = estimator_curves(range(6), losses, {name: v / 10 for name, v in losses.items()}, "x")
    loss, kl = figure.axes
    assert [t.get_text() for t in loss.texts] == ["analytic 25.0", "detached 34.0"]
    assert [t.get_text() for t in kl.texts] == ["analytic 2.5", "detached 3.4"]
    colours = [line.get_color() for line in loss.lines[::2]]
    assert len(set(colours)) == 2
    assert [line.get_color() for line in kl.lines[::2]] == colours
    raster(figure)


def test_curves_that_are_not_finite_are_counted(raster):
    broken = FALLING.copy()
    broken[3:] = np.inf
    none = np.full(6, np.nan)
    series = {"a": broken, "b": FALLING, "c": none}
    figure = estimator_curves(range(6), series, series)
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert texts == ["not finite, not drawn: 9", "a 28.0", "b 25.0"]
    raster(figure)


@pytest.mark.parametrize(
    ("epochs", "losses", "kls", "message"),
    [
        ([0], {"a": [1]}, {"a": [1]}, "at least two"),
        ([1, 0], {"a": [1, 2]}, {"a": [1, 2]}, "ascending"),
        ([0, 1], {"a": [1]}, {"a": [1, 2]}, r"a must have shape \(2,\)"),
        ([0, 1], {"a": [1, 2]}, {"b": [1, 2]}, "the same 1 to 4"),
        ([0, 1], {}, {}, "the same 1 to 4"),
    ],
)
def test_curves_that_do_not_fit_are_refused(epochs, losses, kls, message):
    with pytest.raises(ConfigError, match=message):
        estimator_curves(epochs, losses, kls)


# ---- beta ----------------------------------------------------------------------------------------


def side(reach, reconstruction=20.0, kl=3.0, count=12):
    mu = reach * np.stack([np.cos(np.arange(40)), np.sin(np.arange(40))], axis=1)
    return Side(mu, np.arange(count * 30).reshape(count, 30) % 17 / 16, reconstruction, kl)


def test_each_model_has_its_scatter_its_samples_and_its_numbers(raster):
    sides = {"β = 0": side(40.0, 17.25, 99.0), "β = 1": side(2.0)}
    figure = beta_comparison(sides, np.arange(40) % 10, (6, 5), "x")
    left, samples, right, _ = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        *("β = 0", "Decoder means, z ~ p(z)"),
        *("β = 1", "Decoder means, z ~ p(z)"),
    ]
    words = [axes.texts[0].get_text() for axes in (left, right)]
    assert words[0] == "reconstruction 17.2, KL 99.0 nats per image"
    assert words[1] == "reconstruction 20.0, KL 3.0 nats per image"
    assert left.get_xlim()[1] > 40 > 3.5 > right.get_xlim()[1] > 2.45
    assert all(axes.get_xlim() == axes.get_ylim() for axes in (left, right))
    assert all(axes.patches[0].radius == pytest.approx(2.4477, abs=1e-4) for axes in (left, right))
    assert len(samples.images) == 1
    raster(figure)


def test_no_labels_few_samples_and_points_that_are_not_finite_draw(raster):
    odd = side(1.0, count=1)
    odd.mu[3] = np.nan
    figure = beta_comparison({"one": odd}, None, (6, 5))
    assert "not finite, not drawn: 1" in [t.get_text() for t in figure.axes[0].texts]
    raster(figure)


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ({}, "at least one model"),
        ({"a": side(1.0), "b": side(1.0, count=3)}, "b has 3 samples, the others 12"),
        ({"a": side(1.0)._replace(mu=np.zeros((4, 3)))}, r"mu of a must have shape \(N, 2\)"),
    ],
)
def test_sides_that_do_not_fit_are_refused(sides, message):
    with pytest.raises(ConfigError, match=message):
        beta_comparison(sides, None, (6, 5))


def test_all_three_are_the_same_bytes_when_drawn_twice(tmp_path):
    def all_three():
        series = {"a": FALLING, "b": FALLING + 1}
        return {
            "noise": draw(),
            "curves": estimator_curves(range(6), series, series, "x"),
            "beta": beta_comparison({"β = 0": side(9.0), "β = 1": side(2.0)}, None, (6, 5), "x"),
        }

    for folder in ("a", "b"):
        for name, figure in all_three().items():
            save(figure, tmp_path / folder, name)
    paths = sorted((tmp_path / "a").iterdir())
    assert len(paths) == 6
    for path in paths:
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


# ---- a sweep of beta -----------------------------------------------------------------------------


def test_a_sweep_has_a_panel_for_each_quantity_a_dot_per_seed_and_a_line_of_means(raster):
    values = np.array([[0.2, 0.3], [0.1, 0.1], [-0.5, 0.1]])
    figure = beta_sweep([1, 2, 8], {"MIG": values, "TC": values[:, :1] + 3}, "x")
    left, right = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["MIG", "TC"]
    *seeds, means = (line.get_ydata() for line in left.lines)
    np.testing.assert_array_equal(seeds, values.T)
    np.testing.assert_allclose(means, [0.25, 0.1, -0.2])
    assert [label.get_text() for label in left.get_xticklabels()] == ["1", "2", "8"]
    assert left.get_ylim()[0] == -0.5
    assert right.get_ylim()[0] == 0.0
    raster(figure)


@pytest.mark.parametrize(
    ("betas", "panels", "message"),
    [
        ([1.0], {"a": [[1.0]]}, "at least two that ascend from above 0"),
        ([0.0, 1.0], {"a": np.ones((2, 1))}, "at least two that ascend from above 0"),
        ([2.0, 1.0], {"a": np.ones((2, 1))}, "at least two that ascend from above 0"),
        ([1.0, 2.0], {}, "panels must hold at least one quantity"),
        ([1.0, 2.0], {"a": np.ones((3, 1))}, r"a has shape \(3, 1\), expected 2 rows of seeds"),
        ([1.0, 2.0], {"a": np.ones((2, 0))}, r"a has shape \(2, 0\), expected 2 rows of seeds"),
    ],
)
def test_a_sweep_that_is_none_is_refused(betas, panels, message):
    with pytest.raises(ConfigError, match=message):
        beta_sweep(betas, panels)
