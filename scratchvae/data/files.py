"""Opening files that may be missing, damaged or hostile, with one kind of error for all of it."""

import gzip
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import IO

from scratchvae.errors import DataError, ScratchVAEError

Bytes = IO[bytes] | BufferedIOBase  # a file, a gzip stream, a member of a zip

MAX_BYTES = 4 << 30  # 4 GiB: no array larger than this is read, whatever a header declares
CHUNK = 1 << 20  # memory grows with the bytes that arrive, never with the bytes that are promised


@contextmanager
def one_kind_of_error(path: Path) -> Iterator[None]:
    """Turn any error raised while ``path`` is read into a DataError that names the file.

    zipfile, zlib, gzip and NumPy's header parser have no common error type for damaged bytes
    (EOFError, zlib.error, BadZipFile, NotImplementedError, SyntaxError, ...), so every exception
    is caught and chained.
    """
    try:
        yield
    except ScratchVAEError:
        raise
    except OSError as error:
        if error.errno is not None:
            reason = error.strerror or type(error).__name__
            raise DataError(f"{path}: cannot be read ({reason})") from error
        raise damaged(path, error) from error
    except MemoryError as error:
        raise DataError(f"{path}: does not fit into the memory of this machine") from error
    except Exception as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> DataError:
    """The DataError for a file whose bytes a decoder refused."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if len(reason) > 200:  # some decoders quote the bytes they could not read
        reason = f"{reason[:200]} …"
    return DataError(f"{path}: damaged or incomplete ({reason}). Fetch or write the file again.")


def require_file(path: Path) -> None:
    """Raise DataError unless ``path`` is a regular file: reading a pipe could block for ever."""
    # os.path instead of Path: its questions answer False where Path's raise
    if os.path.isfile(path):
        return
    if os.path.isdir(path):
        raise DataError(f"{path}: is a folder, and a file was expected")
    if os.path.exists(path):
        raise DataError(f"{path}: is not a regular file")
    raise DataError(f"{str(path)!r}: no such file; check the path")


@contextmanager
def open_binary(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file for reading; any error while it is open becomes a DataError."""
    require_file(path)
    with one_kind_of_error(path), open(path, "rb") as stream:
        yield stream


@contextmanager
def open_maybe_gzip(path: Path) -> Iterator[tuple[Bytes, int | None]]:
    """Open a file, decompressing gzip: (stream, size in bytes), the size None if compressed."""
    with open_binary(path) as stream:
        magic = stream.read(2)
        stream.seek(0)
        if magic == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=stream) as unpacked:
                yield unpacked, None
        else:
            yield stream, os.fstat(stream.fileno()).st_size


def read_exactly(stream: Bytes, count: int, path: Path) -> bytearray:
    """Read ``count`` bytes, after which ``stream`` must end; DataError if it is shorter or longer.

    Memory is allocated chunk by chunk, so a header that lies about the size costs nothing, and a
    compressed file is decompressed at most one byte beyond the declared size.
    """
    data = bytearray()
    while len(data) < count:
        chunk = stream.read(min(CHUNK, count - len(data)))
        if not chunk:
            raise DataError(
                f"{path}: truncated: its header promises {count} bytes of data and "
                f"{len(data)} are there. Fetch or write the file again."
            )
        data += chunk
    if stream.read(1):  # reaching the end also makes gzip and zip compare their checksums
        raise DataError(
            f"{path}: goes on after the {count} bytes of data that its header promises; "
            f"it is damaged or holds something else"
        )
    return data


def require_size(count: int, available: int | None, path: Path) -> None:
    """Raise DataError if ``count`` bytes are too many or not the ``available`` ones (if known)."""
    if count > MAX_BYTES:
        raise DataError(
            f"{path}: its header declares {count} bytes of data; at most {MAX_BYTES} are read. "
            f"The header is damaged, or the file should be split."
        )
    if available is not None and available != count:
        raise DataError(
            f"{path}: its header declares {count} bytes of data and {available} are there; "
            f"it is truncated or damaged. Fetch or write the file again."
        )


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with open_binary(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
