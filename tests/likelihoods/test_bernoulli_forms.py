"""E18, E19: the Bernoulli as it stands and in the CPU's form, at ties and huge logits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit

from scratchvae.backend import cpu_elementwise, get_backend
from scratchvae.backend.cpu import NumpyBackend
from scratchvae.gradcheck.backends import PlainBackend
from scratchvae.likelihoods.bernoulli import (
    bernoulli_nll,
    bernoulli_nll_and_grad,
    bernoulli_nll_terms,
)


def compiled(dtype):
    """NumPy with compiled loops, where numba is installed."""
    return get_backend("cpu", dtype, compiled=True)


STEP = 2.0**-70  # the imaginary step of a complex derivative
sizes = st.integers(1, 6)
each_form = pytest.mark.parametrize("backend", [PlainBackend, NumpyBackend, compiled])
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def terms(backend, a, x):
    """log(1 + eᵃ) − x a in the float type of ``a``."""
    out, tmp = (np.full(a.shape, np.nan, a.dtype) for _ in range(2))
    backend(dtype=a.dtype).compute(bernoulli_nll_terms, a, x, out, tmp)
    return out


def value_and_gradient(backend, a, x):
    """The value, summed over pixels, and the gradient."""
    nll = np.full(a.shape[:-1], np.nan, a.dtype)
    da, tmp, tmp2 = (np.full(a.shape, np.nan, a.dtype) for _ in range(3))
    bk = backend(dtype=a.dtype)
    bk.compute(bernoulli_nll, a, x, nll, tmp, tmp2)
    alone = nll.copy()
    bk.compute(bernoulli_nll_and_grad, a, x, nll, da, tmp, tmp2)
    np.testing.assert_array_equal(nll, alone)
    return nll, da


def draw(data, dtype, shape, bound):
    width = 32 if dtype == "float32" else 64
    return data.draw(arrays(dtype, shape, elements=st.floats(-bound, bound, width=width)))


def pixels(data, dtype, rows, columns, binary):
    x = np.abs(draw(data, dtype, (rows, 1, columns), 1.0))
    return np.round(x) if binary else x


@each_dtype
@given(data=st.data(), rows=sizes, samples=sizes, columns=sizes, binary=st.booleans())
def test_e18_both_forms_have_the_same_terms_to_a_few_ulp(
    dtype, data, rows, samples, columns, binary
):
    a = draw(data, dtype, (rows, samples, columns), 40.0)
    x = pixels(data, dtype, rows, columns, binary)
    plain, fast = terms(PlainBackend, a, x), terms(NumpyBackend, a, x)
    assert (np.abs(fast - plain) <= 3 * np.finfo(dtype).eps * (1 + np.abs(a))).all()


@each_dtype
@given(data=st.data(), rows=sizes, samples=sizes, columns=sizes, binary=st.booleans())
def test_e18_e19_both_forms_have_the_same_value_and_gradient_to_a_few_ulp(
    dtype, data, rows, samples, columns, binary
):
    a = draw(data, dtype, (rows, samples, columns), 40.0)
    x = pixels(data, dtype, rows, columns, binary)
    nll, da = value_and_gradient(PlainBackend, a, x)
    eps = np.finfo(dtype).eps
    for backend in (NumpyBackend, compiled):
        fast_nll, fast_da = value_and_gradient(backend, a, x)
        assert (np.abs(fast_nll - nll) <= 4 * eps * (1 + np.abs(a)).sum(axis=-1)).all()
        assert (np.abs(fast_da - da) <= 4 * eps).all()


@each_form
@each_dtype
@pytest.mark.parametrize("width", [1, 15, 16, 17, 63, 64, 65, 784, 1001])
@pytest.mark.parametrize("scale", [0.0, 1e-3, 4.0, 300.0])
def test_e18_e19_a_wide_image_is_scipys_sum_whatever_its_width(
    monkeypatch, backend, dtype, width, scale
):
    monkeypatch.setattr(cpu_elementwise, "FEW", 64)  # rows are folded as those of a large batch
    rng = np.random.default_rng(width)
    a = (scale * rng.normal(size=(5, 3, width))).astype(dtype)
    x = rng.random((5, 1, width)).astype(dtype)
    nll, da = value_and_gradient(backend, a, x)
    exact, eps = a.astype(np.longdouble), np.finfo(dtype).eps
    terms = np.logaddexp(0, exact) - x * exact
    size = (np.log(2) + np.abs(exact) * (1 + x)).sum(axis=-1)
    assert (np.abs(nll - terms.sum(axis=-1)) <= 3 * eps * size).all()
    np.testing.assert_allclose(da, expit(exact) - x, rtol=0, atol=2 * eps)


def test_a_batch_larger_than_the_cache_is_computed_block_by_block(monkeypatch):
    rng = np.random.default_rng(0)
    for shape in ((7, 1, 20), (7, 5, 20), (2, 40, 20)):
        a, x = rng.normal(size=shape), rng.random((shape[0], 1, 20))
        whole = value_and_gradient(NumpyBackend, a, x)
        monkeypatch.setattr(cpu_elementwise, "LOGITS", 60)
        for found, expected in zip(value_and_gradient(NumpyBackend, a, x), whole, strict=True):
            np.testing.assert_array_equal(found, expected)
        monkeypatch.undo()


@each_form
def test_e18_the_derivative_of_softplus_at_a_tie_is_one_half(backend):
    (at_zero,) = terms(backend, np.array([0.0 + STEP * 1j]), 0.0)
    assert at_zero.imag / STEP == 0.5
    assert at_zero.real == np.log(2)


@each_form
def test_e19_the_derivative_by_complex_step_is_sigmoid_minus_x(backend):
    a = np.array([-700.0, -31.0, -2.5, -1e-9, 0.0, 1e-9, 0.5, 3.0, 36.0, 700.0])
    derivative = terms(backend, a + STEP * 1j, 0.375).imag / STEP
    with np.errstate(over="ignore"):
        expected = 1 / (1 + np.exp(-a)) - 0.375
    np.testing.assert_allclose(derivative, expected, rtol=0, atol=4e-16)


@each_form
@each_dtype
def test_e18_e19_logits_of_ten_thousand_overflow_nowhere(backend, dtype):
    a = np.array([[1e4, -1e4, 1e4, -1e4, 0.0]], dtype)
    x = np.array([[1.0, 0.0, 0.0, 1.0, 0.5]], dtype)
    log2 = np.log(2)
    np.testing.assert_array_equal(terms(backend, a, x), np.array([[0, 0, 1e4, 1e4, log2]], dtype))
    nll, da = value_and_gradient(backend, a, x)
    np.testing.assert_array_equal(da, [[0, 0, 1, -1, 0]])
    np.testing.assert_array_equal(nll, np.array([2e4 + log2], dtype))


@each_form
def test_the_logits_and_the_pixels_stay_as_they_are(backend):
    a, x = np.array([[[0.5, -2.0, 3.0]]]), np.array([[[1.0, 0.0, 0.25]]])
    before = a.copy(), x.copy()
    value_and_gradient(backend, a, x)
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(x, before[1])
