"""Runs beside each other: which lines and images are drawn, and what is refused."""

import numpy as np
import pytest

from scratchvae import figures
from scratchvae.errors import ConfigError
from scratchvae.figures.comparison import COLOURS

TWO = {
    "one": figures.History([1, 2, 3], [30.0, 20.0, 10.0], [1.0, 2.0, 3.0]),
    "two": figures.History([2, 4], [25.0, 15.0], [0.5, np.nan]),
}


def lines(axes):
    return [np.array(line.get_xydata()) for line in axes.lines if len(line.get_xdata()) > 1]


def test_every_run_has_its_line_over_its_own_epochs():
    elbo, kl = figures.compared_curves(TWO).axes
    one, two = lines(elbo)
    assert one.tolist() == [[1, 30], [2, 20], [3, 10]]
    assert two.tolist() == [[2, 25], [4, 15]]
    assert [text.get_text() for text in elbo.texts] == ["one 10.0", "two 15.0"]
    assert next(text.get_text() for text in kl.texts) == "not finite, not drawn: 1"
    assert elbo.get_xlim() == (1, 4)


def test_runs_that_cannot_be_compared_share_the_axes_of_the_kl_alone():
    (kl,) = figures.compared_curves(TWO, comparable=False).axes
    assert kl.get_title(loc="left") == "KL, test"


def test_units_are_drawn_by_their_kl_the_largest_first():
    (axes,) = figures.kl_by_unit({"a": [0.1, 2.0, 0.5], "b": [1.0]}).axes
    assert axes.lines[0].get_xydata().tolist() == [[1, 2.0], [2, 0.5], [3, 0.1]]
    assert axes.lines[1].get_xydata().tolist() == [[1, 1.0]]


def test_each_run_has_a_row_of_images():
    rows = {"original": np.eye(6), "run": np.eye(6) / 2}
    (axes,) = figures.compared_images(rows, (2, 3), "Reconstructions").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["original", "run"]
    assert np.nanmax(axes.images[0].get_array()) == 1.0


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda: figures.compared_curves({}), "there must be 1 to 6 runs to draw, not 0"),
        (
            lambda: figures.kl_by_unit({str(k): [1.0] for k in range(len(COLOURS) + 1)}),
            "1 to 6 runs to draw, not 7",
        ),
        (
            lambda: figures.compared_curves({"a": figures.History([2, 1], [1, 1], [1, 1])}),
            "a must have a value for each of its epochs, which ascend",
        ),
        (lambda: figures.kl_by_unit({"a": [np.inf]}), "a finite KL for each of its latent units"),
        (lambda: figures.compared_images({}, (2, 3), ""), "at least one row of images"),
        (
            lambda: figures.compared_images({"a": np.eye(6), "b": np.eye(6)[:2]}, (2, 3), ""),
            "each row must have as many images as the others",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, sentence):
    with pytest.raises(ConfigError, match=sentence):
        draw()
