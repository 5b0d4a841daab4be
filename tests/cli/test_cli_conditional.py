"""Conditional models on the command line: trained, drawn, resumed, evaluated, and refused."""

import json

import pytest

DRAWN = {
    "data", "reconstructions", "prior_samples", "film_strip", "losses", "latent_scatter",
    "latent_scatter_train",
}  # fmt: skip


def test_with_few_labels_the_classifier_is_evaluated_too(cli, here, tiny_train) -> None:
    argv = ("--condition", "some-labels", "--labels", 10, "--classifier-weight", 5)
    assert cli(*tiny_train, *argv, "--out", "run", "--verify-every", 2).code == 0
    answer = cli("evaluate", "run", "--nll", 20)
    assert "accuracy  " in answer.out
    assert "Bernoulli likelihood given the label" in answer.out
    found = json.loads(cli("evaluate", "run", "--json").out)
    assert found["accuracy"] in {n / 10 for n in range(11)}
    found = json.loads(cli("evaluate", "run", "--diagnose", "--images", 3, "--json").out)
    assert (found["diagnosis"]["train"]["images"], found["diagnosis"]["test"]["images"]) == (3, 3)
    assert cli("train", "--resume", "run", "--epochs", 3, "--change-settings").code == 0
    answer = cli(*tiny_train, *argv[:3], 28, "--out", "more")
    assert answer.code == 2
    assert "28 labels cannot be kept: the training images have 27" in answer.err


@pytest.mark.parametrize(
    ("condition", "resolved"), [("label", "label:10"), ("quadrants:1", "quadrants:1:3:4")]
)
def test_a_conditional_model_is_trained_drawn_resumed_and_evaluated(
    cli, here, tiny_train, condition, resolved
) -> None:
    drawing = condition == "label"
    if drawing:
        tiny_train.remove("--no-figures")
    argv = (*tiny_train, "--condition", condition, "--prior", "conditional", "--out", "run")
    assert cli(*argv).code == 0
    settings = json.loads((here / "run" / "config.json").read_text())["config"]
    assert (settings["condition"], settings["prior"]) == (resolved, "conditional")
    drawn = {p.stem for p in (here / "run" / "figures").glob("*.png")}
    assert drawn == (DRAWN if drawing else set())
    assert cli("train", "--resume", "run", "--epochs", 3, "--change-settings").code == 0
    answer = cli("evaluate", "run", "--nll", 30, "--cut-inactive", "--json")
    found = json.loads(answer.out)
    assert found["epoch"] == 3
    assert "given" in found["importance"]["protocol"]
    assert found["importance"]["log_p"] > found["elbo"] - 0.5
    found = json.loads(cli("evaluate", "run", "--diagnose", "--images", 3, "--json").out)
    assert "given" in found["diagnosis"]["protocol"]
    assert found["diagnosis"]["findings"]
    for refused, words in (
        (("complete", "run", "--mask", "top"), "needs its condition, too: Model.sample(n, given="),
        (("export", "run", "run.safetensors"), "has a condition, too: take its arrays by name"),
    ):
        answer = cli(*refused)
        assert answer.code == 2
        assert words in answer.err
