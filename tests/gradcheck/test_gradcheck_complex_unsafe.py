"""Functions that a complex step cannot pass: noticed by a second method, never passed silently."""

import numpy as np
import pytest
from scipy import special

from scratchvae.gradcheck import GradientError, gradcheck
from scratchvae.gradcheck.directions import point

X = point((4, 3), 0, "x") + 0.1


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


UNSAFE = {
    "abs": (np.abs, lambda x, dy: dy * np.sign(x)),
    "abs times x": (lambda x: np.abs(x) * x, lambda x, dy: dy * 2 * np.abs(x)),
    "sign": (lambda x: np.sign(x) * x**2, lambda x, dy: dy * 2 * np.abs(x)),
    "norm": (np.linalg.norm, lambda x, dy: dy * x / np.linalg.norm(x)),
    "conjugate": (lambda x: x * np.conj(x), lambda x, dy: 2 * dy * x),
    "real part": (lambda x: x.real * x, lambda x, dy: 2 * dy * x),
    "vdot": (lambda x: np.vdot(x, x), lambda x, dy: 2 * dy * x),
    "logaddexp": (lambda x: np.logaddexp(x, 0), lambda x, dy: dy * sigmoid(x)),
    "heaviside": (lambda x: np.heaviside(x, 0) * x, lambda x, dy: dy * (x > 0)),
    "xlogy": (lambda x: special.xlogy(x**2, 2.0 + np.abs(x) ** 2), None),
    "float array inside": (lambda x: np.float64(2) * x.astype(float), lambda x, dy: 2 * dy),
}


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize("name", UNSAFE)
def test_the_fallback_is_central_and_its_tolerance_is_printed(name):
    f, backward = UNSAFE[name]
    if backward is None:

        def backward(x, dy):
            return dy * (2 * x * np.log(2 + x**2) + x**2 * 2 * x / (2 + x**2))

    report = gradcheck(f, X, backward=backward)
    assert report.method == "central"
    assert "not complex-safe" in report.text()
    assert "central instead, tolerance 1e-06" in report.text()


@pytest.mark.parametrize("name", ["abs", "norm", "logaddexp"])
def test_the_fallback_still_finds_a_wrong_gradient(name):
    f, backward = UNSAFE[name]
    with pytest.raises(GradientError, match="twice"):
        gradcheck(f, X, backward=lambda x, dy: 2 * backward(x, dy))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.maximum(x, 0),
        lambda x: np.where(x.real > 0, x, 0),
        lambda x: np.sqrt(2 + x * x) + np.log1p(np.exp(x)) + np.expm1(x) + np.tanh(x),
        lambda x: np.einsum("ij,ij->i", x, x),
        lambda x: x @ x.T,
    ],
)
def test_what_is_complex_safe_is_checked_by_the_complex_step(f):
    report = gradcheck(f, X, backward=lambda x, dy: np.zeros_like(x), raises=False)
    assert report.method == "complex"
    assert not report.ok


def test_a_kink_at_the_point_is_no_reason_to_fall_back():
    x = np.array([0.0, 1.0, -1.0])
    report = gradcheck(lambda x: np.where(x.real > 0, x, 0), x, backward=lambda x, dy: dy * (x > 0))
    assert report.method == "complex"


@pytest.mark.parametrize("method", ["central", "five_point", "richardson"])
def test_difference_methods_report_kinks_and_accept_any_slope_in_between(method):
    x = np.array([0.0, 1.0, -1.0, 1e-7])
    report = gradcheck(
        lambda x: np.maximum(x, 0), x, backward=lambda x, dy: dy * (x > 0), method=method
    )
    assert report.findings[0].kinks == 2
    assert "2 at a kink" in report.text()
    with pytest.raises(GradientError):
        gradcheck(
            lambda x: np.maximum(x, 0), x, backward=lambda x, dy: 3 * dy * (x > 0), method=method
        )
