"""BLAS on one thread, one thread of Python at a time: the same bits in every search."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

from scratchvae.backend import get_backend

_turn = RLock()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread: the number of its threads changes the last bits of products.

    The limit is the whole process's, and the first thread to end would lift it under the others.
    So the threads of a search take turns; its processes, which are the default, run side by side.
    """
    with _turn, get_backend("cpu").limit_blas(1):
        yield
