"""The fast operations of NumPy are the plain ones: property tests, in float64 and float32."""

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
PLAIN_OPERATIONS = ("gemm", "sum_rows", "gather")
Plain = type("Plain", (NumpyBackend,), {name: getattr(Backend, name) for name in PLAIN_OPERATIONS})
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
    """Whether the two differ by at most ``ulps`` ulp of ``scale``."""
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
