"""What docs/exercises.md and README.md say of the exercises is so."""

import re
import shlex
from pathlib import Path

from scratchvae.cli.main import main
from scratchvae.exercises.catalogue import EXERCISES, files

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/exercises.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(text: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if "exercises" in line]


def test_the_table_of_the_page_is_the_catalogue():
    rows = re.findall(r"^\| (\d+) \| `(\w+)`: (.+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert [(int(i), name, labels) for i, name, _, labels in rows] == [
        (i, each.name, ", ".join(each.labels)) for i, each in enumerate(EXERCISES, start=1)
    ]
    for (_, _, title, _), each in zip(rows, EXERCISES, strict=True):
        assert title.lower() == each.title.lower()


def test_the_commands_of_the_page_are_what_there_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said = {
        tuple(shlex.split(line)[1:]) for line in commands(PAGE) if line.startswith("scratchvae")
    }
    assert ("exercises", "new", "exercises") in said
    assert main(["exercises", "new", "exercises"]) == 0
    for argv in (("hint", "kl"), ("check", "exercises", "kl"), ("solution", "kl")):
        assert ("exercises", *argv) in said
    assert main(["exercises", "hint", "kl"]) == 0
    assert main(["exercises", "check", "exercises", "kl"]) == 1
    capsys.readouterr()
    assert main(["exercises", "solution", "kl"]) == 2
    assert "--yes shows the solution" in capsys.readouterr().err


def test_a_stranger_passes_the_first_exercise_with_the_words_of_the_readme(
    tmp_path, monkeypatch, capsys
):
    """The command that README gives, the file that it names, the body of the equation."""
    monkeypatch.chdir(tmp_path)
    (command,) = [line for line in commands(README) if "exercises new" in line]
    assert main(shlex.split(command)[1:]) == 0
    first = Path(next(iter(re.findall(r"Open `(exercises/\w+\.py)`", README))))
    assert first.name == next(iter(files()))
    text = first.read_text(encoding="utf-8")
    assert "y = x W + b" in text
    first.write_text(
        text.replace("raise NotImplementedError", "return x @ W + b"), encoding="utf-8"
    )
    capsys.readouterr()
    from scratchvae.exercises import main as run_by_itself

    assert run_by_itself(str(first)) == 0
    assert capsys.readouterr().out.split() == ["ok", "01_dense.py", "right"]
