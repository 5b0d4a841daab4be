"""What a study completes, and the equations that its report states."""

import re

import numpy as np
import pytest

from scratchvae.backend import get_backend
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset, Split
from scratchvae.evaluation import CompletionSettings, complete, find_mask
from scratchvae.models import Model
from scratchvae.studies import STUDIES, Completed, CompletionTarget, complete_as, find_study
from scratchvae.studies.completion import describe
from scratchvae.studies.equations import equations_of
from scratchvae.training import prepare

TARGET = CompletionTarget(
    image=3, mask="top", settings=CompletionSettings(steps=5, final_samples=7), published=10.0,
    tolerance=1.0, test_images=4,
)  # fmt: skip


def test_flux_completes_what_its_tutorial_completes() -> None:
    target = find_study("flux").completion
    assert target is not None
    settings = target.settings
    assert (target.image, target.mask, target.published, target.tolerance) == (57, "top", 47.74, 5)
    assert (settings.steps, settings.rate, settings.samples) == (200, 0.01, 10)
    assert (settings.optimizer, settings.kl) == ("sgd", "sampled")
    assert (settings.mu, settings.logstd) == ((2.0, -2.0), (0.5, 0.0))


def test_the_tutorials_image_and_the_first_test_images_are_completed() -> None:
    rng = np.random.default_rng(0)
    train, test = (Split(rng.integers(0, 2, (n, 12), dtype=np.uint8), None, 1) for n in (8, 6))
    dataset = Dataset("toy", train, test, (3, 4))
    config = TrainConfig(hidden=(5,), batch_size=4)
    model = Model(config.make_vae(12), get_backend("cpu"), seed=1)
    completed, found = complete_as(TARGET, model, prepare(config, dataset))
    mask = find_mask("top", (3, 4))
    alone = complete(model, train.values()[3:4], mask, settings=TARGET.settings, numbers=[3])
    assert completed.image == alone.negative_elbo[0] == found.negative_elbo[0]
    assert completed.error == alone.error[0]
    several = complete(model, test.values()[:4], mask, settings=TARGET.settings)
    assert completed.tests == tuple(several.negative_elbo)


def test_the_words_compare_the_mean_over_seeds_and_tell_the_spread() -> None:
    """10 and 11 have the mean 10.5; 1, 2, 3, 4 twice have the quartiles 1.25, 2.5 and 3.75."""
    tests = (1.0, 2.0, 3.0, 4.0)
    one, other = describe(TARGET, [Completed(10.0, 0.1, tests), Completed(11.0, 0.1, tests)])
    assert one.endswith(
        "10.00, 11.00 nats, published 10.00: meets the published figure (within 1 nats)"
    )
    assert "training image 3 from its top half" in one
    assert other == (
        "the same for 4 test images: mean 2.50, standard deviation 1.20, "
        "quartiles 1.2, 2.5, 3.8 nats"
    )


def test_a_completion_of_a_model_that_was_trained_otherwise_is_not_judged() -> None:
    completed = [Completed(25.0, 0.1, (1.0, 2.0, 3.0, 4.0))]
    words, _ = describe(TARGET, completed, "after 100 epochs")
    assert words.endswith("25.00 nats, published 10.00 after 100 epochs: not compared")
    assert "falls short" not in words


@pytest.mark.parametrize("name", STUDIES)
def test_every_label_of_a_studys_equations_is_derived_in_the_documents(name, pytestconfig) -> None:
    text = (pytestconfig.rootpath / "docs/derivations.md").read_text(encoding="utf-8")
    derived = set(re.findall(r"^\*\*\((E\d+)\)\*\*", text, re.MULTILINE))
    statements = equations_of(STUDIES[name].config, 784, STUDIES[name].completion is not None)
    labels = {label for statement in statements for label in statement.labels}
    assert labels <= derived
    assert {"E2", "E3", "E4", "E5", "E12", "E13"} <= labels
    assert len(statements) == len({statement.where for statement in statements})
    assert all(statement.text and "(E" not in statement.text for statement in statements)


def test_equations_are_formulas_without_the_markup_of_docstrings() -> None:
    texts = {s.where: s.text for s in equations_of(STUDIES["gluon"].config, 784)}
    assert "m ← β₁ m + (1 − β₁) g" in texts["Adam"]
    assert "dμ += w μ" in texts["kl_grad"]
    assert texts["Bernoulli.nll"] == "−log p(x|z) = Σ_d of pixel_nll."
    assert not any(":`" in text or ":meth" in text for text in texts.values())


def test_the_equations_are_those_of_the_studys_own_parts() -> None:
    where = {name: {s.where for s in equations_of(STUDIES[name].config, 784)} for name in STUDIES}
    assert "Conv2D.grad_input" in where["keras-conv"]
    assert "RMSprop" in where["keras-conv"]
    assert "Gaussian.nll" in where["tensorflow1"]
    assert "Bernoulli.nll" not in where["tensorflow1"]
    assert "LogStdHead.grad_input" in where["flux"]
    assert "kl_per_unit" in where["gluon"]
    assert "Conv2D.grad_input" not in where["gluon"]
