"""Studies: declared as the tutorials say, judged by the rule, counted by hand."""

import json
import math
from dataclasses import asdict, replace
from typing import Any

import pytest

from scratchvae.config import TrainConfig
from scratchvae.errors import ConfigError
from scratchvae.evaluation import Evaluation
from scratchvae.models import Model
from scratchvae.studies import (
    STUDIES,
    Figure,
    Study,
    Trial,
    Tutorial,
    find_study,
    reproduce,
    table,
    with_likelihood,
)
from scratchvae.studies.reproduce import Row
from scratchvae.training import Training

STUDY = Study(
    name="toy",
    title="A toy",
    tutorial=Tutorial("A toy", "T. Maker", "2018", "https://example.org/toy"),
    config=TrainConfig(epochs=4, seed=99),
    minutes=0.1,
    target=Figure("test_loss", 3, 100.0),
    tolerance=0.5,
    published=(Figure("train_loss", 1, 150.0), Figure("test_loss", 1, 140.0)),
    published_seconds=60.0,
)


def a_training(config: TrainConfig, shift: float = 0.0, **changes: Any) -> Training:
    """Losses that fall by ten an epoch: test 130, 120, …, train 131, 121, …, shifted."""
    metrics = [
        {"epoch": e, "train_loss": 141 - 10 * e + shift, "test_loss": 140.0 - 10 * e + shift}
        for e in range(1, config.epochs + 1)
    ]
    fields = {"metrics": metrics, "seconds": 10.0 + shift} | changes
    return Training(None, **fields)  # type: ignore[arg-type]


def a_test(config: TrainConfig, shift: float = 0.0) -> Evaluation:
    """What an evaluation after the last epoch says: 400 images, a standard error of ½."""
    loss = 140.0 - 10 * config.epochs + shift
    return Evaluation(-loss, 0.5, loss, loss - 1, 1.0, [1.0], 1, [], 400, 1, "words")


def run(shifts: list[float], epochs: int | None = None, study: Study = STUDY):
    def run_one(config: TrainConfig) -> Trial:
        shift = shifts[config.seed]
        return Trial(a_training(config, shift), a_test(config, shift))

    return reproduce(study, len(shifts), epochs, run_one)


# ---- declarations -----------------------------------------------------------------------------


def test_gluon_is_declared_as_the_tutorial_has_it() -> None:
    study = find_study("gluon")
    config = study.config
    assert config.hidden == (400, 400)
    assert (config.latent_dim, config.activation, config.likelihood) == (2, "relu", "bernoulli")
    assert (config.data, config.binarize, config.shuffle) == ("mnist", "none", False)
    assert (config.optimizer, config.lr, config.batch_size, config.epochs) == (
        "adam",
        1e-3,
        100,
        50,
    )
    assert (config.head, config.init, config.beta, config.samples) == (
        "logvar", "glorot-uniform", 1.0, 1,
    )  # fmt: skip
    assert (config.validation, config.patience) == (0, 0)
    assert study.target == Figure("test_loss", 46, 141.13)
    assert study.tolerance == 0.5
    assert Figure("test_loss", 1, 171.09) in study.published
    assert Figure("train_loss", 46, 137.45) in study.published
    assert round(study.published_seconds or 0) == 1035
    model = Model(config.make_vae(784), _cpu())
    assert model.vae.layout.shapes["encoder.4.W"] == (400, 4)


def _cpu():
    from scratchvae.backend import get_backend

    return get_backend("cpu")


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_can_be_run_and_judged(name: str) -> None:
    study = STUDIES[name]
    assert study.name == name
    known = {"train_loss", "test_loss", "test_reconstruction", "test_kl"}
    target = () if study.target is None else (study.target,)
    for figure in (*study.published, *target):
        assert figure.metric in known
        assert 1 <= figure.epoch <= study.config.epochs
        assert math.isfinite(figure.value)
    assert study.title
    assert study.tutorial.cite()
    assert study.errata
    assert study.config.make_vae(784).pixels == 784


def test_a_figure_in_another_formula_is_compared_in_that_formula() -> None:
    """The toy's 110 at epoch 3 is 100 for a tutorial that leaves out a constant of 10."""
    result = run([0.0], study=replace(STUDY, offset=10.0))
    assert result.verdict == "meets the published figure (within 0.5 nats)"
    row = next(row for row in result.rows if (row.metric, row.epoch) == ("test_loss", 3))
    assert (row.in_tutorial_units, row.mean, row.published) == (100.0, 110.0, 100.0)
    lines = table(result).splitlines()
    assert lines[0].split()[-3:] == ["its", "formula", "scratchvae"]
    assert lines[3].split()[-3:] == ["100.00", "100.00", "110.00"]


def test_a_tutorial_says_where_it_was_published_and_what_is_not_known_of_it() -> None:
    assert STUDY.tutorial.cite() == "T. Maker, “A toy”, 2018, https://example.org/toy"
    assert Tutorial("A toy", "T. Maker").cite() == (
        "T. Maker, “A toy” (date and address not known)"
    )
    assert Tutorial("", opening="Once upon").cite() == (
        "an article that begins “Once upon …” (author, title, date and address not known)"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gluon", ["R. Ding", "Variational Autoencoders with Gluon", "https://gluon.mxnet.io/"]),
        ("keras-conv", ["M. Krasser", "Latent variable models, part 2", "https://github.com/"]),
        ("tensorflow1", ["D. Zoltowski", "Variational Autoencoder Tutorial in TensorFlow"]),
        ("flux", ["A. Mohamed", "Variational Autoencoders on MNIST digits", "2022-01-25"]),
    ],
)
def test_a_study_names_its_tutorial(name: str, words: list[str]) -> None:
    assert all(word in STUDIES[name].tutorial.cite() for word in words)


@pytest.mark.parametrize("name", ["gluon", "pytorch", "tensorflow1", "flux"])
def test_the_minutes_of_a_study_are_those_measured(name: str, pytestconfig) -> None:
    path = pytestconfig.rootpath / f"benchmarks/results/study_{name}.json"
    measured = json.loads(path.read_text(encoding="utf-8"))
    assert measured["epochs"] == STUDIES[name].config.epochs
    assert STUDIES[name].minutes == pytest.approx(measured["seconds"] / 60, rel=0.1)


def test_a_run_with_another_seed_or_other_workers_is_the_same_study() -> None:
    assert STUDY.is_trained_as(replace(STUDY.config, seed=3, workers=2))
    assert not STUDY.is_trained_as(replace(STUDY.config, epochs=5))
    assert not STUDY.is_trained_as(replace(STUDY.config, shuffle=False))


def test_offsets_are_what_the_tutorials_leave_out() -> None:
    """392 log(π/2) for Σ(x − x̂)²/0.5 on 784 pixels; ½ log 2π for 15 of 16 dimensions."""
    assert STUDIES["tensorflow1"].offset == pytest.approx(392 * math.log(math.pi / 2), rel=1e-14)
    assert STUDIES["pytorch"].offset == pytest.approx(7.5 * math.log(2 * math.pi), rel=1e-14)
    assert STUDIES["gluon"].offset == 0


def test_a_study_without_a_published_figure_is_not_judged() -> None:
    result = run([0.0], study=replace(STUDY, target=None, published=()))
    assert result.verdict == "no figure was published"
    assert [(row.metric, row.epoch) for row in result.rows] == [
        ("train_loss", 4), ("test_loss", 4),
    ]  # fmt: skip


def test_a_figure_on_a_few_drawn_images_comes_with_its_spread() -> None:
    """The mean of 100 of 400 images varies twice as much as that of all: ½ becomes 1."""
    *_, note = run([0.0], study=replace(STUDY, drawn_images=100)).notes
    assert "on 100 images drawn at random, as the tutorial reports it, after 4 epochs" in note
    assert "100.00 ± 1.00" in note


def test_an_unknown_study_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"unknown study 'gloun'\. Did you mean 'gluon'\?"):
        find_study("gloun")
    with pytest.raises(ConfigError, match=r"unknown study 'vae'\. There are: gluon, keras-conv"):
        find_study("vae")


# ---- the verdict ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        (99.999, "surpasses the published figure"),
        (100.0, "meets the published figure (within 0.5 nats)"),
        (100.5, "meets the published figure (within 0.5 nats)"),
        (100.501, "falls short of the published figure by 0.50 nats"),
        (103.25, "falls short of the published figure by 3.25 nats"),
        (math.nan, "falls short of the published figure by nan nats"),
    ],
)
def test_a_figure_surpasses_meets_or_falls_short(ours: float, verdict: str) -> None:
    assert STUDY.verdict(ours) == verdict


def test_the_mean_over_the_seeds_is_judged_at_the_epoch_of_the_target() -> None:
    """The toy reaches 110 at epoch 3: shifted by −9.6 on average, it is 100.4."""
    result = run([-9.0, -9.9, -9.9])
    assert result.verdict == "meets the published figure (within 0.5 nats)"
    assert run([-9.0, -9.4]).verdict == "falls short of the published figure by 0.80 nats"
    assert run([-9.0, -12.0]).verdict == "surpasses the published figure"
    assert run([-12.0], epochs=3).verdict == "surpasses the published figure"


def test_a_study_cut_short_is_not_judged_and_says_so() -> None:
    result = run([-50.0], epochs=2)
    assert result.verdict == "cut short after 2 epochs: the published figure is that of epoch 3"
    assert [(row.metric, row.epoch) for row in result.rows] == [
        ("train_loss", 1), ("test_loss", 1), ("train_loss", 2), ("test_loss", 2),
    ]  # fmt: skip


def test_seconds_of_other_epochs_are_not_set_beside_the_published() -> None:
    """Two of four epochs: 60 seconds are for four, which is said in words."""
    assert run([0.0]).published_seconds == 60.0
    for epochs in (2, 9):
        result = run([0.0], epochs=epochs)
        assert result.published_seconds is None
        assert result.notes == (
            "the tutorial states 60 seconds for its 4 epochs, on a machine of its own",
        )
        (line,) = [line for line in table(result).splitlines() if line.startswith("seconds")]
        assert line.split() == ["seconds,", str(epochs), "epochs", "10"]


def test_one_epoch_is_not_epochs() -> None:
    result = run([0.0], epochs=1)
    assert result.verdict == "cut short after 1 epoch: the published figure is that of epoch 3"
    assert "seconds, 1 epoch  " in table(result)


def test_with_another_likelihood_nothing_published_is_compared() -> None:
    full = replace(STUDY, drawn_images=100, offset=7.0)
    result = run([0.0], study=with_likelihood(full, "gaussian"))
    assert result.verdict == (
        "not comparable: the likelihood is gaussian, the tutorial's bernoulli"
    )
    assert with_likelihood(full, "gaussian").title == "A toy, with another likelihood: gaussian"
    assert result.published_seconds is None
    assert result.notes == ()
    assert all(row.published is None for row in result.rows)
    assert all(row.in_tutorial_units == row.mean for row in result.rows)
    assert with_likelihood(full, "bernoulli") is full


def test_a_longer_run_is_judged_at_the_published_epoch() -> None:
    result = run([-10.0], epochs=9)
    assert result.verdict == "meets the published figure (within 0.5 nats)"
    assert (result.epochs, result.rows[-1].epoch, result.rows[-1].mean) == (9, 9, 40.0)


# ---- the rows ---------------------------------------------------------------------------------


def test_a_row_holds_the_mean_and_its_standard_error() -> None:
    """1, 2 and 6 above 110: the mean is 113, the deviations −2, −1, 3, s² = 14/2 = 7."""
    rows = {(row.metric, row.epoch): row for row in run([1.0, 2.0, 6.0]).rows}
    target = rows["test_loss", 3]
    assert target.mean == 113.0
    assert target.standard_error == pytest.approx(math.sqrt(7 / 3), rel=1e-14)
    assert target.published == 100.0
    assert rows["train_loss", 1].mean == 134.0


def test_one_seed_has_no_standard_error() -> None:
    assert [row.standard_error for row in run([0.0]).rows] == [None] * 5


def test_the_last_epoch_has_a_row_of_its_own_without_a_published_figure() -> None:
    rows = run([0.0]).rows
    assert rows[-1] == Row("test_loss", 4, None, 100.0, 100.0, None)
    ends_at_the_target = replace(STUDY, config=replace(STUDY.config, epochs=3))
    rows = run([0.0], study=ends_at_the_target).rows
    assert [row.epoch for row in rows] == [1, 1, 3, 3]


def test_the_seeds_are_0_1_2_whatever_the_study_says_and_nothing_else_changes() -> None:
    seen: list[TrainConfig] = []

    def run_one(config: TrainConfig) -> Trial:
        seen.append(config)
        return Trial(a_training(config), a_test(config))

    result = reproduce(STUDY, 3, 5, run_one)
    assert seen == [replace(STUDY.config, seed=seed, epochs=5) for seed in (0, 1, 2)]
    assert (result.seeds, result.epochs, result.protocol) == (3, 5, "words")


def test_the_seconds_are_those_of_a_mean_run() -> None:
    assert run([0.0, 4.0]).seconds == 12.0


# ---- the table --------------------------------------------------------------------------------


def test_the_table_sets_ours_beside_the_published() -> None:
    lines = table(run([1.0, 2.0, 6.0])).splitlines()
    assert lines == [
        "nats per image           published      scratchvae",
        "train loss, epoch 1         150.00   134.00 ± 1.53",
        "test loss, epoch 1          140.00   133.00 ± 1.53",
        "test loss, epoch 3          100.00   113.00 ± 1.53",
        "train loss, epoch 4                  104.00 ± 1.53",
        "test loss, epoch 4                   103.00 ± 1.53",
        "seconds, 4 epochs               60              13",
        "the tutorial states 60 seconds for its 4 epochs, on a machine of its own",
        "seeds: 3; protocol: words",
        "training loss: ELBO with the analytic KL, 1 sample per image",
        "toy: falls short of the published figure by 13.00 nats",
    ]


def test_the_table_of_one_seed_without_published_seconds() -> None:
    lines = table(run([0.0], study=replace(STUDY, published_seconds=None))).splitlines()
    assert lines[1] == "train loss, epoch 1         150.00          131.00"
    assert lines[6] == "seconds, 4 epochs                               10"


def test_a_reproduction_is_what_json_can_hold() -> None:
    content = asdict(run([0.0, 1.0]))
    assert json.loads(json.dumps(content, allow_nan=False))["rows"][0]["metric"] == "train_loss"
