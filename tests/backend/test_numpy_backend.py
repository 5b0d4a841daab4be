"""Memory and warnings of the CPU."""

import numpy as np
import pytest

from scratchvae.backend import get_backend


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
