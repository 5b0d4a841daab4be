"""The CUDA backend's operations beside the plain equations."""

import numpy as np
import pytest
from differences import assert_close, assert_same

from scratchvae.backend.base import Backend
from scratchvae.backend.cpu import NumpyBackend
from scratchvae.backend.noise import Purpose, Stream, normal

SIZES = (1, 31, 32, 33, 255, 256, 257, 1025)
each_size = pytest.mark.parametrize("n", SIZES)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


class Exact(Backend):
    """The equations of the contract as they stand, in float64."""

    load, to_host = NumpyBackend.load, NumpyBackend.to_host

    def __init__(self):
        super().__init__(np, "float64")


def draw(step, *shape):
    """Normal numbers that float32 holds exactly."""
    return normal(shape, Stream(2, Purpose.DIRECTION, step)).astype("f4").astype("f8")


def agree(make, compute, dtype, ulps=8, scale=1.0):
    """The same numbers from the kernels and from the plain equations in float64.

    Twice from the kernels, to the bit, whatever the order in which threads run.
    """
    expected, found = compute(Exact()), [make(dtype), make(dtype, backwards=True)]
    results = [{k: bk.to_host(a) for k, a in compute(bk).items()} for bk in found]
    for name, value in expected.items():
        found, again = (result[name] for result in results)
        assert found.dtype == dtype, f"{name}: {found.dtype} instead of {dtype}"
        assert_same(f"{name} of a second run", again, found)
        limit = ulps * np.finfo(dtype).eps * scale
        assert_close(name, found, value, rtol=limit, atol=limit)
