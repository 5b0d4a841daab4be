"""Conditional models: what is given, what is modelled, and the plain model among them."""

import numpy as np
import pytest

from scratchvae import Dataset, TrainConfig, evaluate, get_backend, load, train
from scratchvae.data import Split
from scratchvae.errors import ConfigError, DataError
from scratchvae.evaluation import complete, without_units
from scratchvae.layers import Dense, Sequential, Tanh
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models import (
    VAE,
    Condition,
    ConditionalVAE,
    Label,
    Model,
    Quadrants,
)
from scratchvae.models.condition import parse_condition
from scratchvae.optim import Adam
from scratchvae.runs import RunFolder
from scratchvae.training.step import Batches, TrainingStep

D, N = 12, 40


def labelled(classes: int = 3) -> Dataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N, 3, 4), np.uint8)
    return Dataset.from_arrays(
        images, images[:8], labels=np.arange(N) % classes, test_labels=np.arange(8) % classes
    )


def plain(**how) -> VAE:
    return VAE.mlp(how.pop("pixels", D), (7,), latent_dim=2, activation="tanh", **how)


def prior() -> Sequential:
    return Sequential(Dense(5), Tanh(), Dense(4))


def trained(vae: VAE, rows: np.ndarray, start: dict, steps: int = 30) -> dict:
    """The parameters after some steps of Adam from ``start``."""
    bk = get_backend("cpu", "float32")
    params, grads = FlatBuffer(bk, vae.layout), FlatBuffer(bk, vae.layout)
    params.load(start)
    bound = vae.bind(Workspace(bk, len(rows)), params, grads)
    optimizer = Adam(lr=1e-2).bind(bk, params, grads)
    bk.load(rows, bound.x)
    for t in range(1, steps + 1):
        bound.eps[...] = np.random.default_rng(t).normal(size=bound.eps.shape)
        bound.loss_and_gradient(1 / len(rows))
        optimizer.step(t)
    return params.to_host()


def test_e220_with_a_constant_condition_it_trains_as_the_plain_model_to_the_bit() -> None:
    vae, condition = plain(samples=3), Label(4)
    conditional = ConditionalVAE(vae, D, condition)
    x = np.random.default_rng(0).uniform(size=(9, D)).astype(np.float32)
    start = vae.initial_parameters(get_backend("cpu"), seed=1).to_host()
    more = conditional.initial_parameters(get_backend("cpu"), seed=2).to_host()
    kept = {"encoder.0.W": D, "decoder.0.W": 2}  # the rows that read x and z
    for name, own in start.items():
        more[name][: kept.get(name)] = own
    rows = np.hstack([x, np.zeros((9, 4), np.float32)])
    expected, found = trained(vae, x, start), trained(conditional, rows, more)
    for name, a in expected.items():
        np.testing.assert_array_equal(found[name][: kept.get(name)], a)
    for name, first in kept.items():
        np.testing.assert_array_equal(found[name][first:], more[name][first:])


def test_with_nothing_given_a_whole_run_has_the_bits_of_the_plain_one() -> None:
    config, data = TrainConfig(epochs=2, batch_size=10, seed=4, workers=1), labelled()
    runs = [train(config, data, vae=vae, verbose=False)
            for vae in (plain(), ConditionalVAE(plain(), D, Condition()))]  # fmt: skip
    assert runs[0].model.params.flat.tobytes() == runs[1].model.params.flat.tobytes()
    assert [m["test_loss"] for m in runs[0].metrics] == [m["test_loss"] for m in runs[1].metrics]


def test_a_row_is_the_image_with_one_in_the_column_of_its_label() -> None:
    images = np.array([[0.2, 0.7], [0.5, 0.1]], np.float32)
    expected = [[0.2, 0.7, 0, 0, 1], [0.5, 0.1, 1, 0, 0]]
    np.testing.assert_array_equal(Label(3).rows(images, np.array([2, 0])), np.float32(expected))
    levels = Label(2).rows(np.array([[7, 9]], np.uint8), np.array([1]), 255)
    assert levels.dtype == np.uint8
    assert levels.tolist() == [[7, 9, 0, 255]]


def test_quadrants_are_seen_from_the_lower_left_clockwise() -> None:
    image = np.arange(12.0).reshape(1, 12)  # 3 x 4
    seen = {1: {4, 5, 8, 9}, 2: {0, 1, 4, 5, 8, 9}, 3: {0, 1, 2, 3, 4, 5, 8, 9}}
    bk = get_backend("cpu", "float64")
    for number, expected in seen.items():
        quadrants = Quadrants(number, (3, 4))
        x, c = np.empty((1, 12 - len(expected))), np.empty((1, len(expected)))
        quadrants.split(bk, image, x, c)
        assert set(c[0]) == expected
        assert x[0].tolist() == quadrants.hidden
        np.testing.assert_array_equal(quadrants.complete(image, x), image)


def test_quadrants_of_colour_images_keep_their_channels_together() -> None:
    image = np.arange(24.0).reshape(1, 2, 4, 3)
    x, c = np.empty((1, 18)), np.empty((1, 6))
    Quadrants(1, (2, 4, 3)).split(get_backend("cpu"), image.reshape(1, 24), x, c)
    np.testing.assert_array_equal(c, image[:, 1:, :2].reshape(1, 6))


@pytest.mark.parametrize("condition", [Label(3), Quadrants(2, (3, 4))], ids=repr)
def test_two_workers_compute_the_gradient_of_one(condition: Condition) -> None:
    vae = plain(pixels=condition.modelled(condition.row_size(D)))
    vae = ConditionalVAE(vae, D, condition, prior())
    data = labelled().train
    rows = condition.rows(data.images, data.labels, 255)
    gradients = []
    for workers in (1, 2):
        model = Model(vae, get_backend("cpu", "float64"), seed=1)
        step = TrainingStep(model, Adam(), Batches(rows, 255, 16, 0), workers=workers)
        step.order[...] = np.arange(len(rows))
        step.gradient(1, 0)
        gradients.append(step.grads.flat.copy())
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=0, atol=1e-15)
    assert all(np.abs(step.grads[f"prior.{i}.W"]).max() > 0 for i in (0, 2))


def test_what_is_given_decides_what_is_decoded_and_what_is_seen_stays() -> None:
    model = Model(ConditionalVAE(plain(), D, Label(3), prior()), seed=1)
    a, b = model.decode([[0.3, -1.0]], given=0), model.decode([[0.3, -1.0]], given=[2])
    assert a.shape == (1, D)
    assert np.abs(a - b).max() > 1e-3
    rows = Label(3).rows(np.zeros((2, D)), np.array([0, 2]))
    both = model.decode([[0.3, -1.0]] * 2, given=rows)
    np.testing.assert_allclose(both, np.vstack([a, b]), atol=1e-6)
    image = np.random.default_rng(1).uniform(size=(3, 4))
    half = Model(ConditionalVAE(plain(pixels=6), D, Quadrants(2, (3, 4))))
    for drawn in half.sample(5, seed=1, given=image):
        np.testing.assert_array_equal(drawn.reshape(5, 3, 4)[:, :, :2],
                                      np.repeat(image[None, :, :2].astype("f4"), 5, 0))  # fmt: skip
        assert np.ptp(drawn.reshape(5, 3, 4)[:, :, 2:], axis=0).max() > 0
    assert half.reconstruct(image).shape == (1, 12)


@pytest.mark.parametrize("condition", ["label:3", "quadrants:1"])
@pytest.mark.parametrize("kind", ["standard", "conditional"])
def test_a_run_is_resumed_to_the_same_bytes_and_loaded(condition: str, kind: str, tmp_path) -> None:
    config = TrainConfig(condition=condition, prior=kind, hidden=(7,), epochs=3, batch_size=10,
                         latent_dim=2, binarize="dynamic", workers=1)  # fmt: skip
    if condition != "label:3":
        config = TrainConfig.from_json(config.to_json() | {"condition": "quadrants:1:3:4"})
    data, whole = labelled(), tmp_path / "whole"
    run = RunFolder.create(whole, {"config": config.to_json()})
    expected = train(config, data, run=run, verbose=False)

    def kill(epoch, model):
        if epoch == 2:
            raise MemoryError

    cut = RunFolder.create(tmp_path / "cut", {"config": config.to_json()})
    with pytest.raises(MemoryError):
        train(config, data, run=cut, on_epoch=kill, verbose=False)
    found = train(config, data, run=RunFolder.open(tmp_path / "cut"), resume=True, verbose=False)
    assert found.model.params.flat.tobytes() == expected.model.params.flat.tobytes()
    assert load(whole).params.flat.tobytes() == expected.model.params.flat.tobytes()


@pytest.mark.parametrize("condition", [Label(3), Quadrants(1, (3, 4))], ids=repr)
def test_a_model_is_saved_and_made_again(condition: Condition, tmp_path) -> None:
    vae = plain(pixels=condition.modelled(condition.row_size(D)))
    model = Model(ConditionalVAE(vae, D, condition, prior()), seed=3)
    model.save(tmp_path / "model.npz")
    again = Model.load(tmp_path / "model.npz")
    assert repr(again.vae) == repr(model.vae)
    np.testing.assert_array_equal(again.params.flat, model.params.flat)


def test_a_number_names_what_was_given() -> None:
    data = labelled()
    for condition, words in (
        (Label(3), "given the label"),
        (Quadrants(1, (3, 4)), "of the hidden pixels given 1 quadrant"),
    ):
        vae = plain(pixels=condition.modelled(condition.row_size(D)))
        assert words in evaluate(Model(ConditionalVAE(vae, D, condition)), data.test).protocol


def labels(split: Split, values) -> Split:
    return Split(split.images, values, 255)


BAD = {
    "labels missing": (lambda s: labels(s, None), "these have none: pass labels"),
    "a label missing": (
        lambda s: labels(s, np.where(np.arange(len(s)) == 5, -1, 0)), "image 5 has no label"
    ),
    "a label out of range": (
        lambda s: labels(s, np.full(len(s), 3)), "label 3 is unknown to this model, whose 3 labels"
    ),
    "other images": (
        lambda s: Split(s.images[:, :6].copy(), s.labels, 255), r"shape \(8, 9\), expected \(N, 15"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), BAD.values(), ids=BAD)
def test_data_that_the_condition_does_not_fit_are_refused(change, words) -> None:
    model = Model(ConditionalVAE(plain(), D, Label(3)))
    with pytest.raises(DataError, match=words):
        evaluate(model, change(labelled().test))


def test_what_is_not_given_is_asked_for() -> None:
    model = Model(ConditionalVAE(plain(), D, Label(3)))
    hidden = Model(ConditionalVAE(plain(pixels=8), D, Quadrants(1, (3, 4))))
    with pytest.raises(DataError, match="conditional on the label"):
        model.decode([[0.0, 0.0]])
    with pytest.raises(DataError, match="on 1 quadrant of an image: pass the images in which they"):
        hidden.sample(2)
    with pytest.raises(
        DataError, match=rf"expected \(N, {D + 3}\) .*: {D} pixels and the label, by"
    ):
        model.encode(np.zeros((2, D)))
    with pytest.raises(DataError, match="2 conditions are given for 3 z"):
        model.sample(3, given=[0, 1])
    with pytest.raises(DataError, match="nothing is given to this model"):
        Model(plain()).decode([[0.0, 0.0]], given=1)
    with pytest.raises(ConfigError, match="needs its condition, too"):
        complete(model, np.zeros((1, D)), np.ones(D, bool))
    turned = Dataset.from_arrays(np.zeros((N, 4, 3), np.uint8))
    with pytest.raises(DataError, match="images of 3 x 4, but the data are 4 x 3"):
        train(TrainConfig(epochs=1, batch_size=5), turned, vae=hidden.vae)
    with pytest.raises(DataError, match="quadrants are those of images, but arrays is a table"):
        train(TrainConfig(epochs=1, condition="quadrants:1"), Dataset.from_arrays(np.eye(N)))
    with pytest.raises(ConfigError, match=r"prior's output has shape \(3,\)"):
        ConditionalVAE(plain(), D, Label(3), Sequential(Dense(3)))
    for text in ("labels", "quadrants", "quadrants:5", "quadrants:1:2", "label:0", "label:x"):
        with pytest.raises(ConfigError):
            parse_condition(text, (4, 4))


def test_a_unit_that_is_cut_out_tells_the_decoder_nothing() -> None:
    for network in (None, prior()):
        model = Model(ConditionalVAE(plain(), D, Label(3), network), seed=1)
        cut = without_units(model, np.array([True, False]))
        a, b = cut.decode([[5.0, 0.3], [-5.0, 0.3]], given=1)
        np.testing.assert_array_equal(a, b)
        assert np.abs(a - model.decode([[5.0, 0.3]], given=1)[0]).max() > 1e-3
        rows = Label(3).rows(np.eye(D), np.arange(D) % 3)
        assert np.abs(cut.terms(rows).kl[:, 0]).max() == 0
        zero = cut.decode([[0.0, 0.3]], given=1)
        np.testing.assert_allclose(a, zero[0], atol=1e-7)
