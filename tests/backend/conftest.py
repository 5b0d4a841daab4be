"""The CUDA backend twice: emulated on the CPU, and where there is one, on a GPU."""

from collections.abc import Callable
from typing import Any

import differences
import numpy as np
import pytest
from emulation import EmulatedBackend, EmulatedKernels

from scratchvae.backend import Backend
from scratchvae.backend.cuda import CupyBackend
from scratchvae.backend.cuda.kernels import Kernels


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


@pytest.fixture(autouse=True)
def remember_launches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails names the kernels that were launched, whichever comparison it was."""
    if not any(request.node.get_closest_marker(mark) for mark in ("gpu", "gxx")):
        return
    differences.launches.clear()
    for kind in (Kernels, EmulatedKernels):
        monkeypatch.setattr(kind, "launch", remembering(kind.launch))


def remembering(launch: Callable[..., None]) -> Callable[..., None]:
    """A launch that is remembered before it runs."""

    def remembered(self: Kernels, name: str, blocks: int, *args: object) -> None:
        differences.launches.append(differences.describe_launch(name, blocks, args))
        launch(self, name, blocks, *args)

    return remembered


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """An error that is no comparison, CUDA's own among them, comes with the last launches, too."""
    report = yield
    if report.failed and differences.launches:
        report.sections.append(("last launches", "\n".join(differences.launches)))
    return report
