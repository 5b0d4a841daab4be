"""A folder of exercises, and the command line in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from scratchvae.cli.main import main
from scratchvae.exercises.catalogue import files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The exercises as a student gets them."""
    place = tmp_path / "mine"
    assert main(["exercises", "new", str(place)]) == 0
    return place


@pytest.fixture
def solve() -> Callable[..., None]:
    """solve(folder, "kl"): put the bodies back into the files of some exercises."""

    def put_back(folder: Path, *names: str) -> None:
        for number, (file, exercise) in enumerate(files().items(), start=1):
            if exercise.name in names:
                (folder / file).write_text(exercise.file(number, solved=True), encoding="utf-8")

    return put_back


@pytest.fixture
def exercises(capsys) -> Callable[..., tuple[int, str, str]]:
    """exercises("check", folder): the exit code, stdout and stderr."""

    def run(*argv: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code: object = main(["exercises", *map(str, argv)])
        except SystemExit as stop:
            code = stop.code
        streams = capsys.readouterr()
        assert isinstance(code, int)
        return code, streams.out, streams.err

    return run
