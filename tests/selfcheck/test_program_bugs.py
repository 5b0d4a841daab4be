"""Bugs planted in the code around the gradients: a sample of them, each found by a test."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from scratchvae.errors import ConfigError
from scratchvae.evaluation import nll
from scratchvae.layers.correlation import Correlation
from scratchvae.selfcheck.mutation.__main__ import main
from scratchvae.selfcheck.mutation.areas import AREAS, functions_of, program_mutants
from scratchvae.selfcheck.mutation.equivalent import IN_PROGRAMS, key_of, reason_for
from scratchvae.selfcheck.mutation.mutants import mutants_of, swapped_code
from scratchvae.selfcheck.mutation.programs import ProgramTable, area_named, run_programs
from scratchvae.selfcheck.mutation.trial import Trial

pytest.importorskip("numba")  # whose loops are an area
SAMPLE = 1  # of each area
TESTS = Path(__file__).parents[1]


def test_a_sample_of_every_area_is_found(tmp_path):
    command = [sys.executable, "-m", "scratchvae.selfcheck.mutation", "--sample", str(SAMPLE)]
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "bugs.json")],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "bugs.json").read_bytes())["rows"]
    assert list(rows) == [area.name for area in AREAS]
    assert {row["bugs"] for row in rows.values()} == {SAMPLE}
    assert all(row["not_found"] == [] for row in rows.values())
    assert sum(row["found"] for row in rows.values()) >= 0.8 * SAMPLE * len(AREAS)
    for area in AREAS:
        assert area.name in done.stdout


def table_of(*areas, found_by="a test", sample=None):
    """As if the first bug of each area had been tried."""
    trials = [Trial(program_mutants(area_named(a))[0], found_by, 0.5) for a in areas]
    return ProgramTable(tuple(trials), 1.0, areas, sample)


def test_areas_that_are_run_one_by_one_come_together_in_one_file():
    first = table_of("schedules").to_json()
    both = table_of("noise", found_by=None).to_json(first)
    assert list(both["rows"]) == ["noise", "schedules"]
    assert both["rows"]["schedules"] == first["rows"]["schedules"] == {
        "bugs": 1, "found": 1, "seconds": 0.5, "explained": {}, "not_found": []
    }  # fmt: skip
    assert len(both["rows"]["noise"]["not_found"]) == 1
    again = table_of("noise").to_json(both)
    assert again["rows"]["noise"]["not_found"] == []


def test_a_bug_that_is_judged_again_moves_from_those_that_were_not_found():
    names = [mutant.name for mutant in program_mutants(area_named("noise"))[:3]]
    before = table_of("noise", found_by=None).to_json()
    row = before["rows"]["noise"] | {"bugs": 9, "found": 6, "explained": {names[1]: "why"}}
    before["rows"]["noise"] = row | {"not_found": [names[0], names[2]]}
    again = replace(table_of("noise"), again=True).to_json(before)["rows"]["noise"]
    assert again == {
        "bugs": 9, "found": 8, "seconds": 1.0, "explained": {names[1]: "why"}, "not_found": []
    }  # fmt: skip


def test_only_what_was_not_found_before_can_be_judged_again(tmp_path, capsys):
    path = tmp_path / "bugs.json"
    assert main(["noise", "--again", "--json", str(path)]) == 2
    assert "--again needs the --json FILE that an earlier run" in capsys.readouterr().err
    path.write_text(json.dumps(table_of("noise").to_json()))
    assert main(["noise", "--again", "--json", str(path)]) == 2
    assert "there is no bug to plant" in capsys.readouterr().err
    content = table_of("noise").to_json()
    content["rows"]["noise"]["not_found"] = ["backend.noise.gone: a sign: x -> -x"]
    path.write_text(json.dumps(content))
    assert main(["noise", "--again", "--json", str(path)]) == 2
    assert "1 of these bugs are not planted any more" in capsys.readouterr().err


def test_numbers_of_another_version_or_sample_do_not_stay():
    before = table_of("schedules").to_json()
    for foreign in (before | {"versions": {"python": "2.7"}}, before | {"sample": 3}):
        assert list(table_of("noise").to_json(foreign)["rows"]) == ["noise"]


@pytest.mark.parametrize("content", ["no JSON", "[]", '{"rows": []}'])
def test_another_file_is_not_written_over(content, tmp_path, capsys):
    path = tmp_path / "mine.json"
    path.write_text(content)
    assert main(["noise", "--sample", "1", "--json", str(path)]) == 2
    assert "name another file" in capsys.readouterr().err
    assert path.read_text() == content


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.name)
def test_every_module_and_every_test_of_an_area_is_there(area):
    for module in area.modules:
        assert list(functions_of(import_module(f"scratchvae.{module}")))
    for place in area.tests:
        assert (TESTS / place).exists()


def test_no_module_of_the_evaluation_is_left_out():
    modules = [module for area in AREAS for module in area.modules]
    files = (TESTS.parent / "scratchvae" / "evaluation").glob("[!_]*.py")
    assert {f"evaluation.{file.stem}" for file in files} <= set(modules)
    assert len(set(modules)) == len(modules)


def test_the_list_of_bugs_is_always_the_same_and_every_name_is_its_own():
    names = [m.name for area in AREAS for m in program_mutants(area)]
    assert names == [m.name for area in AREAS for m in program_mutants(area)]
    assert len(set(names)) == len(names) >= 4000


def planted_in(function, operator):
    return [what for what, kind, _ in mutants_of(function, "f", program=True) if kind == operator]


def test_bugs_that_once_went_unnoticed_are_among_them():
    rounds = planted_in(Correlation._kernel_grad_by_products, "one round only")
    assert any("work.blocks(big)" in what for what in rounds)
    dropped = planted_in(Correlation.adjoint, "a dropped statement")
    assert any("out[every] = 0" in what for what in dropped)
    ignored = planted_in(nll._sampled_part, "an argument ignored")
    assert any("importance_sampled(" in what for what in ignored)


def power(x, n):
    """A function that calls itself."""
    return 1 if n == 0 else x * power(x, n - 1)


def test_a_bug_in_a_function_that_calls_itself_is_in_every_call():
    sums = "arithmetic: x * power(x, n - 1) -> x + power(x, n - 1)"
    (code,) = [code for what, _, code in mutants_of(power, "f", program=True) if sums in what]
    with swapped_code(power, code):
        assert power(3, 2) == 3 + (3 + 1)
    assert power(3, 2) == 9


def unformatted(x, y):
    """A function written with other line breaks, brackets, quotes and comments."""
    z = (
        x  # the first
        + (y * 2.0)
    )
    if z > 1.0:
        z *= {"a": 3.0}['a']  # fmt: skip
    return z


def test_the_format_of_a_file_does_not_change_the_names():
    def same(x, y):
        z = x + y * 2.0
        if z > 1.0:
            z *= {"a": 3.0}["a"]
        return z

    names = [name for name, _, _ in mutants_of(unformatted, "f", program=True)]
    assert names == [name for name, _, _ in mutants_of(same, "f", program=True)]


def test_few_bugs_are_explained_and_the_longest_key_explains_them():
    names = [m.name for area in AREAS for m in program_mutants(area)]
    explained = [name for name in names if reason_for(name)]
    assert 0 < len(explained) <= 0.03 * len(names)
    assert all(name.startswith(key_of(name)) for name in explained)
    assert all(reason and "\n" not in reason for reason in IN_PROGRAMS.values())


def test_an_unknown_area_is_a_sentence():
    with pytest.raises(ConfigError, match="no area is called 'moon'; there are noise,"):
        area_named("moon")
    with pytest.raises(ConfigError, match="no area is called"):
        run_programs(["moon"])
