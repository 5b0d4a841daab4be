"""What a training works with: splits drawn by the seed, settings from the data, sizes, refusals."""

from typing import Any

import numpy as np
import pytest
from scipy.special import logit
from training_helpers import PIXELS, settings, tiny

from scratchvae.backend.noise import Purpose, Stream, permutation, uniform
from scratchvae.data import Dataset, Split
from scratchvae.errors import ConfigError, DataError
from scratchvae.models import VAE
from scratchvae.optim import Adam
from scratchvae.training import prepare, prepared


def floats(low: float, high: float, rows: int = 27) -> Split:
    values = np.linspace(low, high, rows * PIXELS, dtype=np.float32)
    return Split(values.reshape(rows, PIXELS), None, None)


def test_static_pixels_and_held_out_images_are_those_that_the_seed_draws() -> None:
    dataset = Dataset("grey", floats(0.1, 0.9), floats(0.2, 0.8, rows=9), (3, 4))
    views = prepare(settings(binarize="static", validation=5, seed=7), dataset)
    drawn = [
        (uniform(part.images.shape, Stream(7, Purpose.STATIC, 0, lane)) < part.images)
        for lane, part in enumerate((dataset.train, dataset.test))
    ]
    order = permutation(27, Stream(7, Purpose.SPLIT))
    assert views.validation is not None
    np.testing.assert_array_equal(views.train.images, drawn[0][np.sort(order[5:])])
    np.testing.assert_array_equal(views.validation.images, drawn[0][np.sort(order[:5])])
    np.testing.assert_array_equal(views.test.images, drawn[1])


@pytest.mark.parametrize("max_level", [255, None])
def test_a_learned_deviation_starts_at_that_of_the_grey_values(max_level: int | None) -> None:
    dataset = tiny(max_level=max_level)
    views = prepare(settings(likelihood="gaussian-learned"), dataset)
    grey = dataset.train.images / (max_level or 1)
    assert views.config.start_std == pytest.approx(grey.std(dtype=np.float64), rel=1e-6)
    assert (views.config.mean, views.given.mean) == ("sigmoid", "auto")
    assert views.given.start_std != views.config.start_std


@pytest.mark.parametrize(
    ("low", "high", "mean"), [(0.0, 1.0, "sigmoid"), (-0.1, 1.0, "identity"), (0, 1.1, "identity")]
)
def test_the_mean_of_a_gaussian_reaches_as_far_as_the_pixels(low, high, mean) -> None:
    split = floats(low, high)
    views = prepare(settings(likelihood="gaussian"), Dataset("floats", split, split, (3, 4)))
    assert views.config.mean == mean


def test_what_is_of_a_gaussian_alone_stays_as_it_is_for_other_likelihoods() -> None:
    split = floats(0.0, 1.0)
    config = settings(likelihood="bernoulli")
    assert prepare(config, Dataset("floats", split, split, (3, 4))).config == config


@pytest.mark.parametrize(("max_level", "binarize", "found"), [(255, "none", 255), (1, "none", 1),
                                                              (255, "threshold", 1)])  # fmt: skip
def test_a_categorical_has_the_levels_of_the_data(max_level, binarize, found) -> None:
    config = settings(likelihood="categorical", binarize=binarize)
    assert prepare(config, tiny(max_level=max_level)).config.max_level == found


def test_the_deviation_of_float32_pixels_is_taken_in_float64() -> None:
    images = np.where(np.arange(300_000 * PIXELS) % 3, 0.9, 0.7).astype(np.float32)
    split = Split(images.reshape(-1, PIXELS), None, None)
    config = settings(likelihood="gaussian-learned")
    found = prepare(config, Dataset("floats", split, split, (3, 4))).config.start_std
    assert found == pytest.approx(images.astype(np.float64).std(), rel=1e-12)


def test_the_first_logits_are_those_of_the_mean_of_float32_pixels_in_float64() -> None:
    images = np.random.default_rng(0).uniform(0.3, 0.6, (50_000, PIXELS)).astype(np.float32)
    split = Split(images, None, None)
    found = prepared.logits_of_mean(VAE.mlp(PIXELS), split)
    np.testing.assert_allclose(found, logit(images.mean(axis=0, dtype=np.float64)), rtol=1e-13)


def test_room_is_asked_for_parameters_with_gradients_and_for_the_samples_of_a_batch(
    monkeypatch,
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(prepared, "require_memory", lambda *what: asked.append(what))
    views = prepare(settings(samples=3, latent_dim=5, dtype="float64"), tiny())
    count = views.vae.layout.padded_size
    batch = 8 * 3 * (PIXELS + 5) * 8
    assert asked == [(16 * count, f"a model of {count:,} parameters"), (batch, "a batch")]


def test_a_model_that_is_given_is_the_one_that_is_trained() -> None:
    vae = VAE.mlp(PIXELS, (3,), latent_dim=4)
    views = prepare(settings(), tiny(), vae=vae)
    assert views.vae is vae
    assert views.made_by_hand
    assert not prepare(settings(), tiny()).made_by_hand
    with pytest.raises(DataError, match="takes 11 numbers per image, but those of tiny have 12"):
        prepare(settings(), tiny(), vae=VAE.mlp(11, (3,), latent_dim=4))


def test_an_optimizer_that_is_given_is_the_one_that_trains_and_not_a_name() -> None:
    mine = Adam(lr=1e-3)
    assert prepare(settings(), tiny(), optimizer=mine).optimizer is mine
    assert prepare(settings(), tiny()).optimizer is None
    with pytest.raises(ConfigError, match="optimizer is 'adam', but it must be an Optimizer"):
        prepare(settings(), tiny(), optimizer="adam")


@pytest.mark.parametrize("part", ["training", "test"])
def test_pixels_outside_the_unit_interval_are_refused_by_the_name_of_their_part(part) -> None:
    good, bad = floats(0.0, 1.0), floats(0.0, 1.5)
    train, test = (bad, good) if part == "training" else (good, bad)
    with pytest.raises(DataError, match=rf"grey, {part} images.*outside \[0, 1\]"):
        prepare(settings(), Dataset("grey", train, test, (3, 4)))


def test_a_batch_of_more_images_than_are_left_is_refused() -> None:
    assert len(prepare(settings(batch_size=22, validation=5), tiny()).train) == 22
    with pytest.raises(ConfigError, match="batch_size is 23, but there are only 22 training"):
        prepare(settings(batch_size=23, validation=5), tiny())


def test_the_order_of_an_epoch_is_drawn_by_the_seed_and_its_number_or_is_that_of_the_file() -> None:
    expected = permutation(27, Stream(5, Purpose.ORDER, 3))
    np.testing.assert_array_equal(prepared.epoch_order(27, 5, 3, shuffle=True), expected)
    unshuffled = prepared.epoch_order(27, 5, 3, shuffle=False)
    np.testing.assert_array_equal(unshuffled, np.arange(27))
    assert unshuffled.dtype == np.int64
