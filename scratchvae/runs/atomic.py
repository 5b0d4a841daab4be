"""Files that are whole or absent, and one process at a time in a folder."""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from scratchvae.errors import RunError

SUFFIX = ".tmp"


def write_atomically(
    path: Path, write: Callable[[BinaryIO], object], previous: Path | None = None
) -> None:
    """Let ``write`` fill a temporary file beside ``path``, make sure of it, then rename it.

    A reader of ``path`` finds, at any moment and after any crash, the whole old file or the whole
    new one. With ``previous``, the old file stays under that name.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=SUFFIX, dir=path.parent)
    second = f"{name.removesuffix(SUFFIX)}.previous{SUFFIX}"
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        if previous is not None and path.exists():
            _also(path, second)
            os.replace(second, previous)
        os.replace(name, path)
    except BaseException:
        _remove(name)
        raise
    finally:
        _remove(second)  # a rename between two names of the same file leaves both
    sync_folder(path.parent)


def remove_temporary_files(path: Path) -> None:
    """Remove the temporary files of a process that was killed while it wrote ``path``."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.\w+(\.previous)?{re.escape(SUFFIX)}")
    with contextlib.suppress(FileNotFoundError):
        for file in list(path.parent.iterdir()):
            if ours.fullmatch(file.name):
                _remove(str(file))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; not every system lets a folder be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _also(path: Path, name: str) -> None:
    """A second name for a file; a copy, where the file system knows no second names."""
    try:
        os.link(path, name)
    except OSError:
        shutil.copyfile(path, name)


def _remove(name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Nobody else trains in ``folder`` meanwhile; ``RunError`` if somebody does already.

    The lock is the system's and goes with its process, however that ends.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such lock
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"another process is training in {folder} at this moment") from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(handle)
