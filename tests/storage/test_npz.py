"""The canonical npz: every reader reads it, and the same arrays are the same bytes."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from scratchvae.storage.npz import FrameError, NpzReader, npy_header, write_npz

DTYPES = ("|u1", "|i1", "<i4", "<i8", "<u2", "<f2", "<f4", "<f8")
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: arrays_of.arrays(dtype, arrays_of.array_shapes(min_dims=0, min_side=0))
)
NAMES = st.text("abcXYZ0189._/-", min_size=1, max_size=20).filter(lambda n: not n.endswith(".npy"))


def written(arrays: dict[str, np.ndarray]) -> bytes:
    out = io.BytesIO()
    write_npz(out, arrays)
    return out.getvalue()


@given(st.dictionaries(NAMES, ARRAYS, min_size=1, max_size=4))
def test_what_is_written_comes_back_by_every_reader(arrays: dict[str, np.ndarray]) -> None:
    content = written(arrays)
    assert written(dict(arrays)) == content
    reader = NpzReader(io.BytesIO(content))
    reader.check_ending()
    assert list(reader.members) == list(arrays)
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        for name, a in arrays.items():
            ours, numpys = reader.read(name, a.dtype, a.shape), file[name]
            for b in (ours, numpys):
                assert (b.dtype, b.shape, b.tobytes()) == (a.dtype, a.shape, a.tobytes())
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert file.testzip() is None
        assert {item.date_time for item in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@given(ARRAYS)
def test_the_header_of_an_array_is_numpys_own(a: np.ndarray) -> None:
    out = io.BytesIO()
    np.save(out, a)
    assert out.getvalue() == npy_header(a.dtype, a.shape) + a.tobytes()


@given(
    st.dictionaries(NAMES, ARRAYS, min_size=1, max_size=2),
    st.integers(0, 2**32),
    st.integers(1, 255),
)
def test_a_changed_byte_is_seen_by_name_size_or_checksum(
    arrays: dict[str, np.ndarray], position: int, mask: int
) -> None:
    content = bytearray(written(arrays))
    content[position % len(content)] ^= mask
    with pytest.raises(FrameError):  # noqa: PT012 - whichever of these sees it
        reader = NpzReader(io.BytesIO(content))
        if list(reader.members) != list(arrays):
            raise FrameError("other names")
        reader.check_ending()
        for name, a in arrays.items():
            reader.read(name, a.dtype, a.shape)
