"""scratchvae reproduce iwae --small: trained in stages, stopped, resumed, measured, drawn."""

import json
from pathlib import Path

import numpy as np
import pytest

from scratchvae.cli import reproduce_staged
from scratchvae.cli.main import make_parser
from scratchvae.runs import load_checkpoint

SMALL = ("reproduce", "iwae", "--small", "--nll-samples", 20, "--device", "cpu")


def rows(folder: Path) -> list[dict]:
    content = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    varies = {"date", "training_seconds", "measuring_seconds", "command"}
    return [{k: v for k, v in row.items() if k not in varies} for row in content["rows"]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three stages of k = 1 and k = 5 in one sitting."""
    from scratchvae.cli.main import main

    out = tmp_path_factory.mktemp("staged") / "whole"
    argv = [*map(str, SMALL), "--k", "1", "5", "--stages", "3", "--quiet", "--out", str(out)]
    assert main(argv) == 0
    return out


def test_each_stage_has_a_row_a_model_and_a_place_in_the_report(whole) -> None:
    found = rows(whole)
    assert [(r["run"], r["stage"], r["passes"]) for r in found] == [
        (name, stage, passes)
        for name in ("iwae-k5-seed0", "vae-k1-seed0")
        for stage, passes in ((1, 1), (2, 4), (3, 13))
    ]
    assert all((whole / r["run"] / f"stage-{r['stage']}.npz").exists() for r in found)
    assert all(20 < r["test_nll"] < 30 and r["machine"]["cores"] >= 1 for r in found)
    assert found[2]["test_nll"] < found[0]["test_nll"]
    report = (whole / "report.html").read_text(encoding="utf-8")
    assert report.count("data:image/png") == 2
    assert "Importance Weighted Autoencoders" in report
    assert "E50" in report  # the importance-weighted bound
    assert {p.name for p in (whole / "figures").glob("*.png")} == {"nll.png", "active.png"}


def test_two_layers_have_active_units_of_each_and_none_that_are_cut_out(
    cli, tmp_path, whole
) -> None:
    out = tmp_path / "two"
    argv = ("--small", "--nll-samples", 20, "--k", 1, "--stages", 1, "--out", out)
    answer = cli("reproduce", "iwae-2", *argv, "--device", "cpu", "--no-figures")
    assert answer.code == 0
    (row,) = rows(out)
    assert (row["cut_nll"], row["active_units_by_layer"]) == (None, [8, 4])
    assert (row["active_units"], 25 < row["test_nll"] < 35) == (12, True)
    assert "8+4" in answer.out
    assert "<td>8+4</td>" in (out / "report.html").read_text(encoding="utf-8")
    for folder, study in ((out, "iwae"), (whole, "iwae-2")):
        answer = cli("reproduce", study, "--resume", folder, "--no-figures")
        assert (answer.code, f"does not describe the study {study}\n" in answer.err) == (2, True)


def test_sittings_end_with_the_numbers_of_one_sitting(cli, tmp_path, whole) -> None:
    out = tmp_path / "parts"
    first = cli(*SMALL, "--k", 1, "--stages", 1, "--train-only", "--no-figures", "--out", out)
    assert first.code == 0
    assert rows(out) == []
    for more in (["--stages", 2], ["--stages", 3, "--k", 1, 5]):
        assert cli("reproduce", "iwae", "--resume", out, *more, "--no-figures").code == 0
    assert rows(out) == rows(whole)
    for run in ("vae-k1-seed0", "iwae-k5-seed0"):
        ours, theirs = (load_checkpoint(f / run / "checkpoint.npz") for f in (out, whole))
        for name, arrays in ours.buffers.items():
            for part, array in arrays.items():
                np.testing.assert_array_equal(array, theirs.buffers[name][part])


def test_the_command_of_a_row_is_one_that_asks_for_the_same(cli, tmp_path, whole) -> None:
    for folder, words in (
        (whole, "--k 1 5 --objective iwae"),
        (tmp_path / "one", "--k 1 --stages"),
    ):
        if folder != whole:
            assert cli(*SMALL, "--k", 1, "--stages", 1, "--no-figures", "--out", folder).code == 0
        content = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        (command,) = {row["command"] for row in content["rows"]}
        assert words in command
        make_parser().parse_args(command.split()[1:])
    again = tmp_path / "again"
    assert cli(*command.split()[1:], "--no-figures", "--device", "cpu", "--out", again).code == 0
    assert rows(again) == rows(tmp_path / "one")


def test_a_signal_ends_a_sitting_and_the_next_goes_on(cli, tmp_path, whole, monkeypatch) -> None:
    out, train = tmp_path / "stopped", reproduce_staged.train_in_folder

    def interrupted(prepared, folder, bk, quiet, **more):
        training = train(prepared, folder, bk, quiet, **more)
        if training.metrics[-1]["epoch"] == 4:
            training.stopped = "SIGTERM"
        return training

    monkeypatch.setattr(reproduce_staged, "train_in_folder", interrupted)
    answer = cli(*SMALL, "--k", 1, "--stages", 3, "--no-figures", "--out", out)
    assert (answer.code, answer.err.splitlines()[-1]) == (143, "scratchvae: interrupted")
    assert [row["stage"] for row in rows(out)] == [1]
    monkeypatch.undo()
    assert cli("reproduce", "iwae", "--resume", out, "--no-figures").code == 0
    assert rows(out) == rows(whole)[3:]


def test_an_ablation_trains_each_point_beside_the_settings_as_they_are(cli, tmp_path) -> None:
    out = tmp_path / "ablation"
    answer = cli(*SMALL, "--ablation", "bias-zero", "shuffled", "--stages", 1, "--out", out)
    assert answer.code == 0
    assert [(r["run"], r["point"]) for r in rows(out)] == [
        ("vae-k1-seed0", ""), ("bias-zero-seed0", "bias-zero"), ("shuffled-seed0", "shuffled"),
    ]  # fmt: skip
    assert (out / "figures" / "ablation.png").exists()
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "<td>the output bias starts at zero</td><td>1</td><td>1</td>" in report
    assert "bias-zero" in answer.out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("--stages 9", "--stages is 9, but the study has the stages 1 to 8"),
        ("--stages 0", "--stages is 0, but the study has the stages 1 to 8"),
        ("--k 0", "--k is 0, but an image has at least one sample"),
        ("--k 5 -1", "--k is -1, but an image has at least one sample"),
        ("--k 1 --objective iwae", "with k = 1 the objectives vae and iwae are the same: leave ou"),
        ("--nll-samples 0", "--nll-samples must be at least 1, not 0"),
        ("--variant text", "invalid choice: 'text'. There are: code, paper"),
        ("--ablation bias", "changes no point 'bias'. There are: bias-zero, beta1-0.9"),
        ("--ablation --k 5", "the ablation has k = 1: leave out --k and --objective"),
        ("--ablation --variant paper", "changes points of the variant code, not of paper"),
        ("--epochs 3", "leave out --epochs: iwae has stages"),
        ("--resume nowhere", "nowhere holds no study in stages: there is no study.json in it"),
        ("--resume a --out b", "a study that is resumed stays in its folder: leave out --out"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(cli, here, argv, words) -> None:
    answer = cli("reproduce", "iwae", "--small", *argv.split())
    assert answer.code == 2
    assert words in answer.err
    assert len(answer.err.splitlines()) == 1
    assert list(here.glob("runs/*")) == []


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("--variant paper", "has the variant code, not paper: a folder holds one, choose another"),
        ("--nll-samples 7", "has the number of samples 20, not 7: a folder holds one"),
    ],
)
def test_a_folder_goes_on_as_it_began(cli, whole, argv, words) -> None:
    answer = cli("reproduce", "iwae", "--resume", whole, *argv.split())
    assert (answer.code, words in answer.err) == (2, True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "study.json cannot be read"),
        ("[]", "study.json does not describe the study iwae"),
        ('{"variant": "code"}', "study.json does not describe the study iwae"),
    ],
)
def test_a_folder_of_something_else_is_refused(cli, here, text, words) -> None:
    (here / "study.json").write_text(text)
    answer = cli("reproduce", "iwae", "--resume", here)
    assert (answer.code, words in answer.err) == (2, True)


def test_a_tutorial_has_no_stages(cli) -> None:
    answer = cli("reproduce", "gluon", "--stages", 3)
    assert answer.code == 2
    assert "leave out --stages: iwae and iwae-2 alone have stages" in answer.err
