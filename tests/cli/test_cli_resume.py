"""scratchvae train --resume: what goes on, what is refused, and what it says."""

import hashlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scratchvae.cli import resume as resume_module
from scratchvae.training.step import TrainingStep


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch, name: str = "SIGTERM") -> None:
    """The signal arrives while this step of the run is computed."""
    call = TrainingStep.__call__

    def interrupted(self: TrainingStep, t: int, i: int, count: int = 1) -> None:
        if t == step:
            signal.raise_signal(getattr(signal, name))
        call(self, t, i, count)

    monkeypatch.setattr(TrainingStep, "__call__", interrupted)


@pytest.fixture
def stopped(cli, here: Path, tiny_train: list[str], monkeypatch) -> Path:
    """A run that SIGTERM ended in the middle of its second epoch of three."""
    with monkeypatch.context() as patch:
        interrupt_at(6, patch)
        answer = cli(*tiny_train, "--epochs", 3, "--out", "run", "--validation", 5, "--quiet")
    assert answer.code == 143
    return here / "run"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def snapshot(folder: Path) -> dict[str, Any]:
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*.*")}


def test_an_interrupted_run_goes_on_to_the_same_bytes(cli, here, tiny_train, stopped) -> None:
    cli(*tiny_train, "--epochs", 3, "--out", "whole", "--validation", 5)
    answer = cli("train", "--resume", "run")
    assert answer.code == 0
    for file in ("checkpoint.npz", "best.npz"):
        assert digest(stopped / file) == digest(here / "whole" / file)
    lines = [json.loads(x) for x in (stopped / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert answer.out.startswith("run: run\nepoch 3: train ")
    assert [line[:10] for line in answer.err.splitlines()] == [
        "device: cp", "epoch 2/3 ", "epoch 3/3 ", "report: ru",
    ]  # fmt: skip


def test_figures_and_film_are_those_of_a_run_that_was_not_interrupted(
    cli, here, tiny_train, monkeypatch
) -> None:
    argv = [a for a in tiny_train if a != "--no-figures"] + ["--epochs", "3"]
    cli(*argv, "--out", "whole")
    with monkeypatch.context() as patch:
        interrupt_at(10, patch, "SIGINT")
        assert cli(*argv, "--out", "run", "--checkpoint-every", 3).code == 130
    assert not (here / "run" / "figures").exists()
    assert cli("train", "--resume", "run").code == 0
    assert digest(here / "run/film.npz") == digest(here / "whole/film.npz")
    names = {p.name for p in (here / "whole/figures").iterdir()}
    assert {p.name for p in (here / "run/figures").iterdir()} == names
    assert "film_strip.png" in names


def test_a_run_killed_while_it_draws_has_its_figures_when_it_is_resumed(
    cli, here, tiny_train, monkeypatch
) -> None:
    def killed(path: Path, content: bytes) -> None:
        if path.name == "latent_grid.svg":
            raise KeyboardInterrupt
        path.write_bytes(content)

    argv = [a for a in tiny_train if a != "--no-figures"]
    with monkeypatch.context() as patch:
        patch.setattr("scratchvae.figures.saving.write_bytes", killed)
        assert cli(*argv, "--out", "run").code == 130
    assert (here / "run/figures/data.png").exists()
    assert not (here / "run/figures/losses.png").exists()
    before = digest(here / "run/checkpoint.npz")
    assert cli("train", "--resume", "run", "--quiet").code == 0
    assert (here / "run/figures/losses.png").exists()
    assert digest(here / "run/checkpoint.npz") == before


def test_a_users_own_files_among_the_figures_stay(cli, here, tiny_train) -> None:
    argv = [a for a in tiny_train if a != "--no-figures"]
    assert cli(*argv, "--out", "run").code == 0
    (here / "run/figures/notes.txt").write_text("mine")
    assert cli(*tiny_train, "--out", "run/figures/below").code == 0
    inner = snapshot(here / "run/figures/below")
    more = ["--epochs", 3, "--change-settings", "--quiet"]
    assert cli("train", "--resume", "run", *more).code == 0
    assert cli("plot", "run", "--quiet").code == 0
    assert (here / "run/figures/notes.txt").read_text() == "mine"
    assert snapshot(here / "run/figures/below") == inner


def test_a_folder_for_figures_that_exists_before_them_does_not_pass_for_them(
    cli, here, tiny_train, monkeypatch
) -> None:
    argv = [a for a in tiny_train if a != "--no-figures"]
    with monkeypatch.context() as patch:
        interrupt_at(6, patch)
        assert cli(*argv, "--out", "run").code == 143
    assert cli(*tiny_train, "--out", "run/figures/below").code == 0
    assert cli("train", "--resume", "run", "--quiet").code == 0
    assert (here / "run/figures/losses.png").exists()


@pytest.mark.parametrize("figures", [True, False])
def test_a_completed_run_says_so_and_changes_nothing(cli, here, tiny_train, figures) -> None:
    argv = [a for a in tiny_train if a != "--no-figures" or not figures]
    first = cli(*argv, "--out", "run", "--json")
    before = snapshot(here / "run")
    answer = cli("train", "--resume", "run", "--json")
    assert answer.code == 0
    assert "run had completed already: nothing is left to do" in answer.err
    assert snapshot(here / "run") == before
    keys = ("epoch", "train_loss", "test_loss", "stopped", "protocol", "run", "best_epoch")
    one, two = json.loads(first.out), json.loads(answer.out)
    assert {k: one[k] for k in keys} == {k: two[k] for k in keys}


def test_other_settings_are_named_and_need_a_flag(cli, here, tiny_train, stopped) -> None:
    before = snapshot(stopped)
    answer = cli("train", "--resume", "run", "--epochs", 5, "--lr", "0.1")
    assert answer.code == 2
    assert (
        "scratchvae: run has other settings: lr was 0.001 and is 0.1; epochs was 3 and is 5; leave "
        "them out to continue as before, or add --change-settings"
    ) in answer.err
    assert snapshot(stopped) == before
    assert cli("train", "--resume", "run", "--epochs", 3, "--quiet").code == 0  # as it was


def test_more_epochs_with_the_flag_end_as_a_run_of_so_many(cli, here, tiny_train, stopped) -> None:
    cli(*tiny_train, "--epochs", 5, "--out", "whole", "--validation", 5)
    options = ["--epochs", 5, "--change-settings", "--checkpoint-every", 2]
    assert cli("train", "--resume", "run", *options, "--quiet").code == 0
    assert digest(stopped / "checkpoint.npz") == digest(here / "whole/checkpoint.npz")
    settings = json.loads((stopped / "config.json").read_text())
    assert (settings["config"]["epochs"], settings["checkpoint_every"]) == (5, 2)
    (earlier,) = settings["earlier"]
    assert (earlier["until_step"], earlier["config"]["epochs"]) == (6, 3)
    assert cli("verify", "run").code == 0
    assert cli("evaluate", "run", "--quiet").code == 0
    assert cli("train", "--resume", "run").err.endswith("nothing is left to do\n")


def test_a_default_that_is_typed_is_a_setting_too(cli, here, tiny_train, stopped) -> None:
    answer = cli("train", "--resume", "run", "--epochs", 150)
    assert "epochs was 3 and is 150" in answer.err
    answer = cli("train", "--resume", "run", "--no-shuffle")
    assert "shuffle was True and is False" in answer.err


def test_a_first_epoch_that_failed_leaves_a_folder_that_can_be_used(cli, here, tiny_train) -> None:
    assert cli(*tiny_train, "--lr", "1e30", "--out", "run", "--quiet").code == 2
    options = ["--lr", "1e-3", "--change-settings", "--quiet"]
    assert cli("train", "--resume", "run", *options).code == 0
    assert "earlier" not in json.loads((here / "run/config.json").read_text())
    cli(*tiny_train, "--out", "whole")
    assert digest(here / "run/checkpoint.npz") == digest(here / "whole/checkpoint.npz")


def test_a_run_is_resumed_from_another_folder_with_its_data_found_again(
    cli, here, tiny_train, stopped, monkeypatch
) -> None:
    before = json.loads((stopped / "config.json").read_text())
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert cli("train", "--resume", "../run", "--quiet").code == 0
    assert json.loads((stopped / "config.json").read_text()) == before
    assert cli("evaluate", "../run", "--quiet").code == 0
    (here / "tiny.npz").rename(here / "elsewhere" / "moved.npz")
    options = ["--data", "moved.npz", "--epochs", 4, "--change-settings", "--quiet"]
    assert cli("train", "--resume", "../run", *options).code == 0
    assert cli("evaluate", "../run", "--quiet").code == 0
    assert cli("verify", "../run").code == 0


def test_no_path_and_no_host_is_in_a_checkpoint(cli, here, tiny_train) -> None:
    argv = [str(here / "tiny.npz") if a == "tiny.npz" else a for a in tiny_train]
    cli(*argv, "--out", "a")
    cli(*tiny_train, "--out", "b")
    content = (here / "a/checkpoint.npz").read_bytes()
    assert str(here).encode() not in content
    assert os.uname().nodename.encode() not in content
    assert content == (here / "b/checkpoint.npz").read_bytes()


def test_the_last_bits_that_may_differ_are_said(cli, here, tiny_train, stopped) -> None:
    path = stopped / "config.json"
    settings = json.loads(path.read_text())
    settings["machine"]["processor"] = "an abacus"
    path.write_text(json.dumps(settings))
    answer = cli("train", "--resume", "run")
    assert answer.code == 0
    assert "the last bits may differ from those of an uninterrupted run: " in answer.err
    assert "processor was an abacus and is" in answer.err
    again = json.loads(path.read_text())
    assert again["earlier"][0]["machine"]["processor"] == "an abacus"
    assert again["machine"]["processor"] != "an abacus"


# ---- the BLAS kernel --------------------------------------------------------------------------

CASES = {
    "the kernel that is there": ({}, "Haswell", "Haswell", False),
    "another": ({}, "Haswell", "Nehalem", True),
    "one that this processor lacks": ({}, "Haswell", "Sapphirerapids", False),
    "one that was chosen": ({"OPENBLAS_CORETYPE": "Haswell"}, "Haswell", "Nehalem", False),
}


@pytest.mark.parametrize("case", CASES)
def test_the_process_begins_anew_where_that_brings_the_kernel_back(case, monkeypatch) -> None:
    variables, here, recorded, anew = CASES[case]
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(resume_module, "kernel", lambda: {"blas": "openblas 0", "kernel": here})

    def child(argv: list[str], env: dict[str, str], **more: Any) -> Any:
        chosen = env["OPENBLAS_CORETYPE"]
        said = "" if chosen == "Sapphirerapids" else chosen  # that child was killed
        return subprocess.CompletedProcess(argv, 0, stdout=said + "\n")

    begun: list[dict[str, str]] = []
    monkeypatch.setattr(resume_module.subprocess, "run", child)
    monkeypatch.setattr(resume_module.os, "execve", lambda path, argv, env: begun.append(env))
    resume_module.with_the_same_kernel(recorded)
    assert bool(begun) == anew
    assert not anew or begun[0]["OPENBLAS_CORETYPE"] == recorded


def test_a_run_of_another_kernel_is_resumed_with_it(python, outside, here, tiny_train) -> None:
    """In processes: a kernel is chosen while NumPy is loaded."""
    outside = {k: v for k, v in outside.items() if k != "OPENBLAS_CORETYPE"}
    other = outside | {"OPENBLAS_CORETYPE": "Nehalem"}
    say = ["-c", resume_module.SAY_KERNEL]
    found = [
        subprocess.run([python[0], *say], env=env, capture_output=True, text=True).stdout.strip()
        for env in (outside, other)
    ]
    if found[0] == found[1] or found[1] != "Nehalem":
        pytest.skip(f"the kernels that can be chosen here are {found}")
    wide = [*tiny_train, "--hidden", "40", "--quiet"]
    for name, epochs in (("whole", "6"), ("run", "3")):
        argv = [*python, *wide, "--epochs", epochs, "--out", name]
        assert subprocess.run(argv, env=other, capture_output=True).returncode == 0
    argv = [*python, "train", "--resume", "run", "--epochs", "6", "--change-settings"]
    done = subprocess.run(argv, env=outside, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "may differ" not in done.stderr
    assert json.loads((here / "run/config.json").read_text())["kernel"] == "Nehalem"
    assert digest(here / "run/checkpoint.npz") == digest(here / "whole/checkpoint.npz")
