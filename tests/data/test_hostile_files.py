"""Files made to exhaust memory: no byte is allocated for what a header only promises."""

import gzip
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from test_own_files import GREY, npy, npy_header

from benchmarks.reliability.mirror import idx_bytes
from scratchvae.data import files, load_dataset
from scratchvae.errors import DataError

MIB = 1 << 20
ZEROS = 64 * MIB  # what a bomb holds


def bomb(path: Path, method: int, start: bytes = b"") -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x.npy", start + bytes(ZEROS))
    return path


def lying_npy(version: int) -> bytes:
    return b"\x93NUMPY" + bytes([version, 0]) + b"\xff" * 4 + b"{"


HOSTILE = {
    "bzip2": lambda path: bomb(path, zipfile.ZIP_BZIP2, npy(GREY)),
    "LZMA": lambda path: bomb(path, zipfile.ZIP_LZMA, npy(GREY)),
    "deflate, a small array": lambda path: bomb(path, zipfile.ZIP_DEFLATED, npy(GREY)),
    "deflate, an array beyond the cap": lambda path: bomb(
        path, zipfile.ZIP_DEFLATED, npy_header("'|u1'", f"(2, {ZEROS // 2})")
    ),
    "gzip": lambda path: path.write_bytes(gzip.compress(idx_bytes(GREY) + bytes(ZEROS))),
    "an IDX header": lambda path: path.write_bytes(b"\0\0\x08\3" + b"\0\xff\xff\xff" * 3),
    "an npy header": lambda path: path.write_bytes(npy_header("'<f8'", "(9999, 9999)")),
    "the length of an npy header": lambda path: path.write_bytes(lying_npy(2)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_memory_is_not_taken_for_a_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "hostile"
    HOSTILE[name](path)
    for module in (files, sys.modules["scratchvae.data.npy"]):
        monkeypatch.setattr(module, "MAX_BYTES", MIB)
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            load_dataset(path)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB  # a chunk, and zipfile's buffers
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is Linux's")
@pytest.mark.parametrize("name", ["bzip2", "the length of an npy header"])
def test_the_kernel_agrees(tmp_path: Path, name: str) -> None:
    """Half of what the bomb holds may be taken beyond what NumPy and the package have."""
    HOSTILE[name](tmp_path / "hostile")
    code = f"""
import resource, sys
from scratchvae.data import load_dataset
from scratchvae.errors import DataError
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + {ZEROS // 2}, taken + {ZEROS // 2}))
try:
    load_dataset(sys.argv[1])
except DataError as error:
    print(error)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "hostile")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "hostile: " in done.stdout
    assert "memory" not in done.stdout.lower()


def test_an_array_that_memory_cannot_hold_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*args: object) -> None:
        raise MemoryError

    monkeypatch.setattr("scratchvae.data.npy.read_exactly", exhausted)
    np.save(tmp_path / "a.npy", GREY)
    with pytest.raises(DataError, match="does not fit into the memory"):
        load_dataset(tmp_path / "a.npy")
