"""A study in stages drawn: every curve in its place, with the published values."""

import numpy as np
import pytest

from scratchvae.errors import ConfigError
from scratchvae.figures import Curve, by_pass, draw_stages
from scratchvae.studies import STAGED

PASSES = [1, 4, 13]


def row(run: str, stage: int, **changes):
    numbers = {
        "run": run, "objective": "vae", "k": 1, "point": "", "seed": 0, "small": False,
        "stage": stage, "passes": PASSES[stage - 1], "test_nll": 100.0 - stage,
        "sample_error": 0.01, "active_units": 10 + stage, "samples": 50, "protocol": "words",
    }  # fmt: skip
    return numbers | changes


def test_each_training_is_a_line_through_its_values_and_published_ones_are_dashed() -> None:
    named = {
        "k = 1": [Curve(PASSES, [110.0, 100.0, 95.0], [0.1, 0.1, 0.1]),
                  Curve(PASSES[:2], [111.0, 101.0])],
        "k = 5": [Curve(PASSES, [109.0, 99.0, 93.0])],
    }  # fmt: skip
    figure = by_pass(named, "A title", "nats", "caption", published={"theirs": 86.76})
    (axes,) = figure.axes
    lines = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert [line.get_ydata().tolist() for line in lines] == [
        [110, 100, 95], [111, 101], [109, 99, 93],
    ]  # fmt: skip
    assert lines[0].get_color() == lines[1].get_color() != lines[2].get_color()
    (dashed,) = (line for line in axes.lines if line.get_linestyle() != "-")
    assert set(dashed.get_ydata()) == {86.76}
    assert axes.get_xscale() == "log"
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "4", "13"]
    words = [t.get_text() for t in axes.texts]
    assert words == ["k = 1: 98.00", "k = 5: 93.00", "theirs: 86.76"]
    low, high = axes.get_ylim()
    assert low < 86.76 < 111 < high


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({}, "there must be a curve to draw"),
        ({"a": [Curve([1, 4], [1.0])]}, "a must have a value for each of its passes"),
        ({"a": [Curve([4, 1], [1.0, 2.0])]}, "which ascend from 1"),
        ({"a": [Curve([1, 4], [1.0, np.nan])]}, "a must hold finite numbers"),
        ({"a": [Curve([1, 4], [1.0, 2.0], [0.1])]}, "a must have a value for each"),
    ],
)
def test_what_cannot_be_drawn_is_refused(named, words) -> None:
    with pytest.raises(ConfigError, match=words):
        by_pass(named, "", "")


def test_the_ablation_is_drawn_beside_the_settings_as_they_are(tmp_path) -> None:
    rows = [row("vae-k1-seed0", stage) for stage in (1, 2, 3)]
    rows += [row("bias-zero-seed0", stage, point="bias-zero", test_nll=101.0) for stage in (1, 2)]
    rows += [row("iwae-k5-seed0", 1, objective="iwae", k=5)]
    drawn = draw_stages(tmp_path, STAGED["iwae"], rows)
    assert [path.name for path in drawn] == ["nll.png", "active.png", "ablation.png"]
    assert draw_stages(tmp_path, STAGED["iwae"], rows[3:5]) == [tmp_path / "ablation.png"]
