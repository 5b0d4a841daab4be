"""The page of a step in a browser: its arithmetic, its keys, its looks."""

import os
from pathlib import Path

import numpy as np
import pytest
from browser import Browser
from page_helpers import Run, content_of, numbers

from scratchvae.backend import get_backend
from scratchvae.cli.main import main
from scratchvae.memory import FlatBuffer
from scratchvae.models import Model
from scratchvae.pages.explain import write_explanation
from scratchvae.pages.microscope import Specimen, small_specimen, specimen_of_run

ARRAYS = (
    "return Object.fromEntries(Object.entries(here().arrays).map(([k, a]) => [k, Array.from(a)]))"
)


@pytest.fixture(scope="module")
def page(small: Run, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "step.html"
    write_explanation(path, "run", small.model, small.checkpoint, small.prepared)
    return path


@pytest.fixture
def opened(window: Browser, page: Path) -> Browser:
    window.emulate()
    window.command("Emulation.clearDeviceMetricsOverride")
    window.open(page)
    return window


def gradient_in_python(specimen: Specimen, eps, changes) -> dict[str, np.ndarray]:
    """Loss and gradient of a specimen with other noise and some other weights."""
    bk = get_backend("cpu", "float64")
    params = FlatBuffer(bk, specimen.vae.layout)
    params.load(specimen.params)
    for (name, index), value in changes.items():
        params[name].reshape(-1)[index] = value
    model = Model(specimen.vae, bk, params=params)
    loss, gradient = model.loss_and_gradient(specimen.x, np.reshape(eps, specimen.eps.shape))
    return {f"grad.{name}": g for name, g in gradient.items()} | {"objective": loss.total}


def agrees(found, expected) -> None:
    for key, a in expected.items():
        np.testing.assert_allclose(found[key], np.ravel(a), rtol=1e-9, atol=1e-9, err_msg=key)


def test_what_the_page_computes_for_other_noise_and_weights_is_what_python_computes(
    opened: Browser, small: Run
):
    specimens = (
        small_specimen(),
        specimen_of_run("run", small.model, small.checkpoint, small.prepared),
    )
    for i, specimen in enumerate(specimens):
        opened.run("chooseModel(arguments[0]); moveNoise(0, 1.25); moveNoise(1, -0.4)", i)
        agrees(opened.run(ARRAYS), gradient_in_python(specimen, [1.25, -0.4], {}))
        changes = {("encoder.2.W", 5): 0.7, ("decoder.0.b", 1): -1.5, ("decoder.2.W", 0): 2.0}
        for (name, index), value in changes.items():
            opened.run("here().setWeight(...arguments)", name, index, value)
        agrees(opened.run(ARRAYS), gradient_in_python(specimen, [1.25, -0.4], changes))
    assert opened.errors() == []


@pytest.mark.parametrize(
    "options",
    [
        "--hidden 8 5 --activation tanh --samples 3 --beta 2.5",
        "--hidden 8 --activation sigmoid --head logstd --latent-dim 3",
        "--hidden 8 --likelihood gaussian --std 0.3",
        "--hidden 8 --likelihood gaussian --std 0.3 --mean identity",
        "--hidden 8 --likelihood continuous-bernoulli",
        "--encoder 'reshape 3 4 1' flatten 'dense 5' relu --decoder 'dense 12' 'reshape 3 4'",
    ],
)
def test_the_page_computes_every_kind_of_model_that_it_says_it_does(
    window: Browser, train, tmp_path, options
):
    run = train(options)
    path = tmp_path / "step.html"
    write_explanation(path, "run", run.model, run.checkpoint, run.prepared)
    window.open(path)
    window.run("chooseModel(1)")
    assert window.run("return here().notLive") == ""
    assert window.run("return here().agreement()") < 1e-12
    window.run("moveNoise(0, 0.9)")
    specimen = specimen_of_run("run", run.model, run.checkpoint, run.prepared)
    eps = specimen.eps.copy()
    eps[0, 0, 0] = 0.9
    agrees(window.run(ARRAYS), gradient_in_python(specimen, eps, {}))


def test_the_page_agrees_with_the_recorded_step_to_rounding(opened: Browser):
    assert opened.run("return specimens.map((s) => s.agreement())") == pytest.approx(
        [0, 0], abs=1e-13
    )


def test_the_update_follows_a_changed_weight(opened: Browser):
    """The first step of Adam moves by lr against the sign of the gradient, whatever its size."""
    opened.run("here().setWeight('decoder.2.b', 0, -3)")
    found = opened.run(ARRAYS)
    assert found["grad.decoder.2.b"][0] < -0.5
    assert found["after.decoder.2.b"][0] == pytest.approx(-3 + 0.1, abs=1e-6)


def test_arrow_keys_walk_and_the_slider_scrubs(opened: Browser):
    where = "return [page.step, byId('scrub').value, byId('where').textContent]"
    opened.press("ArrowRight", "ArrowRight", "ArrowLeft")
    step, slider, text = opened.run(where)
    assert (step, slider) == (1, "1")
    assert text == "2 of 27 · Forward"
    opened.press("End")
    assert opened.run("return page.step") == 26
    opened.press("Home")
    assert opened.run("return page.step") == 0
    opened.run("byId('scrub').value = 9; byId('scrub').dispatchEvent(new Event('input'))")
    assert "The reconstruction term" in opened.run("return byId('step').textContent")


def test_dragging_the_sample_moves_the_noise_and_the_loss(opened: Browser):
    x, y = opened.run(
        "byId('dot').scrollIntoView({block: 'center', behavior: 'instant'});"
        "const box = byId('dot').getBoundingClientRect();"
        "return [box.x + box.width / 2, box.y + box.height / 2]"
    )
    before = opened.run(ARRAYS)
    opened.drag((x, y), (x + 40, y - 30))
    after = opened.run(ARRAYS)
    assert after["eps"][0] > before["eps"][0]
    assert after["eps"][1] > before["eps"][1]
    assert after["objective"] != before["objective"]
    for j in range(2):  # z = μ + σ ε still
        mu, std = before["encoder.2.y"][j], before["std"][j]
        assert after["z"][j] == pytest.approx(mu + std * after["eps"][j])
    assert opened.run("return byId('reset').disabled") is False
    opened.run("byId('reset').click()")
    assert opened.run(ARRAYS) == before


def test_the_plane_is_moved_by_keys_without_walking(opened: Browser):
    opened.run("byId('plane').focus()")
    before = opened.run(ARRAYS)["z"]
    opened.press("ArrowRight", "ArrowUp")
    after = opened.run(ARRAYS)["z"]
    assert np.subtract(after, before) == pytest.approx([0.1, 0.1])
    assert opened.run("return page.step") == 0


def test_a_chosen_number_is_written_out(opened: Browser):
    opened.run("go(1)")
    opened.run("document.querySelectorAll('#step figure:last-of-type td')[1].focus()")
    opened.run("choose('encoder.0.y', 1)")
    text = opened.run("return document.querySelector('.written').textContent")
    content = small_specimen()
    y = float((content.x @ content.params["encoder.0.W"] + content.params["encoder.0.b"])[0, 1])
    assert text.startswith("encoder.0.y [2]   Σ x W + b = 1 · ")
    assert text.replace("−", "-").endswith(f" = {y:.4g}")


def test_beside_a_gradient_stand_the_complex_step_and_the_difference(opened: Browser, page: Path):
    check = content_of(page)["specimens"][0]["checks"]["grad.decoder.0.W"]
    opened.run("go(here().steps.findIndex((s) => s.shows.includes('grad.decoder.0.W')))")
    text = opened.run("return byId('step').textContent")
    assert f"largest difference {check['difference']:.2e}"[:24].replace("-", "−") in text
    spans = opened.run("return document.querySelectorAll('#step td span').length")
    assert spans == 2 * (2 * 3 + 3)  # of dW and db


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 380)])
def test_nothing_is_wider_than_the_window(opened: Browser, scheme: str, width: int):
    opened.emulate(scheme, width)
    for model in (0, 1):
        opened.run("chooseModel(arguments[0])", model)
        for step in range(0, opened.run("return here().steps.length"), 3):
            opened.run("go(arguments[0])", step)
            assert opened.run("return document.documentElement.scrollWidth") <= width, step
    ground = opened.run("return getComputedStyle(document.body).backgroundColor")
    assert (int(ground[4:].split(",")[0]) < 128) == (scheme == "dark")


def test_every_control_has_a_name(opened: Browser):
    nameless = opened.run(
        "return [...document.querySelectorAll('input, select, button, canvas, svg')].filter((e) =>"
        " !(e.getAttribute('aria-label') || e.getAttribute('aria-hidden') || e.textContent.trim()"
        " || (e.labels && e.labels.length))).map((e) => e.outerHTML.slice(0, 80))"
    )
    assert nameless == []


def test_the_command_writes_the_page_and_says_its_size(small: Run, tmp_path, capsys):
    out, before = tmp_path / "page.html", Path.cwd()
    os.chdir(small.folder.path.parent)
    try:
        assert main(["explain", str(small.folder.path), "-o", str(out), "--json"]) == 0
    finally:
        os.chdir(before)
    assert f'"bytes": {out.stat().st_size}' in capsys.readouterr().out
    x = content_of(out)["specimens"][1]["arrays"]["x"]
    np.testing.assert_allclose(numbers(x)[0], small.prepared.train.values([0])[0])


def test_every_step_of_a_model_given_a_label_is_shown_as_recorded(window: Browser, train, tmp_path):
    run = train("--hidden 8 --condition label:10")
    path = tmp_path / "step.html"
    write_explanation(path, "run", run.model, run.checkpoint, run.prepared, image=3)
    window.open(path)
    shown = window.run("""
        chooseModel(1);
        return here().steps.map((step, i) => {
          go(i);
          return step.shows.filter((key) => key in here().arrays)
            .map((key) => here().symbol(key) + writtenOut(key, 0)).join();
        });
    """)
    assert window.errors() == []
    assert not [text for text in shown if "NaN" in text or "undefined" in text]
    assert any("[z | c]" in text for text in shown)
    strip = window.run(
        "return [...document.querySelectorAll('#strip .name')].map((e) => e.textContent)"
    )
    assert "z | c" in strip
    assert "it is given a label" in window.run("return here().notLive")
