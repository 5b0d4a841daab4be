"""report.html of a run: what stands on it, from which files, and that it needs nothing else."""

import json
import re
import shlex
import shutil
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from scratchvae.cli.main import main, make_parser
from scratchvae.config import TrainConfig
from scratchvae.figures.captions import CAPTIONS
from scratchvae.pages import single_file
from scratchvae.pages.document import ON_SCREEN, document_link
from scratchvae.pages.run_report import command_of

VOID = {"meta", "img", "br", "input"}


class Checked(HTMLParser):
    """Fails where tags are not nested as they should be; collects ids, links and sources."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.feed(page)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag not in VOID:
            self.stack.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        self.sources += [found["src"]] if "src" in found else []

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


def page_of(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_every_link_leads_somewhere(drawn):
    page = Checked(page_of(drawn))
    assert len(page.ids) == len(set(page.ids))
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    inside = {link[1:] for link in page.links if link.startswith("#")}
    assert {"E2", "E12", "training", "settings", "equations-and-code"} <= inside <= set(page.ids)
    outside = [link for link in page.links if not link.startswith("#")]
    assert all((drawn / link).is_file() for link in outside), outside
    assert {Path(link).name for link in outside} >= {"tour.md", "derivations.md"}
    assert "http" not in page_of(drawn)


def test_the_numbers_are_those_of_the_last_line_of_the_metrics_with_their_protocol(drawn):
    page, last = page_of(drawn), json.loads((drawn / "metrics.jsonl").read_text().splitlines()[-1])
    for name, words in (
        ("test_loss", "test −ELBO"), ("test_reconstruction", "reconstruction"),
        ("test_kl", "KL"), ("train_loss", "training loss"),
    ):  # fmt: skip
        assert f"<div><b>{last[name]:.2f}</b><span>{words}</span></div>" in page
    protocol = "not binarized; Bernoulli likelihood on values in [0, 1] (a cross-entropy, not a"
    assert protocol in page
    assert page.index(protocol) < page.index("<figure")  # result and protocol first
    assert "27 training images, 10 test images" in page


def test_with_another_weight_of_the_kl_the_loss_is_not_called_an_elbo(trained):
    page = page_of(trained("beta", "--beta", 4, "--no-figures"))
    assert "<span>test loss, β = 4</span>" in page
    assert "−ELBO" not in page.partition("</nav>")[0]
    assert '<dt><code>beta</code></dt><dd class="own">4.0</dd>' in page


def test_the_best_epoch_is_the_one_whose_numbers_are_shown(trained):
    run = trained("best", "--validation", 5, "--lr", 2, "--epochs", 6, "--no-figures")
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    best = min(metrics, key=lambda line: line["validation_loss"])
    assert best["epoch"] < 6
    assert f"<b>{best['test_loss']:.2f}</b>" in page_of(run)
    assert f"after epoch {best['epoch']}, the best on the validation split" in page_of(run)


def test_every_figure_stands_in_its_section_with_a_line_on_what_to_look_for(drawn):
    page = page_of(drawn)
    names = {path.stem for path in (drawn / "figures").glob("*.png")}
    assert set(re.findall('<figure id="figure-(.*?)">', page)) == names
    for name in names:
        assert CAPTIONS[name].look_for, name
        after = page.partition(f'<figure id="figure-{name}">')[2].partition("</figure>")[0]
        words = re.sub("<.*?>", "", after.partition("<figcaption>")[2])
        assert words == CAPTIONS[name].look_for
        assert len(words) <= 125, name
    assert page.index('id="training"') < page.index('id="reconstruction"') < page.index('id="data"')
    assert '<details class="part" id="data"><summary>' in page  # folded


def test_all_figures_are_shown_at_one_scale(drawn):
    """In the page a width is pixels of the PNG times one number, of which there is one a medium."""
    from PIL import Image

    page = page_of(drawn)
    assert "width: calc(var(--w) * var(--scale) * 1px)" in page
    scales = [float(scale) for scale in re.findall(r"--scale: ([\d.]+)", page)]
    assert scales[0] == ON_SCREEN
    assert len(scales) == 2
    widths = {}
    for path in (drawn / "figures").glob("*.png"):
        with Image.open(path) as image:
            widths[path.stem] = image.width
            assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)  # sizes in points agree
    found = re.findall(r'<figure id="figure-(\w+)">.*?style="--w:(\d+)"', page)
    assert {name: int(width) for name, width in found} == widths
    assert max(widths.values()) * scales[1] <= 660.5  # of A4 between its margins: 680


def test_all_settings_stand_in_a_fold_and_those_that_differ_in_bold(drawn):
    page = page_of(drawn)
    folded = page.partition("<h3>All settings</h3>")[2].partition("</dl>")[0]
    settings = json.loads((drawn / "config.json").read_text())["config"]
    assert re.findall("<code>(.*?)</code>", folded) == list(settings)
    bold = set(re.findall('<code>(\\w+)</code></dt><dd class="own">', folded))
    defaults = TrainConfig().to_json()
    assert bold == {name for name in settings if settings[name] != defaults[name]}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "data": "my file's.npz",
            "hidden": (),
            "shuffle": False,
            "beta": 0.5,
            "lr": "cosine:1e-3:1e-5:900",
        },
        {"encoder": ("dense 5", "relu"), "decoder": ("dense 7",), "evaluate_at": (1, 3)},
        {"likelihood": "categorical", "max_level": 16, "compiled": False, "workers": 2},
    ],
)
def test_the_command_of_the_page_trains_with_the_settings_of_the_run(settings):
    config = TrainConfig(**settings)
    program, *argv = shlex.split(command_of(config))
    args = make_parser().parse_args(argv)
    found = TrainConfig.from_json({name: getattr(args, name) for name in TrainConfig.defaults()})
    assert program == "scratchvae"
    assert found.to_json() | {"max_level": config.max_level} == config.to_json()


def test_the_page_says_when_and_where_the_run_was_made_and_of_which_data(drawn):
    page, settings = page_of(drawn), json.loads((drawn / "config.json").read_text())
    date, clock = settings["begun"].removesuffix("+00:00").split("T")
    assert f"{date} {clock} UTC" in page
    assert f"Begun {date}, 2 epochs in" in page
    for fact in (
        settings["machine"]["processor"], settings["versions"]["numpy"], settings["kernel"],
        settings["data"]["fingerprint"],
    ):  # fmt: skip
        assert fact in page


def test_code_stands_under_the_equation_that_it_computes(drawn):
    page = page_of(drawn)
    assert "<summary><code>Dense.grad_input</code></summary><pre>def grad_input(" in page
    assert "dx = dy Wᵀ" in page


def test_pages_of_the_run_are_linked_where_they_exist(place, drawn, monkeypatch):
    assert "explorer.html" not in page_of(drawn)
    assert "<code>scratchvae explore drawn</code>: move through" in page_of(drawn)
    run = shutil.copytree(drawn, place / "explored")
    (run / "explorer.html").write_text("a page")
    monkeypatch.chdir(place)
    monkeypatch.setattr("scratchvae.figures.draw_run", lambda *args: [])  # they are there
    assert main(["plot", "explored", "--quiet"]) == 0
    assert '<a href="explorer.html">explorer.html</a>: move through' in page_of(run)
    assert "<code>scratchvae explain explored</code>: one training step" in page_of(run)
    assert main(["explain", "explored", "--quiet"]) == 0
    assert '<a href="explain.html">explain.html</a>: one training step' in page_of(run)
    assert 'id="film"' in page_of(run)  # still


def test_every_command_of_the_page_is_one_that_there_is(drawn):
    commands = re.findall("<code>(scratchvae .*?)</code>", page_of(drawn))
    assert len(commands) >= 7
    for command in commands:
        make_parser().parse_args(shlex.split(command)[1:])


def test_plot_writes_the_page_of_a_run_that_has_none_and_nothing_for_a_folder_elsewhere(
    place, trained, monkeypatch, capsys
):
    run = shutil.copytree(trained("bare", "--no-figures"), place / "old")
    before = page_of(run)
    (run / "report.html").unlink()
    settings = json.loads((run / "config.json").read_text())
    for name in ("begun", "machine", "versions", "kernel", "workers", "blas_threads"):
        del settings[name]  # as in a run of before they were recorded
    (run / "config.json").write_text(json.dumps(settings))
    monkeypatch.chdir(place)
    monkeypatch.setattr("scratchvae.figures.draw_run", lambda *args: [])  # what others test
    assert main(["plot", "old", "--out", "elsewhere", "--quiet"]) == 0
    assert not (run / "report.html").exists()
    capsys.readouterr()
    assert main(["plot", "old", "--quiet"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "old/report.html"
    page = page_of(run)
    Checked(page)
    assert page.partition("</nav>")[0].count("<b>") == before.partition("</nav>")[0].count("<b>")
    assert "<td>begun</td>" not in page
    assert "<td>versions</td>" not in page


def test_a_run_that_goes_on_keeps_the_date_on_which_it_was_begun(place, trained, monkeypatch):
    run = shutil.copytree(trained("bare", "--no-figures"), place / "longer")
    settings = json.loads((run / "config.json").read_text())
    settings["begun"] = "2024-02-29T12:00:00+00:00"
    (run / "config.json").write_text(json.dumps(settings))
    monkeypatch.chdir(place)
    more = ["--resume", "longer", "--epochs", "3", "--change-settings", "--quiet"]
    assert main(["train", *more]) == 0
    page = page_of(run)
    assert "Begun 2024-02-29, 3 epochs in" in page
    assert "until step 8 with another config" in page


def test_documents_are_named_where_they_do_not_lie_beside_the_code(tmp_path, monkeypatch):
    monkeypatch.setattr(single_file, "SOURCE", tmp_path)
    words = document_link(tmp_path / "report.html", "tour.md", "the tour")
    assert words == "the tour (<code>docs/tour.md</code> of the source)"


def test_the_page_does_not_slow_a_training(place, trained, monkeypatch):
    """Processor time, the fastest of several: noise only ever adds."""
    from scratchvae.backend import get_backend
    from scratchvae.data import load_dataset
    from scratchvae.pages import write_run_report
    from scratchvae.runs import RunFolder
    from scratchvae.training import prepare

    monkeypatch.chdir(place)
    run = RunFolder.open(trained("drawn").relative_to(place))
    model, _ = run.load(get_backend("cpu"))
    prepared = prepare(run.config(), load_dataset("tiny.npz"), vae=model.vae)
    before, seconds = run.report_path.read_bytes(), []
    for _ in range(4):
        begun = time.process_time()
        write_run_report(run, prepared, model)
        seconds.append(time.process_time() - begun)
    assert min(seconds) < 0.05
    assert run.report_path.read_bytes() == before  # the same numbers give the same page
