"""Runs of a moment with their pages, and a headless browser where there is one."""

import contextlib
import io
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, browser, why_no_browser
from page_helpers import Run

from scratchvae.backend import get_backend
from scratchvae.cli.main import main
from scratchvae.data import load_dataset
from scratchvae.runs import RunFolder
from scratchvae.training import prepare

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


@pytest.fixture(scope="session")
def train(place: Path) -> Callable[..., Run]:
    """train("--hidden 8"): a run of two epochs on the images of ``place``."""

    def make(options: str = "--hidden 8") -> Run:
        before = Path.cwd()
        os.chdir(place)
        try:
            out = place / f"run-{len(list(place.iterdir()))}"
            argv = [
                *TRAIN.split(),
                "--quiet",
                "--no-figures",
                *shlex.split(options),
                "--out",
                str(out),
            ]
            with contextlib.redirect_stdout(io.StringIO()):
                assert main([*argv, *shlex.split(options)]) == 0
            run = RunFolder.open(out)
            model, checkpoint = run.load(get_backend("cpu", run.config().dtype))
            dataset = load_dataset("tiny.npz", reading=run.config().reading)
            return Run(run, model, checkpoint, prepare(run.config(), dataset))
        finally:
            os.chdir(before)

    return make


@pytest.fixture(scope="session")
def small(train: Callable[..., Run]) -> Run:
    """A run of a VAE with 2 latent units."""
    return train()


@pytest.fixture(scope="session")
def window() -> Iterator[Browser]:
    """One browser for all tests."""
    reason = why_no_browser()
    if reason:
        pytest.skip(reason)
    with browser() as opened:
        yield opened
