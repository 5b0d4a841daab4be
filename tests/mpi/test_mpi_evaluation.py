"""What is divided among ranks beside training has the numbers of one process."""

import json
from pathlib import Path
from typing import Any

import pytest
from jobs import SMALL, run

pytestmark = pytest.mark.mpi


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run in it, of one process."""
    folder = tmp_path_factory.mktemp("trained")
    code, _, err = run(1, "train", *SMALL, "--epochs", "1", "--out", "run", cwd=folder)
    assert code == 0, err
    return folder


def numbers_of(ranks: int, *words: object, cwd: Path) -> Any:
    """What a command prints as JSON, without what no two runs share."""
    code, out, err = run(ranks, *words, "--json", "--quiet", cwd=cwd)
    assert code == 0, err
    return lasting(json.loads(out))


def lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: lasting(v) for k, v in value.items() if k not in ("run", "seconds", "figures")}
    return [lasting(v) for v in value] if isinstance(value, list) else value


COMMANDS = {
    "evaluate": ("evaluate", "run", "--split", "train", "--nll", "20"),
    "complete": ("complete", "run", "--count", "25", "--no-figures", "--steps", "20"),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.long) for n in COMMANDS])
@pytest.mark.parametrize("ranks", [3])
def test_three_ranks_print_the_numbers_of_one(trained, name, ranks):
    words = COMMANDS[name]
    assert numbers_of(ranks, *words, cwd=trained) == numbers_of(1, *words, cwd=trained)


def test_two_ranks_print_the_log_likelihood_of_one(trained):
    words = COMMANDS["evaluate"]
    assert numbers_of(2, *words, cwd=trained) == numbers_of(1, *words, cwd=trained)


@pytest.mark.long
def test_two_ranks_compare_estimators_to_the_numbers_of_one(tmp_path):
    words = ("estimators", "--hidden", "8", "--epochs", "1", "--draws", "20", "--no-figures")
    one = numbers_of(1, *words, "--out", "one", cwd=tmp_path)
    assert numbers_of(2, *words, "--out", "two", cwd=tmp_path) == one


@pytest.mark.long
@pytest.mark.mnist
def test_two_ranks_reproduce_two_seeds_to_the_numbers_of_one(tmp_path, mnist_folder):
    words = ("reproduce", "flux", "--epochs", "1", "--seeds", "2", "--no-figures")
    one = numbers_of(1, *words, "--out", "one", cwd=tmp_path)
    two = numbers_of(2, *words, "--out", "two", cwd=tmp_path)
    for name in ("rows", "test", "verdict"):
        assert two[name] == one[name]
