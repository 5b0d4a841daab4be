"""The command ``exercises``: new, check, hint, solution; and what students' files may do to it."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import scratchvae
from scratchvae.exercises import contained
from scratchvae.exercises.catalogue import EXERCISES, files
from scratchvae.exercises.report import GradeReport, Outcome

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(scratchvae.__file__).parents[1])}


# ---- new, hint, solution -------------------------------------------------------------------------


def test_new_writes_every_exercise_and_a_test_file_and_says_how_to_begin(exercises, tmp_path):
    code, out, err = exercises("new", tmp_path / "mine")
    assert (code, out) == (0, "")
    assert f"begin with {tmp_path / 'mine' / '01_dense.py'}" in err
    written = sorted(path.name for path in (tmp_path / "mine").iterdir())
    assert written == [*files(), "test_exercises.py"]


def test_a_hint_is_shown_when_it_is_asked_for(exercises):
    assert exercises("hint", "adam")[1].startswith("`m = …` gives a new array the name m")
    assert exercises("hint", "8") == exercises("hint", "08_adam.py") == exercises("hint", "adam")


@pytest.mark.parametrize("answer", ["y\n", "yes\n", "n\n", "\n", ""])
def test_a_solution_is_shown_after_asking(exercises, monkeypatch, answer):
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    code, out, err = exercises("solution", "kl")
    assert code == 0
    assert "Show the solution of kl? [y/N]" in err
    assert ("(mu**2 + sigma**2 - 1 - logvar).sum(axis=1) / 2" in out) == answer.startswith("y")


def test_a_solution_without_a_terminal_wants_to_be_asked_for_twice(exercises, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    code, out, err = exercises("solution", "kl")
    assert (code, out) == (2, "")
    assert err == "scratchvae: there is no terminal to ask on: --yes shows the solution\n"
    assert "def kl(" in exercises("solution", "kl", "--yes")[1]


# ---- check ---------------------------------------------------------------------------------------


def test_one_exercise_is_empty_then_wrong_then_right(exercises, folder, solve):
    assert exercises("check", folder, "kl")[:2] == (
        1,
        line("06_kl.py", "not written yet: kl, kl_grad", ".."),
    )
    solve(folder, "kl")
    path = folder / "06_kl.py"
    right = path.read_text()
    path.write_text(right.replace(".sum(axis=1) / 2", ".sum(axis=1)"))
    said = "KL: twice the right value: a missing ½? (E16: docs/derivations.md)"
    assert exercises("check", folder, "kl")[:2] == (1, line("06_kl.py", said, "FAIL"))
    path.write_text(right)
    assert exercises("check", folder, 6) == (0, line("06_kl.py", "right", "ok"), "")


def line(file: str, verdict: str, mark: str) -> str:
    return f"{mark:<6}{file:<28}{verdict}\n"


def test_a_whole_folder_has_a_line_each_a_score_and_a_report(exercises, folder, monkeypatch):
    """Graded in this process, without a process for each file."""

    def outcome(path: Path, exercise, seconds: float) -> Outcome:
        parts = {"dense": "right"} if path.name == "01_dense.py" else {"kl": "right", "g": None}
        assert seconds == contained.SECONDS
        return Outcome(path.name, exercise.title, parts)

    monkeypatch.setattr(contained, "check_exercise", outcome)
    code, out, _ = exercises("check", folder)
    assert code == 1
    assert len(out.splitlines()) == len(EXERCISES) + 1
    assert out.splitlines()[-1] == f"1 of {len(EXERCISES)}"
    code, out, _ = exercises("check", folder, "--json")
    report = json.loads(out)
    assert code == 1
    assert report["score"] == 1 + 0.5 * (len(EXERCISES) - 1)
    assert report["output"] == f"1 of {len(EXERCISES)}"
    assert report["tests"][0] == {
        "name": "01_dense.py The dense layer", "score": 1.0, "max_score": 1, "status": "passed",
        "output": "right",
    }  # fmt: skip
    assert report["tests"][1]["status"] == "failed"
    assert report["extra_data"]["solved"] == 1
    assert report["extra_data"]["exercises"]["06_kl.py"]["parts"] == {"kl": "right", "g": None}


def test_a_file_run_by_itself_says_what_check_says(folder, solve):
    def run() -> tuple[int, str]:
        done = subprocess.run([sys.executable, "01_dense.py"], cwd=folder, env=ENVIRONMENT,
                              capture_output=True, text=True, timeout=120)  # fmt: skip
        return done.returncode, done.stdout

    assert run() == (1, line("01_dense.py", "not written yet: dense", ".."))
    solve(folder, "dense")
    assert run() == (0, line("01_dense.py", "right", "ok"))


def test_pytest_grades_the_folder(folder, solve):
    solve(folder, "dense")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "dense.py or 06_kl",
    ]
    done = subprocess.run([*command, str(folder)], env=ENVIRONMENT, cwd=folder,
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    assert "1 failed, 1 passed" in done.stdout
    assert "not written yet: kl, kl_grad" in done.stdout


# ---- what a student's file may do ----------------------------------------------------------------

HOSTILE = {
    "it is no Python": ("def dense(x W, b):", "is not Python: "),
    "it imports what is not there": ("import no_such_module", "cannot be imported: ModuleNotFound"),
    "it fails while it is imported": ("1 / 0", "cannot be imported: ZeroDivisionError: division"),
    "it calls its stub": ("raise NotImplementedError", "calls what is not written yet while it is"),
    "it ends Python": ("import sys; sys.exit(0)", "ends Python (SystemExit) while it is imported"),
    "it kills itself": ("import os; os.kill(os.getpid(), 9)", "ended by the signal SIGKILL before"),
    "it dies without a word": ("import os; os._exit(0)", "ended Python with exit code 0 before it"),
    "it loops for ever": (
        "while True: pass",
        "did not end within 1 seconds and was stopped: a loop",
    ),
    "it prints without end": (
        "while True: print('x' * 1000)",
        "prints more than 1 MB and was stop",
    ),
    "it takes all memory": (
        "kept = []\nwhile True: kept.append(bytes(10**8))",
        "cannot be imported: MemoryError",
    ),
    "it is not there": (None, "01_dense.py is not there"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_cannot_be_graded_is_one_sentence_and_exit_code_2(what, exercises, folder):
    content, words = HOSTILE[what]
    path = folder / "01_dense.py"
    path.unlink() if content is None else path.write_text(content + "\n")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    short = ["--seconds", 1] if "loops" in what else []
    code, out, err = exercises("check", folder, "dense", *short)
    assert (code, out) == (2, "")
    assert err.startswith("scratchvae: 01_dense.py ")
    assert words in err
    assert err.count("\n") == 1
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_what_a_wrong_answer_printed_is_shown_and_cut(exercises, folder, solve):
    solve(folder, "dense")
    path = folder / "01_dense.py"
    path.write_text(
        path.read_text().replace("y = x @ W + b", "print('look', 'x' * 3000); y = x @ W")
    )
    code, out, _ = exercises("check", folder, "dense")
    assert code == 1
    assert "it printed: look xxx" in out
    assert len(out) < 1000


def test_a_thread_that_is_left_running_does_not_matter(exercises, folder, solve):
    solve(folder, "dense")
    path = folder / "01_dense.py"
    thread = "import threading, time\nthreading.Thread(target=time.sleep, args=(999,)).start()\n"
    path.write_text(thread + path.read_text())
    assert exercises("check", folder, "dense", "--seconds", 30)[0] == 0


def test_a_file_that_cannot_be_graded_does_not_keep_the_others_from_it():
    right, broken = Outcome("a.py", "A", {"f": "right"}), Outcome("b.py", "B", broken="b.py died")
    report = GradeReport((right, broken))
    assert (report.exit_code, report.progress) == (2, "1 of 2")
    assert broken.text().startswith("!!    b.py")
    assert report.to_json()["score"] == 1


# ---- mistakes on the command line ----------------------------------------------------------------

MISTAKES = {
    "a folder that exists": ("new {folder}", "exists already, and nothing is written over"),
    "a folder below a file": ("new {folder}/01_dense.py/x", "cannot be made: Not a directory"),
    "a folder without exercises": ("check {folder}/..", "there are no exercises in"),
    "a folder that is not there": ("check {folder}/nowhere", "there are no exercises in"),
    "an unknown exercise": (
        "check {folder} kll",
        "no exercise 'kll'. Did you mean 'kl'? There are: ",
    ),
    "an unknown hint": ("hint 99", "there is no exercise '99'. There are: dense, dense_gradients"),
    "no folder": ("check", "exercises check needs DIR: scratchvae exercises check DIR"),
    "no name": ("solution", "exercises solution needs NAME"),
    "one argument too many": ("new a b", "takes one argument, DIR, not 'b' too"),
    "no time at all": ("check {folder} --seconds 0", "--seconds must be at least 1, not 0"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_on_the_command_line_is_one_sentence(what, exercises, folder):
    typed, words = MISTAKES[what]
    code, out, err = exercises(*typed.format(folder=folder).split())
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
