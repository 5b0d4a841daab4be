"""IDX files: what is read, and every way in which one can lie."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.reliability.mirror import ARRAYS, idx_bytes, packed, sha256
from scratchvae.data import files
from scratchvae.data.idx import read_idx
from scratchvae.errors import DataError

IMAGES, LABELS = ARRAYS[0], ARRAYS[1]
GOOD = idx_bytes(IMAGES)


@pytest.mark.parametrize("content", [GOOD, packed(IMAGES), packed(IMAGES, level=1)])
def test_an_idx_file_comes_back_with_the_digest_of_its_uncompressed_bytes(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "some").write_bytes(content)
    idx = read_idx(tmp_path / "some", rank=3)
    np.testing.assert_array_equal(idx.array, IMAGES)
    assert idx.sha256 == sha256(GOOD)


HUGE = bytes([0, 0, 8, 3]) + (b"\xff" * 4) * 3
BOMB = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (1000, 28, 28))

BAD = {
    "nothing at all": (b"", "not an IDX file"),
    "half a magic number": (GOOD[:3], "not an IDX file"),
    "another format": (b"\x89PNG" + GOOD, "not an IDX file"),
    "half a header": (GOOD[:9], "ends inside its IDX header"),
    "floats": (idx_bytes(IMAGES, code=0x0D), "32-bit floats"),
    "an unknown dtype code": (idx_bytes(IMAGES, code=0x77), "0x77"),
    "labels instead of images": (idx_bytes(LABELS), "rank 1"),
    "no image": (idx_bytes(IMAGES[:0]), "is empty"),
    "images without pixels": (idx_bytes(IMAGES[:, :0]), "is empty"),
    "one byte missing": (GOOD[:-1], "30 bytes of data and 29 are there"),
    "one byte too many": (GOOD + b"!", "30 bytes of data and 31 are there"),
    "a header that promises 79 octillion bytes": (HUGE, "at most"),
    "gzip: one byte missing inside": (gzip.compress(GOOD[:-1]), "truncated"),
    "gzip: one byte too many inside": (gzip.compress(GOOD + b"!"), "goes on after"),
    "gzip: broken off in the data": (packed(IMAGES)[:30], "damaged or incomplete"),
    "gzip: broken off in the checksum": (packed(IMAGES)[:-2], "damaged or incomplete"),
    "gzip: wrong checksum": (packed(IMAGES)[:-8] + b"\0" * 8, "damaged or incomplete"),
    "gzip: only its magic number": (b"\x1f\x8b", "damaged or incomplete"),
    "gzip: a promise without bytes": (gzip.compress(BOMB), "truncated"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_idx_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    content, complaint = BAD[name]
    path = tmp_path / "bad-file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=complaint) as caught:
        read_idx(path, rank=3)
    assert "bad-file" in str(caught.value)


def test_a_bomb_is_decompressed_no_further_than_its_header_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHUNK", 64)
    taken = 0
    read = gzip.GzipFile.read

    def counting(self: gzip.GzipFile, size: int | None = -1) -> bytes:
        nonlocal taken
        data = read(self, size)
        taken += len(data)
        return data

    monkeypatch.setattr(gzip.GzipFile, "read", counting)
    (tmp_path / "bomb").write_bytes(gzip.compress(GOOD + bytes(50_000_000)))
    with pytest.raises(DataError, match="goes on after"):
        read_idx(tmp_path / "bomb", rank=3)
    assert taken == len(GOOD) + 1


def test_folders_and_missing_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        read_idx(tmp_path, rank=3)
    with pytest.raises(DataError, match="no such file"):
        read_idx(tmp_path / "nowhere", rank=3)
    with pytest.raises(DataError, match="no such file"):
        read_idx(Path("nul\0byte"), rank=3)


def test_a_file_that_may_not_be_read_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes(GOOD)

    def refuse(*args: object) -> None:  # the tests may run as root, whom permissions don't stop
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "open", refuse, raising=False)
    with pytest.raises(DataError, match=r"secret: cannot be read \(Permission denied\)"):
        read_idx(tmp_path / "secret", rank=3)


@settings(max_examples=150, deadline=None)
@given(
    start=st.sampled_from([b"", GOOD[:4], GOOD[:16], b"\x1f\x8b\x08\0", packed(IMAGES)[:20]]),
    rest=st.binary(max_size=64),
)
def test_no_bytes_make_the_reader_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed-idx"
    path.write_bytes(start + rest)
    try:
        idx = read_idx(path, rank=3)
    except DataError as error:
        assert "fuzzed-idx" in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert idx.array.size == len(start + rest) - 16


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, len(packed(IMAGES)) - 1), value=st.integers(0, 255))
def test_one_changed_byte_of_a_gzip_file_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    damaged = bytearray(packed(IMAGES))
    damaged[position] = value
    path = tmp_path_factory.getbasetemp() / "damaged-idx"
    path.write_bytes(damaged)
    try:
        idx = read_idx(path, rank=3)
    except DataError:
        return
    np.testing.assert_array_equal(idx.array, IMAGES)
