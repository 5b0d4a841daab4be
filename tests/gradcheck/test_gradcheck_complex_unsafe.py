"""Functions that a plain complex step gets wrong: differentiated by rules of real numbers, or not.

What has no rule is refused by its name and checked by differences; nothing passes in silence.
"""

import numpy as np
import pytest
from scipy import special

from scratchvae.gradcheck import GradientError, check_gradient, gradcheck
from scratchvae.gradcheck.differences import slope
from scratchvae.gradcheck.dual import Watch, direction_of, dual
from scratchvae.gradcheck.methods import COMPLEX_STEP
from scratchvae.gradcheck.points import point

X = point((4, 3), 0, "x") + 0.1
POSITIVE = np.eye(3)


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
    "xlogy": (
        lambda x: special.xlogy(x**2, 2.0 + np.abs(x) ** 2),
        lambda x, dy: dy * (2 * x * np.log(2 + x**2) + x**2 * 2 * x / (2 + x**2)),
    ),
    "float array inside": (lambda x: np.float64(2) * x.astype(float), lambda x, dy: 2 * dy),
    "standard deviation": (
        lambda x: np.std(x, axis=0),
        lambda x, dy: dy * (x - x.mean(0)) / (len(x) * x.std(0)),
    ),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_a_rule_of_real_numbers_is_exact(name):
    f, backward = UNSAFE[name]
    report = check_gradient(f, X, vjp=backward)
    assert report.ok, report.text()
    assert report.method == "complex"
    assert report.power < 1e-11


@pytest.mark.parametrize("name", UNSAFE)
def test_an_error_of_a_billionth_is_found(name):
    f, backward = UNSAFE[name]
    assert not check_gradient(f, X, vjp=lambda x, dy: backward(x, dy) * (1 + 1e-9)).ok


def test_what_a_plain_complex_step_would_miss_is_named():
    report = check_gradient(lambda x: np.linalg.norm(x) + np.abs(x).sum(), X, vjp=lambda x, dy: x)
    assert "norm, abs: by the rules of real numbers" in report.text()


RULES = {
    "maximum": lambda x: np.maximum(x, 0.2) * x,
    "clip": lambda x: np.clip(x, -0.5, 0.5) * x,
    "max over rows": lambda x: x.max(axis=1) * x[:, 0],
    "least of all": lambda x: np.min(x) * x,
    "sort": lambda x: np.sort(x, axis=1) * np.arange(3),
    "argmax": lambda x: x[np.arange(4), x.argmax(1)] ** 2,
    "median": lambda x: np.median(x, axis=0),
    "variance": lambda x: x.var(axis=1, ddof=1),
    "piecewise": lambda x: np.piecewise(x, [x < 0, x >= 0], [lambda v: -v, lambda v: v**2]),
    "hypot": lambda x: np.hypot(x, 2 * x + 1),
    "arctan2": lambda x: np.arctan2(x, 1 + x**2),
    "remainder": lambda x: (x % 0.7) * x,
    "round": lambda x: np.round(x, 1) * x,
    "norm 1": lambda x: np.linalg.norm(x, 1, axis=1),
    "log-determinant": lambda x: np.linalg.slogdet(x.T @ x + POSITIVE)[1],
    "Cholesky": lambda x: np.linalg.cholesky(x.T @ x + POSITIVE),
    "expit": special.expit,
    "gammaln": lambda x: special.gammaln(x * x + 1),
    "log_ndtr": special.log_ndtr,
    "in place": lambda x: np.abs(x, out=x.copy()),
    "loop": lambda x: sum(max(v, 0) ** 2 for v in x.ravel()),
}


@pytest.mark.parametrize("name", RULES)
def test_rules_agree_with_differences(name):
    f, v = RULES[name], point(X.shape, 0, "v")
    found = np.sum(direction_of(f(dual(X + 1j * COMPLEX_STEP * v, Watch())))) / COMPLEX_STEP
    other = slope(lambda t: np.asarray(f(X + t * v)), 0.01)
    assert other.error < 1e-8 * abs(other.value)
    assert found == pytest.approx(other.value, rel=1e-8)


REFUSED = {
    "singular values": (lambda x: np.linalg.svd(x)[1].sum(), "linalg.svd is another function"),
    "Fourier": (lambda x: np.sum(np.abs(np.fft.fft(x)) ** 2), "fft is another function"),
    "its own i": (lambda x: np.abs(np.exp(1j * x) + 1).sum(), "complex numbers of its own"),
    "float()": (lambda x: float(np.sum(x**2)), r"float\(\) is another"),
    "a real buffer": (lambda x: _into_zeros(x).sum(), "drops the imaginary part"),
    "no complex form": (lambda x: np.interp(x, [-9, 9], [0, 1]).sum(), "interp is another"),
}


def _into_zeros(x):
    y = np.zeros(x.shape)
    y[...] = np.tanh(x)
    return y


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_checked_by_differences_and_named(name):
    f, words = REFUSED[name]
    report = check_gradient(f, X, vjp=lambda x, dy: np.zeros_like(x))
    assert report.method == "ridders"
    assert not report.ok
    with pytest.raises(AssertionError, match=words):
        report.raise_if_failed()


def test_an_array_that_leaves_the_watch_is_found_by_differences():
    def f(x):
        return np.sum(x**2) + 0.01 * np.sum(np.abs(np.asarray(x)))

    right = check_gradient(f, X, vjp=lambda x, dy: dy * (2 * x + 0.01 * np.sign(x)))
    assert right.ok
    assert right.method == "ridders"
    assert not check_gradient(f, X, vjp=lambda x, dy: dy * 2 * x).ok


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


METHODS = ["complex", "central", "five_point", "richardson", "ridders"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "relu", [lambda x: np.maximum(x, 0), lambda x: x * (x > 0), lambda x: np.where(x > 0, x, 0)]
)
def test_at_a_kink_any_slope_in_between_is_right(method, relu):
    x = np.array([0.0, 1.0, -1.0, 1e-7])
    for at_zero in (0.0, 0.5, 1.0):

        def backward(x, dy, slope=at_zero):
            return dy * np.where(x == 0, slope, x > 0)

        assert gradcheck(relu, x, backward=backward, method=method).ok
    with pytest.raises(GradientError):
        gradcheck(relu, x, backward=lambda x, dy: dy * np.where(x == 0, 1.5, x > 0), method=method)


@pytest.mark.parametrize("method", METHODS)
def test_a_wrong_slope_beside_a_kink_is_wrong(method):
    x = np.array([0.0, 1.0, -1.0, 1e-7])
    with pytest.raises(GradientError):
        gradcheck(
            lambda x: np.maximum(x, 0), x, backward=lambda x, dy: 3 * dy * (x > 0), method=method
        )


def test_a_network_with_zero_biases_sees_a_blank_image():
    w1, w2 = point((5, 4), 0, "w1"), point((4,), 0, "w2")

    def f(x, b):
        return np.maximum(x @ w1 + b, 0) @ w2

    def backward(x, b, dy):
        da = np.outer(dy, w2) * (x @ w1 + b > 0)
        return da @ w1.T, da.sum(0)

    report = check_gradient(f, np.zeros((2, 5)), np.zeros(4), vjp=backward)
    assert report.ok, report.text()
    assert report["b"].kinks


def test_what_differences_cannot_bear_out_is_said():
    x = np.array([1e10, -3e10])  # a wave of length 6 between numbers 10⁻⁶ apart
    report = check_gradient(np.sin, x, vjp=lambda x, dy: dy * np.cos(x), nearby=False)
    assert report.ok
    assert "differences bear the complex step out to a relative" in report.text()
    assert "bear" not in check_gradient(np.sin, X, vjp=lambda x, dy: dy * np.cos(x)).text()
