"""scratchvae reproduce, on a stand-in for MNIST: a few hundred images of 784 pixels."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scratchvae.data import Dataset, Split
from scratchvae.models import Model
from scratchvae.studies import STUDIES, find_study
from scratchvae.training import Training


def stand_in() -> Dataset:
    rng = np.random.default_rng(0)
    parts = [
        Split(rng.integers(0, 256, (n, 784), dtype=np.uint8), np.arange(n) % 10, 255)
        for n in (300, 100)
    ]
    return Dataset("mnist", parts[0], parts[1], (28, 28))


@pytest.fixture(autouse=True)
def small_mnist(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    dataset = stand_in()
    monkeypatch.setattr(
        "scratchvae.cli.common.load_dataset", lambda source, *more, **keywords: dataset
    )


def test_one_epoch_of_gluon_sets_its_numbers_beside_the_published(cli, here) -> None:
    answer = cli("reproduce", "gluon", "--epochs", 1, "--seeds", 2, "--no-figures", "--out", "g")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0] == "784-400-400-2 with ReLU on grey MNIST: the Gluon tutorial"
    assert lines[1].startswith("after R. Ding, “Variational Autoencoders with Gluon”, https://")
    assert lines[2].split() == ["nats", "per", "image", "published", "scratchvae"]
    assert lines[3].startswith("train loss, epoch 1         184.74")
    assert lines[4].startswith("test loss, epoch 1          171.09")
    assert "±" in lines[4]
    assert lines[5].split()[:-1] == ["seconds,", "1", "epoch"]  # 1035 is for 50
    assert lines[6].startswith("the tutorial states 1035 seconds for its 50 epochs")
    assert "seeds: 2; protocol: not binarized; Bernoulli likelihood on values in [0, 1]" in lines[7]
    assert lines[8].startswith("training loss: ELBO with the analytic KL, 1 sample")
    assert lines[9] == "gluon: cut short after 1 epoch: the published figure is that of epoch 46"
    assert lines[10:-1] == [f"the tutorial {erratum}" for erratum in find_study("gluon").errata]
    assert lines[-1] == "report: g/report.html"
    assert "gluon, seed 0: a few seconds on 2 cores of an AMD EPYC" in answer.err
    assert "gluon, seed 1" in answer.err
    for seed in (0, 1):
        config = json.loads((here / "g" / f"seed-{seed}" / "config.json").read_text())["config"]
        assert (config["seed"], config["epochs"], config["batch_size"]) == (seed, 1, 100)
        assert config["shuffle"] is False


def test_json_is_the_result_file_and_quiet_is_quiet(cli, here) -> None:
    options = ["--epochs", "1", "--no-figures", "--json", "--quiet"]
    answer = cli("reproduce", "gluon", *options)
    assert (answer.code, answer.err) == (0, "")
    content = json.loads(answer.out)
    assert content == json.loads((here / "runs" / "gluon-1" / "result.json").read_text())
    assert content["run"] == "runs/gluon-1"
    line = json.loads((here / "runs/gluon-1/seed-0/metrics.jsonl").read_text())
    ours = {(row["metric"], row["epoch"]): row["mean"] for row in content["rows"]}
    assert ours["test_loss", 1] == line["test_loss"]
    assert ours["train_loss", 1] == line["train_loss"]
    assert (content["seeds"], content["epochs"], content["study"]) == (1, 1, "gluon")
    assert content["device"]["name"]
    assert content["settings"]["epochs"] == 1
    assert content["test"][0]["loss"] == line["test_loss"]
    again = cli("reproduce", "gluon", *options)
    assert json.loads(again.out)["run"] == "runs/gluon-2"
    assert json.loads(again.out)["rows"] == content["rows"]


def test_a_run_of_a_study_is_a_run_like_any_other_with_figures(cli, here) -> None:
    assert cli("reproduce", "gluon", "--epochs", 1, "--out", "g", "--device", "cpu").code == 0
    assert (here / "g/seed-0/figures/losses.png").stat().st_size > 10_000
    content = json.loads(cli("evaluate", "g/seed-0", "--json").out)
    assert (content["images"], content["epoch"]) == (100, 1)


def test_the_report_is_one_file_with_every_figure_and_the_table(cli, here) -> None:
    assert cli("reproduce", "gluon", "--epochs", 1, "--out", "g", "--device", "cpu").code == 0
    page = (here / "g" / "report.html").read_text(encoding="utf-8")
    figures = list((here / "g/seed-0/figures").glob("*.png"))
    assert page.count("data:image/png;base64,") == len(figures) >= 6
    assert not re.search(r'src="(?!data:)', page)  # needs no network
    assert '<a href="https://gluon.mxnet.io/chapter13_unsupervised-learning/vae-gluon' in page
    assert '<dt><code>shuffle</code></dt><dd class="own">no</dd>' in page
    assert re.search(r"<td>date</td><td>20\d\d-\d\d-\d\d</td>", page)
    assert re.search(r"<td>machine</td><td>.*, \d+ cores</td>", page)
    assert re.search(r"<td>versions</td><td>scratchvae [\d.]+, python", page)
    assert '<a href="seed-0/report.html">seed 0</a>' in page
    assert "<td>171.09</td>" in page
    assert "N(μ, σ²I)" in page
    assert "--epochs 1" in page


def test_flux_leaves_its_completions_and_a_report_whose_links_lead_somewhere(
    cli, here, monkeypatch
) -> None:
    flux = find_study("flux")
    small = replace(flux, config=replace(flux.config, subset="first:150"))
    monkeypatch.setitem(STUDIES, "flux", small)
    answer = cli("reproduce", "flux", "--epochs", 1, "--out", "f", "--json", "--device", "cpu")
    assert answer.code == 0, answer.err
    content = json.loads(answer.out)
    (completed,) = content["completed"]
    assert completed["image"] > 0
    assert len(completed["tests"]) == 100
    (note,) = [n for n in content["notes"] if n.startswith("completion of training image 57")]
    assert note.endswith("nats, published 47.74 after 100 epochs: not compared")
    figures = {path.stem for path in (here / "f/seed-0/figures").iterdir()}
    assert {"completion", "posterior", "latent_scatter", "latent_scatter_train"} <= figures
    page = (here / "f" / "report.html").read_text(encoding="utf-8")
    ids, links = (set(re.findall(rf'{kind}="#?(\w+)"', page)) for kind in ("id", "href"))
    assert {"E2", "E12", "E20", "E60", "E62"} <= links <= ids
    stand = [
        page.index(f'<figure id="figure-{name}"') for name in ("losses", "film_strip", "completion")
    ]
    assert stand == sorted(stand)


def test_a_study_with_another_likelihood_is_not_compared(cli, here, monkeypatch) -> None:
    study = find_study("tensorflow1")
    small = replace(study, config=replace(study.config, subset="last:200"))
    monkeypatch.setitem(STUDIES, "tensorflow1", small)
    argv = ("--epochs", 1, "--likelihood", "bernoulli", "--no-figures", "--out", "t", "--json")
    answer = cli("reproduce", "tensorflow1", *argv)
    assert answer.code == 0, answer.err
    content = json.loads(answer.out)
    assert content["settings"]["likelihood"] == "bernoulli"
    assert content["verdict"] == (
        "not comparable: the likelihood is bernoulli, the tutorial's gaussian"
    )
    assert all(row["published"] is None for row in content["rows"])
    assert all(row["in_tutorial_units"] == row["mean"] for row in content["rows"])
    assert content["command"].endswith("--epochs 1 --likelihood bernoulli")
    assert "Bernoulli likelihood" in content["protocol"]


def test_a_report_without_figures_has_no_heading_over_nothing(cli, here) -> None:
    assert cli("reproduce", "gluon", "--epochs", 1, "--no-figures", "--out", "g").code == 0
    page = (here / "g" / "report.html").read_text(encoding="utf-8")
    assert re.findall("<h2>(.*?)</h2>", page) == [
        "Errata of the tutorial", "Settings", "How it came about", "Equations and code",
    ]  # fmt: skip


def test_a_published_figure_that_is_out_of_reach_is_not_drawn(cli, here, monkeypatch) -> None:
    drawn = []
    monkeypatch.setattr(
        "scratchvae.cli.reproduce.train_in_folder",
        lambda prepared, run, bk, quiet, published: (
            drawn.append(published)
            or Training(Model(prepared.vae, bk), metrics=[], stopped="SIGINT")
        ),
    )
    assert cli("reproduce", "gluon", "--epochs", 45, "--out", "g").code == 130
    assert cli("reproduce", "gluon", "--epochs", 46, "--out", "h").code == 130
    assert drawn == [None, {"published, epoch 46": 141.13}]


def test_the_help_says_how_long_a_study_takes_and_where_it_was_published(cli) -> None:
    text = cli("reproduce", "--help").out
    assert "time of one seed on 2 cores of an AMD EPYC" in text
    assert re.search(r"keras-conv +20 epochs, about 14 minutes\n +M\. Krasser", text)
    assert "https://gluon.mxnet.io/chapter13_unsupervised-learning/vae-gluon.html" in text


def test_a_categorical_study_knows_the_levels_of_its_data(cli, here) -> None:
    argv = ("--epochs", 1, "--likelihood", "categorical", "--no-figures", "--out", "c", "--json")
    answer = cli("reproduce", "gluon", *argv)
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["settings"]["max_level"] == 255
    assert "Categorical.nll" in (here / "c" / "report.html").read_text(encoding="utf-8")


def test_all_studies_run_one_after_the_other(cli, here) -> None:
    answer = cli("reproduce", "--all", "--epochs", 1, "--no-figures", "--out", "a", "--json")
    assert answer.code == 2  # the stand-in has fewer images than the first 10,000
    assert "asks for more than 300 images" in answer.err


def stopped(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def train_in_folder(prepared, run, bk, quiet, published):
        return Training(Model(prepared.vae, bk), metrics=[], stopped=name)

    monkeypatch.setattr("scratchvae.cli.reproduce.train_in_folder", train_in_folder)


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interrupted_study_exits_with_the_signal(cli, here, name, code, monkeypatch) -> None:
    stopped(monkeypatch, name)
    answer = cli("reproduce", "gluon", "--seeds", 2, "--out", "g")
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.splitlines()[-1] == "scratchvae: interrupted"


@pytest.mark.parametrize("content", ["config.json", "seed-1/config.json", "notes.txt"])
def test_a_folder_that_holds_anything_is_refused_before_the_first_seed(cli, here, content) -> None:
    path = here / "g" / content
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    answer = cli("reproduce", "gluon", "--epochs", 1, "--seeds", 2, "--out", "g", "--quiet")
    assert (answer.code, answer.out) == (2, "")
    assert "choose another --out" in answer.err
    assert [p for p in (here / "g").rglob("*") if p.is_file()] == [path]


OWN_STUDY = """
from scratchvae.config import TrainConfig
from scratchvae.studies import Figure, Study, Tutorial

STUDY = Study(
    name="small digits",
    title="A small VAE",
    tutorial=Tutorial(title="A notebook of ours"),
    config=TrainConfig(hidden=(8,), epochs=1, batch_size=100),
    minutes=0.1,
    target=Figure("test_loss", epoch=1, value=10_000.0),
)
NUMBER = 5
"""


def test_a_study_in_a_module_of_ones_own_is_run_by_its_name(cli, here) -> None:
    (here / "own_study.py").write_text(OWN_STUDY)
    answer = cli("reproduce", "own_study:STUDY", "--no-figures", "--json", "--quiet")
    assert answer.code == 0, answer.err
    content = json.loads(answer.out)
    assert content["verdict"] == "surpasses the published figure"
    assert content["run"] == "runs/small-digits-1"
    assert content["command"] == "scratchvae reproduce own_study:STUDY --seeds 1"
    assert (here / "runs/small-digits-1/report.html").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_study:NUMBER", "study 'own_study:NUMBER': expected a scratchvae.studies.Study "
         "under this name, not 5; write module:STUDY"),
        ("own_study:OTHER", "under this name, not None; write module:STUDY"),
        ("not_there:STUDY", "study 'not_there:STUDY': the module cannot be imported"),
    ],
)  # fmt: skip
def test_a_name_that_leads_to_no_study_is_one_sentence(cli, here, name, message) -> None:
    (here / "own_study.py").write_text(OWN_STUDY)
    answer = cli("reproduce", name)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert answer.err.count("\n") == 1
