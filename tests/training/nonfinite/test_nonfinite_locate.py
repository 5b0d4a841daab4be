"""An infinity or NaN stops the run; the sentence names where it appeared first, and it is right."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from training_helpers import PlainRun, after_steps, grey, leftovers, settings, tiny, trained

import scratchvae.training.loop as loop
from scratchvae.backend import cpu_updates, get_backend
from scratchvae.backend.cpu import NumpyBackend
from scratchvae.data import Dataset, Split
from scratchvae.errors import NonFiniteError
from scratchvae.reference import VAE, loss_and_gradient, run
from scratchvae.runs import RunFolder
from scratchvae.training import train

NAMES = {  # of the training written out by hand, and of the sentence
    "encoder.0": "the output of encoder.0 (Dense(8))",
    "encoder.2": "the output of encoder.2 (Dense(4))",
    "sigma": "sigma",
    "z": "z",
    "decoder.0": "the output of decoder.0 (Dense(8))",
    "decoder.2": "the output of decoder.2 (Dense(12))",
    "reconstruction": "the reconstruction term",
    "KL": "the KL divergence",
}


def in_order(vae: VAE, x: NDArray, eps: NDArray) -> Iterator[tuple[str, NDArray]]:
    """Every array of a step of 12-8-Z, as it is computed."""
    yield "encoder.0", run(vae.encoder[:1], x)[1]
    yield "encoder.2", (head := run(vae.encoder, x)[1])
    mu, logvar = np.split(head, 2, axis=1)
    yield "sigma", (sigma := np.exp(logvar / 2))
    yield "z", (z := mu + sigma * eps)
    yield "decoder.0", run(vae.decoder[:1], z)[1]
    yield "decoder.2", run(vae.decoder, z)[1]
    _, nll, kl, _ = loss_and_gradient(vae, x, eps)
    yield "reconstruction", nll
    yield "KL", kl  # a step computes it last


def stops(config, dataset=None, device="cpu") -> str:
    with pytest.raises(NonFiniteError) as caught:
        trained(config, dataset, device)
    return str(caught.value)


@pytest.mark.parametrize("lr", [10.0, 1e3, 1e10, 1e20, 1e30])
def test_the_sentence_names_what_a_replay_by_hand_finds_first(lr: float) -> None:
    config = settings(lr=lr, epochs=30)
    plain, sentence = PlainRun(config), stops(config)
    with np.errstate(all="ignore"):
        epoch, t, bad = next(
            (epoch, t, name)
            for epoch, t, x, eps in islice(plain.steps(), 120)
            for name, array in in_order(plain.vae, x, eps)
            if not np.isfinite(array).all()
        )
    assert sentence == (
        f"training stopped: an infinity or NaN first appeared in {NAMES[bad]}, at epoch "
        f"{epoch}, step {t - 4 * (epoch - 1)} of it (step {t} of the run); "
        "try a smaller learning rate, or float64"
    )


def test_the_cases_above_differ_in_step_and_layer() -> None:
    sentences = [stops(settings(lr=lr, epochs=30)) for lr in (10.0, 1e3, 1e10, 1e20, 1e30)]
    assert len(set(sentences)) >= 3


@pytest.mark.parametrize("unseen", [1, 3, 100])
@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_the_sentence_does_not_depend_on_how_often_the_loop_looks(
    unseen: int, device: str, monkeypatch
) -> None:
    expected = stops(settings(lr=1e30))
    monkeypatch.setattr(loop, "STEPS_UNSEEN", unseen)
    assert stops(settings(lr=1e30), device=device) == expected


def poison(monkeypatch, when: int, name: str, value: float) -> None:
    """From step ``when`` on, every update leaves ``value`` in one parameter."""
    adam, offset = cpu_updates.adam, settings().make_vae(12).layout.offsets[name]

    def poisoned(rule: Any, bk: Any, p: Any, g: Any, moments: Any, lr: Any, t: Any, *rest: Any):
        adam(rule, bk, p, g, moments, lr, t, *rest)
        if t >= when:
            p[offset] = value

    monkeypatch.setitem(NumpyBackend.fused_forms, "adam", poisoned)


@pytest.mark.parametrize(
    ("when", "name", "value", "where"),
    [
        (
            9,
            "encoder.0.W",
            np.inf,
            "encoder.0.W after the update, at epoch 3, step 1 of it (step 9",
        ),
        (10, "decoder.2.b", np.nan, "decoder.2.b after the update, at epoch 3, step 2 of it"),
        (9, "encoder.2.b", 1e25, "the KL divergence, at epoch 3, step 2 of it (step 10 of"),
        (10, "decoder.0.b", 3e38, "the reconstruction term, at epoch 3, step 3 of it"),
        (12, "encoder.0.b", np.nan, "encoder.0.b after the update, at epoch 3, step 4 of it"),
    ],
)
def test_the_last_good_checkpoint_stays_and_loads(
    when: int, name: str, value: float, where: str, tmp_path, monkeypatch
) -> None:
    config = settings(epochs=9)
    expected = after_steps(config, tiny(), 8)
    poison(monkeypatch, when, name, value)
    folder = RunFolder.create(tmp_path / "run", {"config": config.to_json()})
    with pytest.raises(NonFiniteError) as caught:
        train(config, tiny(), backend=get_backend("cpu"), run=folder)
    if when == 12:  # the last step of its epoch: no later step computes a loss
        where = "encoder.0.b, at the test images after epoch 3 (step 12 of the run)"
    assert f"first appeared in {where}" in str(caught.value)
    model, checkpoint = folder.load(get_backend("cpu"))
    assert (checkpoint.epoch, checkpoint.step) == (2, 8)
    for key, a in model.params.to_host().items():
        np.testing.assert_array_equal(a, expected[key], err_msg=key)
    assert [line["epoch"] for line in folder.metrics()] == [1, 2]
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("binarize", ["none", "dynamic"])
def test_what_overflows_only_in_the_evaluation_is_named_too(binarize: str) -> None:
    """One step an epoch: the update comes after the only loss that training computes."""
    sentence = stops(settings(lr=1e30, batch_size=27, binarize=binarize))
    assert (
        "the output of encoder.2 (Dense(4)), at the test images after epoch 1 (step 1" in sentence
    )


def test_an_overflow_on_the_validation_images_alone_is_theirs() -> None:
    tame, wild = np.zeros((27, 12), np.float32), np.zeros((27, 12), np.float32)
    config = settings(likelihood="gaussian", mean="identity", validation=5, epochs=1)
    held = loop.prepare(config, dataset_of(np.arange(27 * 12, dtype=np.float32).reshape(27, 12)))
    wild[int(held.validation.images[0, 0]) // 12] = 1e25
    sentence = stops(config, dataset_of(wild, tame))
    assert "at the validation images after epoch 1 (step 3 of the run)" in sentence


def dataset_of(train_images: np.ndarray, test_images: np.ndarray | None = None):
    parts = (train_images, train_images if test_images is None else test_images)
    splits = [Split(part, None, None) for part in parts]
    return Dataset("floats", splits[0], splits[1], (3, 4))


@pytest.mark.parametrize(
    ("scale", "init", "where"),
    [
        (1e15, "torch", "sigma"),
        (1e25, "glorot-uniform", "sigma"),
        (3e38, "he", "the output of encoder.0 (Dense(8))"),
    ],
)
def test_data_too_large_for_float32_stop_at_the_first_step(scale, init, where) -> None:
    images = np.full((27, 12), scale, np.float32)
    config = settings(likelihood="gaussian", mean="identity", init=init)
    sentence = stops(config, dataset_of(images))
    assert f"{where}, at epoch 1, step 1 of it (step 1 of the run)" in sentence


@pytest.mark.parametrize("mean", ["sigmoid", "identity"])
def test_float_pixels_up_to_255_are_named_as_the_cause_and_not_the_learning_rate(mean: str) -> None:
    images = grey(27).astype(np.float32)
    images[:, 0], images[:, 1] = 0, 255  # of every batch
    config = settings(likelihood="gaussian", mean=mean, std=1e-2, epochs=9)
    sentence = stops(config, dataset_of(images))
    assert "the scale of the data is the likely cause: this batch ranges from 0 to 255," in sentence
    assert "scale the data to [0, 1], or standardize it" in sentence
    assert "learning rate" not in sentence


def test_a_standardized_table_with_an_outlier_is_not_named_as_the_cause() -> None:
    table = np.random.default_rng(0).standard_normal((27, 12)).astype(np.float32)
    table[:, 3] = 20
    sentence = stops(settings(lr=1e30, likelihood="gaussian", mean="identity"), dataset_of(table))
    assert sentence.endswith("; try a smaller learning rate, or float64")


def test_a_gradient_that_overflows_is_named_before_its_update() -> None:
    """(x - m)² fits float32; (x - m)/σ² times an activation of that size does not."""
    config = settings(
        likelihood="gaussian", mean="identity", std=1e-19, hidden=(8,), batch_size=9, epochs=3,
        lr=1e-3,
    )  # fmt: skip
    sentence = stops(config, dataset_of(np.full((27, 12), 0.5, np.float32)))
    assert re.search(r"first appeared in .+, at epoch \d, step \d of it", sentence)


def test_the_same_run_in_float64_goes_on() -> None:
    assert trained(settings(lr=1e3, dtype="float64", epochs=1, beta=0.0)).stopped == "completed"


@pytest.mark.parametrize("every", [1, 2, 3])
def test_a_live_check_of_a_training_that_diverges_does_not_blame_the_gradient(every: int) -> None:
    assert stops(settings(lr=1e30, verify_every=every)) == stops(settings(lr=1e30))
