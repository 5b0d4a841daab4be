"""An unexpected error ends in a sentence, too; --debug shows the traceback above any sentence."""

import json
import subprocess

import pytest

from scratchvae.cli.main import INTERNAL_ERROR, exit_status


@pytest.fixture
def broken(monkeypatch) -> None:
    """A command with a mistake in it, whose message has lines."""

    def info(*args: object) -> None:
        raise TypeError("first line\nsecond line")

    monkeypatch.setattr("scratchvae.cli.info.versions", info)


def test_an_internal_error_is_one_sentence_with_an_exit_code_of_its_own(cli, broken) -> None:
    answer = cli("info")
    assert (answer.code, answer.out) == (INTERNAL_ERROR, "") == (70, "")
    assert answer.err == (
        "scratchvae: internal error in scratchvae (not your input): TypeError: first line second "
        "line; --debug shows where it happened\n"
    )


@pytest.mark.parametrize("argv", [("--debug", "info"), ("info", "--debug")])
def test_debug_shows_where_before_and_after_the_command(argv, cli, broken) -> None:
    answer = cli(*argv)
    assert (answer.code, answer.out) == (INTERNAL_ERROR, "")
    lines = answer.err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "TypeError: first line" in lines
    assert lines[-1].startswith("scratchvae: internal error in scratchvae")


@pytest.mark.parametrize("argv", [("--debug", "evaluate", "no"), ("evaluate", "no", "--debug")])
def test_debug_shows_the_traceback_of_a_users_mistake_with_the_same_code(argv, cli, here) -> None:
    plain = cli(*(word for word in argv if word != "--debug"))
    answer = cli(*argv)
    assert answer.code == plain.code == 2
    assert answer.err.startswith("Traceback (most recent call last):")
    assert answer.err.endswith(plain.err)
    assert "Traceback" not in plain.err


def test_debug_changes_nothing_where_nothing_goes_wrong(cli) -> None:
    plain, debug = cli("info", "--json"), cli("info", "--json", "--debug")
    assert (debug.code, debug.err) == (0, "")
    assert json.loads(debug.out) == json.loads(plain.out)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (KeyboardInterrupt("SIGTERM"), 143, "interrupted"),
        (OSError(28, "No space left on device", "run/x"), 2, "No space left on device: 'run/x'"),
        (MemoryError("an array"), 2, "not enough memory: an array"),
        (RecursionError("too deep"), 70, "RecursionError: too deep"),
        (KeyError("levels"), 70, "KeyError: 'levels'"),
        (AssertionError(), 70, "(not your input): AssertionError:"),
    ],
)
def test_every_kind_of_error_has_its_code_and_its_sentence(error, code, words) -> None:
    found, sentence = exit_status(error)
    assert found == code
    assert words in sentence
    assert "\n" not in sentence


def test_a_full_disk_behind_stdout_is_said_in_words(python, outside) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*python, "info"],
            env=outside,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr.startswith("scratchvae: [Errno 28] No space left on device")
    assert "Traceback" not in done.stderr
