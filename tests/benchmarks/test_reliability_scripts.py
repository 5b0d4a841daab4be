"""A sample of what the reliability scripts count in full, and the results they have left."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
SCRIPTS = ("kills", "resumes", "damage", "memory")


def run(script: str, *arguments: str, out: Path) -> dict:
    pytest.importorskip("fcntl")  # what forks has it
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.reliability.{script}", *arguments, "--json", str(out)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text())


def test_twenty_processes_killed_while_they_save(tmp_path: Path) -> None:
    rows = run("kills", "--kills", "20", "--seed", "7", out=tmp_path / "out.json")["rows"]
    assert rows["kills"] == rows["loadable"] == rows["the one before loadable"] == 20
    assert rows["acknowledged saves lost"] == rows["temporary files after a restart"] == 0


def test_five_runs_killed_and_resumed(tmp_path: Path) -> None:
    content = run("resumes", "--runs", "5", "--seed", "7", out=tmp_path / "out.json")
    assert content["rows"]["identical"] == content["rows"]["runs"] == 5
    assert {"command", "date", "versions", "cpu", "cores", "seed"} <= set(content)


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_memory_stays_as_it_is_over_20_000_steps(tmp_path: Path) -> None:
    rows = run("memory", out=tmp_path / "out.json")["rows"]
    assert rows["steps"] >= 20_000
    assert rows["growth_mib"] <= 2


def test_the_results_on_file_are_full_counts_without_a_loss() -> None:
    rows = {name: json.loads((RESULTS / f"{name}.json").read_text())["rows"] for name in SCRIPTS}
    kills, resumes = rows["kills"], rows["resumes"]
    assert kills["kills"] == kills["loadable"] == kills["the one before loadable"] >= 1000
    assert kills["acknowledged saves lost"] == kills["temporary files after a restart"] == 0
    assert kills["acknowledged saves"] > kills["kills that left temporary files"] > 100
    assert resumes["identical"] == resumes["runs"] >= 100
    for counts in resumes["settings"].values():
        assert sum(counts.values()) == resumes["runs"]
    for kind in rows["damage"].values():
        assert kind["detected"] + kind["the same in effect"] == kind["made"] >= 1000
        assert kind["unseen"] == kind["other errors"] == 0
    assert rows["memory"]["steps"] >= 20_000
    assert rows["memory"]["growth_mib"] <= 2


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_how_long_it_takes_and_a_result_how_it_was_obtained(name: str) -> None:
    text = (ROOT / "benchmarks" / "reliability" / f"{name}.py").read_text()
    assert "Takes " in text.split('"""')[1].splitlines()[0]
    content = json.loads((RESULTS / f"{name}.json").read_text())
    assert content["command"].startswith(f"python -m benchmarks.reliability.{name}")
    assert {"date", "versions", "cpu"} <= set(content)
    assert f"benchmarks.reliability.{name}`" in (ROOT / "benchmarks/README.md").read_text()


def test_the_table_of_the_document_is_current() -> None:
    done = subprocess.run([sys.executable, "docs/make_reliability.py", "--check"], cwd=ROOT)
    assert done.returncode == 0, "run python docs/make_reliability.py"
