"""The fast verbs of NumPy are the plain ones: property tests, in float64 and float32."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scratchvae.backend import get_backend
from scratchvae.backend.base import Backend
from scratchvae.backend.cpu import NumpyBackend

DTYPES = ("float32", "float64")
BK = {dtype: get_backend("cpu", dtype) for dtype in DTYPES}
PLAIN_VERBS = (
    "gemm",
    "sum_rows",
    "gather",
    "relu",
    "relu_grad",
    "bernoulli_nll_terms",
    "bernoulli",
)
Plain = type("Plain", (NumpyBackend,), {verb: getattr(Backend, verb) for verb in PLAIN_VERBS})
PLAIN = {dtype: Plain(dtype=dtype) for dtype in DTYPES}
sizes = st.integers(1, 6)


def numbers(dtype: str, bound: float = 40.0) -> st.SearchStrategy[float]:
    width = 32 if dtype == "float32" else 64
    return st.floats(-bound, bound, width=width)


def array(draw, dtype: str, shape: tuple[int, ...], bound: float = 40.0) -> np.ndarray:
    return draw(arrays(dtype, shape, elements=numbers(dtype, bound)))


def poisoned(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.full(shape, np.nan, dtype)


def close(fast: np.ndarray, plain: np.ndarray, scale: np.ndarray, ulps: float) -> bool:
    """Whether the two differ by at most so many ulp of ``scale``."""
    eps = np.finfo(plain.dtype).eps
    return bool(np.all(np.abs(fast - plain) <= ulps * eps * scale))


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data(), rows=sizes, inner=sizes, columns=sizes, flip=st.booleans())
def test_gemm_is_the_plain_gemm_also_of_transposed_views(dtype, data, rows, inner, columns, flip):
    bk, a = BK[dtype], array(data.draw, dtype, (rows, inner))
    b = array(data.draw, dtype, (columns, inner)).T if flip else array(
        data.draw, dtype, (inner, columns)
    )  # fmt: skip
    fast, plain = poisoned((rows, columns), dtype), poisoned((rows, columns), dtype)
    bk.gemm(a, b, fast)
    PLAIN[dtype].gemm(a, b, plain)
    assert close(fast, plain, np.abs(a) @ np.abs(b), 2)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data(), rows=sizes, columns=sizes)
def test_sum_rows_is_the_plain_sum_rows(dtype, data, rows, columns):
    bk, a = BK[dtype], array(data.draw, dtype, (rows, columns))
    fast, plain = poisoned((columns,), dtype), poisoned((columns,), dtype)
    bk.sum_rows(a, fast)
    PLAIN[dtype].sum_rows(a, plain)
    assert close(fast, plain, np.abs(a).sum(axis=0), 2)


@pytest.mark.parametrize("dtype", DTYPES)
@given(
    data=st.data(),
    images=sizes,
    rows=sizes,
    columns=sizes,
    max_level=st.sampled_from([None, 1, 16, 255]),
)
def test_gather_is_the_plain_gather_to_the_bit(dtype, data, images, rows, columns, max_level):
    bk = BK[dtype]
    stored = np.dtype(dtype) if max_level is None else np.dtype(np.uint8)
    elements = numbers(dtype) if max_level is None else st.integers(0, max_level)
    store = data.draw(arrays(stored, (images, columns), elements=elements))
    index = data.draw(arrays(np.int64, rows, elements=st.integers(0, images - 1)))
    fast, plain = poisoned((rows, columns), dtype), poisoned((rows, columns), dtype)
    raw = np.empty((rows, columns), stored)
    bk.gather(store, index, max_level, fast, raw)
    PLAIN[dtype].gather(store, index, max_level, plain, raw.copy())
    np.testing.assert_array_equal(fast, plain)
    if max_level == 255:
        np.testing.assert_array_equal(fast, store[index] / np.dtype(dtype).type(255))


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data(), rows=sizes, columns=sizes)
def test_relu_and_its_chain_are_the_plain_ones_to_the_bit(dtype, data, rows, columns):
    bk, shape = BK[dtype], (rows, columns)
    x, dy = array(data.draw, dtype, shape), array(data.draw, dtype, shape)
    fast, plain = poisoned(shape, dtype), poisoned(shape, dtype)
    bk.relu(x, fast)
    PLAIN[dtype].relu(x, plain)
    np.testing.assert_array_equal(fast, plain)
    y = plain.copy()
    bk.relu_grad(y, dy, fast, poisoned(shape, dtype))
    PLAIN[dtype].relu_grad(y, dy, plain, poisoned(shape, dtype))
    np.testing.assert_array_equal(fast, plain)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data(), rows=sizes, samples=sizes, columns=sizes, binary=st.booleans())
def test_bernoulli_nll_terms_are_the_plain_one_to_a_few_ulp(
    dtype, data, rows, samples, columns, binary
):
    bk, shape = BK[dtype], (rows, samples, columns)
    a = array(data.draw, dtype, shape)
    x = np.abs(array(data.draw, dtype, (rows, 1, columns), 1.0))
    x = np.round(x) if binary else x
    fast, plain = poisoned(shape, dtype), poisoned(shape, dtype)
    bk.bernoulli_nll_terms(a, x, fast, poisoned(shape, dtype))
    PLAIN[dtype].bernoulli_nll_terms(a, x, plain, poisoned(shape, dtype))
    assert close(fast, plain, 1 + np.abs(a), 3)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data(), rows=sizes, samples=sizes, columns=sizes, each=st.booleans())
def test_bernoulli_is_the_plain_one_with_one_weight_and_with_many(
    dtype, data, rows, samples, columns, each
):
    bk, shape = BK[dtype], (rows, samples, columns)
    a = array(data.draw, dtype, shape)
    x = np.abs(array(data.draw, dtype, (rows, 1, columns), 1.0))
    weight = array(data.draw, dtype, (rows, samples, 1), 3.0) if each else 0.125
    fast = poisoned((rows, samples), dtype), poisoned(shape, dtype)
    plain = poisoned((rows, samples), dtype), poisoned(shape, dtype)
    bk.bernoulli(a, x, weight, *fast, poisoned(shape, dtype))
    PLAIN[dtype].bernoulli(a, x, weight, *plain, poisoned(shape, dtype))
    assert close(fast[0], plain[0], (1 + np.abs(a)).sum(axis=-1), 4)
    assert close(fast[1], plain[1], np.abs(weight) * np.ones_like(a), 4)
