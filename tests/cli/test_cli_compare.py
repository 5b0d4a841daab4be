"""scratchvae compare: what differs, what it is worth, and where that says nothing."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from scratchvae.pages.document import ON_SCREEN


def train(cli, tiny_train, name: str, *options: object) -> Path:
    assert cli(*tiny_train, "--out", name, "--quiet", *options).code == 0
    return Path(name)


@pytest.fixture
def pair(cli, here, tiny_train) -> Path:
    """β = 1 and 2 units beside β = 4 and 5 units."""
    train(cli, tiny_train, "one")
    train(cli, tiny_train, "four", "--beta", 4, "--latent-dim", 5, "--epochs", 3)
    return here


def test_the_table_shows_what_differs_and_what_it_is_worth(cli, pair) -> None:
    answer = cli("compare", "one", "four", "--quiet")
    assert (answer.code, answer.err) == (0, "")
    lines = [re.split(r"\s{2,}", line.strip()) for line in answer.out.splitlines()]
    assert lines[:4] == [
        ["one", "four"], ["latent_dim", "2", "5"], ["beta", "1.0", "4.0"], ["epochs", "2", "3"],
    ]  # fmt: skip
    assert ["epoch", "2", "3"] in lines
    assert "protocol: not binarized; Bernoulli likelihood on values in [0, 1]" in answer.out
    assert answer.out.endswith("whatever β\n")


def test_the_numbers_are_those_of_evaluate_and_of_the_metrics(cli, pair) -> None:
    content = json.loads(cli("compare", "one", "four", "--json", "--quiet").out)
    assert (content["comparable"], content["warnings"]) == (True, [])
    assert content["differences"] == {"latent_dim": [2, 5], "beta": [1.0, 4.0], "epochs": [2, 3]}
    for found in content["runs"]:
        run = found["run"]
        alone = json.loads(cli("evaluate", run, "--json", "--quiet").out)
        assert found == {name: alone[name] for name in found}
        last = json.loads((pair / run / "metrics.jsonl").read_text().splitlines()[-1])
        assert found["kl"] == last["test_kl"]
        assert found["loss"] == last["test_loss"]
        assert found["elbo"] == -(last["test_reconstruction"] + last["test_kl"])


def test_the_page_holds_the_table_the_curves_and_the_images(cli, pair) -> None:
    answer = cli("compare", "one", "four", "-o", "page.html", "--quiet")
    assert answer.out.splitlines()[-1] == "page: page.html"
    page = (pair / "page.html").read_text(encoding="utf-8")
    content = json.loads(cli("compare", "one", "four", "--json", "--quiet").out)
    for run in content["runs"]:
        assert f"<b>{-run['elbo']:.2f}</b><span>{run['run']}: −ELBO</span>" in page
    assert re.findall('<figure id="figure-(.*?)">', page) == [
        "curves", "kl_by_unit", "reconstructions", "samples",
    ]  # fmt: skip
    assert "<td>beta</td><td>1.0</td><td>4.0</td>" in page
    assert 'class="warn"' not in page
    assert '<a href="one/report.html">one</a>' in page
    assert f"--scale: {ON_SCREEN}" in page
    assert not re.search('(src|href)="(?!data:|#|one/|four/)', page)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--binarize", "threshold"), "the test pixels are binarized in other ways (one: not bin"),
        (("--likelihood", "gaussian"), "the likelihoods differ (one: Bernoulli; other: Gauss"),
        (("--condition", "label"), "the models are given other things (one: given nothing; other"),
        (("--data", "other.npy"), "the runs have other data (one: tiny.npz; other: other.npy)"),
    ],
)
def test_elbos_that_cannot_be_compared_are_not_drawn_in_one_axes(
    cli, here, tiny_train, options, why
) -> None:
    np.save(here / "other.npy", np.random.default_rng(1).integers(0, 256, (40, 3, 4), np.uint8))
    train(cli, tiny_train, "one")
    train(cli, tiny_train, "other", *options)
    answer = cli("compare", "one", "other", "-o", "page.html")
    assert answer.code == 0
    assert f"note: the ELBOs cannot be compared: {why}" in answer.err
    assert "−ELBO, not to be compared" in answer.out
    page = (here / "page.html").read_text(encoding="utf-8")
    assert f"The ELBOs cannot be compared: {why}" in page
    figures = re.findall('<figure id="figure-(.*?)">', page)
    assert figures[:2] == ["kl", "kl_by_unit"]
    assert ("reconstructions" in figures) == (options[0] == "--likelihood")  # the same originals


def test_runs_of_a_table_of_numbers_have_no_images(cli, here, tiny_train) -> None:
    np.savetxt(here / "rows.csv", np.random.default_rng(0).normal(size=(40, 3)), delimiter=",",
               header="a,b,c", comments="")  # fmt: skip
    for name, seed in (("r0", 0), ("r1", 1)):
        train(cli, tiny_train, name, "--data", "rows.csv", "--likelihood", "gaussian", "--seed",
              seed)  # fmt: skip
    assert cli("compare", "r0", "r1", "-o", "page.html").code == 0
    page = (here / "page.html").read_text(encoding="utf-8")
    assert re.findall('<figure id="figure-(.*?)">', page) == ["curves", "kl_by_unit"]


def test_runs_that_were_never_evaluated_on_the_way_and_conditional_ones_are_compared_too(
    cli, here, tiny_train
) -> None:
    train(cli, tiny_train, "one", "--evaluate-at", 2)
    train(cli, tiny_train, "given", "--condition", "label")
    assert cli("compare", "one", "given", "-o", "page.html", "--quiet").code == 0


def test_two_runs_alike_are_said_to_have_the_same_settings(cli, here, tiny_train) -> None:
    for name in ("one", "two"):
        train(cli, tiny_train, name)
    assert cli("compare", "one", "two", "-o", "page.html", "--quiet").code == 0
    assert "all have the same settings" in (here / "page.html").read_text(encoding="utf-8")
