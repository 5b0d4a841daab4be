"""What several tests of the data need: IDX bytes, a small image set, a web server with faults."""

import gzip
import hashlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scratchvae.data import Split
from scratchvae.data.sources import Archive, IdxFile

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


def known_labels(split: Split) -> NDArray[np.int64]:
    assert split.labels is not None
    return split.labels


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def packed(array: NDArray[np.uint8], level: int = 9) -> bytes:
    return gzip.compress(idx_bytes(array), compresslevel=level, mtime=0)


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


def write_files(
    folder: Path, *, compress: bool = True, level: int = 9, skip: tuple[str, ...] = ()
) -> None:
    """The four tiny files in ``folder``, without those whose name begins with one of ``skip``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(NAMES, ARRAYS, strict=True):
        if not name.startswith(skip or ("-",)):
            path = folder / (f"{name}.gz" if compress else name)
            path.write_bytes(packed(array, level) if compress else idx_bytes(array))


Answer = tuple[int, bytes, int]  # status, body, bytes that the header promises beyond the body


class Mirror:
    """A web server on 127.0.0.1: folders with behaviours, and a log of what was asked for."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.patience = threading.Event()  # what a silent server waits for
        self.behaviours: dict[str, Callable[[bytes], Answer]] = {
            "good": lambda body: (200, body, 0),
            "missing": lambda body: (404, b"not here", 0),
            "page": lambda body: (200, b"<html>sign in first</html>", 0),
            "wrong": lambda body: (200, body[:-1] + b"!", 0),
            "short": lambda body: (200, body[: len(body) // 2], len(body) - len(body) // 2),
        }
        bodies = {f"{n}.gz": packed(a) for n, a in zip(NAMES, ARRAYS, strict=True)}
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.log.append(self.path)
                _, folder, name = self.path.split("/")
                status, body, promised = mirror.behaviours[folder](bodies[name])
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) + promised))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Tests print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    def url(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/{behaviour}/"

    def __enter__(self) -> "Mirror":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.patience.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
