"""The comparison of gradient checkers: its corpus is what it says, and ours finds all of it."""

import re

import pytest

from benchmarks.gradients.bugs import BUGS
from benchmarks.gradients.contenders import contenders, judge
from benchmarks.gradients.random_functions import cases
from benchmarks.gradients.right import RIGHT

SMALL = [case for case in RIGHT if case.source != "10⁶ elements"]


def test_there_are_as_many_bugs_and_right_functions_as_promised():
    assert len(BUGS) >= 25
    assert len(RIGHT) >= 50
    assert len({case.name for case in [*BUGS, *RIGHT]}) == len(BUGS) + len(RIGHT)


@pytest.mark.parametrize("case", BUGS, ids=lambda case: case.name)
def test_every_bug_has_an_address_and_is_found(case):
    assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+", case.source)
    assert judge(contenders()["scratchvae"], case) == "wrong"


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_no_right_gradient_is_blamed(case):
    assert judge(contenders()["scratchvae"], case) == "right"


def test_random_functions_have_the_gradient_that_autograd_has_and_one_element_is_changed():
    pytest.importorskip("torch")
    ours = contenders()["scratchvae"]
    drawn = list(cases(25, seed=2))
    assert [judge(ours, case) for case, _ in drawn] == ["right"] * 25
    changed = [case for _, case in drawn if case is not None]
    assert len(changed) > 20
    assert {judge(ours, case) for case in changed} == {"wrong"}
