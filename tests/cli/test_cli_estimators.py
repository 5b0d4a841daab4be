"""scratchvae estimators: numbers, figures and mistakes, on tiny images."""

import json
from pathlib import Path

import numpy as np
import pytest

from scratchvae.latent import ESTIMATORS
from scratchvae.studies.estimators import TRAINED, moments_of

TINY = (
    *("estimators", "--data", "tiny.npz", "--hidden", 6, "--batch-size", 9, "--samples", 3),
    *("--draws", 20, "--epochs", 3, "--device", "cpu"),
)
FIGURES = ("gradient_noise", "estimator_curves", "beta_0_beside_1")


def test_it_leaves_numbers_and_figures_and_prints_a_table(cli, here) -> None:
    answer = cli(*TINY, "--out", "e")
    assert answer.code == 0, answer.err
    names = {path.name for path in (here / "e").iterdir()}
    assert names == {f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")} | {
        "estimators.json"
    }
    lines = answer.out.splitlines()
    assert lines[0] == "gradients after epoch 0: variance and bias, relative"
    for layer in ("encoder, layer 1", "encoder, [μ | log σ²]", "decoder, layer 1", "decoder, log"):
        assert layer in lines[1]
    assert [line.split()[0] for line in lines[2:10]] == list(ESTIMATORS)
    assert "after 3 epochs: −ELBO, reconstruction, KL (test, nats per image)" in lines
    assert lines[-1] == "folder: e"
    assert "4 standard errors" in answer.out
    for name in TRAINED:
        assert f"training with {name}, 3 epochs" in answer.err
    assert "training with beta = 0, 3 epochs" in answer.err


def test_json_is_the_file_and_says_how_the_numbers_came_about(cli, here) -> None:
    answer = cli(*TINY, "--json", "--quiet", "--no-figures")
    assert (answer.code, answer.err) == (0, "")
    content = json.loads(answer.out)
    assert content == json.loads((here / "runs/estimators-1/estimators.json").read_text())
    assert content["run"] == "runs/estimators-1"
    assert content["moments"] == moments_of(3) == [0, 2, 3]
    assert (content["draws"], content["reference_draws"]) == (20, 80)
    rows = content["gradients"]
    assert len(rows) == 3 * 8 * 4
    assert {row["estimator"] for row in rows} == set(ESTIMATORS)
    assert {row["layer"] for row in rows} == {"encoder.0", "encoder.2", "decoder.0", "decoder.2"}
    known = [row for row in rows if row["biased"] is not None]
    assert len(known) > 3 * 8
    assert all(row["variance"] > 0 and row["bias_limit"] >= row["bias"] >= 0 for row in known)
    at = {(row["epoch"], row["estimator"], row["layer"]): row for row in rows}
    detached = at[0, "detached", "encoder.0"]
    assert detached["biased"]
    assert detached["bias"] == pytest.approx(1, abs=0.3)
    protocol = content["protocol"]
    assert "one batch of 9 training images; 20 draws of each estimator" in protocol["gradients"]
    assert "bound of 3 samples per image: iwae, stl, dreg" in protocol["bound"]
    assert content["settings"]["latent_dim"] == 2
    assert content["versions"]["numpy"]
    assert content["device"]["name"] == "cpu"


def test_all_curves_begin_at_the_same_model_and_beta_0_reconstructs_at_the_kls_expense(
    cli, here
) -> None:
    content = json.loads(cli(*TINY, "--json", "--quiet", "--no-figures", "--epochs", 40).out)
    curves = content["curves"]
    assert list(curves) == list(TRAINED)
    for curve in curves.values():
        assert curve["epoch"] == list(range(41))
        assert curve["test_loss"][0] == curves["analytic"]["test_loss"][0]
        for loss, *parts in zip(
            *(curve[f"test_{name}"] for name in ("loss", "reconstruction", "kl")), strict=True
        ):
            assert loss == pytest.approx(sum(parts))
    assert curves["detached"]["test_loss"] != curves["analytic"]["test_loss"]
    assert content["beta"]["0"]["kl"] > content["beta"]["1"]["kl"]
    assert content["beta"]["1"]["elbo"] == -curves["analytic"]["test_loss"][-1]


def test_the_same_command_gives_the_same_bytes_and_another_seed_others(cli, here) -> None:
    for out in ("a", "b"):
        assert cli(*TINY, "--out", out, "--quiet").code == 0
    for path in Path("a").glob("*.*g"):
        assert path.read_bytes() == (Path("b") / path.name).read_bytes()
    one, same, other = (
        json.loads(cli(*TINY, "--json", "--quiet", "--no-figures", "--seed", seed).out)
        for seed in (0, 0, 1)
    )
    assert one["gradients"] == same["gradients"]
    assert one["gradients"] != other["gradients"]


def test_binary_pixels_images_without_labels_and_a_deeper_model(cli, here) -> None:
    with np.load("tiny.npz") as tiny:
        np.savez("bare.npz", x_train=tiny["x_train"], x_test=tiny["x_test"])
    bare = (*TINY, "--data", "bare.npz")
    answer = cli(*bare, "--binarize", "dynamic", "--out", "e", "--quiet", "--hidden", 5, 4)
    assert answer.code == 0, answer.err
    assert "cross-entropy" not in answer.out
    assert "encoder, layer 2" in answer.out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--samples", "1"], "'score-baseline' needs at least 2 samples"),
        (["--samples", "0"], "samples is 0"),
        (["--draws", "19"], "draws must be at least 20 and below 2⁶⁰, not 19"),
        (["--epochs", "0"], "epochs is 0"),
        (["--seed", "-1"], "seed is -1"),
        (["--lr", "0"], "lr is 0.0"),
        (["--batch-size", "28"], "there are only 27 training images"),
        (["--binarize", "soon"], "invalid choice: 'soon'"),
        (["--hidden", "0"], "hidden is"),
        (["--data", "absent.npz"], "absent.npz"),
        (["--out", "."], "is not empty"),
    ],
)
def test_a_mistake_gets_one_sentence(cli, here, argv, message) -> None:
    answer = cli(*TINY, "--quiet", *argv)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert len(answer.err.splitlines()) == 1
    assert not (here / "runs").exists()


def test_an_interrupted_training_ends_the_comparison(cli, here, monkeypatch) -> None:
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt("SIGINT ended the training: nothing is saved")

    monkeypatch.setattr("scratchvae.studies.estimators.train", interrupted)
    answer = cli(*TINY, "--quiet")
    assert answer.code == 130
    assert answer.err == "scratchvae: interrupted\n"
    assert not (here / "runs").exists()


def test_the_help_has_an_example(cli) -> None:
    answer = cli("estimators", "--help")
    assert answer.code == 0
    assert "examples:\n  scratchvae estimators" in answer.out
