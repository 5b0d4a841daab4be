"""The figures of docs/reliability.md are those of the committed results."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.reliability.downloads import scenarios
from benchmarks.reliability.fuzz import WRONG
from benchmarks.reliability.mirror import FAULTS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def result(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def test_the_fuzzed_files() -> None:
    found = result("fuzz")
    drawn, verdicts, mebi = found["drawn_by"], found["verdicts"], 2**20
    rows = (
        f"| files read rightly or refused | {found['files'] - found['wrong']:,} of "
        f"{found['files']:,}, {drawn['Hypothesis']:,} of them drawn by Hypothesis | "
        f"`{found['command'].partition(' --json')[0]}` |",
        f"| of these refused, accepted | {verdicts['refused']:,}, {verdicts['accepted']:,} |",
        f"| valid files refused | {verdicts['valid but refused']} of "
        f"{found['damages']['none']['accepted']:,} |",
        f"| memory of a reader, cap lowered to {found['cap_bytes'] / mebi:.0f} MiB | at most "
        f"{found['peak_bytes'] / mebi:.1f} MiB |",
    )
    for row in rows:
        assert row in DOCUMENT
    assert found["files"] == 10_000
    assert found["wrong"] == sum(verdicts[verdict] for verdict in WRONG) == 0


def test_the_downloads() -> None:
    rows = result("downloads")["rows"]
    assert set(rows) == {scenario.name for scenario in scenarios(1)}
    recovered = sum(rows[f"{fault}, then a good mirror"]["ended_well"] for fault in FAULTS)
    assert f"| faults of a mirror, the next one helps | {recovered} of {len(FAULTS)} |" in DOCUMENT
    for name, row in list(rows.items())[len(FAULTS) :]:
        assert f"| {name} | {row['ended_well']} of {row['played']} |" in DOCUMENT
        assert row["ended_well"] == row["played"]


@pytest.mark.parametrize("name", ["fuzz", "downloads"])
def test_a_result_says_how_it_was_obtained(name: str) -> None:
    assert {"date", "command", "cpu", "versions", "platform"} <= set(result(name))
