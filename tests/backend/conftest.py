"""The CUDA backend twice: emulated on the CPU, and where there is one, on a GPU."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from emulation import EmulatedBackend

from scratchvae.backend import Backend
from scratchvae.backend.cuda import CupyBackend


class PoisonedCupy(CupyBackend):
    """Fresh memory is filled with NaN: what is read before it is written shows."""

    def empty(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        out = super().empty(shape, dtype)
        out.fill(np.nan if out.dtype.kind in "fc" else 0x5A)
        return out


def emulated(dtype: str = "float32", backwards: bool = False) -> Backend:
    """The emulation; ``backwards``: its threads run in the reverse order."""
    bk = EmulatedBackend(dtype=dtype)
    bk.kernels.backwards = backwards
    return bk


def on_gpu(dtype: str = "float32", backwards: bool = False) -> Backend:
    """The GPU, whose threads run as they like."""
    return PoisonedCupy(dtype=dtype)


@pytest.fixture(
    params=[
        pytest.param(emulated, marks=pytest.mark.gxx, id="emulated"),
        pytest.param(on_gpu, marks=pytest.mark.gpu, id="cuda"),
    ]
)
def make(request: pytest.FixtureRequest) -> Callable[..., Backend]:
    """make(dtype, backwards): a CUDA backend."""
    return request.param
