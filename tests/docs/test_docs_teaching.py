"""docs/teaching.md: its commands run in its order, and leave the numbers that it says."""

import contextlib
import io
import json
import re
import shlex
from pathlib import Path

import pytest

from scratchvae.cli.main import main
from scratchvae.exercises.catalogue import EXERCISES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/teaching.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]
ROW = r"^\| `(runs/[\w-]+)` \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| (\d+) of (\d+) \|$"
TOLERANCE = 0.3  # nats, as the page says


def run(line: str) -> int:
    """The exit code of a command; 1 for an exercise that is not solved yet."""
    program, *argv = shlex.split(line)
    assert program == "scratchvae"
    return main(argv)


@pytest.fixture(scope="module")
def lessons(tmp_path_factory):
    """A folder in which every command of the page has run; what each printed."""
    folder, printed = tmp_path_factory.mktemp("lessons"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in COMMANDS:
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                assert run(line) == ("check" in line), line
            printed[line] = said.getvalue()
    return folder, printed


def test_every_command_leaves_what_the_page_opens(lessons):
    folder, _ = lessons
    opened = re.findall(r"Open `(.*?)`", PAGE)
    assert opened == ["runs/first/report.html", "three.html"]
    for name in (*opened, "step.html", "explorer.html", "exercises/01_dense.py", "bugs/bug_20.py"):
        assert (folder / name).is_file(), name
    report = (folder / opened[0]).read_text(encoding="utf-8")
    for section in ("Reconstruction", "Generation", "The latent plane"):
        assert f"<h2>{section}</h2>" in report
    assert 'id="film"' in report


def test_the_numbers_are_those_of_the_page(lessons):
    folder, printed = lessons
    rows = re.findall(ROW, PAGE, re.MULTILINE)
    assert len(rows) == 3
    for run_folder, elbo, reconstruction, kl, active, units in rows:
        lines = (folder / run_folder / "metrics.jsonl").read_text().splitlines()
        last = json.loads(lines[-1])
        found = (last["test_reconstruction"] + last["test_kl"], last["test_reconstruction"],
                 last["test_kl"])  # fmt: skip
        expected = [float(number) for number in (elbo, reconstruction, kl)]
        assert found == pytest.approx(expected, abs=TOLERANCE)
        assert f"{active} of {units}" in printed[next(c for c in COMMANDS if "compare" in c)]
    (nll,) = [said for line, said in printed.items() if "--nll" in line]
    values = [float(re.search(rf"^{what} +(\S+) ±", nll, re.M)[1]) for what in ("ELBO", "log p.x.")]
    assert values == pytest.approx([-25.4, -25.4], abs=TOLERANCE)


def test_what_the_page_quotes_is_what_is_said(lessons):
    _, printed = lessons
    (diagnosis,) = [said for line, said in printed.items() if "--diagnose" in line]
    assert "The posterior has collapsed" in PAGE
    assert re.search(r"The posterior has collapsed: .* since epoch \d+", diagnosis)
    (check,) = [said for line, said in printed.items() if "check" in line]
    assert "not written yet: dense" in check


def test_the_exercises_of_the_lessons_are_those_that_there_are():
    named = re.findall(r"\*\*Exercises\*\* (.*?)(?:[.;]|\n\n)", PAGE, re.DOTALL)
    assert len(named) == 3
    numbers = [(1, 2, 3, 4, 5, 6), (7, 8, 9, 15), (11, 12, 13, 14)]
    for words, of in zip(named, numbers, strict=True):
        assert re.findall(r"`(\w+)`", words) == [EXERCISES[number - 1].name for number in of]


def test_every_link_of_the_page_leads_to_a_heading():
    for file, anchor in re.findall(r"\]\(([\w.]+)(?:#([\w-]+))?\)", PAGE.replace("\n", " ")):
        text = (ROOT / "docs" / file).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
        assert not anchor or anchor in anchors, (file, anchor)
