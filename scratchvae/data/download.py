"""Fetching the files of an Archive once, from the first mirror that has the right bytes."""

import logging
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from scratchvae.data.files import file_sha256
from scratchvae.data.mirrors import Archive, IdxFile
from scratchvae.errors import DataError, DownloadError

CACHE_VARIABLE = "SCRATCHVAE_CACHE"
ROUNDS = 2  # every mirror gets a second chance after the others
TIMEOUT = (10, 30)  # seconds: until a connection stands, between two packets
MAX_DOWNLOAD = 64 << 20  # bytes: no file that is known here is half as large
ADVICE = (
    "Put the four files into a folder and name it with --data-dir or SCRATCHVAE_DATA, "
    "or choose the dataset 'digits', which needs no network."
)


def cache_folder() -> Path:
    """Where downloads are kept: SCRATCHVAE_CACHE, or the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(os.path.expanduser(chosen))
    import pooch  # it knows where each operating system keeps a user's caches

    return Path(pooch.os_cache("scratchvae"))


def fetch(archive: Archive, *, download: bool = True, quiet: bool = False) -> list[Path]:
    """Paths of the four .gz files in the cache, downloaded if necessary, their digests verified.

    A file with the wrong digest is downloaded again, so a damaged cache repairs itself. On a
    terminal a progress bar is shown unless ``quiet``.

    Raises DownloadError if a file is neither in the cache nor, with ``download``, on any mirror;
    DataError if the cache cannot be written.
    """
    folder = cache_folder() / archive.name
    missing = [file for file in archive.files if not in_cache(file, folder)]
    if missing and not download:
        raise DownloadError(
            f"{names(missing)} of {archive.name} are not in {folder}, and downloading is "
            f"switched off. {ADVICE}"
        )
    while missing:
        failures = download_file(missing[0], archive.mirrors, folder, quiet)
        if failures:
            tried = "; ".join(f"{mirror} {why}" for mirror, why in failures.items())
            raise DownloadError(
                f"no mirror delivered {names(missing)} of {archive.name} ({tried}). {ADVICE}"
            )
        del missing[0]
    return [folder / f"{file.name}.gz" for file in archive.files]


def in_cache(file: IdxFile, folder: Path) -> bool:
    """Whether ``folder`` holds the .gz file with the right digest."""
    path = folder / f"{file.name}.gz"
    return os.path.isfile(path) and file_sha256(path) == file.gz_sha256


def download_file(
    file: IdxFile, mirrors: tuple[str, ...], folder: Path, quiet: bool
) -> dict[str, str]:
    """Download one .gz file into ``folder``; returns {} on success, else {mirror: why it failed}.

    pooch writes a temporary file, compares the digest and renames it, so a partial file never
    bears the name. Raises DataError if ``folder`` cannot be written.
    """
    import pooch
    import requests

    bar = None if quiet or not on_a_terminal() else TransferBar(f"{file.name}.gz", sys.stderr)
    http = pooch.HTTPDownloader(progressbar=bar or False, chunk_size=1 << 16, timeout=TIMEOUT)

    def downloader(url: str, output: str, _: object) -> None:
        try:
            with open(output, "wb") as stream:
                http(url, Limited(stream), None)
        finally:
            if bar is not None:
                bar.close()

    log = pooch.get_logger()
    level = log.level
    log.setLevel(logging.WARNING)  # pooch narrates; the progress bar and the errors are enough
    failures: dict[str, str] = {}
    try:
        for _ in range(ROUNDS):
            for mirror in mirrors:
                try:
                    pooch.retrieve(
                        f"{mirror}{file.name}.gz",
                        known_hash=f"sha256:{file.gz_sha256}",
                        fname=f"{file.name}.gz",
                        path=folder,
                        downloader=downloader,
                    )
                    return {}
                except (requests.RequestException, ValueError) as error:
                    failures[mirror] = reason(error)
    except OSError as error:  # after RequestException, which is an OSError too
        # pooch raises a PermissionError of its own, a paragraph, from the system's
        why = error.strerror or getattr(error.__cause__, "strerror", None) or error
        raise DataError(
            f"{folder}: downloads cannot be kept there ({why}); set "
            f"{CACHE_VARIABLE} to a folder that can be written"
        ) from error
    finally:
        log.setLevel(level)
    return failures


class TransferBar:
    """The progress bar that pooch drives: one line, in megabytes, that rewrites itself."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self.name, self.stream = name, stream
        self.total = self.done = 0  # bytes; pooch sets the total, 0 where a server tells none
        self.drawn = False

    def update(self, count: int) -> None:
        """Add ``count`` bytes; pooch counts whole chunks, so the last one may exceed the total."""
        self.done = min(self.done + count, self.total) if self.total else self.done + count
        text = f"\r{self.name}: {self.done / 1e6:.1f}"
        if self.total:
            text += f" of {self.total / 1e6:.1f} MB, {100 * self.done // self.total}%"
        else:
            text += " MB"
        self.stream.write(text)
        self.stream.flush()
        self.drawn = True

    def reset(self) -> None:
        """Start again from 0."""
        self.done = 0

    def close(self) -> None:
        """End the line; the next transfer begins a new one."""
        if self.drawn:
            self.stream.write("\n")
        self.done, self.drawn = 0, False


class Limited:
    """A file that accepts at most MAX_DOWNLOAD bytes, against a server that never stops sending."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.flush = stream.flush

    def write(self, data: bytes) -> int:
        """Write ``data``; raises ValueError beyond the limit."""
        if self.stream.tell() + len(data) > MAX_DOWNLOAD:
            raise ValueError("more bytes than any file that is known here")
        return self.stream.write(data)


def reason(error: Exception) -> str:
    """Why a mirror failed, in a few words."""
    import requests

    response: Any = getattr(error, "response", None)
    if response is not None:
        return f"answered {response.status_code}"
    # silence in the middle of a body is a ConnectionError to requests, and says so in its text
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "timed out"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "broke off"
    if isinstance(error, requests.ConnectionError):
        return "could not be reached"
    return "sent other bytes than the digest asks for"


def on_a_terminal() -> bool:
    """Whether stderr is a terminal, on which a progress bar can be seen."""
    return sys.stderr is not None and sys.stderr.isatty()


def names(files: list[IdxFile]) -> str:
    """The names of the .gz files, separated by commas, for messages."""
    return ", ".join(f"{file.name}.gz" for file in files)
