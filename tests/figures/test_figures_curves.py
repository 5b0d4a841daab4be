"""Loss curves: what is shown, what is left out and said, and where the labels go."""

import numpy as np
import pytest

from scratchvae.errors import ConfigError
from scratchvae.figures import loss_curves
from scratchvae.figures.curves import spread, view

EPOCHS = np.arange(1, 21)
FALLING = 100.0 + 50.0 / EPOCHS


def words(axes):
    return [text.get_text() for text in axes.texts]


def all_four():
    return {
        "train_loss": FALLING,
        "test_loss": FALLING + 2.0,
        "test_reconstruction": FALLING - 20.0,
        "test_kl": np.full(20, 22.0),
    }


def test_every_line_is_labelled_with_its_last_value(raster):
    figure = loss_curves(EPOCHS, all_four(), published={"a paper": 99.25})
    losses, reconstruction, kl = figure.axes
    assert words(losses) == ["train 102.5", "test 104.5", "a paper: 99.2"]
    assert words(reconstruction) == ["82.5"]
    assert words(kl) == ["22.0"]
    assert losses.get_ylabel() == "−ELBO (nats per image)"
    raster(figure)


def test_any_part_of_the_series_can_be_missing(raster):
    for keys in (["train_loss"], ["test_kl"], ["test_loss", "test_reconstruction"]):
        figure = loss_curves(EPOCHS, {key: all_four()[key] for key in keys})
        assert len(figure.axes) == len(keys)
        raster(figure)


def test_values_that_are_not_finite_are_left_out_and_counted(raster):
    broken = FALLING.copy()
    broken[[3, 7]] = np.nan, np.inf
    figure = loss_curves(EPOCHS, {"train_loss": FALLING, "test_loss": broken})
    assert "not finite, not drawn: 2" in words(figure.axes[0])
    assert len(figure.axes[0].lines[2].get_xdata()) == 18
    raster(figure)


def test_a_run_without_any_finite_value_still_draws(raster):
    figure = loss_curves(EPOCHS, {"train_loss": np.full(20, np.nan)})
    assert words(figure.axes[0]) == ["not finite, not drawn: 20"]
    raster(figure)


@pytest.mark.parametrize("value", [0.0, 540.0, -3.0, 1e-300, 1e12])
def test_a_single_epoch_and_a_constant_curve_draw_without_a_warning(value, raster):
    raster(loss_curves([1], {"train_loss": [value], "test_kl": [value]}))
    raster(loss_curves(EPOCHS, {"train_loss": np.full(20, value)}))


def test_first_epochs_far_away_run_out_of_the_top():
    curve = np.concatenate([[5000.0, 600.0], np.linspace(120.0, 100.0, 18)])
    low, high = view(curve[None], np.array([]))
    assert 95.0 < low < 100.0
    assert 120.0 < high < 125.0


def test_first_epochs_close_by_are_shown_whole():
    low, high = view(np.linspace(120.0, 100.0, 20)[None], np.array([]))
    assert low < 100.0
    assert high > 120.0


def test_a_run_that_diverges_at_the_end_is_shown_whole():
    curve = np.linspace(120.0, 100.0, 20)
    curve[-1] = 900.0
    assert view(curve[None], np.array([]))[1] > 900.0


def test_published_values_are_always_in_view():
    low, high = view(np.full((1, 20), 100.0), np.array([80.0, 130.0]))
    assert low < 80.0
    assert high > 130.0


def test_labels_move_apart_and_no_further_than_needed():
    assert spread(np.array([10.0, 50.0]), 5.0).tolist() == [10.0, 50.0]
    assert spread(np.array([10.0, 10.0]), 4.0).tolist() == [8.0, 12.0]
    assert spread(np.array([12.0, 10.0, 40.0]), 6.0).tolist() == [14.0, 8.0, 40.0]
    assert spread(np.array([]), 6.0).tolist() == []
    crowd = np.sort(spread(np.random.default_rng(0).random(30) * 50.0, 4.0))
    assert (np.diff(crowd) > 4.0 - 1e-9).all()


def test_wrong_series_get_a_clear_sentence():
    with pytest.raises(ConfigError, match=r"series must hold some of .*, got \['loss'\]"):
        loss_curves(EPOCHS, {"loss": FALLING})
    with pytest.raises(ConfigError, match="got none"):
        loss_curves(EPOCHS, {})
    with pytest.raises(ConfigError, match=r"test_kl must have shape \(20,\) like epochs"):
        loss_curves(EPOCHS, {"test_kl": FALLING[:5]})
    with pytest.raises(ConfigError, match="epochs must be"):
        loss_curves(EPOCHS[::-1], {"test_kl": FALLING})
    with pytest.raises(ConfigError, match="epochs must be"):
        loss_curves([], {"test_kl": []})
    with pytest.raises(ConfigError, match="published values must be finite"):
        loss_curves(EPOCHS, {"train_loss": FALLING}, published={"x": float("nan")})
