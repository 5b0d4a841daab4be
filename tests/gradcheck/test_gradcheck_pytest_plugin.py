"""The pytest plugin, run as a stranger runs it: in a process and a folder of its own."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import scratchvae

PLUGIN = "scratchvae.gradcheck.pytest_plugin"
ROOT = Path(scratchvae.__file__).parents[1]
TESTS = """
import numpy as np

def test_right(assert_gradient):
    assert_gradient(np.exp, np.array([0.3, 0.7, 0.1]), vjp=lambda x, dy: dy * np.exp(x))

def test_wrong(assert_gradient):
    assert_gradient(np.exp, np.array([0.3, 0.7, 0.1]), vjp=lambda x, dy: 2 * dy * np.exp(x))

def test_two_per_cent(assert_gradient):
    x = np.array([0.3, 0.7, 0.1])
    report = assert_gradient(np.exp, x, vjp=lambda x, dy: 1.02 * dy * np.exp(x))
    print(report)
"""


@pytest.fixture
def stranger(tmp_path):
    (tmp_path / "test_layers.py").write_text(TESTS)

    def run(*options):
        environment = os.environ | {
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, *options]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        return done.stdout

    run.folder = tmp_path
    return run


def test_a_wrong_gradient_fails_its_test_with_the_report(stranger):
    out = stranger()
    assert "2 failed, 1 passed" in out
    assert "twice the right gradient" in out


def test_options_set_what_a_test_does_not(stranger):
    out = stranger("--gradient-tolerance", "0.1", "--gradient-method", "central", "-rP")
    assert "1 failed, 2 passed" in out
    assert "the gradient of exp is right: central, every element" in out
    out = stranger("--gradient-directions", "2", "-k", "right or wrong", "-rA")
    assert "complex, 2 directions" in out


def test_reports_are_written_as_json(stranger):
    stranger("--gradient-json", "gradients.json")
    checks = json.loads((stranger.folder / "gradients.json").read_text())["checks"]
    assert [(c["test"], c["outcome"]) for c in checks] == [
        ("test_layers.py::test_right", "right"),
        ("test_layers.py::test_wrong", "wrong"),
        ("test_layers.py::test_two_per_cent", "wrong"),
    ]


def test_reports_come_from_several_processes(stranger):
    pytest.importorskip("xdist")
    stranger("-p", "xdist", "-n", "2", "--gradient-json", "gradients.json")
    checks = json.loads((stranger.folder / "gradients.json").read_text())["checks"]
    assert sorted(c["outcome"] for c in checks) == ["right", "wrong", "wrong"]


def test_pytest_finds_the_plugin_by_its_entry_point():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"scratchvae-gradcheck": PLUGIN}
