"""benchmarks.gpu_step without a GPU: what it says, what it parses, and its measurement's course."""

import json

import numpy as np
import pytest

from benchmarks import gpu_step
from benchmarks.check import DisagreementError
from benchmarks.gpu_step import (
    Measurement,
    arguments,
    headers,
    images_for,
    main,
    notes,
    report,
    row,
)
from benchmarks.harness import ContenderError
from benchmarks.models import MODELS
from scratchvae.backend import why_no_gpu


@pytest.mark.skipif(why_no_gpu() is None, reason="there is a GPU here")
def test_without_a_gpu_it_says_why_in_one_sentence(capsys):
    assert main(["--quick"]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err == f"gpu_step: no GPU can be used: {why_no_gpu()}\n"


def test_the_arguments_have_defaults_and_are_checked(capsys):
    args = arguments([])
    assert args.peers == ("torch", "compile", "graph", "jax")
    assert args.precisions == ("float32", "tf32")
    assert (args.models, args.rounds) == (tuple(MODELS), 15)
    quick = arguments(["--quick", "--peers", "jax", "--precisions", "tf32"])
    assert (quick.models, quick.rounds, quick.peers) == (("gluon", "iwae"), 5, ("jax",))
    for wrong in (["--peers", "tinygrad"], ["--precisions", "bf16"], ["--rounds", "0"]):
        with pytest.raises(SystemExit) as stop:
            arguments(wrong)
        assert stop.value.code == 2
    assert "'bf16' is not one of float32, tf32" in capsys.readouterr().err


TIMES = {
    "captured": [2e-5, 2.2e-5, 2e-5],
    "eager": [9e-5, 9e-5, 9e-5],
    "torch 0": [8e-4, 8e-4, 8e-4],
    "jax 0": [1e-4, 1e-4, 1e-4],
    "jax 1": [4e-5, 4e-5, 4e-5],
    "jax 2": [5e-5, 5e-5, 9e-5],
}


@pytest.fixture
def result(tmp_path):
    measured = Measurement(MODELS["iwae"], "tf32", ("torch", "graph", "jax"), tmp_path, 1)
    measured.absent = {"graph": "torch is not installed", "jax": "failed"}  # one of its variants
    about = {name: {"variant": f"how {name} runs"} for name in TIMES}
    return measured.result(TIMES, about)


def test_of_a_peers_variants_the_fastest_counts(result):
    assert result["chosen"] == {
        "captured": "captured", "eager": "eager", "torch": "torch 0", "jax": "jax 1",
    }  # fmt: skip
    assert result["median_us"]["jax"] == pytest.approx(40.0)
    assert result["ratio_ours_to"]["jax"] == pytest.approx(0.5)
    assert result["ratio_ours_to"]["captured"] == 1.0
    assert result["absent"] == {"graph": "torch is not installed"}
    assert set(result["rounds_us"]) == set(TIMES)


def test_the_table_says_why_a_column_is_empty(result):
    peers = ("torch", "graph", "jax")
    line = row("iwae", result, peers)
    assert len(line) == len(headers(peers))
    assert line[:4] == ["iwae 784-200-200-50 tanh", "20", "tf32", "20.0"]
    assert line[4:6] == ["20.0", "90.0"]  # with each number of steps a launch; eager
    assert line[6:] == ["800.0", "0.03", "not installed", "–", "40.0", "0.50"]
    failed = row("iwae", result | {"absent": {"graph": "failed"}}, peers)
    assert failed[8:10] == ["failed", "–"]
    assert "jax: how jax 1 runs" in notes("iwae", result)[0]


def test_the_report_is_a_table_and_a_json(result, tmp_path, capsys, monkeypatch):
    device = type("Fake", (), {"describe": lambda self: {"name": "a GPU", "memory": "1 GiB"}})
    monkeypatch.setattr(gpu_step, "get_backend", lambda name: device())
    args = arguments(["--json", str(tmp_path / "out" / "gpu.json"), "--peers", "torch,graph,jax"])
    report(args, [{"name": "iwae"} | result], "the digits")
    printed = capsys.readouterr().out
    assert "captured µs" in printed
    assert "a GPU, 15 rounds: the digits" in printed
    content = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert content["script"] == "gpu_step"
    assert content["device"] == {"name": "a GPU", "memory": "1 GiB"}
    assert content["rows"][0]["median_us"]["captured"] == pytest.approx(20.0)
    assert {"date", "command", "cpu", "versions", "threads"} <= set(content)


def test_each_number_of_steps_a_launch_is_a_contender_of_its_own(tmp_path):
    peers = ("torch", "graph", "jax")
    measured = Measurement(MODELS["iwae"], "float32", peers, tmp_path, 1, (1, 50, 200))
    options = {key: how[0] for key, _, how in measured.contenders()}
    assert list(options) == [
        "captured 0", "captured 1", "captured 2", "eager", "torch", "graph 0", "graph 1", "graph 2",
        "jax 0", "jax 1", "jax 2", "jax 3", "jax 4",
    ]  # fmt: skip
    assert options["captured 2"] == options["graph 2"] == options["jax 4"] == {"launch": 200}
    assert options["jax 3"] == {"launch": 200, "unroll": 10}
    convolutions = Measurement(MODELS["keras-conv"], "float32", peers, tmp_path, 1, (1, 50))
    assert [key for key, _, _ in convolutions.contenders() if key.startswith("jax")] == ["jax"]
    args = arguments(["--launches", "1,300", "--models", "gluon,iwae"])
    assert (args.launches, images_for(args)) == ((1, 300), 30_000)


def test_the_table_has_our_time_with_each_number_of_steps(tmp_path):
    measured = Measurement(MODELS["iwae"], "float32", (), tmp_path, 1)
    times = {"captured 0": [6e-5], "captured 1": [4e-5], "captured 2": [5e-5], "eager": [9e-5]}
    result = measured.result(times, {key: {"variant": ""} for key in times})
    assert row("iwae", result, ())[3:] == ["40.0", "60.0/40.0/50.0", "90.0"]


def fake_measurement(monkeypatch, outcomes):
    """``measure`` with results, or errors, that are known beforehand."""

    def run(self, *how):
        outcome = outcomes[self.spec.name]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    device = type("Fake", (), {"describe": lambda self: {"name": "a GPU"}})
    monkeypatch.setattr(gpu_step, "get_backend", lambda name: device())
    monkeypatch.setattr(gpu_step, "why_no_gpu", lambda: None)
    monkeypatch.setattr(gpu_step, "images", lambda n: (np.zeros((1, 784), "uint8"), "no images"))
    monkeypatch.setattr(gpu_step.signal, "signal", lambda *handler: None)
    monkeypatch.setattr(Measurement, "run", run)


@pytest.mark.parametrize(
    ("trouble", "status", "left"),
    [(ContenderError("no cuBLAS"), 1, ["gluon", "iwae"]), (KeyboardInterrupt(), 130, ["gluon"])],
)
def test_a_model_that_fails_hides_no_other_and_a_stop_keeps_what_is_complete(
    trouble, status, left, result, tmp_path, monkeypatch, capsys
):
    fake_measurement(monkeypatch, {"gluon": result, "flux": trouble, "iwae": result})
    told = ["--models", "gluon,flux,iwae", "--precisions", "tf32", "--peers", "torch,graph,jax"]
    assert main([*told, "--json", str(tmp_path / "gpu.json")]) == status
    content = json.loads((tmp_path / "gpu.json").read_text())
    assert [each["name"] for each in content["rows"]] == left
    printed = capsys.readouterr()
    assert printed.out.count("  tf32  ") == len(left)
    assert ("no cuBLAS" if status == 1 else "stopped after 1 rows") in printed.err


def test_of_a_peer_that_disagrees_a_column_says_that_it_failed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        Measurement, "checked", lambda *how: (_ for _ in ()).throw(DisagreementError("other work"))
    )
    measured = Measurement(MODELS["iwae"], "float32", ("torch",), tmp_path, 1)
    measured.add(processes := {}, "torch", "torch", ({}, {}))
    assert (measured.absent, processes) == ({"torch": "failed"}, {})
    assert "iwae, float32: other work" in capsys.readouterr().err
    with pytest.raises(DisagreementError, match="other work"):
        measured.add(processes, "captured", "captured", ({}, {}))


def test_a_measurement_runs_from_the_check_to_the_medians_on_a_recording_device(
    tmp_path, monkeypatch
):
    """The strict device in place of the GPU; both forms of our step are checked and timed."""
    monkeypatch.setattr(Measurement, "device", "strict")
    rng = np.random.default_rng(0)
    np.save(tmp_path / "binary.npy", rng.integers(0, 2, (60, 784), dtype=np.uint8))
    measured = Measurement(MODELS["iwae"], "float32", (), tmp_path, 1, (1, 50)).run(0.02, 2)
    assert {k: a["variant"] for k, a in measured["contenders"].items()} == {
        "captured 0": "1 steps per graph", "captured 1": "3 steps per graph", "eager": "eager",
    }  # fmt: skip
    assert measured["check_relative_errors"]["captured 0"]["gradient"] < 1e-5
    assert all(value > 0 for value in measured["median_us"].values())
    assert len(measured["rounds_us"]["eager"]) == 2
