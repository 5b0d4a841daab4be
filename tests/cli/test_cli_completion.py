"""Shells complete commands, options and choices, as the parser has them."""

import re
import subprocess

import pytest

from scratchvae.cli.completion import describe
from scratchvae.cli.main import make_parser
from scratchvae.likelihoods import LIKELIHOODS
from scratchvae.studies import STAGED, STUDIES


@pytest.fixture(scope="module")
def commands():
    return describe(make_parser())


def completed(script: str, *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    line = " ".join(f"'{word}'" for word in words)
    code = f"""{script}
COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _scratchvae; printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_options_and_choices(cli) -> None:
    script = cli("completion", "bash").out
    assert completed(script, "scratchvae", "tr") == ["train"]
    assert completed(script, "scratchvae", "train", "--lat") == ["--latent-dim"]
    assert completed(script, "scratchvae", "train", "--likelihood", "") == list(LIKELIHOODS)
    assert completed(script, "scratchvae", "reproduce", "g") == ["gluon"]
    assert completed(script, "scratchvae", "reproduce", "--se") == ["--seeds"]
    assert completed(script, "scratchvae", "evaluate", "ru") == []  # bash then offers files


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_knows_every_command_and_every_option(cli, commands, shell) -> None:
    script = cli("completion", shell).out
    for command in commands:
        lines = [line for line in script.splitlines() if command.name in line]
        assert lines
        for flag in command.flags:
            known = flag.lstrip("-") if shell == "fish" else flag
            assert re.search(rf"(?<![\w-]){re.escape(known)}(?![\w-])", "\n".join(lines)), flag


def test_the_words_of_a_command_are_its_choices(commands) -> None:
    words = {command.name: command.words for command in commands if command.words}
    studies = (*STUDIES, *STAGED)
    assert words == {
        "reproduce": studies,
        "exercises": ("new", "check", "hint", "solution", "bugs", "notebooks"),
        "completion": ("bash", "zsh", "fish"),
    }


def test_help_texts_with_quotes_and_colons_stay_whole(cli) -> None:
    """A help text is one word of a script, whatever it contains."""
    fish = cli("completion", "fish").out
    assert "-a verify -d 'check that a run\\'s files are intact'" in fish
    zsh = cli("completion", "zsh").out
    assert "'verify:check that a run'\"'\"'s files are intact'" in zsh
    assert "first,N" in zsh  # a colon would end the word
