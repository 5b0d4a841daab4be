"""scratchvae complete, and evaluate with importance sampling and other protocols."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scratchvae.cli.complete import PRESETS
from scratchvae.runs import RunFolder

QUICK = ("--steps", 20, "--final-samples", 20)


@pytest.fixture
def run(cli, here, tiny_train) -> Path:
    argv = (*tiny_train, "--out", "run", "--validation", 5, "--binarize", "threshold")
    assert cli(*argv).code == 0
    return here / "run"


def test_complete_prints_nats_and_leaves_json_and_figures(cli, run) -> None:
    answer = cli("complete", "run", "--mask", "top", *QUICK, "--json", "--device", "cpu")
    assert answer.code == 0, answer.err
    content = json.loads(answer.out)
    # 3 rows of 4: the row in the middle is hidden
    assert (content["observed_pixels"], content["hidden_pixels"]) == (4, 8)
    assert (content["split"], content["images"][0]["image"]) == ("test", 0)
    assert content["settings"]["steps"] == 20
    assert content["negative_elbo_observed"]["mean"] > 0
    assert 0 < content["nats_per_hidden_pixel"]["mean"] < 10
    assert content["protocol"].startswith("pixels > 1/2; Bernoulli likelihood; observed: top;")
    names = {path.name for path in (run / "completions").iterdir()}
    figures = {f"{name}.{kind}" for name in ("completion", "posterior") for kind in ("png", "svg")}
    assert names == figures | {"completion.json"}
    assert json.loads((run / "completions" / "completion.json").read_text()) == content


def test_the_same_command_gives_the_same_bytes_and_another_seed_others(cli, run) -> None:
    for out in ("a", "b"):
        assert cli("complete", "run", *QUICK, "--out", out, "--quiet").code == 0
    for path in Path("a").glob("*.*g"):
        assert path.read_bytes() == (Path("b") / path.name).read_bytes()
    one, other = (
        json.loads(cli("complete", "run", *QUICK, "--json", "--no-figures", "--seed", s).out)
        for s in (0, 1)
    )
    assert one["images"][0]["mu"] != other["images"][0]["mu"]


def test_several_images_have_a_mean_and_each_its_own_numbers(cli, run) -> None:
    argv = ("complete", "run", *QUICK, "--no-figures", "--json", "--split", "train")
    many = json.loads(cli(*argv, "--image", 3, "--count", 4).out)
    one = json.loads(cli(*argv, "--image", 5).out)
    assert [image["image"] for image in many["images"]] == [3, 4, 5, 6]
    values = [image["negative_elbo_observed"] for image in many["images"]]
    assert many["negative_elbo_observed"]["mean"] == pytest.approx(np.mean(values))
    assert one["images"][0]["mu"] == pytest.approx(many["images"][2]["mu"], rel=1e-4)


def test_images_are_counted_as_in_the_file_though_some_were_held_out(cli, run) -> None:
    last = cli("complete", "run", *QUICK, "--no-figures", "--split", "train", "--image", 26)
    assert last.code == 0


def test_the_text_names_what_it_says(cli, run) -> None:
    lines = cli("complete", "run", *QUICK, "--no-figures", "--quiet").out.splitlines()
    assert lines[0] == "1 test image from number 0 on, 4 pixels observed, 8 hidden"
    assert lines[1].startswith("−ELBO of the observed part")
    assert lines[1].endswith("nats (Monte-Carlo error)")
    assert lines[2].startswith("per hidden pixel")
    assert re.fullmatch(r".* \d\.\d{4} ± 0\.\d{4} nats \(Monte-Carlo error\)", lines[2])
    assert lines[-1].startswith("protocol: ")


def test_hidden_pixels_that_few_samples_explain_are_noted(cli, run) -> None:
    argv = ("complete", "run", *QUICK, "--no-figures", "--quiet", "--final-samples", 20)
    text = cli(*argv, "--count", 3).out
    assert (
        "note: the hidden pixels of 3 of 3 images are explained by fewer than 30 effective" in text
    )


def test_a_mask_from_a_file_and_nothing_hidden(cli, run) -> None:
    np.save("seen.npy", np.ones((3, 4), bool))
    answer = cli("complete", "run", "--mask", "seen.npy", *QUICK, "--json", "--no-figures")
    content = json.loads(answer.out)
    assert content["hidden_pixels"] == 0
    assert content["nats_per_hidden_pixel"] is None


def test_the_preset_is_the_tutorials_and_can_be_changed_in_part(cli, run) -> None:
    argv = ("complete", "run", "--preset", "flux", "--image", 1, "--json", "--no-figures")
    content = json.loads(cli(*argv, "--final-samples", 10).out)
    settings = content["settings"]
    assert (settings["steps"], settings["rate"], settings["optimizer"]) == (200, 0.01, "sgd")
    assert (settings["mu"], settings["logstd"]) == ([2.0, -2.0], [0.5, 0.0])
    assert (content["split"], content["published"]) == ("train", None)
    assert content["not_comparable"] == "this run is not the study flux with all of its epochs"
    changed = json.loads(cli(*argv, "--final-samples", 10, "--steps", 3).out)
    assert changed["settings"]["steps"] == 3
    missing = cli("complete", "run", "--preset", "flux")
    assert missing.code == 2
    assert "--image 57" in missing.err


def test_a_completion_is_set_beside_the_tutorials_only_if_it_is_the_same(
    cli, here, tiny_train, monkeypatch
) -> None:
    cli(*tiny_train, "--binarize", "threshold", "--out", "run")
    flux, config = PRESETS["flux"], RunFolder.open(here / "run").config()
    target = replace(flux.completion, image=1)
    preset = replace(flux, config=replace(config, seed=7), completion=target)
    monkeypatch.setitem(PRESETS, "flux", preset)
    argv = ("complete", "run", "--preset", "flux", "--no-figures")
    same = cli(*argv).out
    assert "the tutorial's, one draw       47.740 nats" in same
    other = "the tutorial's figure is not compared: the tutorial completes another image, or"
    for changed in (["--image", 2], ["--steps", 3], ["--mask", "left"], ["--count", 2]):
        text = cli(*argv, *changed).out
        assert other in text
        assert "47.740" not in text


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--mask", "middle"], "'middle' is not one of top, bottom, left, right"),
        (["--mask", "small.npy"], "3 x 4 pixels"),
        (["--mask", "nothing.npy"], "observes nothing"),
        (["--mask", "absent.npy"], "absent.npy"),
        (["--samples", "0"], "samples is 0"),
        (["--steps", "-1"], "steps is -1"),
        (["--rate", "0"], "rate is 0.0"),
        (["--image", "10"], "--image 10 --count 1"),
        (["--image", "-1"], "--image -1"),
        (["--count", "0"], "--count 0"),
    ],
)
def test_a_mistake_gets_one_sentence(cli, run, argv, message) -> None:
    np.save("small.npy", np.ones((2, 4), bool))
    np.save("nothing.npy", np.zeros((3, 4), bool))
    answer = cli("complete", "run", "--quiet", *argv)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert len(answer.err.splitlines()) == 1
    assert not (run / "completions").exists()


# ---- evaluate ----------------------------------------------------------------------------------


def test_evaluate_prints_the_importance_sampled_log_p(cli, run) -> None:
    content = json.loads(cli("evaluate", "run", "--nll", 200, "--json").out)
    importance = content["importance"]
    assert importance["samples"] == 200
    assert importance["images"] == content["images"] == 10
    assert importance["log_p"] > content["elbo"] - 3 * content["elbo_standard_error"]
    assert 1 <= importance["effective_samples"] <= 200
    text = cli("evaluate", "run", "--nll", 200, "--quiet").out
    assert f"log p(x)        {importance['log_p']:10.3f}" in text
    assert "importance sampling with 200 samples per image" in text


def test_evaluate_says_what_half_of_the_samples_give(cli, run) -> None:
    importance = json.loads(cli("evaluate", "run", "--nll", 200, "--json").out)["importance"]
    assert importance["half"] == importance["by_samples"]["100"]
    text = cli("evaluate", "run", "--nll", 200, "--quiet").out
    assert f"half of them    {importance['half']:10.3f}, the same within the error" in text


def test_draws_of_dynamic_pixels_are_named_and_their_spread_is_that_of_single_ones(cli, run):
    argv = ("evaluate", "run", "--json", "--nll", 20, "--binarize", "dynamic")
    single = [json.loads(cli(*argv, "--draw", draw).out) for draw in (7, 8, 9)]
    assert [content["draw"] for content in single] == [7, 8, 9]
    assert len({content["elbo"] for content in single}) == 3
    values = [content["importance"]["log_p"] for content in single]
    several = json.loads(cli(*argv, "--draw", 7, "--draws", 3).out)["importance"]
    assert several["draws"] == values
    assert several["spread_over_draws"] == pytest.approx(np.std(values, ddof=1))
    text = cli("evaluate", "run", "--nll", 20, "--binarize", "dynamic", "--draw", 7, "--draws", 3)
    assert "10 test images, draw 7 of their pixels, nats per image" in text.out
    deviation = several["spread_over_draws"]
    assert f"{np.mean(values):10.3f}, standard deviation {deviation:.3f}" in text.out


def test_without_inactive_units_log_p_stays_where_it_was(cli, here, tiny_train) -> None:
    argv = ("--latent-dim", 6, "--beta", 2, "--epochs", 150, "--lr", 0.01, "--out", "cut")
    assert cli(*tiny_train, *argv).code == 0
    options = ("evaluate", "cut", "--nll", 2000, "--cut-inactive")
    content = json.loads(cli(*options, "--json").out)
    assert content["active_units"] < 6
    change = content["without_inactive"]["log_p"] - content["importance"]["log_p"]
    assert abs(change) < 0.05
    assert f"a change of {change:.3f}" in cli(*options).out


def test_evaluate_under_another_protocol_and_under_all(cli, run) -> None:
    own = json.loads(cli("evaluate", "run", "--json").out)
    all_of_them = json.loads(cli("evaluate", "run", "--json", "--all-protocols").out)
    assert list(all_of_them["protocols"]) == ["none", "threshold", "dynamic", "static"]
    for name, numbers in all_of_them["protocols"].items():
        alone = json.loads(cli("evaluate", "run", "--json", "--binarize", name).out)
        assert {key: alone[key] for key in numbers} == numbers
    assert all_of_them["protocols"]["threshold"]["elbo"] == own["elbo"]
    elbos = {numbers["elbo"] for numbers in all_of_them["protocols"].values()}
    assert len(elbos) == 4
    text = cli("evaluate", "run", "--quiet", "--all-protocols").out
    assert text.count("protocol: ") == 4


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--nll", "0"], "--nll must be at least 1"),
        (["--nll", "5", "--draws", "0"], "--draws must be at least 1, not 0"),
        (["--draws", "3"], "--draws is about log p(x): ask for it with --nll SAMPLES"),
        (["--cut-inactive"], "--cut-inactive is about log p(x): ask for it with --nll SAMPLES"),
        (["--draw", "3"], "under dynamic binarization alone: add --binarize dynamic"),
        (["--binarize", "dynamic", "--draw", "-1"], "--draw must be at least 0, not -1"),
        (["--samples", "0"], "samples must be at least 1"),
        (["--binarize", "none", "--all-protocols"], "not allowed with"),
    ],
)
def test_evaluate_refuses_what_cannot_be(cli, run, argv, message) -> None:
    answer = cli("evaluate", "run", *argv)
    assert answer.code == 2
    assert message in answer.err


# ---- the categorical likelihood ----------------------------------------------------------------


def test_a_categorical_is_trained_evaluated_and_drawn(cli, here, tiny_train) -> None:
    assert cli(*tiny_train, "--likelihood", "categorical", "--out", "run").code == 0
    config = json.loads((here / "run" / "config.json").read_text())["config"]
    assert config["max_level"] == 255
    content = json.loads(cli("evaluate", "run", "--json", "--nll", 3, "--all-protocols").out)
    assert list(content["protocols"]) == ["none", "threshold", "dynamic", "static"]
    grey = content["protocols"]["none"]
    assert "categorical over 256 levels likelihood" in grey["protocol"]
    assert "cross-entropy" not in grey["protocol"]
    assert cli("complete", "run", *QUICK, "--quiet").code == 0
    assert cli("plot", "run", "--quiet").code == 0


def test_levels_that_a_checkpoint_does_not_know_are_left_out(cli, here, tiny_train) -> None:
    argv = ("--likelihood", "categorical", "--binarize", "threshold", "--out", "run")
    assert cli(*tiny_train, *argv).code == 0
    answer = cli("evaluate", "run", "--json", "--all-protocols")
    assert list(json.loads(answer.out)["protocols"]) == ["threshold", "dynamic", "static"]
    assert "left out: the model knows the grey values k / 1" in answer.err
    alone = cli("evaluate", "run", "--binarize", "none")
    assert alone.code == 2


def test_a_categorical_wants_whole_levels(cli, here, tiny_train) -> None:
    rng = np.random.default_rng(0)
    np.save("floats.npy", rng.random((30, 3, 4)).astype(np.float32))
    argv = [a if a != "tiny.npz" else "floats.npy" for a in tiny_train]
    answer = cli(*argv, "--likelihood", "categorical", "--out", "run")
    assert answer.code == 2
    assert "needs pixels of whole levels (uint8)" in answer.err
