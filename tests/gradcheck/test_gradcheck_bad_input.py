"""What cannot be checked gets a sentence: which it is, and what to do."""

import numpy as np
import pytest

from scratchvae.gradcheck import GradientError, UncheckableError, gradcheck
from scratchvae.gradcheck.points import point

X = point((3, 5), 0, "x")


def square(x):
    return np.sum(x * x)


def refused(match, f=square, backward=lambda x, dy: 2 * x, x=X):
    with pytest.raises(UncheckableError, match=match):
        gradcheck(f, x, backward=backward)


def wrong(match, f=square, backward=lambda x, dy: 2 * x, x=X):
    with pytest.raises(GradientError, match=match):
        gradcheck(f, x, backward=backward)


def test_a_gradient_of_another_shape():
    refused(r"gradient of shape \(5, 3\), the transpose's: return", backward=lambda x, dy: 2 * x.T)
    refused(r"gradient of shape \(5,\)", backward=lambda x, dy: 2 * x[0])


def test_a_gradient_of_another_dtype():
    refused("float32 for float64: keep", backward=lambda x, dy: (2 * x).astype(np.float32))


def test_too_few_gradients():
    with pytest.raises(UncheckableError, match="1 gradients for 2 arrays"):
        gradcheck(lambda a, b: np.sum(a * b), X, X, backward=lambda a, b, dy: b)


def test_arguments_that_are_empty_or_not_finite_or_no_numbers():
    refused("is empty: there is nothing", x=np.ones((0, 3)))
    refused("NaN or infinity: check at finite", x=np.array([1.0, np.nan]))
    refused("has no gradient: give real", x=np.array([1j]))
    refused("has no gradient: give real", x=np.array(["one"]))


def test_values_that_are_empty_or_not_finite_or_no_numbers():
    refused("returns NaN or infinity", f=lambda x: np.sum(np.log(x.real - 100)))
    refused("returns an empty array", f=lambda x: x[:0])
    refused("return real floating-point numbers", f=lambda x: 3)


def test_a_gradient_that_is_not_finite_fails():
    report = gradcheck(square, X, backward=lambda x, dy: x * np.nan, raises=False)
    assert "not finite" in report.findings[0].verdict
    assert (
        "not finite"
        in gradcheck(
            square, X, backward=lambda x, dy: x * np.inf, directions=1, raises=False
        ).text()
    )


def test_a_stateful_function():
    calls = []

    def counts(x):
        calls.append(1)
        return np.sum(x) * len(calls)

    refused("is stateful: twice the same input", f=counts)


def test_a_function_that_draws_its_own_noise():
    generator = np.random.default_rng(0)
    refused(
        "draws its own noise: draw it outside",
        f=lambda x: np.sum(x * generator.standard_normal(x.shape)),
    )
    refused(
        "draws its own noise",
        f=lambda x: np.sum(x * np.random.standard_normal(x.shape)),  # noqa: NPY002
    )
    refused("stateful", f=lambda x: np.sum(x * np.random.default_rng().standard_normal(x.shape)))


def test_a_backward_that_accumulates():
    total = np.zeros_like(X)

    def accumulates(x, dy):
        nonlocal total
        total = total + 2 * x
        return total

    wrong("it accumulates: assign", backward=accumulates)


def test_a_function_that_overwrites_its_argument():
    def overwrites(x):
        x *= 2
        return np.sum(x)

    wrong("overwrites its argument x", f=overwrites)


def test_a_backward_that_overwrites_its_argument():
    def overwrites(x, dy):
        x *= 2
        return x

    wrong("the backward of square overwrites its argument x", backward=overwrites)
