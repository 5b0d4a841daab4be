"""BLAS on one thread, for several threads of Python at once: the same bits in every search."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from scratchvae.backend import get_backend

_lock = Lock()
_inside = 0  # the threads of Python that are within
_limit = None  # the context that the first of them has entered, and the last leaves


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread: the number of its threads changes the last bits of products.

    The limit is the whole process's. It ends when the last of the threads within leaves, so that
    no fit of a search with threads changes the limit under another one.
    """
    global _inside, _limit
    with _lock:
        if _inside == 0:
            _limit = get_backend("cpu").limit_blas(1)
            _limit.__enter__()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _limit is not None:
                _limit.__exit__(None, None, None)
                _limit = None
