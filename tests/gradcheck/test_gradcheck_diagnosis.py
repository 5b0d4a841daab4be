"""The verdict in words: what is wrong with a gradient."""

import numpy as np
import pytest

from scratchvae.gradcheck import gradcheck
from scratchvae.gradcheck.diagnose import diagnose, factor_named
from scratchvae.gradcheck.points import point

X = point((7, 5), 0, "x")
SQUARE = point((4, 4), 0, "square")
W = point((5, 3), 0, "w")


def verdict_of(backward, x=X, **how):
    """The verdict on a gradient of Σ x³/3, which should be x²."""
    report = gradcheck(lambda x: np.sum(x**3) / 3, x, backward=backward, raises=False, **how)
    assert not report.ok
    return report.findings[0].verdict


@pytest.mark.parametrize("directions", [None, 3])
@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (2.0, "twice the right gradient: a missing ½?"),
        (0.5, "half the right gradient: a ½ too many?"),
        (-1.0, "the sign is wrong"),
        (7.0, "7 times the right gradient (7 = the batch size): a sum for a mean?"),
        (1 / 7, "1/7 of the right gradient (7 = the batch size)"),
        (-7.0, "minus 7 times"),
        (1.25, "1.25 times the right gradient"),
        (0.0, "zero: nothing was computed or assigned"),
    ],
)
def test_a_constant_factor_is_named(factor, words, directions):
    assert words in verdict_of(lambda x, dy: factor * x**2, directions=directions)


def test_a_transpose_is_named():
    assert "the transpose" in verdict_of(lambda x, dy: (x**2).T, SQUARE)


def test_a_transpose_forced_into_the_shape_is_named():
    assert "transpose" in verdict_of(lambda x, dy: (x**2).T.reshape(x.shape))


def test_another_order_is_named():
    assert "the wrong order" in verdict_of(lambda x, dy: (x**2)[::-1])


def test_a_missing_term_is_named_when_it_is_at_hand():
    def f(x):
        return np.sum(x**3) / 3 + 0.3 * np.sum(x)

    report = gradcheck(f, X, backward=lambda x, dy: x**2, raises=False)
    assert "a term is missing: the constant 0.3" in report.findings[0].verdict
    report = gradcheck(
        lambda x: np.sum(x**3) / 3 + 0.05 * np.sum(x**2), X, backward=lambda x, dy: x**2,
        raises=False,
    )  # fmt: skip
    assert "a term is missing: 0.1 times the argument x" in report.findings[0].verdict


def test_a_wrong_row_is_located():
    def backward(x, dy):
        g = x**2
        g[2] *= 3
        return g

    assert "wrong along axis 0 at 2" in verdict_of(backward)


def test_a_mask_is_located():
    def backward(x, dy):
        g = x**2
        g[1, 2] = g[4, 0] = 0
        return g

    assert "2 of 35 elements are zero" in verdict_of(backward)


def test_something_else_is_something_else():
    assert "no simple reason fits" in verdict_of(lambda x, dy: np.exp(x))


def test_what_should_be_zero():
    report = gradcheck(
        lambda x, y: np.sum(x), X, X, backward=lambda x, y, dy: (np.ones_like(x), y), raises=False
    )
    assert "should be exactly zero" in report["y"].verdict


def test_not_a_number():
    assert "not finite: 1 of 35" in diagnose(
        np.where(np.arange(35).reshape(7, 5) == 3, np.nan, X), X, {}, {}
    )


def test_one_element_gets_no_invented_factor():
    assert "times" not in verdict_of(lambda x, dy: 1.234 * x**2, point((1,), 0, "one"))


def test_a_factor_of_one_is_no_verdict():
    assert factor_named(1.0, {"the batch size": 1}) is None


def test_a_missing_half_in_a_function_of_two_arguments():
    def f(a, b):
        return a @ b

    report = gradcheck(f, X, W, backward=lambda a, b, dy: (2 * dy @ b.T, a.T @ dy), raises=False)
    assert "twice" in report["a"].verdict
    assert report["b"].verdict == "right"
