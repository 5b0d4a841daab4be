"""Find the bug: each is planted once, its loss does what its text says, and answers are graded."""

import csv
import json

import pytest

from benchmarks.bug_losses import EPOCHS, IMAGES, measure
from scratchvae.exercises.bugs import (
    BUGS,
    bug_file,
    bug_solution,
    check_answers,
    correct_code,
    file_of,
    line_of,
    losses,
    trend_in_words,
)

NUMBERS = range(1, len(BUGS) + 1)


@pytest.fixture
def bugs(exercises, tmp_path):
    folder = tmp_path / "bugs"
    code, _, err = exercises("bugs", folder)
    assert code == 0
    assert f"{len(BUGS)} modules with one bug each" in err
    return folder


def answer(folder, answers: dict[int, tuple[object, object]]) -> None:
    with open(folder / "answers.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "line", "equation"])
        table.writerows([file_of(i), *given] for i, given in answers.items())


def test_there_are_twenty_each_another_one_and_reported_in_public() -> None:
    assert len(BUGS) >= 20
    assert len({bug.source for bug in BUGS}) == len({bug.wrong for bug in BUGS}) == len(BUGS)
    for bug in BUGS:
        owner, repository, kind, number = bug.source.split("/")
        assert owner
        assert repository
        assert kind in ("issues", "pull")
        assert number.isdigit()
        assert bug.address == f"https://github.com/{bug.source}"


@pytest.mark.parametrize("number", NUMBERS)
def test_a_file_differs_in_one_line_from_the_right_code_and_does_not_say_in_which(number) -> None:
    bug, text = BUGS[number - 1], bug_file(number)
    right = correct_code().splitlines()
    lines = text.splitlines()[-len(right) :]
    (changed,) = [i for i, (a, b) in enumerate(zip(lines, right, strict=True)) if a != b]
    assert line_of(number) == len(text.splitlines()) - len(right) + changed + 1
    assert bug.address not in text
    assert "# E" not in text


@pytest.mark.parametrize("number", NUMBERS)
def test_the_text_says_what_the_loss_was_measured_to_do(number) -> None:
    known = losses()["bugs"][number - 1]
    found = measure(BUGS[number - 1].text(correct_code()))
    falls_rises_or_stays = [trend_in_words(*each).split()[2] for each in (known, found)]
    assert falls_rises_or_stays[0] == falls_rises_or_stays[1]
    if known[1] is not None and known[1] < 1000:  # what explodes has no digits that repeat
        assert found == pytest.approx(known, rel=0.02)
    assert trend_in_words(*known) in bug_file(number)


def test_in_most_of_them_the_loss_still_falls_and_the_right_code_was_measured_alike() -> None:
    said = [trend_in_words(*each).split()[2] for each in losses()["bugs"]]
    assert said.count("falls") >= 15
    assert measure(correct_code()) == pytest.approx(losses()["right"], rel=0.02)
    assert (losses()["images"], losses()["epochs"]) == (IMAGES, EPOCHS)


def test_right_answers_are_right_whatever_equation_counts(bugs) -> None:
    answer(bugs, {i: (line_of(i), BUGS[i - 1].labels[-1].lower()) for i in NUMBERS})
    report = check_answers(bugs)
    assert (report.exit_code, report.progress) == (0, f"{len(BUGS)} of {len(BUGS)}")


def test_wrong_answers_are_told_which_half_is_wrong_and_nothing_more(exercises, bugs) -> None:
    answer(bugs, {1: (line_of(1), "E5"), 2: (1, "E5"), 3: ("", "E16"), 4: (2, "E1")})
    code, out, _ = exercises("check", bugs)
    lines = out.splitlines()
    assert code == 1
    assert lines[0] == f"FAIL  {'bug_01.py':<28}it is not E5"
    assert lines[1] == f"FAIL  {'bug_02.py':<28}line 1 is right as it is"
    assert lines[2] == f"..    {'bug_03.py':<28}not written yet: line"
    assert lines[3] == f"FAIL  {'bug_04.py':<28}line 2 is right as it is; it is not E1"
    assert lines[4] == f"..    {'bug_05.py':<28}not written yet: line, equation"
    assert lines[-1] == f"0 of {len(BUGS)}"
    report = json.loads(exercises("check", bugs, "bug_01", "--json")[1])
    assert [test["score"] for test in report["tests"]] == [0.5]


def test_a_solution_names_the_line_and_the_report(exercises) -> None:
    code, out, _ = exercises("solution", "bug_01", "--yes")
    assert (code, out) == (0, bug_solution(1))
    assert f"bug_01.py, line {line_of(1)} (E12)" in out
    assert "reported: https://github.com/rachtsingh/ibp_vae/issues/3" in out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "must have the columns file, line and equation"),
        (b"a,b\n1,2\n", "must have the columns file, line and equation"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_table_of_answers_that_is_none_is_one_sentence(exercises, bugs, content, words) -> None:
    (bugs / "answers.csv").write_bytes(content)
    code, out, err = exercises("check", bugs)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_bugs_are_not_written_over(exercises, bugs) -> None:
    before = (bugs / "answers.csv").read_bytes()
    code, _, err = exercises("bugs", bugs)
    assert code == 2
    assert "exists already, and nothing is written over" in err
    assert (bugs / "answers.csv").read_bytes() == before
