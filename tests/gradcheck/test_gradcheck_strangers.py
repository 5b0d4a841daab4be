"""Functions as strangers bring them: right ones that other checkers blame, wrong ones they pass."""

import math
from collections import namedtuple

import numpy as np
import pytest

from scratchvae.gradcheck import (
    GradientError,
    Outcome,
    UncheckableError,
    assert_gradient,
    check_gradient,
)
from scratchvae.gradcheck.adapters import course
from scratchvae.gradcheck.points import point

X = point((5, 4), 0, "x")
T = point((5, 4), 0, "t")
V = point((6,), 0, "v")
A = point((30, 4), 0, "A") * 10
B = point((30,), 0, "b") * 10


def normalized(a):
    centred = a - a.mean(0)
    return centred / np.sqrt((centred**2).mean(0) + 1e-5)


def batch_norm_loss(b):
    return np.mean((normalized(X + b) - T) ** 2)


def batch_norm_loss_gradient(b, dy):
    a, d = X + b, 2 * dy * (normalized(X + b) - T) / X.size
    h, s = normalized(a), np.sqrt(a.var(0) + 1e-5)
    return ((d - d.mean(0) - h * (d * h).mean(0)) / s).sum(0)


OPTIMUM = np.linalg.lstsq(A, B, rcond=None)[0]
HILBERT = 1.0 / (np.arange(6)[:, None] + np.arange(6) + 1.0)


def in_float32(x):
    return np.tanh(x.astype(np.float32))


def through_a_float32_buffer(x):
    y = np.empty(x.shape, np.float32)
    y[...] = np.tanh(x)
    return y


RIGHT = {
    "zero by cancellation": (batch_norm_loss, batch_norm_loss_gradient, np.zeros(4)),
    "a dy that is ignored": (
        lambda b: batch_norm_loss(b), lambda b, dy: batch_norm_loss_gradient(b, 1.0), np.zeros(4),
    ),
    "at an optimum": (
        lambda w: 0.5 * np.sum((A @ w - B) ** 2), lambda w, dy: dy * (A.T @ (A @ w - B)), OPTIMUM,
    ),
    "an L1 penalty beside large squares": (
        lambda w: 0.5 * np.sum((A @ w - B) ** 2) + 0.01 * np.sum(np.abs(w)),
        lambda w, dy: dy * (A.T @ (A @ w - B) + 0.01 * np.sign(w)), V[:4],
    ),
    "a penalty by norm": (
        lambda w: 0.5 * np.sum(w**4) + np.linalg.norm(w),
        lambda w, dy: dy * (2 * w**3 + w / np.linalg.norm(w)), V,
    ),
    "float32 inside": (in_float32, lambda x, dy: dy / np.cosh(x) ** 2, V),
    "float32 buffer": (through_a_float32_buffer, lambda x, dy: dy / np.cosh(x) ** 2, V),
    "float32 gradient": (
        in_float32, lambda x, dy: (dy / np.cosh(x) ** 2).astype(np.float32), V,
    ),
    "float32 loss": (
        lambda x: np.float32(np.sum(np.asarray(x).astype(np.float32) ** 2) / 2),
        lambda x, dy: dy * x, V * 30,
    ),
    "steep near zero": (
        lambda x: float(np.sum(np.log(np.abs(x)))), lambda x, dy: dy / x, np.array([1e-6, -2e-6]),
    ),
    "sizes far apart": (
        lambda x: float(np.sum(np.sqrt(np.abs(x)))),
        lambda x, dy: dy * np.sign(x) / (2 * np.sqrt(np.abs(x))), np.array([1e6, 3.0, 1e-3]),
    ),
    "small inputs on differences": (
        lambda x: float(np.sum(np.exp(x))), lambda x, dy: dy * np.exp(x), 1e-3 * V,
    ),
    "tiny inputs on differences": (
        lambda x: float(np.sum(np.abs(x))), lambda x, dy: dy * np.sign(x), 1e-6 * V,
    ),
    "tiny gradients": (lambda x: 1e-12 * np.sum(x**3), lambda x, dy: 3e-12 * dy * x**2, V),
    "large values": (lambda x: 1e12 * np.sum(x**3), lambda x, dy: 3e12 * dy * x**2, V),
    "a large constant": (lambda x: 1e9 + np.sum(x**2), lambda x, dy: 2 * dy * x, V),
    "an inverse that is nearly singular": (
        np.linalg.inv,
        lambda x, dy: -np.linalg.inv(x).T @ dy @ np.linalg.inv(x).T, HILBERT,
    ),
    "saturation": (
        np.tanh, lambda x, dy: dy * (1 - np.tanh(x) ** 2), np.array([0.1, 5.0, 12.0, -17.0, 30.0]),
    ),
    "sorting": (
        lambda x: np.sort(x) * np.arange(6),
        lambda x, dy: (dy * np.arange(6))[np.argsort(np.argsort(x))], V,
    ),
    "max pooling with ties": (
        lambda x: x.reshape(2, 3).max(1),
        lambda x, dy: (np.eye(3)[x.reshape(2, 3).argmax(1)] * dy[:, None]).reshape(-1),
        np.array([0.0, 0.0, -1.0, 2.0, 2.0, 2.0]),
    ),
    "singular values": (
        lambda x: np.linalg.svd(x, compute_uv=False).sum(),
        lambda x, dy: dy * np.linalg.svd(x, full_matrices=False)[0]
        @ np.linalg.svd(x, full_matrices=False)[2], X,
    ),
    "a spectrum": (
        lambda x: np.sum(np.abs(np.fft.fft(x)) ** 2), lambda x, dy: dy * 2 * 6 * x, V,
    ),
    "a number": (lambda x: x**3, lambda x, dy: 3 * x**2 * dy, 0.7),
    "a list": (lambda x: np.sum(np.asarray(x) ** 2), lambda x, dy: 2 * dy * x, [0.7, 0.2]),
    "no rows": (
        lambda x: np.concatenate([x * 2, V]), lambda x, dy: 2 * dy[: len(x)], np.array([1.0]),
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_gradient_is_called_right(name):
    f, vjp, x = RIGHT[name]
    report = check_gradient(f, x, vjp=vjp)
    assert report.ok, report.text()


def off_in_one_element(x, dy):
    g = dy * np.exp(x)
    g[137] *= 1 + 3e-5
    return g


def forgets_a_block(th, dy):
    return dy * np.concatenate([1e8 * th[:3], np.zeros(3)])


def scales_dy(x, dy):
    dy *= 2 * x
    return dy


def zeroes_dy(x, dy):
    g = 2 * x * dy
    dy[...] = 0
    return g


class FromTheThirdCall:
    calls = 0

    def __call__(self, x, dy):
        self.calls += 1
        return 2 * x * dy * (1 if self.calls < 3 else 1.001)


class OfTheBatchBefore:
    seen = None

    def __call__(self, x, dy):
        self.seen = x if self.seen is None or self.seen is x else self.seen
        before, self.seen = self.seen, x
        return 2 * before * dy


def square(x):
    return x * x


WRONG = {
    "a forgotten L1 penalty": (
        lambda w: 0.5 * np.sum((A @ w - B) ** 2) + 0.01 * np.sum(np.abs(w)),
        lambda w, dy: dy * (A.T @ (A @ w - B)), V[:4],
    ),
    "one element of a thousand": (
        lambda x: np.asarray([float(v) for v in np.exp(x)]), off_in_one_element,
        point((1000,), 0, "thousand"),
    ),
    "a block of small elements": (
        lambda th: float(0.5e8 * np.sum(th[:3] ** 2) + 0.5 * np.sum(th[3:] ** 2)),
        forgets_a_block, V,
    ),
    "dy overwritten": (square, scales_dy, V),
    "dy zeroed": (square, zeroes_dy, V),
    "a state from the third call on": (square, FromTheThirdCall(), V),
    "the batch before": (square, OfTheBatchBefore(), V),
    "the population's variance for the sample's": (
        lambda x: np.std(x, axis=0, ddof=1),
        lambda x, dy: dy * (x - x.mean(0)) / (len(x) * x.std(0)), X,
    ),
    "batch norm by np.std without its mean": (
        lambda x: (x - x.mean(0)) / np.std(x, axis=0),
        lambda x, dy: (dy - dy.mean(0)) / np.std(x, axis=0), X,
    ),
    "the sign of an L1 norm": (
        lambda w: np.sum(np.abs(w)), lambda w, dy: dy * np.ones(6), 1e-6 * V,
    ),
    "two per cent in float32": (
        lambda x: np.float32(np.sum(np.asarray(x).astype(np.float32) ** 2) / 2),
        lambda x, dy: 1.02 * dy * x, V * 30,
    ),
    "zero at an optimum, and elsewhere": (
        lambda w: 0.5 * np.sum((A @ w - B) ** 2), lambda w, dy: 0 * w, OPTIMUM,
    ),
    "right at ones only": (lambda x: np.sum(x**3), lambda x, dy: 3 * dy * x, np.ones(4)),
    "a transpose at a symmetric matrix": (
        lambda x: np.sum(np.triu(x) ** 2 * np.arange(1, 10).reshape(3, 3)),
        lambda x, dy: 2 * dy * np.triu(x) * np.arange(1, 10).reshape(3, 3).T, np.zeros((3, 3)),
    ),
    "ties counted twice": (
        lambda x: np.max(x), lambda x, dy: dy * (x == x.max()).astype(float), V,
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_gradient_is_called_wrong(name):
    f, vjp, x = WRONG[name]
    report = check_gradient(f, x, vjp=vjp)
    assert report.outcome == "wrong", report.text()


def test_the_state_and_the_contract_are_named():
    assert "call 3" in check_gradient(square, V, vjp=FromTheThirdCall()).text()
    assert "overwrites dy: copy it first" in check_gradient(square, V, vjp=scales_dy).text()
    assert check_gradient(square, V, vjp=lambda x, dy: 2 * x * dy, overwrites=["dy"]).ok
    assert check_gradient(square, V, vjp=scales_dy_into, overwrites=["dy"]).ok


def scales_dy_into(x, dy):
    dy *= 2
    dy *= x
    return dy.copy()


def test_a_users_tolerance_is_kept_and_named():
    report = check_gradient(
        through_a_float32_buffer, V, vjp=lambda x, dy: 1.05 * dy / np.cosh(x) ** 2, tolerance=0.1
    )
    assert report.ok
    assert "excuses a difference of 0.05" in report.text()
    assert not check_gradient(
        through_a_float32_buffer, V, vjp=lambda x, dy: 1.2 * dy / np.cosh(x) ** 2, tolerance=0.1
    ).ok


def test_the_power_of_a_check_is_what_it_would_have_seen():
    for f in (np.exp, lambda x: np.asarray([float(v) for v in np.exp(x)])):
        power = check_gradient(f, V, vjp=lambda x, dy: dy * np.exp(x)).power
        assert 0 < power < 1e-5
        for factor, ok in ((1 + 0.1 * power, True), (1 + 2 * power, False)):
            report = check_gradient(f, V, vjp=lambda x, dy, c=factor: c * dy * np.exp(x))
            assert report.ok is ok


def test_what_is_lost_in_rounding_is_not_checked():
    report = check_gradient(lambda x: float(1e20 + np.sum(x**2)), V, vjp=lambda x, dy: 2 * x * dy)
    assert report.outcome == "not checked"
    assert "at the floor of rounding" in report.text()
    with pytest.raises(UncheckableError, match="floor of rounding"):
        report.raise_if_failed()


def softmax(x):
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return np.asarray(e / np.sum(e, axis=1, keepdims=True))  # a plain array from here on


def test_a_gradient_below_what_saturated_outputs_resolve_is_not_blamed():
    """The norm of complex numbers gives a slope of 0, where e⁻⁷⁰ is right: neither can be seen."""

    def length(x):
        return np.linalg.norm(softmax(x), axis=1, keepdims=True) + 0 * x

    def vjp(x, dy):
        p = softmax(x)
        d = dy.sum(1, keepdims=True) * p / np.linalg.norm(p, axis=1, keepdims=True)
        return p * (d - (d * p).sum(1, keepdims=True))

    saturated = np.array([[-141.5, -40.8, 29.1, -49.7]])
    report = check_gradient(length, saturated, vjp=vjp, nearby=False)
    assert report.outcome == "not checked"
    assert "at the floor of rounding" in report.text()
    assert check_gradient(length, saturated / 100, vjp=vjp).ok
    wrong = check_gradient(length, saturated, vjp=lambda x, dy: vjp(x, dy) + 1e-12 * dy)
    assert wrong.outcome == "wrong"


def test_a_kink_that_rounding_moves_off_the_point_is_not_blamed():
    """At x = 0 the sides meet at 0.1 + 0.2 − 0.3, which is 6·10⁻¹⁷ and not 0."""
    w = np.array([0.1, 0.2, -0.3])

    def bent(x):
        b = (np.exp(x) @ w)[:, None]
        return np.maximum(np.where(x > b, x * b, b - x), 0 * x)

    def vjp(x, dy):
        b, right = (np.exp(x) @ w)[:, None], x >= 0
        through_b = np.sum(dy * np.where(right, x, 1.0), axis=1, keepdims=True)
        return dy * np.where(right, b, -1.0) + through_b * w * np.exp(x)

    report = check_gradient(bent, np.zeros((1, 3)), vjp=vjp, nearby=False)
    assert report.outcome == "not checked"
    assert "a kink or rounding hides" in report.text()
    beside = np.array([[-1.0, -2.0, -0.5]])
    assert check_gradient(bent, beside, vjp=vjp, nearby=False).ok
    assert not check_gradient(bent, beside, vjp=lambda x, dy: vjp(x, dy) + 1e-6 * dy).ok


def test_nan_where_dy_is_zero_is_called_nan():
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    with np.errstate(over="ignore", invalid="ignore"):
        report = check_gradient(
            sigmoid, np.array([-800.0, 1.0]), vjp=lambda x, dy: dy * np.exp(-x) * sigmoid(x) ** 2
        )
    assert "gives x NaN or infinity where dy is zero" in report.text()


def test_noise_that_is_no_argument_is_not_checked():
    rng = np.random.default_rng(0)
    report = check_gradient(
        lambda x: np.sum(x * rng.normal(size=6)), V, vjp=lambda x, dy: dy * np.ones(6)
    )
    assert report.outcome == "not checked"
    assert "hand it in as an argument" in report.text()


def test_a_backward_without_return_gets_a_sentence():
    with pytest.raises(UncheckableError, match="returned None: is its return statement missing"):
        check_gradient(np.sum, V, vjp=lambda x, dy: None)
    with pytest.raises(UncheckableError, match="3 gradients for 1 arrays"):
        check_gradient(np.sum, V, vjp=lambda x, dy: (x, x, x))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.ones((2, 3)), "all ones"),
        (np.zeros((2, 3)), "all zeros"),
        (np.eye(3) + 1, "symmetric"),
        (point((3, 3), 0, "square"), "as high as wide"),
    ],
)
def test_a_point_that_hides_errors_is_named(x, words):
    report = check_gradient(lambda x: np.sum(np.exp(x)), x, vjp=lambda x, dy: dy * np.exp(x))
    assert report.ok
    assert words in report.text()


def test_a_gradient_of_zero_is_named():
    report = check_gradient(lambda x: np.sum(x**2), np.zeros(3), vjp=lambda x, dy: 2 * x * dy)
    assert report.ok
    assert "the gradient of x is zero here" in report.text()


Layer = namedtuple("Layer", "W b")


def test_structures_of_arguments_and_values():
    params = {"first": Layer(X.T.copy(), V[:5].copy()), "second": [T]}

    def f(params, x, axis):
        first = params["first"]
        h = x @ first.W + first.b
        return {"h": h, "sum": np.sum(params["second"][0] ** 2, axis=axis), "most": np.argmax(h)}

    def vjp(params, x, axis, dy):
        first, t = params["first"], params["second"][0]
        layer = Layer(x.T @ dy["h"], dy["h"].sum(0))
        dt = 2 * t * np.expand_dims(dy["sum"], axis)
        return {"first": layer, "second": [dt]}, dy["h"] @ first.W.T

    report = assert_gradient(f, params, T, 1, vjp=vjp)
    assert [f.argument for f in report.findings] == [
        "params['first'][0]", "params['first'][1]", "params['second'][0]", "x",
    ]  # fmt: skip
    with pytest.raises(UncheckableError, match=r"nothing for params\['second'\]\[0\]"):
        check_gradient(f, params, T, 1, vjp=lambda *a: ({"first": vjp(*a)[0]["first"]}, a[1]))


def test_indices_masks_and_keywords_are_handed_through():
    table, index = X, np.array([0, 2, 2, 4])

    def f(table, index, mask, *, scale):
        return scale * table[index] * mask

    def scatter(table, index, mask, dy, *, scale):
        g = np.zeros_like(table)
        np.add.at(g, index, scale * dy * mask)
        return g, None, None

    def assigns(table, index, mask, dy, *, scale):
        g = np.zeros_like(table)
        g[index] = scale * dy * mask
        return g

    mask = np.array([True, False, True, True])
    how = {"constants": {"scale": 3.0}}
    assert_gradient(f, table, index, mask, vjp=scatter, **how)
    with pytest.raises(GradientError, match="table"):
        assert_gradient(f, table, index, mask, vjp=assigns, **how)
    with pytest.raises(UncheckableError, match="has a gradient: it is taken"):
        check_gradient(lambda i: i * 1.0, index, vjp=lambda i, dy: dy)


def test_a_value_with_its_cache_is_explained():
    with pytest.raises(UncheckableError, match=r"returns dict|returns str|see adapters.residuals"):
        check_gradient(lambda x: (x * x, "cache"), V, vjp=lambda x, dy: 2 * x)


def test_a_large_argument_is_sampled_and_the_report_says_so():
    x = point((200_000,), 0, "large")
    report = check_gradient(lambda x: np.sum(x**2), x, vjp=lambda x, dy: 2 * dy * x, nearby=False)
    assert report.ok
    assert "some elements and 4 directions of each large" in report.text()
    assert "in any element of the usual size would show" in report.text()
    assert report.power > 1e-12  # and not as if each had been looked at alone

    def loses_the_end(x, dy):
        g = 2 * dy * x
        g[-1000:] = 0
        return g

    assert not check_gradient(lambda x: np.sum(x**2), x, vjp=loses_the_end, nearby=False).ok


def test_an_error_that_the_point_hides_shows_nearby_and_may_be_left_aside():
    def only_at_ones(x, dy):
        return 3 * dy * x

    report = check_gradient(lambda x: np.sum(x**3), np.ones(4), vjp=only_at_ones)
    assert report["x"].ok
    assert "right at the point, wrong near the point: x = [" in report.text()
    alone = check_gradient(lambda x: np.sum(x**3), np.ones(4), vjp=only_at_ones, nearby=False)
    assert alone.ok


def test_a_declared_surrogate_is_checked_and_named():
    def identity(x):
        return 1.0 * x

    def straight_through(x, dy):
        return 1.0 * dy

    assert not check_gradient(np.round, V, vjp=straight_through).ok
    report = assert_gradient(np.round, V, vjp=straight_through, surrogate=identity)
    assert "declared: the gradient of the surrogate identity, not of round" in report.text()
    assert not check_gradient(np.round, V, vjp=lambda x, dy: 2 * dy, surrogate=identity).ok
    with pytest.raises(UncheckableError, match=r"surrogate returns shape \(\) where"):
        check_gradient(np.round, V, vjp=straight_through, surrogate=np.sum)


def test_a_declared_seed_makes_noise_repeatable():
    rng = np.random.default_rng(0)
    start = rng.bit_generator.state

    def f(x):
        return x * rng.normal(size=6)

    def reseed():
        rng.bit_generator.state = start

    assert_gradient(f, V, vjp=lambda x, dy: dy * rng.normal(size=6), reseed=reseed)
    wrong = check_gradient(f, V, vjp=lambda x, dy: dy * rng.normal(size=6) ** 2, reseed=reseed)
    assert wrong.outcome == "wrong"


def test_a_step_that_the_function_refuses_is_left_out():
    def f(x):
        return sum(math.log(v) for v in x)

    x = np.array([1e-6, 0.5, 3.0])
    assert check_gradient(f, x, vjp=lambda x, dy: dy / x).ok
    assert not check_gradient(f, x, vjp=lambda x, dy: dy / x * [1, 1, 1.001]).ok


def test_a_function_of_float32_alone_is_checked_as_far_as_that_goes():
    def f(x):
        if x.dtype != np.float32:
            raise TypeError("float32 only")
        return x * x * x

    x = V.astype(np.float32)
    report = check_gradient(f, x, vjp=lambda x, dy: 3 * dy * x * x)
    assert report.ok, report.text()
    assert "it takes float32 alone" in report.text()
    assert 1e-7 < report.power < 1e-2
    assert not check_gradient(f, x, vjp=lambda x, dy: np.float32(3.06) * dy * x * x).ok
    with pytest.raises(TypeError, match="float32 only"):
        check_gradient(f, V, vjp=lambda x, dy: 3 * dy * x * x)


def test_an_overflow_of_the_complex_step_is_not_blamed_on_the_gradient():
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    x = np.array([0.5, -800.0, 3.0, -720.0])
    right = check_gradient(sigmoid, x, vjp=lambda x, dy: dy * sigmoid(x) * (1 - sigmoid(x)))
    assert right.outcome != "wrong", right.text()
    wrong = check_gradient(sigmoid, x, vjp=lambda x, dy: dy * (1 - sigmoid(x)))
    assert wrong.outcome == "wrong"


# ---- what rounding does where no digit moves -------------------------------------------------


def test_the_digits_that_a_complex_log1p_loses_are_not_held_against_a_gradient():
    def f(x):
        return np.log1p(np.log1p(x * x) ** 2)

    def vjp(x, dy):
        u = np.log1p(x * x)
        return dy * 2 * u / (1 + u * u) * 2 * x / (1 + x * x)

    x = np.array([1e-3, -2e-4, 3e-6, 0.7])
    report = check_gradient(f, x, vjp=vjp)
    assert report.ok
    assert report["x"].error < 1e-14
    assert not check_gradient(f, x, vjp=lambda x, dy: vjp(x, dy) * (1 + 1e-10)).ok


def test_a_gradient_that_is_zero_but_for_the_rounding_of_its_cotangent_is_right():
    # Each row minus its greatest, of rows whose numbers are all alike: zero, whatever x is. The
    # gradient shares dy among ties, and the shares add up to dy but for the last digit.
    def alike(x):
        rows = np.repeat(np.exp(np.sin(x)), 4, axis=1)
        return rows - rows.max(axis=1, keepdims=True)

    def vjp(x, dy):
        drows = dy - dy.sum(axis=1, keepdims=True) / 4
        return drows.sum(axis=1, keepdims=True) * np.exp(np.sin(x)) * np.cos(x)

    x = np.array([[0.3], [-1.2], [2.0]])
    assert np.any(vjp(x, np.array([[0.1, 0.7, 0.3, 0.9]] * 3)))
    assert check_gradient(alike, x, vjp=vjp).ok


def test_of_a_saturated_unit_it_is_not_known_whose_rounding_a_small_difference_is():
    def f(x):
        return np.log1p(np.tanh(2 * x) ** 2)

    def vjp(x, dy):
        y = np.tanh(2 * x)
        return dy * 4 * y * (1 - y * y) / (1 + y * y)

    x = np.array([-9.4, 5.6, 11.5, -7.3])
    assert check_gradient(f, x, vjp=vjp).outcome is not Outcome.WRONG
    assert check_gradient(f, x / 10, vjp=vjp).ok
    for wrong in (1.001, -1.0):  # where the unit is not saturated, all is seen
        found = check_gradient(f, x / 10, vjp=lambda x, dy, c=wrong: c * vjp(x, dy))
        assert found.outcome is Outcome.WRONG


class Slotted:
    """An object without a ``__dict__``, which draws its own noise."""

    __slots__ = ("draws", "scale")

    def __init__(self, draws=None):
        self.scale, self.draws = 3.0, draws

    def f(self, x):
        return self.scale * x if self.draws is None else x + self.draws.normal()

    def vjp(self, x, dy):
        return self.scale * dy


class Pair(namedtuple("Pair", "a b")):
    __slots__ = ()

    def f(self, x):
        return self.a * x * x


def test_methods_of_objects_with_slots_and_of_tuples_are_functions_like_others():
    own, pair = Slotted(), Pair(2.0, 0.0)
    assert check_gradient(own.f, V, vjp=own.vjp).ok
    assert check_gradient(pair.f, V, vjp=lambda x, dy: 4.0 * x * dy).ok
    noisy = Slotted(np.random.default_rng(0))
    assert check_gradient(noisy.f, V, vjp=noisy.vjp).outcome is Outcome.NOT_CHECKED


def test_a_layer_of_a_course_may_have_slots():
    class Affine:
        __slots__ = ("W", "dW", "x")

        def __init__(self):
            self.W = point((4, 3), 0, "w")

        def forward(self, x):
            self.x = x
            return x @ self.W

        def backward(self, dy):
            self.dW = self.x.T @ dy
            return dy @ self.W.T

    report = check_gradient(course(Affine()), X)
    assert [(f.argument, f.ok) for f in report.findings] == [("x", True), ("W", True)]
