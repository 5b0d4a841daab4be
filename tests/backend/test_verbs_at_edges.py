"""Verbs where it hurts: ties, huge logits, NaN, and complex steps."""

import numpy as np
import pytest

from scratchvae.backend import get_backend
from scratchvae.backend.base import Backend
from scratchvae.backend.cpu import NumpyBackend

STEP = 2.0**-70  # the imaginary step of a complex derivative
VERB_SETS = pytest.mark.parametrize("verbs", [Backend, NumpyBackend])


def bernoulli_nll_terms(verbs, dtype, a, x):
    bk = get_backend("cpu", dtype)
    a, x = np.atleast_1d(np.asarray(a, dtype)), np.asarray(x, dtype)
    out, tmp = np.full_like(a, np.nan), np.full_like(a, np.nan)
    verbs.bernoulli_nll_terms(bk, a, x, out, tmp)
    return out


@VERB_SETS
def test_the_derivative_of_softplus_at_a_tie_is_one_half(verbs):
    (at_zero,) = bernoulli_nll_terms(verbs, "complex128", 0.0 + STEP * 1j, 0.0)
    assert at_zero.imag / STEP == 0.5
    assert at_zero.real == np.log(2)


@VERB_SETS
def test_the_derivative_of_bernoulli_nll_terms_by_complex_step_is_sigmoid_minus_x(verbs):
    a = np.array([-700.0, -31.0, -2.5, -1e-9, 0.0, 1e-9, 0.5, 3.0, 36.0, 700.0])
    x = 0.375
    derivative = bernoulli_nll_terms(verbs, "complex128", a + STEP * 1j, x).imag / STEP
    with np.errstate(over="ignore"):
        expected = 1 / (1 + np.exp(-a)) - x
    np.testing.assert_allclose(derivative, expected, rtol=0, atol=4e-16)


@VERB_SETS
def test_the_derivative_of_relu_at_a_tie_is_zero_and_elsewhere_zero_or_one(verbs):
    bk = get_backend("cpu", "complex128")
    x = np.array([-2.0, -0.0, 0.0, 3.0]) + STEP * 1j
    y = np.empty_like(x)
    verbs.relu(bk, x, y)
    np.testing.assert_array_equal(y.imag / STEP, [0, 0, 0, 1])
    np.testing.assert_array_equal(y.real, [0, 0, 0, 3])


@VERB_SETS
def test_the_chain_of_relu_passes_a_complex_cotangent_unharmed(verbs):
    bk = get_backend("cpu", "complex128")
    y = np.array([0.0, 3.0 + 5e-9j])
    dy = np.array([2.0 + 1j, -4.0 + 0.5j])
    dx, tmp = np.empty_like(dy), np.empty_like(dy)
    verbs.relu_grad(bk, y, dy, dx, tmp)
    np.testing.assert_array_equal(dx, [0, -4.0 + 0.5j])


@VERB_SETS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logits_of_ten_thousand_overflow_nowhere(verbs, dtype):
    bk = get_backend("cpu", dtype)
    a = np.array([[1e4, -1e4, 1e4, -1e4, 0.0]], dtype)
    x = np.array([[1.0, 0.0, 0.0, 1.0, 0.5]], dtype)
    terms = bernoulli_nll_terms(verbs, dtype, a, x)
    np.testing.assert_array_equal(terms, np.array([[0, 0, 1e4, 1e4, np.log(2)]], dtype))
    nll, da, tmp = np.empty(1, dtype), np.empty_like(a), np.empty_like(a)
    verbs.bernoulli(bk, a, x, 1.0, nll, da, tmp)
    np.testing.assert_array_equal(da, [[0, 0, 1, -1, 0]])
    np.testing.assert_array_equal(nll, np.array([2e4 + np.log(2)], dtype))


@VERB_SETS
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_a_nan_passes_through_relu_so_that_the_loop_can_find_it(verbs, dtype):
    bk = get_backend("cpu", dtype)
    x = np.array([np.nan, -1.0, 2.0], dtype)
    verbs.relu(bk, x, x)  # in place
    assert np.isnan(x[0])
    np.testing.assert_array_equal(x[1:], [0, 2])


@VERB_SETS
def test_a_verb_that_may_work_in_place_does_so(verbs):
    bk = get_backend("cpu", "float64")
    x = np.array([-1.0, 4.0, -3.0])
    verbs.relu(bk, x, x)
    np.testing.assert_array_equal(x, [0, 4, 0])
    dy = np.array([5.0, 6.0, 7.0])
    verbs.relu_grad(bk, x, dy, dy, np.empty(3))
    np.testing.assert_array_equal(dy, [0, 6, 0])


def test_the_value_and_the_gradient_of_bernoulli_leave_their_inputs_alone(cpu64):
    a, x = np.array([[[0.5, -2.0, 3.0]]]), np.array([[[1.0, 0.0, 0.25]]])
    before = a.copy(), x.copy()
    cpu64.bernoulli(a, x, 0.5, np.empty((1, 1)), np.empty((1, 1, 3)), np.empty((1, 1, 3)))
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(x, before[1])


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_every_array_of_the_cpu_starts_on_a_cache_line(dtype):
    bk = get_backend("cpu", dtype)
    for shape in [(1,), (3, 5), (7, 2, 3)]:
        a = bk.empty(shape)
        assert a.shape == shape
        assert a.ctypes.data % 64 == 0
        assert a.flags.c_contiguous


def test_what_a_step_computes_quietly_raises_no_warning(cpu64):
    with cpu64.ignore_float_errors():
        assert np.isinf(np.exp(np.array([1e4])))[0]
    with pytest.warns(RuntimeWarning, match="overflow"):
        np.exp(np.array([1e4]))
