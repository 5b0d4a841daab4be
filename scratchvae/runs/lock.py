"""One process at a time in a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scratchvae.errors import RunError


@contextmanager
def alone(folder: Path) -> Iterator[None]:
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
