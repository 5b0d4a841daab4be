"""Every exercise fails empty and passes solved; wrong answers are told what kind of wrong."""

from collections import Counter
from types import ModuleType

import numpy as np
import pytest
from wrong_answers import MISTAKES, OTHERS, Mistake

from scratchvae.exercises.catalogue import EXERCISES, exercise_named, files
from scratchvae.exercises.grade import grade_module
from scratchvae.exercises.graders import PARTS
from scratchvae.exercises.report import Outcome, Status

FILES = files()
NUMBERS = {exercise.name: i for i, exercise in enumerate(EXERCISES, start=1)}


def graded(exercise, text: str, **more: object) -> Outcome:
    """The outcome of a file's text; ``more`` is what its functions find under these names."""
    module = ModuleType("student")
    module.__file__ = "student.py"
    exec(compile(text, "student.py", "exec"), vars(module))
    vars(module).update(more)
    return grade_module(module, exercise, "student.py")


def changed(mistake: Mistake) -> str:
    _, exercise = exercise_named(mistake.exercise)
    text = exercise.file(NUMBERS[exercise.name], solved=True)
    assert mistake.right in text, mistake
    return text.replace(mistake.right, mistake.wrong, 1)


def test_there_are_at_least_fourteen_each_with_graders_and_five_mistakes() -> None:
    assert len(EXERCISES) >= 14
    assert set(PARTS) == {exercise.name for exercise in EXERCISES}
    counts = Counter(mistake.exercise for mistake in MISTAKES)
    assert sum(counts.values()) >= 60
    assert all(counts[exercise.name] >= 5 for exercise in EXERCISES)


@pytest.mark.parametrize("file", FILES)
def test_an_exercise_fails_empty_and_passes_with_the_bodies_put_back(file: str) -> None:
    exercise = FILES[file]
    empty = graded(exercise, exercise.file(NUMBERS[exercise.name]))
    assert empty.status is Status.EMPTY
    assert empty.score == 0
    assert empty.verdict == f"not written yet: {', '.join(PARTS[exercise.name])}"
    solved = graded(exercise, exercise.file(NUMBERS[exercise.name], solved=True))
    assert solved.verdict == "right"
    assert (solved.status, solved.score) == (Status.RIGHT, 1)


@pytest.mark.parametrize("file", FILES)
def test_a_file_says_what_why_and_which_equation_and_holds_nothing_of_the_solution(
    file: str,
) -> None:
    exercise = FILES[file]
    text = exercise.file(NUMBERS[exercise.name])
    assert all(f"{label}" in text for label in exercise.labels)
    assert f"exercises hint {exercise.name}" in text
    assert exercise.hint not in text
    assert max(map(len, text.splitlines())) <= 110
    taken = set(exercise.solution().splitlines()) - set(text.splitlines())
    assert len(taken) >= 1
    assert all(line.strip() for line in taken)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: f"{m.exercise}: {m.wrong[:40]}")
def test_a_wrong_answer_gets_a_verdict_that_names_its_kind(mistake: Mistake) -> None:
    _, exercise = exercise_named(mistake.exercise)
    outcome = graded(exercise, changed(mistake))
    assert outcome.status is Status.WRONG
    assert mistake.words in outcome.verdict
    assert "docs/derivations.md" in outcome.verdict
    assert outcome.score < 1
    solution = exercise.solution().splitlines()
    assert not any(line.strip() in outcome.verdict for line in solution if len(line.strip()) > 8)


@pytest.mark.parametrize("other", OTHERS, ids=lambda m: f"{m.exercise}: {m.wrong[:40]}")
def test_another_correct_formula_passes(other: Mistake) -> None:
    _, exercise = exercise_named(other.exercise)
    assert graded(exercise, changed(other)).verdict == "right"


def test_a_log_mean_exp_that_keeps_all_samples_passes_as_well() -> None:
    """Another idea, not only another formula: nothing is asked of how it is done."""
    _, exercise = exercise_named("log_mean_exp")
    own = """
from scipy.special import logsumexp
import numpy as np
class LogMeanExp:
    def __init__(self, n):
        self.samples = np.empty((n, 0))
    def add(self, a):
        self.samples = np.hstack([self.samples, a])
    def value(self):
        return logsumexp(self.samples, axis=1) - np.log(self.samples.shape[1])
"""
    assert graded(exercise, own).verdict == "right"


def test_a_training_loop_that_uses_nothing_it_was_given_is_judged_by_its_losses() -> None:
    _, exercise = exercise_named("training")
    text = exercise.file(9, solved=True)
    own = text.replace("import VAE, Array, adam, loss_and_gradient", "import VAE, Array")
    own = own.replace("def train(", "from scratchvae import reference\n\n\ndef train(")
    own = own.replace("= loss_and_gradient(", "= reference.loss_and_gradient(")
    own = own.replace(" adam(*", " reference.adam(*")
    assert graded(exercise, own).verdict == "right"
    wrong = graded(exercise, own.replace("*arrays, t)", "*arrays, t, lr=1e-6)"))
    assert "a loop that learns gets further" in wrong.verdict


def test_a_part_that_is_right_counts_though_the_other_is_not_written() -> None:
    _, exercise = exercise_named("kl")
    text = exercise.file(6, solved=True).replace(
        "dmu, dlogvar = dmu", "raise NotImplementedError #"
    )
    outcome = graded(exercise, text)
    assert outcome.score == 0.5
    assert outcome.verdict == "not written yet: kl_grad"


def test_a_function_by_another_name_is_missed_by_name() -> None:
    _, exercise = exercise_named("dense")
    outcome = graded(exercise, exercise.file(1, solved=True).replace("def dense", "def layer"))
    assert "there is no dense in the file" in outcome.verdict


ODD = {
    "nothing": None,
    "a number": 1.0,
    "not a number": float("nan"),
    "text": "x",
    "no elements": [],
    "a ragged list": [[1.0], [1.0, 2.0]],
    "a dictionary": {"a": 1},
    "an object": object(),
    "a pair of texts": ("x", "y"),
    "a pair of numbers": (1.0, 2.0),
    "booleans": np.ones((5, 3), bool),
    "complex numbers": np.ones((5, 3), complex),
    "another shape": np.ones((3, 5)),
    "a generator": (i for i in range(9)),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("file", FILES)
def test_whatever_a_function_returns_there_is_a_verdict(file: str, odd: str) -> None:
    exercise = FILES[file]
    text = exercise.file(NUMBERS[exercise.name]).replace("raise NotImplementedError", "return ODD")
    outcome = graded(exercise, text, ODD=ODD[odd])
    assert outcome.status is Status.WRONG
    assert None not in outcome.parts.values()
    assert outcome.score == 0
