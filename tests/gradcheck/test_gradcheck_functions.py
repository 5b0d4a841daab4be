"""gradcheck on functions that this package has never seen."""

import json

import numpy as np
import pytest

from scratchvae.errors import ConfigError
from scratchvae.gradcheck import GradientError, gradcheck
from scratchvae.gradcheck.points import point

A, B = point((3, 5), 0, "a"), point((5, 4), 0, "b")


def product(a, b):
    return a @ b


def product_backward(a, b, dy):
    return dy @ b.T, a.T @ dy


def half_square(x):
    return 0.5 * np.sum(x * x)


def half_square_backward(x, dy):
    return dy * x


@pytest.mark.parametrize("method", ["complex", "central", "five_point", "richardson"])
@pytest.mark.parametrize("directions", [None, 1, 3])
def test_a_right_gradient_passes_every_method(method, directions):
    how = {"method": method, "directions": directions}
    report = gradcheck(product, A, B, backward=product_backward, **how)
    assert report.ok
    assert [f.argument for f in report.findings] == ["a", "b"]
    assert gradcheck(half_square, A, backward=half_square_backward, **how).ok


@pytest.mark.parametrize("method", ["complex", "central", "five_point", "richardson"])
@pytest.mark.parametrize("directions", [None, 2])
def test_a_gradient_off_by_half_a_thousandth_fails_every_method(method, directions):
    with pytest.raises(GradientError, match="of half_square is wrong"):
        gradcheck(
            half_square,
            A,
            backward=lambda x, dy: 1.0005 * dy * x,
            method=method,
            directions=directions,
        )


def test_the_complex_step_sees_a_billionth():
    def backward(a, b, dy):
        return dy @ b.T, a.T @ dy * (1 + 1e-9)

    report = gradcheck(product, A, B, backward=backward, raises=False)
    assert report["a"].ok
    assert not report["b"].ok


def test_evaluations_are_counted():
    assert gradcheck(product, A, B, backward=product_backward).evaluations == A.size + B.size
    few = gradcheck(product, A, B, backward=product_backward, directions=3, method="five_point")
    assert few.evaluations == 2 * 3 * 4


def test_text_json_and_the_raised_error_say_the_same():
    wrong = gradcheck(half_square, A, backward=lambda x, dy: 2 * x, raises=False)
    with pytest.raises(GradientError) as caught:
        wrong.raise_if_failed()
    assert str(caught.value) == str(wrong) == wrong.text()
    assert caught.value.report is wrong
    data = json.loads(wrong.to_json())
    assert data["ok"] is False
    (finding,) = data["findings"]
    index = tuple(finding["worst"])
    assert finding["found"] == pytest.approx(2 * A[index])
    assert finding["expected"] == pytest.approx(A[index])
    assert finding["verdict"] in wrong.text()
    assert index == np.unravel_index(np.argmax(np.abs(A)), A.shape)


def test_json_has_no_infinity():
    report = gradcheck(
        lambda x: np.sum(x * 0.0), A, backward=lambda x, dy: np.ones_like(x), raises=False
    )
    assert json.loads(report.to_json())["findings"][0]["error"] == "inf"


def test_none_stands_for_an_argument_without_a_gradient():
    report = gradcheck(product, A, B, backward=lambda a, b, dy: (dy @ b.T, None))
    assert report.ok
    assert report["b"].outcome == "not checked"
    assert report["b"].verdict == (
        "backward returned None for it, though the function depends on it"
    )
    assert "every element of the gradients returned" in report.text()


def test_an_exact_zero_must_be_zero():
    def f(x):
        return np.sum(x[:2])

    def backward(x, dy):
        g = np.zeros_like(x)
        g[:2] = dy
        return g

    assert gradcheck(f, A, backward=backward).ok
    assert gradcheck(lambda x: np.sum(x) * 0, A, backward=lambda x, dy: 0 * x).ok


def test_a_function_needs_its_backward_and_its_arguments():
    with pytest.raises(ConfigError, match="needs its backward"):
        gradcheck(half_square, A)
    with pytest.raises(ConfigError, match="needs the arguments"):
        gradcheck(half_square, backward=half_square_backward)
    with pytest.raises(ConfigError, match="takes a function"):
        gradcheck(3, A)
    with pytest.raises(ConfigError, match="at least 1"):
        gradcheck(half_square, A, backward=half_square_backward, directions=0)


def test_a_scalar_argument_is_an_array_of_no_dimension():
    assert gradcheck(lambda x: x**3, 0.7, backward=lambda x, dy: 3 * x**2 * dy).ok


@pytest.mark.parametrize("size", [1e-8, 1e-3, 1e3, 1e6])
def test_large_and_small_arguments_are_no_reason_to_distrust_the_complex_step(size):
    def cube(x):
        return np.sum(x**3)

    def sine(x):
        return np.sum(np.sin(1 + x / max(size, 1.0)))

    def sine_backward(x, dy):
        return dy * np.cos(1 + x / max(size, 1.0)) / max(size, 1.0)

    x = size * A
    for f, backward in ((cube, lambda x, dy: 3 * x**2 * dy), (sine, sine_backward)):
        assert gradcheck(f, x, backward=backward).method == "complex"


@pytest.mark.parametrize("method", ["central", "five_point", "richardson"])
def test_difference_methods_scale_their_step_to_large_arguments(method):
    def backward(x, dy):
        return 3 * x**2 * dy

    assert gradcheck(lambda x: np.sum(x**3), 1e6 * A, backward=backward, method=method).ok
