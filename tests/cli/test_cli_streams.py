"""Streams that are closed, full or without a reader, and what may not reach a terminal."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest


def shell(python, outside, here: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which ``scratchvae`` is the command."""
    words = shlex.join(python)
    script = f'set -o pipefail; scratchvae() {{ {words} "$@"; }}; {command}'
    return subprocess.run(
        ["bash", "-c", script], cwd=here, env=outside, capture_output=True, text=True, timeout=120
    )


GONE = {
    "the reader of both ends": "2>&1 | head -1",
    "the reader of both reads nothing": "2>&1 | true",
    "the reader waits, then ends": "2>&1 | (sleep 1; head -c 10)",
    "no stdout": ">&-",
    "no stderr": "2>&-",
    "neither, and no stdin": "<&- >&- 2>&-",
    "a full disk behind stderr": "2>/dev/full",
}


@pytest.mark.parametrize("case", GONE)
def test_a_training_whose_output_goes_away_goes_on(case, python, outside, here, tiny_train) -> None:
    command = f"scratchvae {' '.join(tiny_train)} --epochs 30 --out run {GONE[case]}"
    done = shell(python, outside, here, command)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "error" not in done.stderr
    lines = (here / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["epoch"] == 30


def test_no_file_takes_the_place_of_a_stream_that_is_closed(
    python, outside, here, tiny_train
) -> None:
    """Else what a library prints to number 2 would end in a checkpoint."""
    program = (
        "import os, sys; from scratchvae.cli.main import main; sys.argv = ['scratchvae', 'info']; "
        "main(); sys.exit(os.open('file', os.O_CREAT | os.O_WRONLY) <= 2)"
    )
    done = shell([python[0], "-c", program], outside, here, "scratchvae <&- >&- 2>&-")
    assert done.returncode == 0


@pytest.mark.parametrize("command", ["info --json", "--help", "train --help"])
def test_an_answer_that_is_not_read_is_no_error(command, python, outside, here) -> None:
    done = shell(python, outside, here, f"scratchvae {command} | true")
    assert (done.returncode, done.stderr) == (0, "")


def test_no_control_character_of_a_name_reaches_a_terminal(cli, here) -> None:
    for name in ("no\x1b[31mwhere", "no\r\nwhere", "no\x9b2Jwhere", "no\u202ewhere"):
        answer = cli("evaluate", name)
        assert answer.code == 2
        assert answer.err.count("\n") == 1
        assert answer.err.rstrip("\n").isprintable()
        assert "no\\" in answer.err


def test_no_control_character_passes_through_argparse_or_stdout(
    python, outside, here, tiny_train
) -> None:
    strange = "a\x1b[31mb"
    argv = [*python, *tiny_train, "--out", strange]
    done = subprocess.run(argv, cwd=here, env=outside, capture_output=True, timeout=60)
    assert done.returncode == 0
    assert b"run: a\\x1b[31mb" in done.stdout
    done = subprocess.run([*python, f"--{strange}"], env=outside, capture_output=True, timeout=60)
    assert done.returncode == 2
    assert b"\x1b" not in done.stderr


def test_a_message_is_no_longer_than_a_screen(cli, here) -> None:
    answer = cli("train", "--data", "/".join(["x" * 200] * 100))
    assert answer.code == 2
    assert len(answer.err) < 80 * 24
    assert "characters left out" in answer.err


def test_two_starts_at_one_moment_do_not_meet(python, outside, here, tiny_train) -> None:
    argv = [*python, *tiny_train, "--epochs", "5", "--quiet"]
    both = [subprocess.Popen(argv, cwd=here, env=outside) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert sorted(os.listdir(here / "runs")) == ["tiny-1", "tiny-2"]
    for name in ("tiny-1", "tiny-2"):
        assert (here / "runs" / name / "metrics.jsonl").read_text().count("\n") == 5


def test_of_two_starts_in_one_folder_one_is_refused_and_the_other_untouched(
    python, outside, here, tiny_train
) -> None:
    argv = [*python, *tiny_train, "--epochs", "100", "--checkpoint-every", "1", "--out", "run"]
    both = [
        subprocess.Popen(argv, cwd=here, env=outside, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=60)[1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 2]
    refusal = errors[codes.index(2)].splitlines()[-1]
    assert refusal.endswith(("another process is training in run at this moment",
                             "holds another run already: choose another --out"))  # fmt: skip
    assert (here / "run" / "metrics.jsonl").read_text().count("\n") == 100
