"""The folder of a run: created empty or not at all, and read with one sentence for any damage."""

import json
from pathlib import Path
from typing import Any

import pytest
from training_helpers import leftovers, settings

from scratchvae.errors import RunError
from scratchvae.runs import RunFolder, numbered_folder, require_free, write_json
from scratchvae.runs.metrics import keep_lines

GOOD = {"config": settings().to_json(), "data": {"fingerprint": "0"}}
LINE = {
    "epoch": 1, "train_loss": 2.0, "test_loss": 2.0, "test_reconstruction": 1.5, "test_kl": 0.5,
    "seconds": 0.1,
}  # fmt: skip


def test_a_new_folder_is_made_with_its_parents_and_holds_its_settings(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "a" / "b", GOOD)
    assert RunFolder.open(tmp_path / "a" / "b").settings() == GOOD
    assert folder.config() == settings()
    assert folder.metrics() == []
    assert [p.name for p in folder.path.iterdir()] == ["config.json"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert RunFolder.create(tmp_path / "run", GOOD).config() == settings()


def test_a_folder_with_a_run_or_with_anything_else_is_refused_and_untouched(
    tmp_path: Path,
) -> None:
    RunFolder.create(tmp_path / "run", GOOD).append_metrics(LINE)  # and gone, with its lock
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(RunError, match="holds another run already: choose another --out"):
        RunFolder.create(tmp_path / "run", {"config": {}})
    assert (tmp_path / "run" / "config.json").read_bytes() == before
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="not empty and holds no run"):
        RunFolder.create(tmp_path / "thesis", GOOD)
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["thesis.tex"]


def test_a_run_that_ended_before_its_first_checkpoint_does_not_block_its_folder(
    tmp_path: Path,
) -> None:
    RunFolder.create(tmp_path / "run", {"config": {}})
    (tmp_path / "run" / ".config.json.a1b2c3d4.tmp").write_text("{")
    RunFolder.create(tmp_path / "run", GOOD)
    assert RunFolder.open(tmp_path / "run").settings() == GOOD
    assert leftovers(tmp_path) == []


def test_of_two_that_choose_one_folder_the_first_gets_it_and_loses_nothing(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", GOOD)
    writing = folder.path / ".checkpoint.npz.0a1b2c3d.tmp"  # as if it were saving at this moment
    writing.write_text("half")
    with pytest.raises(RunError, match="another process is training in"):
        RunFolder.create(tmp_path / "run", {"config": {}})
    assert folder.settings() == GOOD
    assert writing.read_text() == "half"
    with folder.locked(), pytest.raises(RunError, match="another process is training in"):
        RunFolder.create(tmp_path / "run", {"config": {}})
    RunFolder.create(tmp_path / "run", GOOD)  # its training is over
    assert not writing.exists()


def test_a_lock_goes_with_the_object_that_made_the_folder(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", GOOD)
    again = RunFolder.create(tmp_path / "run", GOOD)
    with again.locked(), again.locked():  # who has it can take it again
        pass
    with RunFolder.open(tmp_path / "run").locked():
        pass


def test_a_line_that_a_full_disk_tears_is_taken_back(tmp_path: Path, monkeypatch) -> None:
    folder = RunFolder.create(tmp_path / "run", GOOD)
    folder.append_metrics(LINE)
    whole = folder.metrics_path.read_bytes()

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scratchvae.runs.metrics.os.fsync", full)
    with pytest.raises(
        RunError, match=r"metrics\.jsonl cannot be written: No space left on device"
    ):
        folder.append_metrics(LINE)
    assert folder.metrics_path.read_bytes() == whole


@pytest.mark.parametrize("surplus", ["", json.dumps(LINE) + "\n", json.dumps(LINE)[:20], "\n", "7"])
@pytest.mark.parametrize("epochs", [0, 1, 3])
def test_lines_after_the_checkpoint_are_cut_off(epochs: int, surplus: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    kept = "".join(json.dumps(LINE | {"epoch": e}) + "\n" for e in range(1, epochs + 1))
    path.write_text(kept + surplus)
    keep_lines(path, epochs)
    assert path.read_text() == kept
    with pytest.raises(RunError, match=f"ends after epoch {epochs}, but {epochs + 1} were"):
        keep_lines(path, epochs + 1)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([{"epoch": 2}], "line 1 is not the whole line of epoch 1"),
        ([{}, {}], "line 2 is not the whole line of epoch 2"),
        ([{}, {"epoch": 3}], "line 2 is not the whole line of epoch 2"),
    ],
)
def test_a_gap_or_a_duplicate_among_the_lines_is_damage(lines, complaint, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(LINE | line) + "\n" for line in lines))
    with pytest.raises(RunError, match=complaint):
        keep_lines(path, len(lines))


def test_a_file_in_the_place_of_the_folder_or_above_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match="cannot hold a run"):
            RunFolder.create(path, GOOD)
    assert (tmp_path / "file").read_text() == "x"


def test_what_is_not_there_is_free(tmp_path: Path) -> None:
    require_free(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_without_settings_is_no_run(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RunError, match=r"holds no run: there is no config\.json in it"):
            RunFolder.open(path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[" * 99_999, "cannot be read"),
        ("\udcff", "cannot be read"),
        ("5", "is no configuration of a run"),
        ("[]", "is no configuration of a run"),
        ("{}", "is no configuration of a run"),
        ('{"config": [1]}', "is no configuration of a run"),
        ('{"config": {}, "data": "mnist"}', "is no configuration of a run"),
        ('{"config": {"lr": -1}}', "does not describe a run: lr is -1"),
        ('{"config": {"hidden": "5"}}', "does not describe a run: hidden is '5'"),
        ('{"config": {"colour": 5}}', "does not describe a run: unknown settings: colour"),
    ],
)
def test_a_damaged_config_json_is_an_error_of_the_run(
    text: str, complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(RunError, match=complaint) as caught:
        RunFolder.open(tmp_path).config()
    assert "config.json" in str(caught.value)


def test_metrics_are_appended_a_line_an_epoch(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", GOOD)
    for epoch in (1, 2, 3):
        folder.append_metrics(LINE | {"epoch": epoch})
    assert [line["epoch"] for line in folder.metrics()] == [1, 2, 3]
    text = folder.metrics_path.read_text()
    assert text.count("\n") == 3
    assert json.loads(text.splitlines()[0]) == LINE


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "cannot be read"),
        ("\xff", "cannot be read"),
        (json.dumps(LINE) + "\n" + json.dumps(LINE)[:-9], "cannot be read"),
        (json.dumps(LINE) + "\n7\n", "line 2 does not describe an epoch"),
        ('{"epoch": 1}', "line 1 does not describe an epoch"),
    ],
)
def test_damaged_metrics_are_an_error_of_the_run(text: str, complaint: str, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", GOOD)
    folder.metrics_path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RunError, match=complaint) as caught:
        folder.metrics()
    assert "metrics.jsonl" in str(caught.value)


def test_the_default_folders_are_numbered_and_each_is_made_for_one_process(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    (runs / "digits-2").mkdir(parents=True)
    (runs / "digits-4").write_text("a file")
    with (
        numbered_folder(runs, "digits") as first,
        numbered_folder(runs, "digits") as second,
        numbered_folder(runs, "digits") as third,
        numbered_folder(runs, "mnist") as other,
    ):
        assert [p.name for p in (first, second, third, other)] == [
            "digits-1", "digits-3", "digits-5", "mnist-1",
        ]  # fmt: skip
        (second / "config.json").write_text("{}")
    assert sorted(p.name for p in runs.iterdir()) == ["digits-2", "digits-3", "digits-4"]


def test_a_numbered_folder_that_stays_empty_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), numbered_folder(tmp_path / "runs", "digits"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_json_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def failing(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scratchvae.storage.atomic.os.replace", failing)
    with pytest.raises(OSError, match="No space"):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert leftovers(tmp_path) == []
