"""Runs of a moment with their pages, and a headless browser where there is one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scratchvae.cli.main import main

TRAIN = "train --data tiny.npz --hidden 8 --batch-size 8 --epochs 2 --device cpu --no-compiled"


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 27 training and 10 test images of 3 x 4 pixels in ``tiny.npz``."""
    folder = tmp_path_factory.mktemp("pages")
    rng = np.random.default_rng(0)
    np.savez(
        folder / "tiny.npz",
        x_train=rng.integers(0, 256, (27, 3, 4), dtype=np.uint8),
        x_test=rng.integers(0, 256, (10, 3, 4), dtype=np.uint8),
        y_train=np.arange(27) % 10,
        y_test=np.arange(10),
    )
    return folder


@pytest.fixture(scope="session")
def trained(place: Path) -> Callable[..., Path]:
    """trained("run", "--beta", 4): a run folder of that name, trained with these options, once."""

    def train(name: str, *options: object) -> Path:
        run = place / name
        if not run.exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(place)
                argv = [*TRAIN.split(), "--quiet", "--out", name, *map(str, options)]
                assert main(argv) == 0
        return run

    return train


@pytest.fixture(scope="session")
def drawn(trained: Callable[..., Path]) -> Path:
    """A run with figures."""
    return trained("drawn")
