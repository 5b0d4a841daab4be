"""A small image set of four IDX files, and a web server on this machine that sends it with faults.

Nothing here leaves 127.0.0.1.
"""

import gzip
import hashlib
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.data.mirrors import Archive, IdxFile

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
ARRAYS: tuple[NDArray[np.uint8], ...] = (
    np.arange(5 * 3 * 2, dtype=np.uint8).reshape(5, 3, 2),
    np.array([0, 1, 2, 3, 4], dtype=np.uint8),
    np.arange(100, 100 + 4 * 3 * 2, dtype=np.uint8).reshape(4, 3, 2),
    np.array([4, 3, 2, 1], dtype=np.uint8),
)


def idx_bytes(array: NDArray[np.uint8], code: int = 0x08) -> bytes:
    """The IDX file of ``array``, under a dtype code that may be a lie."""
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.tobytes()


def packed(array: NDArray[np.uint8], level: int = 9) -> bytes:
    """The same, compressed by gzip, with the same bytes every time."""
    return gzip.compress(idx_bytes(array), compresslevel=level, mtime=0)


def sha256(data: bytes) -> str:
    """The digest in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def small_archive(*mirrors: str, inner_digests: bool = True) -> Archive:
    """Four tiny files with right digests: the shape of MNIST without its size."""
    files = tuple(
        IdxFile(
            name,
            array.shape,
            sha256(packed(array)),
            sha256(idx_bytes(array)) if inner_digests else None,
        )
        for name, array in zip(NAMES, ARRAYS, strict=True)
    )
    return Archive("small", mirrors, (files[0], files[1], files[2], files[3]))


class Answer(NamedTuple):
    """What the server sends for a file."""

    body: bytes
    status: int = 200
    promised: int = 0  # bytes that the header promises beyond the body
    falls_silent: bool = False  # after the body, with the connection open


def half(body: bytes) -> tuple[bytes, int]:
    """The first half, and how much is missing."""
    return body[: len(body) // 2], len(body) - len(body) // 2


FAULTS: dict[str, Callable[[bytes], Answer]] = {
    "404": lambda body: Answer(b"not here", 404),
    "5xx": lambda body: Answer(b"come back later", 503),
    "an HTML page with status 200": lambda body: Answer(b"<html>sign in first</html>"),
    "a truncated body": lambda body: Answer(half(body)[0], promised=half(body)[1]),
    "a stalled server": lambda body: Answer(
        half(body)[0], promised=half(body)[1], falls_silent=True
    ),
    "wrong bytes": lambda body: Answer(body[:-1] + b"!"),
}


class Mirror:
    """A web server on 127.0.0.1: folders with behaviours, and a log of what was asked for."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.patience = threading.Event()  # what a silent server waits for
        self.behaviours: dict[str, Callable[[bytes], Answer]] = {"good": Answer} | FAULTS
        bodies = {f"{n}.gz": packed(a) for n, a in zip(NAMES, ARRAYS, strict=True)}
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.log.append(self.path)
                _, folder, name = self.path.split("/")
                key = next(key for key in mirror.behaviours if mirror.folder(key) == folder)
                answer = mirror.behaviours[key](bodies[name])
                with suppress(ConnectionError):  # the client has gone
                    self.send_response(answer.status)
                    self.send_header("Content-Length", str(len(answer.body) + answer.promised))
                    self.end_headers()
                    self.wfile.write(answer.body)
                if answer.falls_silent:
                    mirror.patience.wait(60)

            def log_message(self, format: str, *args: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    @staticmethod
    def folder(behaviour: str) -> str:
        """The behaviour as a part of an address."""
        return behaviour.replace(" ", "-")

    def url(self, behaviour: str) -> str:
        """The address of a mirror that behaves so."""
        return f"http://127.0.0.1:{self.server.server_address[1]}/{self.folder(behaviour)}/"

    def __enter__(self) -> "Mirror":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.patience.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
