"""What a run starts from: an output bias at the training mean, and heads of equal weights."""

import numpy as np
import pytest
from scipy.special import logit
from training_helpers import settings, tiny, trained

from scratchvae.backend import get_backend
from scratchvae.data import Dataset, Split
from scratchvae.models import Model
from scratchvae.training import prepare

CPU = get_backend("cpu", "float64")


def black_and_white_beside_grey() -> Dataset:
    """Pixels that are always black, always white, or grey."""
    images = np.random.default_rng(3).integers(0, 256, (40, 12), dtype=np.uint8)
    images[:, 0], images[:, 1] = 0, 255
    split = Split(images, None, 255)
    return Dataset("grey", split, split, (3, 4))


def first(config, dataset=None) -> Model:
    return Model(prepare(config, dataset or tiny()).vae, CPU, seed=config.seed)


@pytest.mark.parametrize("binarize", ["none", "dynamic", "threshold"])
def test_the_output_bias_starts_at_the_logit_of_the_clipped_training_mean(binarize) -> None:
    data = black_and_white_beside_grey()
    grey = data.train.images / 255
    seen = (grey > 0.5).astype(float) if binarize == "threshold" else grey
    bias = first(settings(output_bias="mean", binarize=binarize), data).params["decoder.2.b"]
    np.testing.assert_allclose(bias, logit(seen.mean(axis=0).clip(0.001, 0.999)), rtol=1e-12)


def test_a_gaussian_starts_at_the_training_mean_as_its_map_has_it() -> None:
    data = black_and_white_beside_grey()
    mean = (data.train.images / 255).mean(axis=0)
    for how, expected in (("identity", mean), ("sigmoid", logit(mean.clip(0.001, 0.999)))):
        config = settings(output_bias="mean", likelihood="gaussian", mean=how)
        np.testing.assert_allclose(first(config, data).params["decoder.2.b"], expected, atol=1e-12)


def test_nothing_else_starts_elsewhere() -> None:
    ours, plain = first(settings(output_bias="mean")), first(settings())
    for name in plain.params:
        assert (name == "decoder.2.b") != np.array_equal(ours.params[name], plain.params[name])


def test_a_run_of_equal_heads_that_starts_at_the_mean_trains_and_is_evaluated() -> None:
    data = black_and_white_beside_grey()
    plain = trained(settings(lr=1e-9), data)
    ours = trained(settings(lr=1e-9, output_bias="mean", heads="equal"), data)
    # two pixels that never change cost log 2 each, and now next to nothing
    assert ours.metrics[0]["test_loss"] < plain.metrics[0]["test_loss"] - 1


def test_equal_heads_start_with_the_same_weights_and_independent_ones_with_others() -> None:
    equal, independent, joint = (
        first(settings(heads=how, hidden=(50,), latent_dim=40)).params["encoder.2.W"]
        for how in ("equal", "independent", "joint")
    )
    np.testing.assert_array_equal(equal[:, :40], equal[:, 40:])
    np.testing.assert_array_equal(equal[:, :40], independent[:, :40])
    assert abs(np.corrcoef(independent[:, :40].ravel(), independent[:, 40:].ravel())[0, 1]) < 0.05
    # Glorot's limit of one layer of 40 outputs, and of one of 80
    assert np.abs(independent).max() == pytest.approx((6 / 90) ** 0.5, rel=1e-2)
    assert np.abs(joint).max() == pytest.approx((6 / 130) ** 0.5, rel=1e-2)


@pytest.mark.parametrize("heads", ["equal", "independent"])
def test_a_model_of_such_heads_comes_back_from_its_file(heads, tmp_path) -> None:
    model = first(settings(heads=heads))
    model.save(tmp_path / "model.npz")
    again = Model.load(tmp_path / "model.npz")
    assert again.vae.encoder.layers[-1].init == model.vae.encoder.layers[-1].init
