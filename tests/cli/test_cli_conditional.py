"""Conditional models on the command line: trained, drawn, resumed, evaluated, and refused."""

import json

import pytest

DRAWN = {
    "data", "reconstructions", "prior_samples", "film_strip", "losses", "latent_scatter",
    "latent_scatter_train",
}  # fmt: skip


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
    for refused, words in (
        (("complete", "run", "--mask", "top"), "this one needs its condition, too"),
        (("export", "run", "run.safetensors"), "it is not exported to PyTorch"),
    ):
        answer = cli(*refused)
        assert answer.code == 2
        assert words in answer.err
