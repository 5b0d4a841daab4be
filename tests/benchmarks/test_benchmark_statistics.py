"""Medians, spreads, ratios and warnings of the harness; comparing two result files."""

import json
import time

import pytest

from benchmarks import compare, harness


def test_median_and_spread_are_those_worked_out_by_hand():
    summary = harness.summarize([1.0, 2.0, 3.0, 4.0, 100.0])
    assert summary.median == 3.0
    assert summary.spread == pytest.approx((4.0 - 2.0) / 3.0)  # the outlier does not matter


def test_a_ratio_is_taken_round_by_round():
    # A slow second round slows both: the ratio of the medians would be 20/10.
    assert harness.ratio([10.0, 100.0, 20.0], [10.0, 100.0, 5.0]) == 1.0


def test_a_noisy_contender_is_named_and_a_quiet_one_is_not():
    warning = harness.noise_warning({"ours": 0.02, "torch": 0.5})
    assert warning is not None
    assert "torch 50 %" in warning
    assert "ours" not in warning
    assert harness.noise_warning({"ours": 0.02}) is None


def test_a_busy_machine_is_reported():
    assert harness.load_warning({"load_before": 1.9, "cores": 2}) is not None
    assert harness.load_warning({"load_before": 0.1, "cores": 2}) is None
    assert harness.load_warning({"load_before": None, "cores": 2}) is None


def test_turns_alternate():
    seen = []
    turns = {name: lambda name=name: seen.append(name) or 1.0 for name in "ABC"}
    times = harness.rounds(turns, 2, pause=0.0)
    assert "".join(seen) == "ABCABC"
    assert times == {"A": [1.0, 1.0], "B": [1.0, 1.0], "C": [1.0, 1.0]}


def test_there_is_a_pause_before_each_turn():
    started = time.perf_counter()
    harness.rounds({"A": lambda: 1.0}, 3, pause=0.01)
    assert time.perf_counter() - started >= 0.03


class Fake:
    """A process whose steps take a millisecond, in multiples of 7."""

    about = {"granularity": 7}  # noqa: RUF012 - read only

    def __init__(self):
        self.asked = []

    def run(self, n):
        assert n % 7 == 0
        self.asked.append(n)
        return 1e-3


def test_calibration_finds_the_number_of_steps_in_whole_units():
    fake = Fake()
    assert harness.calibrate(fake, 0.3) == pytest.approx(300, abs=4)
    assert sum(fake.asked) < 3 * 300  # without running much longer than a turn


def test_a_contender_sees_the_threads_and_no_other_setting(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.setenv("XLA_FLAGS", "--something")
    env = harness.environment(3)
    assert env["OMP_NUM_THREADS"] == env["OPENBLAS_NUM_THREADS"] == env["NPROC"] == "3"
    assert "OPENBLAS_CORETYPE" not in env
    assert "XLA_FLAGS" not in env
    assert harness.environment(1, "Haswell")["OPENBLAS_CORETYPE"] == "Haswell"
    assert harness.conditions(3)["not_handed_down"]["OPENBLAS_CORETYPE"] == "Prescott"


def test_columns_are_aligned():
    text = harness.table(["name", "ms"], [["a", "1.00"], ["longer", "10.00"]])
    assert text.splitlines() == ["name       ms", "a        1.00", "longer  10.00"]


def write(path, **content):
    path.write_text(json.dumps(content))
    return str(path)


def test_two_results_are_compared_number_by_number(tmp_path, capsys):
    rows = {"gluon": {"median_ms": {"ours": 4.0}, "rounds_ms": {"ours": [4.0]}}}
    a = write(tmp_path / "a.json", script="step", cpu="one", rows=rows)
    rows = {"gluon": {"median_ms": {"ours": 3.0}, "rounds_ms": {"ours": [3.0]}}, "flux": {"x": 1}}
    b = write(tmp_path / "b.json", script="step", cpu="two", rows=rows)
    assert compare.main([a, b]) == 0
    out = capsys.readouterr().out
    assert "different cpu: one and two" in out
    assert "0.750" in out
    assert "only in B: flux" in out
    assert "rounds_ms" not in out


@pytest.mark.parametrize("text", ["not json", "[]", "{}"])
def test_a_file_that_is_no_result_is_refused(tmp_path, capsys, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(SystemExit) as exit:
        compare.main([str(path), str(path)])
    assert exit.value.code == 2
    assert "not a result file" in capsys.readouterr().err
