"""Every test here has its own cache, no data folder, and no way past this machine."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # benchmarks lies beside the package

from benchmarks.reliability.mirror import Mirror

USERS_DATA = os.environ.get("SCRATCHVAE_DATA")  # before the tests hide it


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCRATCHVAE_DATA", raising=False)
    monkeypatch.setenv("SCRATCHVAE_CACHE", str(tmp_path / "cache"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """The folder of the real MNIST files, or a skipped test."""
    folder = Path(USERS_DATA or "")
    for place in (folder / "mnist", folder):
        if USERS_DATA and list(place.glob("train-images-idx3-ubyte*")):
            return place
    pytest.skip("SCRATCHVAE_DATA does not hold the MNIST files")


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """A web server on this machine that sends what a test tells it to."""
    with Mirror() as running:
        yield running
