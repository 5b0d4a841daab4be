"""A step is recorded once and repeated: nothing of its moment may be baked into the recording.

The strict device records as a CUDA graph does (the Python of a step runs once), so that whatever a
step took from the host's variables would be the same in all fifty steps.
"""

import numpy as np
import pytest
from steps import CASES, make_step, run, settings

from scratchvae.backend import get_backend
from scratchvae.backend.strict import CaptureError
from scratchvae.config import HEADS
from scratchvae.latent import ESTIMATORS
from scratchvae.layers import ACTIVATIONS
from scratchvae.likelihoods import LIKELIHOODS
from scratchvae.optim import OPTIMIZERS


def test_the_cases_use_everything_that_a_training_can():
    configs = [settings(case) for case in CASES]
    assert {config.estimator for config in configs} == set(ESTIMATORS)
    assert {config.optimizer for config in configs} == set(OPTIMIZERS)
    assert {config.likelihood for config in configs} == set(LIKELIHOODS)
    assert {config.activation for config in configs} == set(ACTIVATIONS)
    assert {config.head for config in configs} == set(HEADS)
    words = {word.split()[0] for config in configs for word in config.encoder + config.decoder}
    assert words >= {"conv", "conv-transpose", "dense", "reshape", "flatten"}
    for used in ("free_bits", "kl_warmup", "clip", "encoder"):
        assert {bool(getattr(config, used)) for config in configs} == {True, False}


@pytest.mark.parametrize("steps_per_launch", [1, 5])
@pytest.mark.parametrize("case", CASES)
def test_fifty_repetitions_are_fifty_steps_on_the_cpu_to_the_bit(
    case, steps_per_launch, monkeypatch
):
    config, bk = settings(case), get_backend("strict", "float32")
    monkeypatch.setattr("scratchvae.training.step.MAX_STEPS_PER_LAUNCH", 2)
    recorded, plain = make_step(config, bk), make_step(config)
    ran: list[int] = []
    step = recorded._step
    monkeypatch.setattr(recorded, "_step", lambda *a: (ran.append(1), step(*a))[1])
    before = bk.device.allocations
    found = run(recorded, config, steps_per_launch)
    assert bk.device.allocations == before
    assert len(ran) == (
        2 if steps_per_launch == 1 else 3
    )  # whole and short; two whole ones in a row
    np.testing.assert_array_equal(found, run(plain, config, 1))
    for name, a in plain.params.to_host().items():
        np.testing.assert_array_equal(recorded.params.to_host()[name], a, err_msg=name)


@pytest.mark.parametrize(
    ("rows", "steps_per_launch"),
    [(5, 1), (23, 4), (250, 50), (254, 50), (255, 25), (505, 33), (6, 1)],
)
def test_the_launches_of_an_epoch_are_of_the_same_length(rows, steps_per_launch):
    step = make_step(settings("analytic"), get_backend("strict"), rows=rows)
    assert step.steps_per_launch == steps_per_launch
    assert make_step(settings("analytic"), rows=rows).steps_per_launch == 1


def test_the_optimizers_flushing_is_not_baked_either():
    # At step 128 of a run moments that are too small become zero: the 128th repetition must do so.
    config, bk = settings("analytic"), get_backend("strict", "float32")
    recorded, plain = make_step(config, bk), make_step(config)
    for step in (recorded, plain):
        run(step, config, 1, steps=127)
        step.bk.load(
            np.full(step.vae.layout.padded_size, 1e-33, "f4"), step.optimizer.state["m"].flat
        )
    i = 127 % plain.steps_per_epoch
    for step in (recorded, plain):
        step(128, i)
    m = recorded.optimizer.state["m"].to_host()["encoder.0.W"]
    np.testing.assert_array_equal(m, plain.optimizer.state["m"].to_host()["encoder.0.W"])


def test_a_step_out_of_turn_sets_the_clock_again():
    config, bk = settings("adam"), get_backend("strict", "float32")
    recorded, plain = make_step(config, bk), make_step(config)
    for step in (recorded, plain):
        for t, i in ((1, 0), (2, 1), (12, 3), (7, 4), (8, 1), (9, 2)):
            step(t, i)
    np.testing.assert_array_equal(bk.to_host(recorded.params.flat), plain.params.flat)
    np.testing.assert_array_equal(bk.to_host(recorded.losses), plain.losses)


def test_what_is_taken_from_the_host_is_baked_and_the_recording_shows_it():
    """So that the tests above would catch a step that reads a variable of the host."""
    bk, host = get_backend("strict"), {"t": 1}
    count, clock = bk.zeros((1,)), bk.zeros((1,))

    def step():
        bk.xp.add(count, host["t"], out=count)
        bk.xp.add(clock, 1, out=clock)

    repeat = bk.capture(step, times=2)
    for host["t"] in (1, 10, 100):
        repeat()
    assert bk.to_host(count)[0] == 6  # six times 1, not 2 + 20 + 200
    assert bk.to_host(clock)[0] == 6


def test_a_step_that_is_not_recorded_gives_the_same():
    config = settings("convolutions, dynamic")
    results = []
    for captured in (True, False):
        bk = get_backend("strict", "float32")
        step = make_step(config, bk, captured)
        assert (step.clock is not None) == captured
        losses = run(step, config, 5)
        results.append((losses, bk.to_host(step.params.flat)))
    for recorded, eager in zip(*results, strict=True):
        np.testing.assert_array_equal(recorded, eager)


@pytest.mark.parametrize("crime", ["load", "index", "fancy"])
def test_what_a_recording_cannot_hold_is_refused(crime):
    bk = get_backend("strict")
    a, index = bk.zeros((3, 2)), bk.zeros((2,), "int64")
    crimes = {
        "load": lambda: bk.load(np.ones((3, 2)), a),
        "index": lambda: a[int(index[0])],
        "fancy": lambda: a[index],
    }
    with pytest.raises(CaptureError, match="inside a captured step"):
        bk.capture(crimes[crime])()
