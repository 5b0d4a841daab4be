"""What all tests share: options, reasons to skip, Hypothesis profiles, and a few small helpers.

Hypothesis runs the profile that HYPOTHESIS_PROFILE names: ``ci`` (the default: the same examples
every time), ``dev`` (fewer, fresh ones) or ``thorough``. A test marked ``long`` runs with --long,
one marked ``gpu`` where a GPU can be used, one marked ``mnist`` where SCRATCHVAE_DATA holds MNIST,
one marked ``nvrtc`` or ``gxx`` where CuPy's compiler or g++ is installed, one marked ``mpi`` where
mpi4py and mpiexec are.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from scratchvae.backend import Backend, get_backend, why_no_gpu
from scratchvae.backend.cuda.availability import load_compiler
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models import VAE, BoundVAE

NEEDS = ("gpu", "nvrtc", "gxx", "mnist", "mpi", "long")


def _register_profiles() -> None:
    if find_spec("scratchvae.gradcheck.strategies"):
        import_module("scratchvae.gradcheck.strategies").register_profiles()
        return
    slow = [HealthCheck.too_slow]
    settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=slow)
    settings.register_profile("dev", max_examples=25, deadline=None)
    settings.register_profile(
        "thorough", max_examples=2000, deadline=None, suppress_health_check=slow
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests marked long, too")


def pytest_configure(config: pytest.Config) -> None:
    _register_profiles()
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Behind a shell's "&" it is ignored, by the programs that the tests start as well.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _why_no_mnist() -> str | None:
    folder = os.environ.get("SCRATCHVAE_DATA")
    if not folder:
        return "SCRATCHVAE_DATA is not set"
    if not any(Path(folder).rglob("train-images*idx3-ubyte*")):
        return f"no MNIST files under SCRATCHVAE_DATA={folder}"
    return None


def _why_no_nvrtc() -> str | None:
    try:
        load_compiler()
    except Exception as error:
        return str(error).splitlines()[0]
    return None


def _mpiexec() -> str | None:
    return shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = {mark for item in items for mark in NEEDS if item.get_closest_marker(mark)}
    reasons = {
        "gpu": why_no_gpu() if "gpu" in wanted else None,
        "nvrtc": _why_no_nvrtc() if "nvrtc" in wanted else None,
        "gxx": None if shutil.which("g++") else "there is no g++",
        "mnist": _why_no_mnist() if "mnist" in wanted else None,
        "mpi": None if find_spec("mpi4py") and _mpiexec() else "there is no mpi4py, or no mpiexec",
        "long": None if config.getoption("--long") else "takes long: run with --long",
    }
    for item in items:
        if config.pluginmanager.hasplugin("xdist") and _shares_a_fixture(item):
            item.add_marker(pytest.mark.xdist_group(item.location[0]))  # made by one process
        for mark in NEEDS:
            reason = reasons[mark]
            if reason and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=f"{mark}: {reason}"))


def _shares_a_fixture(item: pytest.Item) -> bool:
    """Whether a test uses what is made once for all tests of its file."""
    if not isinstance(item, pytest.Function):
        return False
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    return any(each.scope == "module" for known in fixtures for each in known)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = terminalreporter.stats.get("skipped", [])
    skipped = [report for report in reports if report.when != "collect"]  # a whole file: no marks
    counts = {mark: sum(mark in report.keywords for report in skipped) for mark in NEEDS}
    line = ", ".join(f"{count} {mark}" for mark, count in counts.items())
    terminalreporter.write_line(f"skipped because of what they need: {line}")


@pytest.fixture(scope="session")
def cpu64() -> Backend:
    return get_backend("cpu", "float64")


@pytest.fixture(scope="session")
def cpu32() -> Backend:
    return get_backend("cpu", "float32")


@pytest.fixture(scope="session")
def cpu128() -> Backend:
    return get_backend("cpu", "complex128")


@pytest.fixture
def strict32() -> Iterator[Backend]:
    """A strict device of the test's own, so that its counts start at zero."""
    return get_backend("strict", "float32")


@pytest.fixture
def mnist_folder() -> Path:
    """Where MNIST lies; only for tests marked ``mnist``."""
    return Path(os.environ["SCRATCHVAE_DATA"])


@dataclass
class Assembly:
    """A model with all its buffers, for tests that run a step."""

    vae: VAE
    bk: Backend
    params: FlatBuffer
    grads: FlatBuffer
    workspace: Workspace
    bound: BoundVAE

    def feed(self, x: np.ndarray, eps: np.ndarray) -> "Assembly":
        """Write the images (B, D) and the noise (B, K, Z) into the bound model's buffers."""
        self.bk.load(x, self.bound.x)
        self.bk.load(eps, self.bound.eps)
        return self

    def run(self, x: np.ndarray, eps: np.ndarray, weight: float) -> "Assembly":
        """One evaluation of the loss and its gradient on these images and this noise."""
        self.feed(x, eps).bound.loss_and_gradient(weight)
        return self

    @property
    def total(self) -> float:
        """Σ_images of the loss E2, in nats, from the terms that the model wrote."""
        nll, kl = self.bk.to_host(self.bound.nll), self.bk.to_host(self.bound.kl)
        return float(nll.mean(axis=1).sum() + self.vae.beta * kl.sum())

    @property
    def gradient(self) -> np.ndarray:
        """A copy of the whole flat gradient on the host."""
        return self.bk.to_host(self.grads.flat)


@pytest.fixture(scope="session")
def assemble() -> Callable[..., Assembly]:
    """assemble(vae, bk, rows, seed=1, params=None): the model bound to fresh buffers."""

    def build(
        vae: VAE, bk: Backend, rows: int, seed: int = 1, params: FlatBuffer | None = None
    ) -> Assembly:
        params = vae.initial_parameters(bk, seed) if params is None else params
        grads, workspace = FlatBuffer(bk, vae.layout), Workspace(bk, rows)
        return Assembly(vae, bk, params, grads, workspace, vae.bind(workspace, params, grads))

    return build


@pytest.fixture(scope="session")
def distance() -> Callable[[np.ndarray, np.ndarray], float]:
    """‖a − b‖ / ‖b‖, both norms Euclidean."""
    return lambda a, b: float(np.linalg.norm(np.subtract(a, b)) / np.linalg.norm(b))
