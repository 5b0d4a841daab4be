"""Planted bugs: more than a thousand, all found, and nothing left behind."""

import json

import pytest

from scratchvae.layers import Tanh
from scratchvae.selfcheck.mutation import run_planted
from scratchvae.selfcheck.mutation.equivalent import IN_GRADIENTS
from scratchvae.selfcheck.mutation.flow_bugs import FLOW_BUGS
from scratchvae.selfcheck.mutation.gradients import TargetSuite
from scratchvae.selfcheck.mutation.historical import HISTORICAL
from scratchvae.selfcheck.mutation.invisible import INVISIBLE
from scratchvae.selfcheck.mutation.mutants import all_mutants
from scratchvae.selfcheck.mutation.targets import TARGETS


@pytest.fixture(scope="module")
def table():
    return run_planted()


def test_every_planted_bug_is_found(table):
    assert table.survivors == (), table.table()
    assert table.mistaken == (), table.table()
    assert not table.failed


def test_there_are_a_thousand_and_few_are_equivalent(table):
    assert len(table.bugs) >= 1000
    assert len(table.equivalent) <= 0.03 * len(table.verdicts)
    assert {v.name for v in table.equivalent} == set(IN_GRADIENTS)


def test_every_group_is_there_and_found_completely(table):
    rows = {row["group"]: row for row in table.rows()}
    assert set(rows) >= {
        "layers", "latent", "likelihoods", "estimators", "model", "optimizers",
        "historical", "oracles only", "all",
    }  # fmt: skip
    for row in rows.values():
        assert row["scratchvae"] == row["bugs"] > 0


def test_others_find_fewer(table):
    total = table.rows()[-1]
    for judge in ("PyTorch", "JAX", "Chainer"):
        found, asked = total[judge]
        assert 0.7 * asked < found < asked
    found, asked = total["the loss falls, without crashes"]
    assert 0.1 * asked < found < 0.6 * asked


def test_what_no_gradient_check_can_see_is_found_by_oracles_alone(table):
    invisible = [v for v in table.verdicts if v.group == "oracles only"]
    assert len(invisible) == len((*INVISIBLE, *FLOW_BUGS)) >= 10
    assert {v.found_by for v in invisible} == {"oracle"}


def test_the_named_bugs_are_all_there(table):
    named = [v.name for v in table.verdicts if v.group == "historical"]
    assert named == [bug.name for bug in HISTORICAL]
    for words in (
        "second noise draw", "pre-activation", "½ missing in the KL", "½ missing in dlogvar",
        "averaged over latents", "averaged over pixels", "softplus", "gradient of the mean",
        "stale activation", "β dropped", "wrong axis",
    ):  # fmt: skip
        assert any(words in name for name in named)


def test_the_table_and_the_json_say_the_same(table):
    data = json.loads(table.to_json())
    assert data["failed"] is table.failed
    assert len(data["verdicts"]) == len(table.verdicts)
    text = table.table()
    for reason in IN_GRADIENTS.values():
        assert reason in text
        assert "\n" not in reason


def test_the_list_of_mutants_is_always_the_same():
    first, second = all_mutants(), all_mutants()
    assert [m.name for m in first] == [m.name for m in second]
    assert [m.code for m in first] == [m.code for m in second]
    names = [m.name for m in first]
    assert len(set(names)) == len(names)


def test_nothing_is_left_behind():
    target = next(t for t in TARGETS if t.function is Tanh.grad_input)
    code = Tanh.grad_input.__code__
    judge, mutant = TargetSuite(target), all_mutants((target,))[0]
    assert judge.healthy()
    with mutant.planted():
        assert Tanh.grad_input.__code__ is mutant.code
        assert judge.failure() == "gradient"
        assert not judge.healthy()
    assert Tanh.grad_input.__code__ is code
    assert judge.healthy()
    for bug in (*HISTORICAL, *INVISIBLE, *FLOW_BUGS):
        with bug.planted():
            pass
    assert judge.healthy()
