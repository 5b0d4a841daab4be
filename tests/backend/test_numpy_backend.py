"""Memory and warnings of the CPU."""

import numpy as np
import pytest

from scratchvae.backend import cpu, get_backend


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


@pytest.mark.parametrize(
    ("kernel", "rows"), [("SkylakeX", 128), ("Cooperlake", 128), ("Haswell", 56), (None, 56)]
)
def test_how_many_rows_are_turned_around_depends_on_the_kernel_of_blas(kernel, rows, monkeypatch):
    class Blas:
        def info(self):
            return [{"num_threads": 1} | ({"architecture": kernel} if kernel else {})]

    monkeypatch.setattr(cpu, "_blas", Blas)
    assert cpu.few_rows.__wrapped__() == rows
    monkeypatch.setattr(cpu, "few_rows", lambda: rows)
    a, b = np.random.default_rng(0).normal(size=(2, rows + 1, 3))
    for n in (rows, rows + 1):  # turned around, and not
        out, tmp = np.empty((n, rows + 1)), np.full((n, rows + 1), np.nan)
        get_backend("cpu", "float64").gemm_nt(a[:n], b, out, tmp)
        np.testing.assert_allclose(out, a[:n] @ b.T, rtol=1e-14)
        assert np.isnan(tmp).all() == (n > rows)
