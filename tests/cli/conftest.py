"""A command line in this process, small images in a folder of their own, and no network."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from bad_input import make_world

import scratchvae
from scratchvae.cli.main import main


@dataclass
class Answer:
    """What a command left on its streams, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data folder of the user's, an empty cache, and mirrors out of reach."""
    monkeypatch.delenv("SCRATCHVAE_DATA", raising=False)
    monkeypatch.setenv("SCRATCHVAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "scratchvae.data.download.download_file",
        lambda file, mirrors, folder, quiet: dict.fromkeys(mirrors, "could not be reached"),
    )


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """cli("train", "--epochs", 1): the command, run in this process."""

    def run(*argv: object) -> Answer:
        capsys.readouterr()
        try:
            code: object = main([str(a) for a in argv])
        except SystemExit as stop:  # argparse
            code = 0 if stop.code is None else stop.code
        streams = capsys.readouterr()
        assert isinstance(code, int)
        return Answer(code, streams.out, streams.err)

    return run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with 27 training and 10 test images of 3 x 4 pixels in ``tiny.npz``."""
    folder = tmp_path / "here"
    folder.mkdir()
    rng = np.random.default_rng(0)
    np.savez(
        folder / "tiny.npz",
        x_train=rng.integers(0, 256, (27, 3, 4), dtype=np.uint8),
        x_test=rng.integers(0, 256, (10, 3, 4), dtype=np.uint8),
        y_train=np.arange(27) % 10,
        y_test=np.arange(10),
    )
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def tiny_train() -> list[str]:
    """A training of two epochs that takes milliseconds."""
    argv = "train --data tiny.npz --hidden 8 --batch-size 8 --epochs 2 --no-figures --device cpu"
    argv += " --no-compiled"  # which would take longer to load than this training takes
    return argv.split()


@pytest.fixture
def python() -> list[str]:
    """How a subprocess runs ``scratchvae``; its environment is ``outside``."""
    return [sys.executable, "-W", "error", "-m", "scratchvae"]


@pytest.fixture
def outside() -> dict[str, str]:
    """The environment of a subprocess that finds this package."""
    return os.environ | {"PYTHONPATH": str(Path(scratchvae.__file__).parents[1])}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of good and bad things; no test changes it."""
    folder, before = tmp_path_factory.mktemp("world"), Path.cwd()
    os.chdir(folder)
    try:
        make_world(folder)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def world(made: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> Path:
    """That folder as the current one."""
    monkeypatch.chdir(made)
    capsys.readouterr()
    return made
