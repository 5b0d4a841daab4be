"""One process at a time in a run's folder."""

import os
from contextlib import suppress
from pathlib import Path

from scratchvae.errors import RunError


class FolderLock:
    """The right to write into ``folder``, which one process at a time can have.

    The lock is the system's and ends with its process, however that ends. The object that has it
    can take it again; it is free when each :meth:`acquire` has had its :meth:`release`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._handle: int | None = None
        self._holders = 0

    def acquire(self) -> None:
        """Take the lock, or take it once more; ``RunError`` if another process has it."""
        if not self._holders:
            self._handle = _lock(self.folder)
        self._holders += 1

    def release(self) -> None:
        """Undo one :meth:`acquire`; nothing where the lock isn't held."""
        self._holders = max(self._holders - 1, 0)
        if not self._holders and self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __del__(self) -> None:
        """Release it with the object that held it."""
        if self._handle is not None:
            with suppress(OSError):
                os.close(self._handle)


def _lock(folder: Path) -> int | None:
    try:
        import fcntl
    except ImportError:  # Windows has no such lock
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise RunError(f"another process is training in {folder} at this moment") from None
    except OSError:
        pass  # a file system without locks
    return handle
