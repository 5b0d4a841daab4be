"""The formulas of the chapter on checking, E27 to E32, evaluated as the derivations state them."""

import numpy as np
import pytest

from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.gradcheck.measure import allowed, direction_scale, gradient_error
from scratchvae.gradcheck.methods import central, complex_step, five_point, richardson
from scratchvae.gradcheck.subjects import layer_subject
from scratchvae.layers import Dense


def draw(shape, lane):
    return normal(shape, Stream(0, Purpose.DIRECTION, 0, lane))


def test_e27_the_error_is_the_norm_of_the_difference_over_the_larger_of_reference_and_scale():
    g, reference = np.array([[3.0, 4.0]]), np.array([[0.0, 0.0]])
    assert gradient_error(g, reference + 5.0) == pytest.approx(np.sqrt(5.0) / np.sqrt(50.0))
    assert gradient_error(g, reference, scale=10.0) == pytest.approx(0.5)
    assert gradient_error(1e-300 * g, 2e-300 * g) == pytest.approx(0.5)  # squares would underflow


def test_e27_a_difference_that_cancels_is_measured_by_its_terms():
    a = 1.0 + draw((50,), 1) ** 2
    b = a + 1e-10
    found, exact = a - b, np.full(50, -1e-10)
    assert gradient_error(found, exact) > 1e-8
    assert gradient_error(found, exact, np.linalg.norm(np.abs(a) + np.abs(b))) < 1e-16


def test_e27_along_a_direction_the_scale_is_that_of_a_typical_one():
    g, v = draw((7,), 2), draw((7,), 3)
    expected = np.linalg.norm(g) * np.linalg.norm(v) / np.sqrt(7)
    assert direction_scale(g, v) == pytest.approx(expected)
    assert direction_scale(g, v, terms=100.0) == 100.0


def test_e27_where_the_reference_is_zero_four_ulp_are_allowed():
    assert allowed(np.zeros(3), 1e-6) == 4 * np.finfo(np.float64).eps
    assert allowed(np.array([0.0, 1.0]), 1e-6) == 1e-6


# exp at 0: every derivative is 1, so the stated terms of each error are plain numbers.


def test_e28_the_complex_step_has_no_error_but_rounding():
    x = 1.25
    exact = np.cos(x) * np.exp(np.sin(x))
    assert complex_step(lambda t: np.exp(np.sin(x + t))) == pytest.approx(exact, rel=4e-16)


@pytest.mark.parametrize("h", [0.1, 0.05])
def test_e29_the_error_of_a_central_difference_is_a_sixth_of_h_squared(h):
    error = central(np.exp, h) - 1.0
    assert error == pytest.approx(h**2 / 6 + h**4 / 120, rel=1e-4)


@pytest.mark.parametrize("h", [0.1, 0.05])
def test_e30_the_error_of_the_five_point_stencil_is_a_thirtieth_of_h_to_the_fourth(h):
    assert five_point(np.exp, h) - 1.0 == pytest.approx(-(h**4) / 30, rel=2e-3)


def test_e30_the_five_point_stencil_is_two_central_differences_combined():
    combined = (4 * central(np.exp, 0.1) - central(np.exp, 0.2)) / 3
    assert five_point(np.exp, 0.1) == pytest.approx(combined, rel=1e-14)


def test_e31_richardsons_first_two_columns_are_the_formulas_before():
    h = 0.2
    assert richardson(np.exp, h, levels=1) == central(np.exp, h)
    assert richardson(np.exp, h, levels=2) == pytest.approx(five_point(np.exp, h / 2), rel=1e-14)


def test_e31_every_column_of_richardsons_table_removes_one_more_even_power():
    columns = (1, 2, 3)
    errors = {
        (h, m): abs(richardson(np.exp, h, levels=m) - 1.0) for h in (1.0, 0.5) for m in columns
    }
    orders = [np.log2(errors[1.0, m] / errors[0.5, m]) for m in columns]
    assert orders == pytest.approx([2, 4, 6], abs=0.1)


def test_e32_the_dot_product_identity_holds_for_a_dense_layer_and_sees_a_wrong_element(
    cpu64, cpu128
):
    subject = layer_subject(Dense(4), draw((3, 5), 4))
    w = subject.cotangent()
    v = {name: draw(a.shape, 5 + i) for i, (name, a) in enumerate(subject.args.items())}
    forward, gradient = subject.bind(cpu128), subject.bind(cpu64).gradient(subject.args, w)
    slope = complex_step(
        lambda t: forward.value({name: a + t * v[name] for name, a in subject.args.items()})
    )
    left = np.sum(w * slope)
    assert sum(np.sum(gradient[n] * v[n]) for n in v) == pytest.approx(left, rel=1e-13)
    gradient["W"][2, 1] *= 1.001
    assert sum(np.sum(gradient[n] * v[n]) for n in v) != pytest.approx(left, rel=1e-6)
