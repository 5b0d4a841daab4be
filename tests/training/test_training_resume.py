"""A run that was killed anywhere and resumed leaves the bytes of one that was not."""

import os
import secrets
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from resume_helpers import Killed, folder_of, kill_at, kill_in, left, run

import scratchvae.training.loop as loop
from scratchvae.errors import NonFiniteError
from scratchvae.runs.checkpoint import load_checkpoint
from scratchvae.training.state import State
from scratchvae.training.step import TrainingStep

KINDS: dict[str, dict[str, Any]] = {
    "the defaults": {},
    "validation and patience": {"validation": 5, "patience": 2, "lr": 0.3},
    "rmsprop, a schedule": {"optimizer": "rmsprop", "lr": "cosine:1e-2:1e-4:10"},
    "sgd, clipped": {"optimizer": "sgd", "lr": "piecewise:1e-2:3:1e-3", "clip": 0.5},
    "adagrad, warm-up of the KL": {"optimizer": "adagrad", "kl_warmup": 9},
    "dynamic pixels, in order": {"binarize": "dynamic", "shuffle": False},
    "static pixels, float64": {"binarize": "static", "dtype": "float64"},
    "threshold, IWAE": {"binarize": "threshold", "estimator": "iwae", "samples": 3},
    "score function": {"estimator": "score", "samples": 2},
    "free bits, learned deviation": {"free_bits": 0.1, "likelihood": "gaussian-learned"},
    "two workers": {"workers": 2},
    "live checks": {"verify_every": 3},
}
STEPS = 12  # three epochs of four steps (validation: of three)


# ---- killed between two steps -----------------------------------------------------------------


@pytest.mark.parametrize("every", [0, 1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_killed_at_any_of_four_steps_ends_as_one_that_was_not(
    kind: str, every: int, whole, tmp_path: Path, monkeypatch
) -> None:
    expected = whole(**KINDS[kind])
    folder = folder_of(tmp_path / "run", **KINDS[kind])
    for number, step in enumerate((1, 3, 6, 9)):
        with monkeypatch.context() as patch:
            kill_at(step, patch)
            with pytest.raises(Killed):
                run(folder, resume=number > 0, every=every)
        if every == 1 and step > 1:
            assert load_checkpoint(folder.checkpoint_path).step == step - 1
    run(folder, resume=True, every=every)
    assert left(folder) == expected


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_the_middle_of_an_epoch_is_no_worse_a_place_than_its_end(
    step: int, whole, tmp_path: Path, monkeypatch
) -> None:
    folder = folder_of(tmp_path / "run")
    with monkeypatch.context() as patch:
        kill_at(step, patch)
        with pytest.raises(Killed):
            run(folder, every=2)
    monkeypatch.setattr(loop, "STEPS_UNSEEN", 1)  # another logging interval
    run(folder, resume=True, every=5)
    assert left(folder) == whole()


def test_after_a_signal_in_the_last_step_of_an_epoch_a_run_goes_on_with_the_epochs_end(
    whole, tmp_path: Path, monkeypatch
) -> None:
    folder, call = folder_of(tmp_path / "run"), TrainingStep.__call__

    def interrupted(self: TrainingStep, t: int, i: int, count: int = 1) -> None:
        call(self, t, i, count)
        if t <= 8 < t + count:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingStep, "__call__", interrupted)
        run(folder, return_on_signal=True)
    saved = load_checkpoint(folder.checkpoint_path)
    assert (saved.epoch, len(saved.losses), saved.step) == (1, 4, 8)
    run(folder, resume=True)
    assert left(folder) == whole()


def test_the_strict_device_goes_on_where_the_cpu_was_killed(
    whole, tmp_path: Path, monkeypatch
) -> None:
    folder = folder_of(tmp_path / "run")
    with monkeypatch.context() as patch:
        kill_at(7, patch)
        with pytest.raises(Killed):
            run(folder, every=1)
    run(folder, resume=True, device="strict")
    assert left(folder) == whole()


# ---- killed while it writes -------------------------------------------------------------------

WRITES = [
    *((os, "fsync", n) for n in range(1, 20)),  # of lines, files and folders
    *((os, "replace", n) for n in range(1, 11)),
    *((os, "link", n) for n in (1, 2)),
    *((secrets, "token_hex", n) for n in range(1, 8)),  # names of temporary files
]


@pytest.mark.parametrize(("owner", "name", "count"), WRITES, ids=str)
def test_a_run_killed_while_it_writes_ends_as_one_that_was_not(
    owner: Any, name: str, count: int, whole, tmp_path: Path, monkeypatch
) -> None:
    """The temporary files that it would leave are there, too."""
    folder = folder_of(tmp_path / "run", validation=5)
    with monkeypatch.context() as patch:
        kill_in(owner, name, count, patch)
        with pytest.raises(Killed):
            run(folder)
    (folder.path / ".checkpoint.npz.a1b2c3d4.tmp").write_bytes(b"half")
    run(folder, resume=True)
    assert left(folder) == whole(validation=5)


@pytest.mark.parametrize("torn", [b'{"epoch": 2, "train_lo', b"\n", b"\xff\xfe"])
def test_a_torn_last_line_is_made_again(torn: bytes, whole, tmp_path: Path, monkeypatch) -> None:
    folder = folder_of(tmp_path / "run")
    with monkeypatch.context() as patch:
        kill_at(6, patch)
        with pytest.raises(Killed):
            run(folder)
    with folder.metrics_path.open("ab") as file:
        file.write(torn)
    run(folder, resume=True)
    assert left(folder) == whole()


# ---- a state that is not finite ---------------------------------------------------------------


def test_a_state_that_is_not_finite_is_never_saved(tmp_path: Path, monkeypatch) -> None:
    """The loss of the step that spoils the parameters is still a number."""
    folder = folder_of(tmp_path / "run")
    call = TrainingStep.__call__

    def spoiled(self: TrainingStep, t: int, i: int, count: int = 1) -> None:
        call(self, t, i, count)
        if t >= 6:
            self.params.flat[0] = np.nan

    with monkeypatch.context() as patch:
        patch.setattr(TrainingStep, "__call__", spoiled)
        with pytest.raises(NonFiniteError):
            run(folder, every=1)
    assert load_checkpoint(folder.checkpoint_path).step == 5


def test_what_a_step_has_spoiled_goes_back_to_the_beginning_of_its_epoch(
    tmp_path: Path, monkeypatch
) -> None:
    call, keep, rewind, seen = TrainingStep.__call__, State.keep, State.rewind, []

    def spoiled(self: TrainingStep, t: int, i: int, count: int = 1) -> None:
        call(self, t, i, count)
        if t >= 6:
            self.params.flat[0] = np.nan

    def note(state: State) -> None:
        seen.append({name: buffer.flat.tobytes() for name, buffer in state.buffers.items()})

    monkeypatch.setattr(TrainingStep, "__call__", spoiled)
    monkeypatch.setattr(State, "keep", lambda state: (note(state), keep(state)))
    monkeypatch.setattr(State, "rewind", lambda state: (rewind(state), note(state)))
    with pytest.raises(NonFiniteError):
        run(folder_of(tmp_path / "run"), every=1)
    first, second, gone_back = seen
    assert gone_back == second
    assert all(first[name] != second[name] for name in ("params", "adam.m", "adam.v"))


def test_a_resumed_epoch_names_the_same_step_when_it_stops(tmp_path: Path, monkeypatch) -> None:
    changes = {"lr": 1e3, "epochs": 30}
    with pytest.raises(NonFiniteError) as expected:
        run(folder_of(tmp_path / "whole", **changes))
    folder = folder_of(tmp_path / "run", **changes)
    for step in (2, 3):
        with monkeypatch.context() as patch:
            kill_at(step, patch)
            with pytest.raises((Killed, NonFiniteError)):
                run(folder, resume=step > 2, every=1)
    with pytest.raises(NonFiniteError) as caught:
        run(folder, resume=True)
    whole = str(expected.value).replace(str(tmp_path / "whole"), str(tmp_path / "run"))
    assert str(caught.value) == whole
