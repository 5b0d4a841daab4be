"""The film of a latent plane: its numbers are those that the run kept, and it plays."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from scratchvae.data import Dataset, load_dataset
from scratchvae.pages.film import film_of
from scratchvae.runs import Snapshots


def data_of(page: str) -> dict:
    return json.loads(re.search(r'id="film-data">(.*?)</script>', page)[1])


@pytest.fixture(scope="module")
def page(drawn):
    return (drawn / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def kept(drawn) -> Snapshots:
    return Snapshots.load(drawn / "film.npz")


def test_the_points_of_the_film_are_the_means_that_the_run_kept(page, kept):
    data = data_of(page)
    assert data["epochs"] == kept.epochs == [1, 2]
    steps = np.frombuffer(base64.b64decode(data["means"]), "<i2").reshape(2, data["count"], 2)
    found = steps * data["reach"] / 32_767
    np.testing.assert_allclose(found, np.stack(kept.means), atol=data["reach"] / 32_767)
    assert data["labels"] == list(range(10))


def test_the_pictures_of_the_film_are_the_planes_that_the_run_kept(page, kept):
    from matplotlib import colormaps

    greys = colormaps["gray"]  # of images that are not mostly black
    for address, plane in zip(data_of(page)["planes"], kept.planes, strict=True):
        content = base64.b64decode(address.removeprefix("data:image/png;base64,"))
        picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(float)
        assert picture.shape == (15 * (3 + 1) + 1, 15 * (4 + 1) + 1, 3)
        first = picture[1:4, 1:5, 0]  # of images of 3 x 4 pixels, with a line between two
        expected = 255 * greys(plane[0].reshape(3, 4).astype(float))[..., 0]
        np.testing.assert_allclose(first, expected, atol=3)


def test_a_run_that_kept_no_plane_has_no_film(drawn, trained):
    three = trained("three", "--latent-dim", 3)
    assert 'id="film"' not in (three / "report.html").read_text(encoding="utf-8")
    without = Snapshots(np.zeros((1, 12)), 2)
    without.epochs, without.frames = [1, 2], [np.zeros((1, 12))] * 2  # as an earlier version kept
    assert film_of(without, load_dataset("digits")) == ""
    assert film_of(None, load_dataset("digits")) == ""


def test_means_that_are_not_finite_or_far_away_do_not_break_the_film():
    broken = Snapshots(np.zeros((1, 64)), 2)
    broken.epochs = [1, 2]
    broken.means = [np.full((5, 2), np.nan), np.full((5, 2), 1e30)]
    broken.planes = [np.full((225, 64), np.nan, np.float16)] * 2
    data = data_of(film_of(broken, load_dataset("digits")))
    steps = np.frombuffer(base64.b64decode(data["means"]), "<i2")
    assert np.abs(steps.astype(int)).max() <= 32_767


def test_the_film_plays_in_a_browser_and_its_slider_shows_every_epoch(window, drawn, kept):
    window.open(drawn / "report.html")
    assert window.run("return document.querySelector('#film .film').hidden") is False
    for t, epoch in ((0, 1), (1, 2)):
        window.run("film.show(arguments[0])", t)
        assert window.run("return document.getElementById('film-epoch').textContent") == (
            f"epoch {epoch}"
        )
        found = window.run("return Array.from({length: 10}, (_, i) => film.mean(i))")
        np.testing.assert_allclose(found, kept.means[t], atol=1e-3)
    half = window.run("return Array.from({length: 10}, (_, i) => film.mean(i, 0.5))")
    np.testing.assert_allclose(half, (kept.means[0] + kept.means[1]) / 2, atol=1e-3)
    window.run("document.getElementById('film-at').focus()")
    window.press("ArrowLeft")
    assert window.run("return document.getElementById('film-at').value") == "0"
    window.wait_for("""
        const play = document.getElementById("film-play");
        play.click();
        const wait = setInterval(() => {
            if (play.textContent !== "Play" || document.getElementById("film-at").value !== "1")
                return;
            clearInterval(wait);
            done();
        }, 20);
    """)
    assert window.errors() == []


def test_the_report_fits_a_phone_and_its_figures_keep_their_scale(window, drawn):
    window.open(drawn / "report.html")
    try:
        for width in (380, 1200):
            window.emulate(width=width)
            inside = "return [document.documentElement.scrollWidth, innerWidth]"
            assert window.run(inside) == [width, width]
            scales = window.run("""return [...document.querySelectorAll(".frame img")].map(
                (image) => image.getBoundingClientRect().width / image.naturalWidth)""")
            closed = [scale for scale in scales if scale]  # of folded sections: 0
            np.testing.assert_allclose(closed, 0.55, atol=1e-3)
            assert len(closed) >= 6
    finally:
        window.command("Emulation.clearDeviceMetricsOverride")


def test_a_link_to_an_equation_unfolds_its_section(window, drawn):
    window.open(drawn / "report.html")
    hidden = "return document.getElementById('equations-and-code').open"
    assert window.run(hidden) is False
    assert window.wait_for(f"""
        addEventListener("hashchange", () => setTimeout(() => done((() => {{ {hidden} }})())));
        location.hash = "E12";
    """)


def test_of_large_images_every_other_point_of_the_plane_is_shown():
    wide = Snapshots(np.zeros((1, 900)), 2)
    wide.epochs, wide.means = [1, 2], [np.zeros((4, 2))] * 2
    ramp = np.linspace(0, 1, 225, dtype=np.float16)[:, None].repeat(900, axis=1)
    wide.planes = [ramp] * 2
    images = np.random.default_rng(0).random((20, 30, 30))
    address = data_of(film_of(wide, Dataset.from_arrays(images)))["planes"][0]
    content = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    picture = np.asarray(Image.open(io.BytesIO(content)).convert("L")).astype(float)
    assert picture.shape == (8 * 31 + 1, 8 * 31 + 1)
    shown = picture[15::31, 15::31] / 255
    np.testing.assert_allclose(shown, ramp[:, 0].reshape(15, 15)[::2, ::2], atol=0.01)
