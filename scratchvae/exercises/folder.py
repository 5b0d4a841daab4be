"""The folder of exercises: written once, never over anything."""

from pathlib import Path

from scratchvae.errors import ConfigError
from scratchvae.exercises.catalogue import files

TESTS = '''"""Grades the exercises of this folder, one test each: pytest DIR."""

from pathlib import Path

import pytest

from scratchvae.exercises import check_exercise
from scratchvae.exercises.catalogue import files


@pytest.mark.parametrize("file", files())
def test_exercise(file):
    outcome = check_exercise(Path(__file__).parent / file, files()[file])
    assert outcome.status == "right", outcome.verdict
'''


def new_folder(folder: Path) -> list[str]:
    """Write all exercises, and a test file for pytest, into a new folder; their names.

    ``ConfigError`` for a folder that exists or cannot be made.
    """
    known = files()
    contents = {file: each.file(i) for i, (file, each) in enumerate(known.items(), start=1)}
    write_new(folder, contents | {"test_exercises.py": TESTS})
    return list(known)


def write_new(folder: Path, contents: dict[str, str]) -> None:
    """Write files into a folder that must not exist yet."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(
            f"{folder} exists already, and nothing is written over: name a new folder"
        ) from None
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}") from None
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8")
