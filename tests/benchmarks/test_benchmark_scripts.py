"""The scripts as a reader runs them: in a process of their own, and with peers that are missing."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import (
    beta_sweep,
    check,
    conditional,
    data,
    evaluation,
    scaling,
    semi_supervised,
    step,
)
from benchmarks.contenders.common import Job
from benchmarks.harness import ContenderError, MissingPeerError, Process
from benchmarks.models import MODELS
from benchmarks.step_and_floor import floor_of, step_and_floor
from scratchvae.backend import get_backend
from scratchvae.data import load_dataset
from scratchvae.models import Model

ROOT = Path(__file__).resolve().parents[2]


def run(script, *arguments, **variables):
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{script}", *arguments],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def without_torch(tmp_path):
    """A folder for PYTHONPATH in which importing torch fails as if it were not installed."""
    text = "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n"
    (tmp_path / "torch.py").write_text(text)
    return str(tmp_path)


def test_step_runs_with_a_peer_that_is_not_installed(tmp_path, without_torch):
    """The peer's column says so; the run goes on, and its JSON is complete."""
    out = tmp_path / "out.json"
    done = run(
        "step", "--quick", "--models", "iwae", "--peers", "torch", "--rounds", "2",
        "--threads", "1",
        "--json", str(out), PYTHONPATH=os.pathsep.join([without_torch, str(ROOT)]),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "not installed" in done.stdout
    content = json.loads(out.read_text())
    row = content["rows"]["iwae"]
    assert row["absent"] == {"torch": "torch is not installed"}
    assert len(row["rounds_ms"]["ours"]) == 2
    assert row["median_ms"]["ours"] > 0
    assert row["check_relative_errors"]["ours"]["gradient"] < 1e-5
    assert row["peak_memory_mb"]["ours"] > 10
    assert content["threads"] == 1
    assert {"date", "command", "cpu", "versions", "platform"} <= set(content)
    assert row["contenders"]["ours"]["blas"]


def test_evaluation_runs_with_a_peer_that_is_not_installed(tmp_path, without_torch):
    out = tmp_path / "out.json"
    done = run(
        "evaluation", "--images", "5", "--samples", "20", "--models", "iwae", "--rounds", "2",
        "--threads", "1", "--json", str(out),
        PYTHONPATH=os.pathsep.join([without_torch, str(ROOT)]),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "not installed" in done.stdout
    row = json.loads(out.read_text())["rows"]["iwae"]
    assert row["absent"] == {"torch": "torch is not installed"}
    assert len(row["rounds_ms"]["ours"]) == 2
    assert list(row["peak_mb"]["ours"]) == ["2", "20"]
    assert -600 < row["log_p"]["ours"]["mean"] < 0
    assert row["check_relative_errors"]["ours"] < evaluation.TOLERANCE


def test_pytorch_estimates_the_same_log_p_from_the_same_noise(tmp_path):
    """In several blocks of samples; and a decoder that is a little off is noticed."""
    pytest.importorskip("torch")
    job = evaluation.trained_job("gluon", 4, 1, tmp_path)
    processes = {name: Process(f"evaluate-{name}", job) for name in ("ours", "torch")}
    try:
        errors = evaluation.compare(processes, job, tmp_path)
        assert set(errors) == {"ours", "torch"}
        means = [p.ask("estimate", samples=3000)["mean"] for p in processes.values()]
        assert means[0] == pytest.approx(means[1], rel=0.02)
        weights = job.load_weights()
        weights["decoder.4.b"] = weights["decoder.4.b"] + 1e-3
        np.savez(job.weights, **weights)
        with pytest.raises(check.DisagreementError, match="estimates another log p"):
            evaluation.compare(processes, job, tmp_path)
    finally:
        for process in processes.values():
            process.close()


def test_a_missing_peer_and_a_failing_contender_are_told_apart(
    tmp_path, monkeypatch, without_torch
):
    monkeypatch.setenv("PYTHONPATH", without_torch)
    job = Job(MODELS["iwae"], str(tmp_path / "none.npy"), 1, str(tmp_path / "none.npz"), 1)
    with pytest.raises(MissingPeerError, match="torch is not installed"):
        Process("torch", job)
    with pytest.raises(ContenderError, match=r"none\.npy"):
        Process("ours", job)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--workers", "0"], "not a whole number of at least 1"),
        (["--workers", "9999"], "there are only"),
        (["--threads", "9999"], "there are only"),
        (["--models", "vgg"], "'vgg' is not one of"),
        (["--peers", "tinygrad"], "'tinygrad' is not one of"),
        (["--rounds", "-1"], "not a whole number of at least 1"),
    ],
)
def test_arguments_that_cannot_be_are_refused(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as exit:
        step.arguments(arguments)
    assert exit.value.code == 2
    assert complaint in capsys.readouterr().err


def test_quick_measures_less():
    quick, full = step.arguments(["--quick"]), step.arguments([])
    assert set(quick.models) < set(full.models) == set(MODELS)
    assert quick.rounds < full.rounds
    assert step.arguments(["--peers", ""]).peers == ()


def test_images_are_like_those_of_mnist():
    images, again = data.enlarged_digits(400, seed=1), data.enlarged_digits(400, seed=1)
    assert (images != data.enlarged_digits(400, seed=1, test=True)).any()
    assert images.shape == (400, 784)
    assert (images == again).all()
    assert 0.1 < (images > 0).mean() < 0.4
    assert (images.max(axis=0) == 0).sum() > 0  # pixels that are never lit
    assert set(data.binarized(images).ravel()) == {0, 1}


def test_a_memory_map_repeats_the_images_and_minds_the_disk(tmp_path):
    grey = np.arange(6, dtype=np.uint8).reshape(3, 2)
    scaling.write_images(tmp_path / "a.npy", grey, 7)
    assert np.load(tmp_path / "a.npy").tolist() == np.concatenate([grey, grey, grey])[:7].tolist()
    with pytest.raises(SystemExit, match="choose another --folder"):
        scaling.write_images(tmp_path / "b.npy", grey, 10**18)


def test_every_script_says_how_long_it_takes():
    for path in (ROOT / "benchmarks").glob("*.py"):
        text = path.read_text()
        if "__main__" in text:
            first = text.split('"""')[1].splitlines()[0]
            assert "Takes " in first, path.name
            assert f"benchmarks.{path.stem}`" in (ROOT / "benchmarks/README.md").read_text() or (
                f"benchmarks.{path.stem} " in (ROOT / "benchmarks/README.md").read_text()
            )


def test_the_sweep_of_beta_prints_writes_and_draws(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(beta_sweep, "BETAS", (1.0, 8.0))
    monkeypatch.setattr(beta_sweep, "SAMPLES", 1)
    out = tmp_path / "out.json"
    argv = ["--seeds", "1", "--epochs", "1", "--json", str(out), "--figure", str(tmp_path / "f")]
    assert beta_sweep.main(argv) == 0
    content = json.loads(out.read_text())
    assert list(content["rows"]) == ["1", "8"]
    for row in content["rows"].values():
        assert row["mig"]["mean"] == pytest.approx(np.mean(row["gaps"]), rel=1e-12)
        assert row["mig"]["values"] == [row["mig"]["mean"]]
    weak, strong = content["rows"].values()
    for name in ("mutual_information", "total_correlation", "dimensionwise_kl"):
        assert weak[name]["mean"] > strong[name]["mean"]
    assert (content["settings"]["data"], content["settings"]["epochs"]) == ("sprites", 1)
    assert "total correlation" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"out.json", "f.png", "f.svg"}


def test_a_network_of_the_seen_part_completes_the_hidden_one_without_its_z(
    tmp_path, monkeypatch, capsys
):
    digits, out = load_dataset("digits"), tmp_path / "out.json"
    model = Model(conditional.network((8, 8), 1, (20,)), get_backend("cpu", "float64"))
    x = digits.test.values()[:5]
    some = [model.decode(np.full((5, 1), z), given=x) for z in (-3.0, 2.0)]
    np.testing.assert_array_equal(*some)
    gradient = model.loss_and_gradient(x).gradient
    assert np.abs(gradient["decoder.1.W"]).max() > 0
    monkeypatch.setattr(conditional, "load_dataset", lambda name: digits)
    assert conditional.main(["--epochs", "2", "--seeds", "1", "--json", str(out)]) == 0
    first = json.loads(out.read_text())
    assert 3 < first["values"]["3"][0] < first["values"]["2"][0] < first["values"]["1"][0] < 35
    capsys.readouterr()
    assert conditional.main(["--epochs", "2", "--seeds", "1", "--json", str(out)]) == 0
    assert capsys.readouterr().out == ""  # nothing is trained again


def test_a_conditional_step_is_timed_beside_its_products():
    small = replace(conditional.DENSE, hidden=(8,), condition="label:10", prior="conditional")
    row = step_and_floor(small, compiled=False, steps=2, rounds=3)
    assert row["step_ms"] > 0 < row["floor_ms"]
    assert row["ratio"] > 0 <= row["spread"]
    assert row["parameters"] == small.make_vae(784).layout.n_parameters


def test_the_floor_of_a_conditional_step_sends_nothing_back_to_images_and_conditions():
    small = replace(conditional.DENSE, hidden=(8,), condition="label:10", prior="conditional")
    products = floor_of(small.make_vae(784)).products
    assert products.of_data == {"encoder.0.W", "prior.0.W"}
    for name in products.names:
        products.dx[name].fill(0)
    products.activations()
    untouched = {name for name in products.names if not products.dx[name].any()}
    assert untouched == products.of_data
    sizes = {name: products.p[name].size for name in products.names}
    assert sizes["decoder.0.W"] == (20 + 10) * 8
    assert len(sizes) == 6  # two in each of three networks


@pytest.fixture
def few_labels(monkeypatch):
    """The script with small networks and the digits in place of MNIST."""
    digits = load_dataset("digits")
    small = {"hidden": (32,), "latent_dim": 6, "batch_size": 50}
    monkeypatch.setattr(semi_supervised, "load_dataset", lambda name: digits)
    for name in ("M1", "CODES", "PIXELS"):
        settings = replace(getattr(semi_supervised, name), **small, evaluate_at=())
        monkeypatch.setattr(semi_supervised, name, settings)
    monkeypatch.setattr(semi_supervised, "ALONE", 20)
    return digits


def test_few_labels_are_measured_draw_by_draw_and_never_twice(few_labels, tmp_path, monkeypatch):
    monkeypatch.setattr(semi_supervised, "classifier_alone", lambda *_: 0.5)
    out, codes = tmp_path / "out.json", tmp_path / "m1.npz"
    argv = ["--labels", "50", "--epochs", "4", "--codes", str(codes), "--json", str(out)]
    assert semi_supervised.main([*argv, "--draws", "1"]) == 0
    first = json.loads(out.read_text())
    (draw,) = first["draws"]["50"]
    assert 0.2 < draw["accuracy"] < 1
    kept = codes.stat().st_mtime_ns
    assert semi_supervised.main([*argv, "--draws", "2"]) == 0
    content = json.loads(out.read_text())
    assert content["draws"]["50"][0] == draw
    found = [each["accuracy"] for each in content["draws"]["50"]]
    assert content["rows"]["50"]["accuracy"]["values"] == found
    assert len(found) == 2
    assert codes.stat().st_mtime_ns == kept
    assert semi_supervised.main([*argv, "--draws", "1", "--pixels"]) == 0  # other settings
    assert list(json.loads(out.read_text())["draws"]) == ["50"]
    assert json.loads(out.read_text())["draws"]["50"] != content["draws"]["50"]


def test_a_classifier_alone_learns_from_the_labels_that_are_kept(few_labels):
    config = replace(semi_supervised.PIXELS, labels=100)
    found = semi_supervised.classifier_alone(few_labels, config, steps=200)
    assert 0.6 < found < 0.95
    assert found > semi_supervised.classifier_alone(few_labels, config, steps=4)
