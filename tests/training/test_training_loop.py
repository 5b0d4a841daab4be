"""The loop: what an epoch visits, what its numbers mean, and that a seed decides everything."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from training_helpers import (
    PIXELS,
    PlainRun,
    Recorder,
    batches,
    make_step,
    numbers,
    pixels_of,
    settings,
    tiny,
    trained,
)

import scratchvae.training.loop as loop
from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal, uniform
from scratchvae.backend.strict import CaptureError
from scratchvae.data import Dataset, Split, binarize
from scratchvae.errors import ConfigError, DataError
from scratchvae.evaluation import evaluate
from scratchvae.models import Model
from scratchvae.runs import RunFolder
from scratchvae.training import Training, epoch_order, prepare, train
from scratchvae.training.loop import train_prepared

KINDS = {
    "Bernoulli on grey pixels": {},
    "threshold": {"binarize": "threshold"},
    "static": {"binarize": "static"},
    "dynamic": {"binarize": "dynamic"},
    "four samples per image": {"samples": 4},
    "a head of log sigma": {"head": "logstd"},
    "beta and tanh": {"beta": 0.3, "activation": "tanh"},
    "sigmoid, three latents": {"activation": "sigmoid", "latent_dim": 3},
    "no hidden layer": {"hidden": ()},
    "Gaussian": {"likelihood": "gaussian", "std": 0.3},
    "Gaussian, identity": {"likelihood": "gaussian", "mean": "identity"},
    "Gaussian, learned": {"likelihood": "gaussian-learned"},
    "Gaussian, one variance per pixel": {"likelihood": "gaussian-per-pixel", "samples": 2},
    "file order, validation": {"shuffle": False, "validation": 5},
}


# ---- the order of an epoch --------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 27, 1000])
def test_an_epoch_visits_every_image_once(n: int) -> None:
    np.testing.assert_array_equal(np.sort(epoch_order(n, 3, 5, shuffle=True)), np.arange(n))


def test_the_order_is_a_function_of_seed_and_epoch_alone() -> None:
    orders = {(s, e): tuple(epoch_order(50, s, e, True)) for s in range(4) for e in range(1, 5)}
    assert len(set(orders.values())) == 16
    assert orders == {key: tuple(epoch_order(50, *key, True)) for key in reversed(orders)}


def test_without_shuffling_the_order_is_that_of_the_file() -> None:
    for seed, epoch in ((0, 1), (7, 3)):
        np.testing.assert_array_equal(epoch_order(9, seed, epoch, shuffle=False), np.arange(9))


# ---- what the numbers mean --------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"samples": 3, "beta": 0.5}, {"shuffle": False}])
def test_the_train_loss_weights_every_image_alike_in_the_short_last_batch_too(changes) -> None:
    """With a learning rate of nothing, an epoch's loss is the mean of the images' losses."""
    config = settings(lr=1e-300, dtype="float64", epochs=1, **changes)
    plain = PlainRun(config)
    losses = [plain.losses(x, eps) for _, _, x, eps in islice(plain.steps(), 4)]
    assert [len(some) for some in losses] == [8, 8, 8, 3]
    ours = trained(config).metrics[0]["train_loss"]
    assert ours == pytest.approx(np.concatenate(losses).mean(), rel=1e-13)
    assert abs(np.mean([some.mean() for some in losses]) - ours) > 1e-4  # what a mean of means is


@pytest.mark.parametrize(
    "changes", [{}, {"samples": 2, "beta": 2.0}, {"shuffle": False, "seed": 9}]
)
def test_two_epochs_are_those_of_the_training_written_out_by_hand(changes) -> None:
    config = settings(dtype="float64", lr=0.01, **changes)
    plain, losses = PlainRun(config), {1: [], 2: []}
    steps = plain.steps()
    for epoch, _, x, eps in islice(steps, 8):
        losses[epoch].append(plain.losses(x, eps))
    next(steps)  # the eighth update
    ours = trained(config)
    for name, a in ours.model.params.to_host().items():
        np.testing.assert_allclose(a, plain.p[name], rtol=1e-12, atol=1e-12, err_msg=name)
    for line in ours.metrics:
        by_hand = np.concatenate(losses[line["epoch"]]).mean()
        assert line["train_loss"] == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize(("i", "rows"), [(0, 8), (2, 8), (3, 3)])
def test_a_step_descends_the_mean_over_its_own_rows(i: int, rows: int) -> None:
    config = settings(dtype="float64", samples=2)
    step, images = make_step(config), pixels_of(tiny(), "float64")
    batch = step.gradient(5, i)
    index = epoch_order(27, 0, 1, True)[8 * i : 8 * i + 8]
    eps = normal((rows, 2, 2), Stream(0, Purpose.LATENT, 5))
    model = Model(step.vae, step.bk, params=step.params)
    loss, gradient = model.loss_and_gradient(images[index], eps)
    assert batch.bound.rows == rows
    for name, a in gradient.items():
        np.testing.assert_allclose(step.grads[name], a, rtol=1e-12, atol=1e-15, err_msg=name)
    assert batch.bound.nll.sum() / 2 / rows == pytest.approx(loss.reconstruction, rel=1e-13)
    assert batch.bound.kl.sum() / rows == pytest.approx(loss.kl, rel=1e-13)


def test_a_batch_size_that_divides_has_no_last_short_batch() -> None:
    step = make_step(settings(batch_size=9))
    assert step.last is step.full
    assert step.steps_per_epoch == 3


def test_the_test_loss_is_its_two_terms_with_beta_between() -> None:
    for line in trained(settings(beta=0.25)).metrics:
        terms = line["test_reconstruction"] + 0.25 * line["test_kl"]
        assert line["test_loss"] == pytest.approx(terms, rel=1e-15)


def test_training_lowers_the_loss_on_images_with_structure() -> None:
    x, y = np.mgrid[0:3, 0:4]
    rng = np.random.default_rng(1)
    images = np.stack([x * 4 + y > level for level in rng.integers(0, 12, 60)]).reshape(60, 12)
    split = Split(images.astype(np.uint8), None, 1)
    dataset = Dataset("steps", split.take(slice(48)), split.take(slice(48, None)), (3, 4))
    losses = [m["test_loss"] for m in trained(settings(epochs=40, lr=0.01), dataset).metrics]
    assert losses[-1] < 0.75 * losses[0]
    assert losses[-1] > np.log(11)  # no code is shorter than the entropy of twelve pictures


# ---- a seed decides everything ----------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_numbers_to_the_bit_and_another_seed_others(kind: str) -> None:
    config = settings(**KINDS[kind])
    first, again = trained(config), trained(config)
    assert numbers(first) == numbers(again)
    assert first.model.params.flat.tobytes() == again.model.params.flat.tobytes()
    other = trained(settings(**KINDS[kind], seed=1))
    for mine, theirs in zip(numbers(first), numbers(other), strict=True):
        assert all(mine[key] != theirs[key] for key in mine if key.endswith("loss"))


@pytest.mark.parametrize("max_level", [255, 1, None])
@pytest.mark.parametrize("kind", KINDS)
def test_the_strict_device_sees_the_same_order_noise_and_numbers_to_the_bit(
    kind: str, max_level: int | None
) -> None:
    """On it, a step that allocated or waited inside ``capture`` would have raised."""
    config, dataset = settings(**KINDS[kind]), tiny(max_level=max_level)
    assert numbers(trained(config, dataset)) == numbers(trained(config, dataset, "strict"))


def test_a_training_says_itself_in_one_line() -> None:
    found = train(settings(epochs=2), tiny(), backend=get_backend("cpu"))
    last = found.metrics[-1]["test_loss"]
    assert repr(found).startswith(
        f"<Training: completed after epoch 2, test loss {last:.3f} nats per image, "
    )
    assert repr(Training(found.model)) == "<Training: completed, 0.0 s>"


def test_the_last_seed_of_all_works() -> None:
    assert numbers(trained(settings(seed=2**64 - 1))) != numbers(trained(settings(seed=2**63)))


# ---- what a step may do -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_after_binding_no_step_allocates_or_waits(kind: str) -> None:
    bk = get_backend("strict")
    changes = {k: v for k, v in KINDS[kind].items() if k != "validation"}
    step = make_step(settings(**changes), bk=bk)
    before = bk.device.allocations, bk.device.synchronizations
    for i in range(4):
        step(1 + i, i)
    assert (bk.device.allocations, bk.device.synchronizations) == before


@pytest.mark.parametrize("crime", ["allocate", "wait"])
def test_a_step_that_allocates_or_waits_is_caught(crime: str, monkeypatch) -> None:
    bk = get_backend("strict")
    step = make_step(settings(), bk=bk)
    crimes = {"allocate": lambda *t: step.grads.flat + 1.0, "wait": lambda *t: bk.synchronize()}
    monkeypatch.setattr(step.optimizer, "step", crimes[crime])
    with pytest.raises(CaptureError, match="inside a captured step"):
        step(1, 0)


# ---- pixels -----------------------------------------------------------------------------------


def seen(step, t: int, i: int) -> np.ndarray:
    return step.gradient(t, i).bound.x.copy()


def test_e33_dynamic_binarization_draws_fresh_pixels_at_every_visit() -> None:
    step = make_step(settings(binarize="dynamic"))
    images = tiny().train.values(epoch_order(27, 0, 1, True)[:8])
    visits = {t: seen(step, t, 0) for t in range(1, 5)}
    for t, x in visits.items():
        u = uniform((8, PIXELS), Stream(0, Purpose.BINARIZE, t)).astype(np.float32)
        np.testing.assert_array_equal(x, u < images)
    assert len({x.tobytes() for x in visits.values()}) == 4
    np.testing.assert_array_equal(visits[2], seen(step, 2, 0))  # a function of (seed, step)
    assert not np.array_equal(
        visits[2], seen(make_step(settings(binarize="dynamic", seed=1)), 2, 0)
    )


def test_e33_the_mean_of_many_dynamic_draws_is_the_grey_value() -> None:
    step = make_step(settings(binarize="dynamic", shuffle=False))
    draws = np.mean([seen(step, t, 0) for t in range(1, 2001)], axis=0)
    grey_values = tiny().train.values(slice(0, 8))
    assert np.abs(draws - grey_values).max() < 5 * 0.5 / np.sqrt(2000)


@pytest.mark.parametrize("protocol", ["none", "threshold", "static"])
def test_a_fixed_protocol_shows_the_same_pixels_at_every_visit(protocol: str) -> None:
    config, dataset = settings(binarize=protocol), tiny()
    views = prepare(config, dataset)
    fixed = Dataset("fixed", views.train, views.test, (3, 4))
    step = make_step(config, fixed)
    first = seen(step, 1, 0)
    np.testing.assert_array_equal(first, seen(step, 2, 0))
    np.testing.assert_array_equal(first, views.train.values(epoch_order(27, 0, 1, True)[:8]))
    expected = binarize(dataset.train, protocol)
    np.testing.assert_array_equal(views.train.images, expected.images)
    if protocol != "none":
        assert set(np.unique(first)) == {0.0, 1.0}


def test_static_draws_of_train_and_test_are_not_the_same_draw() -> None:
    half = Split(np.full((9, PIXELS), 0.5, np.float32), None, None)
    views = prepare(settings(binarize="static"), Dataset("half", half, half, (3, 4)))
    assert not np.array_equal(views.train.images, views.test.images)


def test_float_images_train_as_the_levels_that_they_are() -> None:
    dataset = tiny()
    parts = [Split(part.values(), None, None) for part in (dataset.train, dataset.test)]
    floats = Dataset("floats", parts[0], parts[1], (3, 4))
    assert numbers(trained(settings(), floats)) == numbers(trained(settings(), dataset))


def test_a_gaussian_takes_pixels_outside_the_unit_interval_and_a_bernoulli_does_not() -> None:
    images = np.random.default_rng(0).normal(0, 3, (27, PIXELS)).astype(np.float32)
    split = Split(images, None, None)
    dataset = Dataset("normal", split, split, (3, 4))
    assert trained(settings(likelihood="gaussian", mean="identity"), dataset).stopped == "completed"
    with pytest.raises(DataError, match=r"normal, training images.*outside \[0, 1\]"):
        trained(settings(), dataset)


def test_a_batch_may_be_all_the_data_and_no_more() -> None:
    assert len(trained(settings(batch_size=27)).metrics) == 2
    with pytest.raises(ConfigError, match="batch_size is 28, but there are only 27"):
        trained(settings(batch_size=28))
    with pytest.raises(ConfigError, match="batch_size is 27, but there are only 26"):
        trained(settings(batch_size=27, validation=1))


# ---- the numbers on disk ----------------------------------------------------------------------


@pytest.mark.parametrize("validation", [0, 5])
def test_metrics_jsonl_has_exactly_the_keys_that_are_promised(validation: int, tmp_path) -> None:
    config = settings(validation=validation, epochs=3)
    folder = RunFolder.create(tmp_path / "run", {"config": config.to_json()})
    result = train(config, tiny(), backend=get_backend("cpu"), run=folder)
    keys = ["epoch", "train_loss", "test_loss", "test_reconstruction", "test_kl", "inactive_units"]
    keys += ["validation_loss"] * bool(validation) + ["seconds"]
    assert [list(line) for line in folder.metrics()] == [keys] * 3
    assert folder.metrics() == result.metrics
    assert [line["epoch"] for line in result.metrics] == [1, 2, 3]
    assert 0 < sum(line["seconds"] for line in result.metrics) <= result.seconds


def test_without_test_images_the_units_are_those_of_the_validation_split() -> None:
    config = settings(validation=5, epochs=1)
    prepared = replace(prepare(config, tiny()), tested=False)
    result = train_prepared(prepared, backend=get_backend("cpu"))
    (line,) = result.metrics
    assert "test_loss" not in line
    expected = evaluate(result.model, prepared.validation, seed=config.seed, draw=1)
    assert line["inactive_units"] == expected.inactive_units


def test_progress_hears_of_every_step_and_of_the_mean_loss_of_those_it_hears_of(
    monkeypatch,
) -> None:
    heard: list[tuple[int, float]] = []
    result = train(
        settings(epochs=1), tiny(), backend=get_backend("cpu"),
        progress=Recorder(lambda steps, loss: heard.append((steps, loss))),
    )  # fmt: skip
    assert heard == [(4, result.metrics[0]["train_loss"])]
    heard.clear()
    monkeypatch.setattr(loop, "STEPS_UNSEEN", 1)
    train(
        settings(epochs=1), tiny(), backend=get_backend("cpu"),
        progress=Recorder(lambda steps, loss: heard.append((steps, loss))),
    )  # fmt: skip
    sizes = [len(index) for _, _, _, index in islice(batches(settings(), 27), 4)]
    assert [steps for steps, _ in heard] == [1, 1, 1, 1]
    mean = sum(size * loss for size, (_, loss) in zip(sizes, heard, strict=True)) / 27
    assert mean == pytest.approx(result.metrics[0]["train_loss"], rel=1e-12)
