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
    ("kind", "rows"), [("X86_V4", 128), ("AVX512_SKX", 128), ("X86_V3", 56), ("NEON", 56)]
)
def test_how_many_rows_are_turned_around_depends_on_the_vectors_there_are(kind, rows, monkeypatch):
    def opt_func_info(func_name, signature):
        return {"tanh": {"ff": {"current": kind, "available": "baseline"}}}

    monkeypatch.setattr(np.lib.introspect, "opt_func_info", opt_func_info)
    monkeypatch.setattr(cpu, "numpy_has_avx512", cpu.numpy_has_avx512.__wrapped__)
    assert cpu.few_rows() == rows
    a, b = np.random.default_rng(0).normal(size=(2, rows + 1, 3))
    for n in (rows, rows + 1):  # turned around, and not
        out, tmp = np.empty((n, rows + 1)), np.full((n, rows + 1), np.nan)
        get_backend("cpu", "float64").gemm_nt(a[:n], b, out, tmp)
        np.testing.assert_allclose(out, a[:n] @ b.T, rtol=1e-13, atol=1e-14)
        assert np.isnan(tmp).all() == (n > rows)


def test_a_numpy_that_says_nothing_of_its_vectors_counts_as_one_without(monkeypatch):
    monkeypatch.delattr(np.lib, "introspect")
    assert cpu.numpy_has_avx512.__wrapped__() is False
