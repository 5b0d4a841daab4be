"""A user's own .npy, .npz and IDX files: what they mean, and every bad one is refused by name."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.reliability.mirror import ARRAYS, idx_bytes, packed
from scratchvae.data import load_dataset
from scratchvae.errors import DataError

GREY = np.random.default_rng(0).integers(0, 256, (20, 3, 5), dtype=np.uint8)


def saved(path: Path, array: Any) -> Path:
    np.save(path, array)
    return path


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def npz(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [((20, 3, 5), (3, 5)), ((20, 49), (7, 7)), ((20, 15), None), ((20, 1), None)],
)
def test_the_image_shape_comes_from_the_array(
    tmp_path: Path, shape: tuple[int, ...], image_shape: tuple[int, int] | None
) -> None:
    data = load_dataset(saved(tmp_path / "a.npy", np.full(shape, 9, np.uint8)))
    assert data.image_shape == image_shape
    assert data.train.images.shape == (18, int(np.prod(shape[1:])))
    assert data.name == "a.npy"


@pytest.mark.parametrize("order", ["C", "F"])
def test_pixels_come_back_in_row_order_and_the_last_tenth_is_the_test_split(
    tmp_path: Path, order: Any
) -> None:
    data = load_dataset(str(saved(tmp_path / "a.npy", np.asarray(GREY, order=order))))
    np.testing.assert_array_equal(data.train.images, GREY[:18].reshape(18, 15))
    np.testing.assert_array_equal(data.test.images, GREY[18:].reshape(2, 15))
    assert data.train.max_level == 255
    assert "its last 2 of 20 images" in data.notes[0]


def test_the_test_split_has_at_least_one_image(tmp_path: Path) -> None:
    assert len(load_dataset(saved(tmp_path / "a.npy", GREY[:2])).test) == 1
    with pytest.raises(DataError, match="one image"):
        load_dataset(saved(tmp_path / "b.npy", GREY[:1]))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64"])
def test_zeros_and_ones_are_binary_pixels(tmp_path: Path, dtype: str) -> None:
    data = load_dataset(saved(tmp_path / "a.npy", (GREY > 99).astype(dtype)))
    assert (data.train.max_level, str(data.train.images.dtype)) == (1, "uint8")
    assert any("binary" in note for note in data.notes) == (dtype != "bool")


@pytest.mark.parametrize("dtype", ["<i2", ">i4", "u8"])
def test_integers_that_fit_a_byte_are_grey_levels(tmp_path: Path, dtype: str) -> None:
    data = load_dataset(saved(tmp_path / "a.npy", GREY.astype(dtype)))
    np.testing.assert_array_equal(data.train.images, GREY[:18].reshape(18, 15))


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8"])
def test_floats_are_values_even_outside_0_to_1(tmp_path: Path, dtype: str) -> None:
    values = (np.arange(40).reshape(10, 4) / 8 - 1).astype(dtype)
    data = load_dataset(saved(tmp_path / "a.npy", values))
    assert (data.train.max_level, str(data.train.images.dtype)) == (None, "float32")
    np.testing.assert_array_equal(data.train.values(), values[:9])


@pytest.mark.parametrize("keys", [("train", "test"), ("x_train", "x_test")])
def test_an_npz_with_a_test_part_is_taken_as_it_is(tmp_path: Path, keys: tuple[str, str]) -> None:
    (tmp_path / "a.npz").write_bytes(
        npz(**{keys[0]: GREY[:12], keys[1]: GREY[12:]}, y_train=np.arange(12), extra=["text"])
    )
    data = load_dataset(tmp_path / "a.npz")
    assert (len(data.train), len(data.test), data.notes) == (12, 8, ())
    np.testing.assert_array_equal(data.train.labels, np.arange(12))
    assert data.test.labels is None


@pytest.mark.parametrize("key", ["images", "x", "arr_0", "train", "x_train"])
def test_an_npz_without_a_test_part_is_cut(tmp_path: Path, key: str) -> None:
    label_key = "y_train" if "train" in key else "y"
    (tmp_path / "a.npz").write_bytes(npz(**{key: GREY, label_key: np.arange(20, dtype=np.uint8)}))
    data = load_dataset(tmp_path / "a.npz")
    np.testing.assert_array_equal(data.test.labels, [18, 19])
    assert "no test part" in data.notes[0]


def test_a_compressed_npz_is_read_too(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", images=GREY)
    assert len(load_dataset(tmp_path / "a.npz").train) == 18


def test_a_dark_test_part_keeps_the_levels_of_its_train_part(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(npz(train=GREY, test=GREY[:2] // 255))
    assert load_dataset(tmp_path / "a.npz").test.max_level == 255


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_an_idx_file_brings_the_labels_beside_it(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"mine-images-idx3-ubyte{ending}"
    path.write_bytes(packed(ARRAYS[0]) if ending else idx_bytes(ARRAYS[0]))
    assert load_dataset(path).train.labels is None
    (tmp_path / "mine-labels-idx1-ubyte.gz").write_bytes(packed(ARRAYS[1]))
    data = load_dataset(path)
    assert data.image_shape == (3, 2)
    np.testing.assert_array_equal(data.train.labels, [0, 1, 2, 3])


def test_idx_labels_of_another_set_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images-idx3-ubyte").write_bytes(idx_bytes(ARRAYS[0]))
    assert load_dataset(tmp_path / "images-idx3-ubyte").train.labels is None  # names no set
    (tmp_path / "a-images-idx3-ubyte").write_bytes(idx_bytes(ARRAYS[0]))
    (tmp_path / "a-labels-idx1-ubyte").write_bytes(idx_bytes(ARRAYS[3]))
    with pytest.raises(DataError, match="5 images but 4 labels"):
        load_dataset(tmp_path / "a-images-idx3-ubyte")


def npy_header(descr: str, shape: str, version: int = 1, data: bytes = b"") -> bytes:
    """A .npy file whose header says what a test wants it to say."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + data


def not_finite(value: float) -> np.ndarray:
    images = np.zeros((4, 2, 3))
    images[2, 1, 0] = images[3, 0, 0] = value
    return images


BAD: dict[str, tuple[bytes, str]] = {
    "nothing at all": (b"", "neither .npy, .npz nor IDX"),
    "text": (b"0,1,2\n", "neither .npy, .npz nor IDX"),
    "half a magic number": (b"\x93NUMPY", "damaged or incomplete"),
    "half a header": (npy(GREY)[:40], "damaged or incomplete"),
    "a header that is no dictionary": (npy(GREY).replace(b"{'descr'", b"['descr'"), "damaged"),
    "version 3": (npy_header("'|u1'", "(1, 1)", version=3), "version"),
    "one byte missing": (npy(GREY)[:-1], "300 bytes of data and 299 are there"),
    "one byte too many": (npy(GREY) + b"!", "300 bytes of data and 301 are there"),
    "10^12 floats in 128 bytes": (npy_header("'<f8'", "(1000000, 1000000)"), "at most"),
    "a negative size": (npy_header("'|u1'", "(-1, -1)", data=b"!"), "shape"),
    "sizes of 3,000 digits": (npy_header("'|u1'", f"({'9' * 3000}, {'9' * 3000})"), "cannot be"),
    "sizes of 3,000 digits and a 0": (npy_header("'|u1'", f"({'9' * 3000}, 0)"), "cannot be"),
    "a thousand dimensions": (npy_header("'|u1'", f"({'1, ' * 1000})", data=b"!"), "cannot be"),
    "a header of 4 GB": (b"\x93NUMPY\2\0\xff\xff\xff\xff", "header of 4294967295 bytes"),
    "a boolean of 2": (npy(GREY > 9)[:-1] + b"\2", "the byte 2 where only 0 and 1"),
    "Python objects": (npy(np.array([[None, 1]], dtype=object)), "Python objects"),
    "strings": (npy(np.array([["a", "b"]])), "integers or floats"),
    "complex numbers": (npy(np.ones((3, 4), complex)), "integers or floats"),
    "named fields": (npy(np.zeros((3, 4), [("a", "u1")])), "integers or floats"),
    "one number": (npy(np.uint8(3)), r"shape \(\)"),
    "one row": (npy(np.zeros(5, np.uint8)), r"\(N, H, W\)"),
    "channels first": (npy(np.zeros((5, 3, 8, 8), np.uint8)), "as if channels came first"),
    "no image": (npy(GREY[:0]), "is empty"),
    "images without pixels": (npy(GREY[:, :0]), "is empty"),
    "integers beyond a byte": (npy(np.array([[[0, 256], [0, 0]]])), "from 0 to 256"),
    "negative integers": (npy(np.array([[[0, -1], [0, 0]]])), "from -1 to 0"),
    "NaN": (npy(not_finite(np.nan)), r"2 of 24 .* index \(2, 3\) \(nan\)"),
    "infinity": (npy(not_finite(-np.inf)), r"2 of 24 .* index \(2, 3\) \(-inf\)"),
    "too large for float32": (npy(not_finite(1e300)), r"2 of 24 .* index \(2, 3\) \(inf\)"),
    "npz: unknown names": (npz(pictures=GREY), "'pictures'"),
    "npz: a test part alone": (npz(test=GREY), "'test'"),
    "npz: empty": (npz(), "none"),
    "npz: two arrays of images": (npz(x=GREY, images=GREY), "both 'images' and 'x'"),
    "npz: images and a train part": (npz(x=GREY, train=GREY), "both 'x' and 'train'"),
    "npz: images and a test part": (npz(x=GREY, x_test=GREY), "both 'x' and 'x_test'"),
    "npz: two train parts": (npz(train=GREY, x_train=GREY), "both 'train' and 'x_train'"),
    "npz: two arrays of labels": (npz(x=GREY, y=[1], labels=[1]), "both 'labels' and 'y'"),
    "npz: labels of another part": (npz(x=GREY, y=[1], y_train=[1]), "both 'y' and 'y_train'"),
    "npz: shapes that differ": (npz(train=GREY, test=GREY[:, :2]), "differ in shape"),
    "npz: dtypes that differ": (npz(train=GREY, test=GREY / 255), "store both alike"),
    "npz: fewer labels": (npz(x=GREY, y=np.arange(19)), "20 images but 19 labels"),
    "npz: labels of floats": (npz(x=GREY, y=np.arange(20) + 0.5), "float64"),
    "npz: labels in a column": (npz(x=GREY, y=np.ones((20, 1), int)), r"shape \(20, 1\)"),
    "npz: labels beyond int64": (npz(x=GREY, y=np.full(20, 2**64 - 1)), "64 bits"),
    "npz: Python objects": (npz(x=np.array([[None]], dtype=object)), "Python objects"),
    "npz: broken off": (npz(x=GREY)[:-30], "damaged or incomplete"),
    "npz: a changed pixel": (npz(x=GREY).replace(GREY[4].tobytes(), bytes(15)), "damaged"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    content, complaint = BAD[name]
    path = tmp_path / "bad-file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=complaint) as caught:
        load_dataset(path)
    assert "bad-file" in str(caught.value)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return pytest.fail, ("unpickled",)

    for name, write in (("a.npy", np.save), ("a.npz", np.savez)):
        write(tmp_path / name, np.array([Trap()], dtype=object))
        with pytest.raises(DataError, match="unpickle"):
            load_dataset(tmp_path / name)


def test_two_arrays_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", npy(GREY))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x.npy", npy(GREY))
    with pytest.raises(DataError, match="two arrays of one name"):
        load_dataset(path)


def test_a_zip_bomb_is_stopped_by_its_own_npy_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy(GREY) + bytes(10_000_000))
    with pytest.raises(DataError, match="declares 300 bytes of data and 10000300"):
        load_dataset(path)


def test_a_folder_without_pictures_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data folder"):
        load_dataset(tmp_path)


SEEDS = [npy(GREY[:2]), npz(x=GREY[:2]), npz(train=GREY[:1], test=GREY[:1]), npy(GREY[:2] / 3)]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_damage_makes_loading_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content) - 1))
        content[start : start + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(content)
    try:
        loaded = load_dataset(path)
    except DataError as error:
        assert "fuzzed" in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert len(loaded.train) >= 1
        assert len(loaded.test) >= 1


@settings(max_examples=100, deadline=None)
@given(
    descr=st.sampled_from(["'|u1'", "'<f4'", "'|O'", "'V0'", "[('a', '|u1')]", "'|b1'", "7", "''"]),
    shape=st.sampled_from(["(2, 2)", "(4,)", "(2, True)", "(0, 4)", "(2, 2.0)", "2", "None", "()"]),
    data=st.binary(max_size=16),
)
def test_no_header_makes_loading_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, descr: str, shape: str, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.npy"
    path.write_bytes(npy_header(descr, shape, data=data))
    try:
        load_dataset(path)
    except DataError as error:
        assert "fuzzed" in str(error)  # noqa: PT017 - either outcome is right
