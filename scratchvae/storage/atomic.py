"""Files that are whole or absent, whatever interrupts their writing."""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".tmp"


def write_atomically(
    path: Path, write: Callable[[BinaryIO], object], previous: Path | None = None
) -> None:
    """Let ``write`` fill a temporary file beside ``path``, make sure of it, then rename it.

    A reader of ``path`` finds, at any moment and after any crash, the whole old file or the whole
    new one. With ``previous``, the old file stays under that name.
    """
    handle, name = _open_temporary(path)
    second = f"{name.removesuffix(SUFFIX)}.previous{SUFFIX}"
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
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


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file that is whole or absent."""
    write_atomically(path, lambda file: file.write(content))


def temporary_files(path: Path) -> list[Path]:
    """The temporary files of every process that writes ``path``, or was killed while it did."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.\w+(\.previous)?{re.escape(SUFFIX)}")
    try:
        return [file for file in path.parent.iterdir() if ours.fullmatch(file.name)]
    except FileNotFoundError:
        return []


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


def _open_temporary(path: Path) -> tuple[int, str]:
    """A new file beside ``path``, with the permissions that the umask gives to any new file."""
    while True:
        name = str(path.with_name(f".{path.name}.{secrets.token_hex(4)}{SUFFIX}"))
        with contextlib.suppress(FileExistsError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            return os.open(name, flags, 0o666), name
