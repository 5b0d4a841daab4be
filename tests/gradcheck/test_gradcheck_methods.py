"""The derivatives by evaluation: how exact each is, and what it notices at a kink."""

import numpy as np
import pytest

from scratchvae.errors import ConfigError
from scratchvae.gradcheck.methods import (
    COMPLEX_STEP,
    METHODS,
    central,
    complex_step,
    five_point,
    kink,
    method_named,
    richardson,
)
from scratchvae.gradcheck.points import direction, point

X = 0.7
EXACT = np.cos(X) * np.exp(np.sin(X))


def phi(t):
    return np.exp(np.sin(X + t))


def test_e28_complex_step_is_exact_to_rounding():
    assert complex_step(phi) == pytest.approx(EXACT, rel=2e-16)
    assert COMPLEX_STEP <= 2.0**-66


@pytest.mark.parametrize(
    ("method", "error"), [(central, 1e-9), (five_point, 1e-11), (richardson, 1e-11)]
)
def test_e29_e30_e31_differences_are_as_exact_as_they_promise(method, error):
    assert method(phi) == pytest.approx(EXACT, rel=error)
    assert method(phi) != EXACT


def test_e29_central_errs_by_h_squared():
    errors = [abs(central(phi, h) - EXACT) for h in (0.02, 0.01)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.01)


def test_e30_five_point_errs_by_h_to_the_fourth():
    errors = [abs(five_point(phi, h) - EXACT) for h in (0.1, 0.05)]
    assert errors[0] / errors[1] == pytest.approx(16.0, rel=0.03)


@pytest.mark.parametrize(("levels", "factor"), [(1, 4.0), (2, 16.0), (3, 64.0)])
def test_e31_each_level_of_richardson_takes_away_two_powers_of_h(levels, factor):
    errors = [abs(richardson(phi, h, levels) - EXACT) for h in (0.1, 0.05)]
    assert errors[0] / errors[1] == pytest.approx(factor, rel=0.1)


def test_an_unknown_method_is_a_sentence():
    with pytest.raises(ConfigError, match="complex, central, five_point, richardson"):
        method_named("forward")


@pytest.mark.parametrize("name", [n for n in METHODS if n != "complex"])
@pytest.mark.parametrize("at", [0.0, 0.3, -0.7])
def test_a_kink_in_reach_is_found(name, at):
    h = METHODS[name].reach
    slopes = kink(lambda t: np.maximum(t - at * h, 0.0) + 0.5 * t, h)
    assert slopes is not None
    here = 1.5 if at < 0 else 0.5
    assert 0.49 <= slopes[0] <= here <= slopes[1] <= 1.51
    assert slopes[1] - slopes[0] > 0.3


@pytest.mark.parametrize("name", [n for n in METHODS if n != "complex"])
def test_a_smooth_curve_has_no_kink(name):
    assert kink(phi, METHODS[name].reach) is None
    assert kink(lambda t: 3.0 + 0.0 * t, METHODS[name].reach) is None
    assert kink(lambda t: 100.0 + t**2, METHODS[name].reach) is None


def test_no_component_of_a_direction_can_vanish():
    v = direction((1000,), 0, "v")
    assert 0.5 <= np.min(np.abs(v)) < np.max(np.abs(v)) < 1.5
    assert 400 < np.count_nonzero(v > 0) < 600
    assert np.array_equal(v, direction((1000,), 0, "v"))
    assert not np.array_equal(v, direction((1000,), 0, "v", number=1))
    assert not np.array_equal(v, direction((1000,), 0, "w"))
    assert not np.array_equal(point((9,), 0, "v"), point((9,), 1, "v"))
