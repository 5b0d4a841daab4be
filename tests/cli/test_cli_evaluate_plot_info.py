"""scratchvae evaluate, plot and info."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from scratchvae import evaluate, get_backend

FIGURES = [
    "data", "film_strip", "interpolations", "latent_grid", "latent_scatter",
    "latent_scatter_train", "losses",
    "prior_samples", "reconstructions",
]  # fmt: skip


@pytest.fixture
def run(cli, here, tiny_train) -> Path:
    assert cli(*tiny_train, "--out", "run", "--validation", 5, "--samples", 2).code == 0
    return here / "run"


def test_evaluate_prints_every_number_as_json(cli, run) -> None:
    answer = cli("evaluate", "run", "--json")
    content = json.loads(answer.out)
    assert list(content) == [
        "run", "split", "epoch", "elbo", "elbo_standard_error", "loss", "reconstruction", "kl",
        "kl_per_unit", "active_units", "inactive_units", "images", "samples", "protocol",
    ]  # fmt: skip
    assert content["elbo"] == pytest.approx(-content["reconstruction"] - content["kl"])
    assert sum(content["kl_per_unit"]) == pytest.approx(content["kl"])
    assert (content["images"], content["samples"], content["split"]) == (10, 2, "test")
    assert answer.err.startswith("device: ")


def test_evaluate_gives_the_numbers_of_the_best_epoch_exactly(cli, run) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    best = min(lines, key=lambda line: line["validation_loss"])
    content = json.loads(cli("evaluate", "run", "--json").out)
    assert content["epoch"] == best["epoch"]
    assert content["loss"] == best["test_loss"]
    assert content["reconstruction"] == best["test_reconstruction"]
    assert content["kl"] == best["test_kl"]
    held_out = json.loads(cli("evaluate", "run", "--json", "--split", "validation").out)
    assert (held_out["loss"], held_out["images"]) == (best["validation_loss"], 5)
    assert json.loads(cli("evaluate", "run", "--json", "--split", "train").out)["images"] == 22


def test_evaluate_multiplies_with_the_blas_threads_of_the_run(
    cli, here, tiny_train, monkeypatch
) -> None:
    bk = get_backend("cpu")
    before, seen = bk.blas_threads(), []
    with bk.limit_blas(before + 2):
        assert cli(*tiny_train, "--out", "run").code == 0
    monkeypatch.setattr(
        "scratchvae.cli.evaluate.evaluate",
        lambda *args, **more: seen.append(bk.blas_threads()) or evaluate(*args, **more),
    )
    assert cli("evaluate", "run").code == 0
    assert (seen, bk.blas_threads()) == ([before + 2], before)


def test_evaluate_prints_a_text_with_the_same_numbers(cli, run) -> None:
    content = json.loads(cli("evaluate", "run", "--json").out)
    lines = cli("evaluate", "run", "--quiet").out.splitlines()
    assert lines[0] == f"epoch {content['epoch']}, 10 test images, nats per image"
    assert lines[1].split() == [
        "ELBO", f"{content['elbo']:.3f}", "±", f"{content['elbo_standard_error']:.3f}",
    ]  # fmt: skip
    assert lines[4].split()[-2:] == [f"{kl:.3f}" for kl in content["kl_per_unit"]]
    assert lines[5].split()[-3:] == [str(content["active_units"]), "of", "2"]
    assert lines[6] == f"protocol: {content['protocol']}"


def test_more_samples_an_image_change_the_reconstruction_and_not_the_kl(cli, run) -> None:
    few = json.loads(cli("evaluate", "run", "--json").out)
    many = json.loads(cli("evaluate", "run", "--json", "--samples", 50).out)
    assert many["kl"] == few["kl"]
    assert many["reconstruction"] != few["reconstruction"]
    assert many["samples"] == 50
    assert "50 samples per image" in many["protocol"]


def test_evaluating_twice_and_on_the_strict_device_gives_the_same_numbers(cli, run) -> None:
    asked = ("evaluate", "run", "--json", "--quiet", "--no-compiled", "--device")
    answers = [cli(*asked, device) for device in ("cpu", "cpu", "strict")]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0].err == ""


def test_every_epoch_says_which_units_are_inactive(cli, run) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    content = json.loads(cli("evaluate", "run", "--json").out)
    assert lines[content["epoch"] - 1]["inactive_units"] == content["inactive_units"]
    assert len(lines) == 2


def test_a_diagnosis_is_there_in_numbers_and_in_words(cli, run) -> None:
    asked = ("evaluate", "run", "--diagnose", "--images", 4)
    content = json.loads(cli(*asked, "--json").out)
    plain = json.loads(cli("evaluate", "run", "--json").out)
    found = content.pop("diagnosis")
    assert content == plain
    assert (found["test"]["images"], found["train"]["images"]) == (4, 4)
    kl = [unit["value"] for unit in found["kl_per_unit"]]
    assert kl == pytest.approx(plain["kl_per_unit"], rel=1e-6)
    assert found["inactive"] == plain["inactive_units"]
    words = [finding["words"] for finding in found["findings"]]
    text = cli(*asked).out
    assert all(f"\n{sentence}.\n" in f"{text}\n" for sentence in words)
    gap = found["test"]["amortization"]
    lines = {line[:30].strip(): line[30:].split() for line in text.splitlines()}
    assert lines["amortization gap"][:3] == [f"{gap['value']:.3f}", "±", f"{gap['error']:.3f}"]
    assert lines["diagnosis, nats per image"] == ["4", "test", "4", "training"]


def test_a_diagnosis_of_images_that_were_held_out_says_so(cli, run) -> None:
    text = cli("evaluate", "run", "--diagnose", "--images", 3, "--split", "validation").out
    assert "3 validation" in text
    assert "I(x; z) is estimated from 5 validation images" in text
    assert "no such estimate exceeds log 5 = 1.609" in text


def test_a_diagnosis_knows_nothing_of_the_epochs_of_other_weights(cli, run) -> None:
    assert cli("export", "run", "w.safetensors").code == 0
    options = ("--diagnose", "--images", 2, "--json", "--weights", "w.safetensors")
    found = json.loads(cli("evaluate", "run", *options).out)["diagnosis"]
    assert found["trend"] is None
    assert set(found["inactive_since"].values()) <= {None}


def test_evaluating_writes_nothing(cli, run) -> None:
    before = {p: p.read_bytes() for p in run.rglob("*")}
    cli("evaluate", "run")
    assert {p: p.read_bytes() for p in run.rglob("*")} == before


def test_a_run_is_found_and_its_data_too_from_another_folder(cli, run, tmp_path, monkeypatch):
    content = json.loads(cli("evaluate", "run", "--json").out)
    monkeypatch.chdir(tmp_path)
    moved = json.loads(cli("evaluate", "here/run", "--json").out)
    assert moved | {"run": "run"} == content


def test_plot_draws_what_train_drew_byte_for_byte(cli, here, tiny_train) -> None:
    argv = [a for a in tiny_train if a != "--no-figures"]
    answer = cli(*argv, "--out", "run")
    assert "figures: run/figures" in answer.err
    first = here / "run" / "figures"
    assert sorted(p.name for p in first.iterdir()) == sorted(
        f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")
    )
    answer = cli("plot", "run", "--out", "again", "--json", "--quiet")
    files = json.loads(answer.out)["files"]
    assert (answer.code, answer.err, len(files)) == (0, "", 2 * len(FIGURES))
    for file in files:
        assert Path(file).read_bytes() == (first / Path(file).name).read_bytes(), file


def test_a_caption_names_the_epoch_that_is_drawn_be_it_the_last_or_not(cli, here, tiny_train):
    argv = [a for a in tiny_train if a != "--no-figures"]
    options = ["--validation", 5, "--epochs", 6, "--lr", 2, "--out", "run", "--quiet"]
    best = json.loads(cli(*argv, *options, "--json").out)["best_epoch"]
    metrics = [json.loads(line) for line in (here / "run/metrics.jsonl").read_text().splitlines()]
    assert best < len(metrics) == 6  # too large a learning rate: it soon gets worse
    cli("plot", "run", "--out", "again")
    for folder in ("run/figures", "again"):
        drawn = (here / folder / "reconstructions.svg").read_text()
        assert f"epoch {best}: test {metrics[best - 1]['test_loss']:.2f} nats" in drawn


def test_a_run_with_three_latents_and_no_labels_has_four_figures(cli, here, tiny_train) -> None:
    np.save(here / "bare.npy", np.load(here / "tiny.npz")["x_train"])
    options = ["--data", "bare.npy", "--latent-dim", "3", "--likelihood", "gaussian"]
    assert cli(*tiny_train, *options, "--out", "run").code == 0  # with --no-figures: no film
    answer = cli("plot", "run")
    assert answer.out.splitlines()[0] == "run/figures/data.png"
    assert all(Path(line).exists() for line in answer.out.splitlines())
    names = {p.stem for p in (here / "run" / "figures").iterdir()}
    assert names == set(FIGURES) - {
        "film_strip", "latent_grid", "latent_scatter", "latent_scatter_train",
    }  # fmt: skip


def test_a_run_that_is_moved_can_be_read(cli, run, here) -> None:
    shutil.move(run, here / "elsewhere")
    assert cli("evaluate", "elsewhere").code == 0


def test_info_says_which_versions_devices_and_folders(cli, here, tmp_path) -> None:
    content = json.loads(cli("info", "--json").out)
    assert {"scratchvae", "python", "numpy", "scipy", "matplotlib"} <= set(content["versions"])
    assert content["cores"] >= 1
    assert content["auto"] in ("cpu", "cuda")
    assert content["cache"] == str(tmp_path / "cache")
    assert (content["gpu"]["reason"] is None) == content["gpu"]["usable"]
    assert isinstance(content["blas"], list)


def test_info_prints_the_reason_why_there_is_no_gpu(cli, monkeypatch) -> None:
    monkeypatch.setattr("scratchvae.cli.info.why_no_gpu", lambda: "no such thing here")
    answer = cli("info")
    assert answer.code == 0
    assert "GPU             no such thing here" in answer.out
    assert "data folder     SCRATCHVAE_DATA is not set" in answer.out
    assert answer.err == ""
