"""Where a run goes on, what must be the same as before, and what is said where it is not."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from resume_helpers import Killed, change, folder_of, kill_at, left, run, stopped
from training_helpers import settings, tiny

from scratchvae.backend import get_backend
from scratchvae.errors import CheckpointError, DataError, RunError
from scratchvae.runs import RunFolder, verify_run
from scratchvae.runs.checkpoint import load_checkpoint, save_checkpoint
from scratchvae.training import Progress, train
from scratchvae.training.state import differences

# ---- the place where it goes on ---------------------------------------------------------------


def test_a_folder_with_its_settings_alone_begins_at_step_0(whole, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run")
    assert run(folder, resume=True).stopped == "completed"
    assert left(folder) == whole()


def test_a_completed_run_changes_nothing(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run", validation=5)
    first = run(folder)
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.path.iterdir()}
    again = run(folder, resume=True)
    assert {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.path.iterdir()} == before
    assert (again.stopped, again.best_epoch) == ("completed", first.best_epoch)
    assert again.metrics == first.metrics
    assert again.model.params.flat.tobytes() == first.model.params.flat.tobytes()


def test_a_run_that_ended_early_stays_ended(tmp_path: Path) -> None:
    changes = {"validation": 5, "patience": 1, "lr": 0.5, "epochs": 50}
    folder = folder_of(tmp_path / "run", **changes)
    first = run(folder)
    assert first.stopped == "early"
    again = run(folder, resume=True)
    assert (again.stopped, again.metrics) == ("early", first.metrics)


def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(whole, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run")
    run(folder)
    content = bytearray(folder.checkpoint_path.read_bytes())
    content[5000] ^= 1
    folder.checkpoint_path.write_bytes(content)
    notes: list[str] = []

    class Listener(Progress):
        def note(self, text: str) -> None:
            notes.append(text)

    train(
        folder.config(),
        tiny(),
        backend=get_backend("cpu"),
        run=folder,
        progress=Listener(),
        resume=True,
    )
    (note,) = notes
    assert "checkpoint.npz is damaged" in note
    assert note.endswith("; continuing from the checkpoint before it, of step 8")
    assert folder.damaged_path.read_bytes() == content
    folder.damaged_path.unlink()
    assert left(folder) == whole()


def test_where_both_are_damaged_the_newer_one_says_so(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run")
    run(folder)
    for path in (folder.checkpoint_path, folder.previous_path):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"checkpoint\.npz is damaged.*its ending"):
        run(folder, resume=True)
    assert not folder.damaged_path.exists()


def test_numbers_that_are_not_the_checkpoints_are_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run")
    run(folder)
    text = folder.metrics_path.read_text()
    folder.metrics_path.write_text(text.replace('"test_kl": ', '"test_kl": 1', 1))
    with pytest.raises(CheckpointError, match="do not belong together: the numbers of the first 3"):
        run(folder, resume=True)
    folder.metrics_path.write_text(text[: text.index("\n") + 1])
    with pytest.raises(RunError, match="ends after epoch 1, but 3 were completed"):
        run(folder, resume=True)


# ---- what must be the same --------------------------------------------------------------------


def test_other_settings_are_refused_by_name(tmp_path: Path, monkeypatch) -> None:
    folder = stopped(tmp_path / "run", monkeypatch)
    other = replace(folder.config(), lr=0.5, epochs=9)
    with pytest.raises(RunError, match=r"epochs was 3 and is 9|lr was 0\.001 and is 0\.5; epochs"):
        train(other, tiny(), backend=get_backend("cpu"), run=folder, resume=True)


def test_more_epochs_end_as_a_run_that_had_them_from_the_start(whole, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run")
    run(folder)
    change(folder, epochs=5)
    assert run(folder, resume=True).metrics[-1]["epoch"] == 5
    expected = whole(epochs=5)
    assert folder.checkpoint_path.read_bytes() == expected["checkpoint.npz"]
    assert left(folder)["metrics"] == expected["metrics"]
    (earlier,) = folder.settings()["earlier"]
    assert (earlier["until_step"], earlier["config"]["epochs"]) == (12, 3)


def test_the_best_epoch_of_earlier_settings_is_still_the_runs_own(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run", validation=5)
    run(folder)
    change(folder, lr=1e-5)
    folder.commit_settings(9, 2)
    assert RunFolder.open(folder.path).settings()["config"]["lr"] == 1e-5
    assert folder.load(get_backend("cpu"))[1].epoch == 3


def test_the_best_epoch_is_chosen_among_losses_of_one_objective(tmp_path: Path) -> None:
    """At σ = 0.3 the losses are about 2 nats, at σ = 1 about 11."""
    narrow = {"likelihood": "gaussian", "std": 0.3, "validation": 5, "patience": 4}
    folder = folder_of(tmp_path / "run", **narrow)
    first = run(folder)
    change(folder, std=1.0, epochs=6)
    result = run(folder, resume=True)
    losses = [line["validation_loss"] for line in result.metrics]
    assert (result.stopped, len(losses)) == ("completed", 6)
    assert max(losses[:3]) < min(losses[3:])
    best = 4 + losses[3:].index(min(losses[3:]))
    assert first.best_epoch <= 3 < best == result.best_epoch
    assert folder.load(get_backend("cpu"))[1].epoch == best
    assert verify_run(folder).damage == []
    change(folder, lr=1e-5, epochs=7)  # no other objective
    again = run(folder, resume=True)
    assert again.best_epoch == min(again.metrics[3:], key=lambda m: m["validation_loss"])["epoch"]


def test_before_an_epoch_with_the_new_objective_no_epoch_is_the_best(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run", validation=5, patience=1, lr=0.5, epochs=50)
    first = run(folder)
    last = len(first.metrics)
    assert folder.load(get_backend("cpu"))[1].epoch == first.best_epoch == last - 1
    change(folder, beta=2.0)
    folder.commit_settings(3 * last, last)
    assert folder.load(get_backend("cpu"))[1].epoch == last
    assert verify_run(folder).damage == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"batch_size": 9}, "in the middle of epoch 2, whose images follow from batch_size"),
        ({"seed": 9, "shuffle": False}, "follow from shuffle, seed: these can change between two"),
        ({"validation": 5}, "follow from validation"),
        ({"optimizer": "rmsprop"}, "adam.m, adam.v, params, but this optimizer needs params, rms"),
        ({"hidden": (9,)}, r"checkpoint\.npz belongs to another model"),
    ],
)
def test_what_no_flag_can_change_is_refused(changes, complaint, tmp_path, monkeypatch) -> None:
    folder = stopped(tmp_path / "run", monkeypatch)
    config = change(folder, **changes)
    before = {p: p.read_bytes() for p in folder.path.iterdir()}
    with pytest.raises(RunError, match=complaint):
        train(config, tiny(), backend=get_backend("cpu"), run=folder, resume=True)
    assert {p: p.read_bytes() for p in folder.path.iterdir()} == before


def test_a_checkpoint_of_more_steps_than_an_epoch_has_is_refused(tmp_path, monkeypatch) -> None:
    folder = stopped(tmp_path / "run", monkeypatch)
    saved = load_checkpoint(folder.checkpoint_path)
    longer = replace(saved, losses=np.resize(saved.losses, (5, 1)))
    save_checkpoint(folder.checkpoint_path, longer)
    with pytest.raises(CheckpointError, match="is 5 steps into an epoch, which has only 4"):
        run(folder, resume=True)


def test_between_two_epochs_the_batch_size_may_change(tmp_path: Path, monkeypatch) -> None:
    folder = folder_of(tmp_path / "run")
    with monkeypatch.context() as patch:
        kill_at(6, patch)
        with pytest.raises(Killed):
            run(folder)
    change(folder, batch_size=9)
    assert run(folder, resume=True).stopped == "completed"
    assert load_checkpoint(folder.checkpoint_path).step == 4 + 3 + 3


def test_other_data_are_refused(tmp_path: Path, monkeypatch) -> None:
    folder = stopped(tmp_path / "run", monkeypatch)
    with pytest.raises(
        DataError, match=r"tiny is not the one that .*checkpoint\.npz was trained on"
    ):
        train(folder.config(), tiny(seed=1), backend=get_backend("cpu"), run=folder, resume=True)


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run", epochs=1)
    run(folder)
    before = left(folder)
    with pytest.raises(RunError, match="holds a run already: resume=True continues it"):
        run(folder)
    assert left(folder) == before


def test_a_run_that_a_killed_process_left_in_its_first_epoch_is_not_written_over(
    tmp_path: Path, monkeypatch
) -> None:
    folder = stopped(tmp_path / "run", monkeypatch, step=3)
    assert not folder.metrics_path.exists()
    before = folder.checkpoint_path.read_bytes()
    with pytest.raises(RunError, match="holds a run already: resume=True continues it"):
        run(folder)
    assert folder.checkpoint_path.read_bytes() == before


def test_two_processes_cannot_train_in_one_folder(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run", epochs=1)
    other = RunFolder.open(folder.path)
    for resume in (False, True):
        with pytest.raises(RunError, match="another process is training in"):
            run(other, resume=resume)
    assert run(folder, resume=True).stopped == "completed"


def test_a_run_without_a_folder_cannot_be_resumed() -> None:
    with pytest.raises(RunError, match="only a run with a folder can be resumed"):
        train(settings(), tiny(), backend=get_backend("cpu"), resume=True)


@pytest.mark.parametrize(
    ("place", "was"),
    [("kernel", "Katmai"), ("workers", 3), ("versions", {"numpy": "1.0", "python": "2.7"})],
)
def test_another_kernel_number_of_workers_or_version_is_said(
    place: str, was: Any, tmp_path: Path, monkeypatch
) -> None:
    folder = stopped(tmp_path / "run", monkeypatch)
    saved = load_checkpoint(folder.checkpoint_path)
    here = saved.environment[place]
    changed = saved.environment | {place: here | was if isinstance(was, dict) else was}
    save_checkpoint(folder.checkpoint_path, replace(saved, environment=changed))
    notes: list[str] = []
    listener = type("Listener", (Progress,), {"note": lambda self, text: notes.append(text)})()
    config = replace(folder.config(), workers=1)
    change(folder, workers=1)
    train(config, tiny(), backend=get_backend("cpu"), run=folder, progress=listener, resume=True)
    (note,) = notes
    assert note.startswith("the last bits may differ from those of an uninterrupted run: ")
    words = [f"{k} was {v} and is {here[k]}" for k, v in was.items()] if place == "versions" else [
        f"{place} was {was} and is {here}"]  # fmt: skip
    assert all(word in note for word in words)


def test_a_difference_is_said_once_where_both_sides_know_of_it() -> None:
    before = {"versions": {"python": "2.7", "numpy": "1.0"}, "kernel": {"arch": "x86"}, "gone": 1}
    now = {"versions": {"python": "2.7", "numpy": "2.0"}, "kernel": "Zen", "come": 2}
    words = ["kernel was {'arch': 'x86'} and is Zen", "numpy was 1.0 and is 2.0"]
    assert differences(before, now) == words


def test_on_another_machine_it_is_said(tmp_path: Path, monkeypatch) -> None:
    folder = stopped(tmp_path / "run", monkeypatch)
    content = folder.settings() | {"machine": {"processor": "80486", "cores": 99}}
    folder.config_path.write_text(json.dumps(content))
    notes: list[str] = []
    listener = type("Listener", (Progress,), {"note": lambda self, text: notes.append(text)})()
    train(
        folder.config(),
        tiny(),
        backend=get_backend("cpu"),
        run=folder,
        progress=listener,
        resume=True,
    )
    assert "processor was 80486 and is" in notes[0]
    assert "cores" not in notes[0]  # BLAS has as many threads as before


def test_where_only_the_cores_tell_of_blas_threads_other_cores_are_said(
    tmp_path: Path, monkeypatch
) -> None:
    folder = stopped(tmp_path / "run", monkeypatch)
    folder.config_path.write_text(json.dumps(folder.settings() | {"machine": {"cores": 99}}))
    saved = load_checkpoint(folder.checkpoint_path)
    older = {k: v for k, v in saved.environment.items() if k != "blas_threads"}
    save_checkpoint(folder.checkpoint_path, replace(saved, environment=older))
    notes: list[str] = []
    listener = type("Listener", (Progress,), {"note": lambda self, text: notes.append(text)})()
    train(folder.config(), tiny(), backend=get_backend("cpu"), run=folder, progress=listener,
          resume=True)  # fmt: skip
    assert "cores was 99 and is" in notes[0]


def test_the_same_machine_is_not_worth_a_word(tmp_path: Path, monkeypatch) -> None:
    folder = stopped(tmp_path / "run", monkeypatch)
    notes: list[str] = []
    listener = type("Listener", (Progress,), {"note": lambda self, text: notes.append(text)})()
    train(
        folder.config(),
        tiny(),
        backend=get_backend("cpu"),
        run=folder,
        progress=listener,
        resume=True,
    )
    assert notes == []
