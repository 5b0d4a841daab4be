"""The study `iwae`: declared as the paper and its program have it, stage by stage."""

import math

import numpy as np
import pytest
from scipy.special import logit

from scratchvae.backend import get_backend
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset, Split
from scratchvae.errors import ConfigError
from scratchvae.models import Model
from scratchvae.optim import schedule
from scratchvae.studies import STAGED
from scratchvae.studies.stage_result import ablation, measure_stage
from scratchvae.studies.staged import StagedRun, runs_of
from scratchvae.training import prepare

STUDY = STAGED["iwae"]
CODE, PAPER = (STUDY.variants[name] for name in ("code", "paper"))


def config(variant: str = "code", k: int = 1, stage: int = 8, point: str = "") -> TrainConfig:
    run = StagedRun(variant, "iwae" if k > 1 else "vae", k, 0, point)
    return run.config(STUDY, 59_600 if variant == "code" else 60_000, stage, small=False)


def test_a_stage_passes_three_times_as_often_as_the_one_before() -> None:
    assert STUDY.passes == (1, 3, 9, 27, 81, 243, 729, 2187)
    assert STUDY.ends == (1, 4, 13, 40, 121, 364, 1093, 3280)


@pytest.mark.parametrize(("variant", "steps"), [("code", 2980), ("paper", 3000)])
def test_the_learning_rate_falls_stage_by_stage(variant, steps) -> None:
    rate = schedule(config(variant).lr)
    found = [(rate(steps * e), rate(steps * e + 1)) for e in (0, 1, 4, 13, 40, 121, 364, 1093)]
    program = [1e-3, 7.2e-4, 5.2e-4, 3.7e-4, 2.7e-4, 1.9e-4, 1.4e-4, 1e-4]
    text = [1e-3 * 10 ** (-i / 7) for i in range(8)]
    expected = program if variant == "code" else text
    np.testing.assert_allclose([after for _, after in found], expected, rtol=1e-12)
    np.testing.assert_allclose([at for at, _ in found[1:]], expected[:-1], rtol=1e-12)
    assert rate(steps * 3280) == pytest.approx(1e-4)


def test_the_program_is_declared_as_its_authors_have_it() -> None:
    c = CODE.config
    assert (c.hidden, c.latent_dim, c.activation, c.head) == ((200, 200), 50, "tanh", "logstd")
    assert (c.subset, c.binarize, c.batch_size, c.shuffle) == ("first:59600", "dynamic", 20, False)
    assert (c.output_bias, c.heads, c.reduction, c.workers) == ("mean", "equal", "sum", 1)
    adam = c.make_optimizer()
    assert (adam.beta1, adam.beta2, adam.eps, adam.v0, adam.eps_hat) == (0.99, 0.999, 1e-4, 1, True)


def test_the_text_is_declared_as_the_paper_has_it() -> None:
    c = PAPER.config
    assert (c.subset, c.shuffle, c.output_bias, c.heads) == ("", True, "init", "independent")
    assert c.reduction == "mean"
    adam = c.make_optimizer()
    assert (adam.beta1, adam.eps, adam.v0, adam.eps_hat) == (0.9, 1e-4, 0, False)


def test_both_objectives_have_k_samples_and_with_one_they_are_the_elbo() -> None:
    assert [(config(k=k).estimator, config(k=k).samples) for k in (1, 5)] == [
        ("monte-carlo", 1), ("iwae", 5),
    ]  # fmt: skip
    vae = StagedRun("code", "vae", 5, 0).config(STUDY, 59_600, 1, small=False)
    assert (vae.estimator, vae.samples) == ("monte-carlo", 5)
    assert [run.objective for run in runs_of("code", [1, 5], "iwae", 1, None)] == ["vae", "iwae"]


def test_a_longer_run_differs_in_its_epochs_alone() -> None:
    short, long = config(stage=2).to_json(), config(stage=6).to_json()
    assert {name for name in short if short[name] != long[name]} == {"epochs"}


@pytest.mark.parametrize("point", STUDY.points)
def test_a_point_changes_one_setting_to_what_the_text_has_or_to_a_warmup(point) -> None:
    base, changed = config().to_json(), config(point=point.name).to_json()
    (name,) = (n for n in base if base[n] != changed[n])
    if name == "kl_warmup":
        assert changed[name] == 200_000
    elif name == "optimizer_settings":
        (word,) = set(changed[name]) - set(base[name])
        assert word in PAPER.config.optimizer_settings
    else:
        assert changed[name] == PAPER.config.to_json()[name]


def test_points_that_there_are_not_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"changes no point 'bias'\. There are: bias-zero, beta1"):
        STUDY.find_point("bias")


def test_the_published_figures_are_those_of_the_table() -> None:
    assert STUDY.published[("vae", 1)] == 86.76
    assert STUDY.published[("iwae", 50)] == 84.78
    assert {k for _, k in STUDY.published} == set(STUDY.ks)


def test_two_layers_are_those_of_the_paper_and_all_else_is_as_with_one() -> None:
    two = STAGED["iwae-2"]
    assert (two.passes, two.ks, two.points) == (STUDY.passes, STUDY.ks, STUDY.points)
    assert (two.published["vae", 1], two.published["iwae", 5]) == (85.33, 83.89)
    for name, variant in two.variants.items():
        one, changed = STUDY.variants[name], variant.config.to_json()
        assert variant.rates == one.rates
        before = one.config.to_json()
        assert {k: v for k, v in changed.items() if v != before[k]} == {
            "latent_dim": 100, "second_units": 50,
        }  # fmt: skip
    shapes = two.variants["code"].config.make_vae(784).layout.shapes
    assert [shapes[f"encoder.{i}.W"] for i in (0, 2, 4)] == [(784, 200), (200, 200), (200, 200)]
    assert [shapes[f"flow.up.{i}.W"] for i in (0, 2, 4)] == [(100, 100), (100, 100), (100, 100)]
    assert [shapes[f"flow.down.{i}.W"] for i in (0, 2, 4)] == [(50, 100), (100, 100), (100, 200)]
    assert [shapes[f"decoder.{i}.W"] for i in (0, 2, 4)] == [(100, 200), (200, 200), (200, 784)]


def test_an_ablation_compares_the_same_seeds_after_the_same_stage() -> None:
    def row(point: str, stage: int, seed: int, nll: float) -> dict:
        return {"point": point, "stage": stage, "seed": seed, "test_nll": nll, "k": 1}

    rows = [row("", s, seed, 100 - s + seed) for s in (1, 2, 3) for seed in (0, 1)]
    rows += [row("bias-zero", s, seed, 102 - s + seed) for s in (1, 2) for seed in (0, 1)]
    rows += [row("shuffled", 3, 1, 97.5), row("shuffled", 4, 1, 90.0)]
    bias, shuffled = ablation(STUDY, rows)
    assert bias == ("the output bias starts at zero", 2, 2, 100.5, 98.5)
    assert shuffled == ("the images are shuffled", 3, 1, 97.5, 98.0)


def grey(count: int, seed: int) -> Split:
    images = np.random.default_rng(seed).integers(0, 256, (count, 64), dtype=np.uint8)
    return Split(images, None, 255)


def test_a_stage_is_measured_by_what_log_p_of_x_is_exactly_known_for() -> None:
    """A decoder that hears nothing: log p(x) is that of independent pixels, with any samples."""
    dataset = Dataset("grey", grey(60, 0), grey(50, 1), (8, 8))
    small = StagedRun("code", "vae", 1, 0).config(STUDY, 60, 1, small=True)
    prepared = prepare(small, dataset)
    model = Model(prepared.vae, get_backend("cpu"), seed=3)
    for name in ("decoder.4.W",):
        model.params[name][...] = 0
    for name in ("encoder.4.W", "encoder.4.b"):  # q(z|x) is the prior
        model.params[name][...] = 0
    result = measure_stage(STUDY, model, prepared, samples=40)
    bias = logit((dataset.train.images / 255).mean(axis=0).clip(0.001, 0.999))
    np.testing.assert_allclose(model.params["decoder.4.b"], bias, rtol=1e-5)
    mean = 1 / (1 + np.exp(-bias))
    expected = []
    for images in (dataset.test.images, dataset.train.images):
        x = images / 255
        expected.append(-(x * np.log(mean) + (1 - x) * np.log(1 - mean)).sum(axis=1).mean())
    # pixels are drawn: their cross-entropy is that of the grey values within its own error
    row = result.to_json()
    assert abs(row["test_nll"] - expected[0]) < 5 * row["standard_error"]
    assert abs(row["train_nll_few"] - expected[1]) < 5 * row["train_standard_error"]
    assert row["cut_nll"] == pytest.approx(row["test_nll"], abs=1e-5)
    assert (row["active_units"], row["few_samples"], row["train_images"]) == (0, 4, 60)
    assert row["half_gives_the_same"]
    assert row["sample_error"] < 1e-5
    assert row["spread_over_draws"] == pytest.approx(np.std(row["draws_nll_few"], ddof=1))
    assert 0 < row["spread_over_draws"] < row["standard_error"] * math.sqrt(50)
