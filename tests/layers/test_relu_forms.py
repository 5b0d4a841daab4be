"""E10, E11: ReLU as it stands and in the CPU's form, at ties, NaN, and complex steps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from scratchvae.backend.cpu import NumpyBackend
from scratchvae.gradcheck.backends import PlainBackend
from scratchvae.layers.activations import relu, relu_grad

STEP = 2.0**-70  # the imaginary step of a complex derivative
each_form = pytest.mark.parametrize("backend", [PlainBackend, NumpyBackend])
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


@each_dtype
@given(data=st.data(), shape=array_shapes(max_dims=3, max_side=6))
def test_e10_e11_both_forms_are_the_same_to_the_bit(dtype, data, shape):
    elements = st.floats(-40, 40, width=32)
    x, dy = (data.draw(arrays(dtype, shape, elements=elements)) for _ in range(2))
    found = []
    for backend in (PlainBackend, NumpyBackend):
        y, dx, tmp = (np.full(shape, np.nan, dtype) for _ in range(3))
        bk = backend(dtype=dtype)
        bk.compute(relu, x, y)
        bk.compute(relu_grad, y, dy, dx, tmp)
        found.append((y, dx))
    np.testing.assert_array_equal(*found)
    np.testing.assert_array_equal(found[0], (np.maximum(x, 0), np.where(x > 0, dy, 0)))


@each_form
def test_e11_the_derivative_at_a_tie_is_zero_and_elsewhere_zero_or_one(backend):
    x = np.array([-2.0, -0.0, 0.0, 3.0]) + STEP * 1j
    y = np.empty_like(x)
    backend(dtype="complex128").compute(relu, x, y)
    np.testing.assert_array_equal(y.imag / STEP, [0, 0, 0, 1])
    np.testing.assert_array_equal(y.real, [0, 0, 0, 3])


@each_form
def test_e11_a_complex_cotangent_passes_unharmed(backend):
    y = np.array([0.0, 0.0 + 5e-9j, 3.0 + 5e-9j])
    dy = np.array([2.0 + 1j, 2.0 + 1j, -4.0 + 0.5j])
    dx, tmp = np.empty_like(dy), np.empty_like(dy)
    backend(dtype="complex128").compute(relu_grad, y, dy, dx, tmp)
    np.testing.assert_array_equal(dx, [0, 0, -4.0 + 0.5j])


@each_form
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_a_nan_passes_through_so_that_the_loop_can_find_it(backend, dtype):
    x = np.array([np.nan, -1.0, 2.0], dtype)
    backend(dtype=dtype).compute(relu, x, x)
    np.testing.assert_array_equal(x, [np.nan, 0, 2])


@each_form
@each_dtype
def test_both_work_in_place(backend, dtype):
    bk, x = backend(dtype=dtype), np.array([-1, 4, -3], dtype)
    bk.compute(relu, x, x)
    np.testing.assert_array_equal(x, [0, 4, 0])
    dy = np.array([5, 6, 7], dtype)
    bk.compute(relu_grad, x, dy, dy, np.empty(3, dtype))
    np.testing.assert_array_equal(dy, [0, 6, 0])
