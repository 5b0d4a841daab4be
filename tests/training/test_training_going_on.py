"""A training that goes on from the state of another one, and one without images to test on."""

from dataclasses import replace

import numpy as np
import pytest
from training_helpers import settings, tiny, trained

from scratchvae.backend import get_backend
from scratchvae.errors import CheckpointError
from scratchvae.training import prepare, train_prepared


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_two_halves_of_a_training_have_the_bits_of_the_whole(device: str) -> None:
    bk = get_backend(device)
    whole = trained(settings(epochs=4), device=device)
    half = trained(settings(epochs=2), device=device)
    rest = train_prepared(
        replace(prepare(settings(epochs=4), tiny()), start=half.state), backend=bk
    )
    assert [epoch["epoch"] for epoch in rest.metrics] == [3, 4]
    for name in ("test_loss", "train_loss"):
        assert [e[name] for e in rest.metrics] == [e[name] for e in whole.metrics[2:]]
    assert whole.state is not None
    assert rest.state is not None
    assert (rest.state.epoch, rest.state.step) == (4, 16)
    for buffer, arrays in whole.state.buffers.items():
        for name, a in arrays.items():
            np.testing.assert_array_equal(rest.state.buffers[buffer][name], a)


def test_a_training_goes_on_with_other_data_and_draws_noise_that_it_has_not_seen() -> None:
    half = trained(settings(epochs=1))
    prepared = prepare(settings(epochs=2), tiny(train=16, seed=1))
    rest = train_prepared(replace(prepared, start=half.state), backend=get_backend("cpu"))
    assert rest.state is not None
    assert rest.state.step == 4 + 2  # two batches of 8 images
    assert [epoch["epoch"] for epoch in rest.metrics] == [2]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"hidden": (9,)}, "the state to start from belongs to another model"),
        ({"optimizer": "sgd"}, "the state to start from holds adam.m, adam.v, params, but this"),
    ],
)
def test_the_state_of_another_model_or_optimizer_is_refused(changes, sentence) -> None:
    half = trained(settings(epochs=1))
    other = prepare(settings(epochs=2, **changes), tiny())
    with pytest.raises(CheckpointError, match=sentence):
        train_prepared(replace(other, start=half.state), backend=get_backend("cpu"))


def test_the_result_keeps_the_state_after_the_best_epoch() -> None:
    config = settings(epochs=30, validation=5, lr=0.1, patience=3)
    result = trained(config)
    assert result.best is not None
    assert result.best_epoch is not None
    assert result.best.epoch == result.best_epoch < result.metrics[-1]["epoch"]
    shorter = trained(replace(config, epochs=result.best_epoch))
    assert shorter.state is not None
    for name, a in shorter.state.buffers["params"].items():
        np.testing.assert_array_equal(result.best.buffers["params"][name], a)


def test_a_training_without_a_test_part_evaluates_none_and_learns_the_same() -> None:
    prepared, bk = prepare(settings(), tiny()), get_backend("cpu")
    without = train_prepared(replace(prepared, tested=False), backend=bk)
    tested = train_prepared(prepared, backend=bk)
    assert set(without.metrics[-1]) == {"epoch", "train_loss", "seconds"}
    assert repr(without).startswith("<Training: completed after epoch 2, train loss ")
    np.testing.assert_array_equal(without.model.params.flat, tested.model.params.flat)
