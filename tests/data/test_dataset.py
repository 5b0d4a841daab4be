"""Split and Dataset: what they mean, and what they refuse to be."""

import hashlib
from typing import Any

import numpy as np
import pytest
from data_helpers import known_labels

from scratchvae.backend.noise import Purpose, Stream, permutation
from scratchvae.data import Dataset, Split, hold_out, require_unit_interval
from scratchvae.data.dataset import fingerprint
from scratchvae.errors import ConfigError, DataError


def grey(n: int = 6, d: int = 4) -> Split:
    images = np.arange(n * d, dtype=np.uint8).reshape(n, d)
    return Split(images, np.arange(n, dtype=np.int64), 255)


def test_a_pixel_of_k_is_the_grey_value_k_over_max_level() -> None:
    split = Split(np.array([[0, 4, 16]], dtype=np.uint8), None, 16)
    assert split.values().dtype == np.float32
    np.testing.assert_array_equal(split.values(), [[0, 0.25, 1]])


def test_float_images_are_their_own_values_and_are_copied() -> None:
    split = Split(np.array([[-1.5, 2.0]], dtype=np.float32), None, None)
    split.values()[:] = 0
    np.testing.assert_array_equal(split.values(), [[-1.5, 2.0]])


@pytest.mark.parametrize("rows", [slice(1, 3), np.array([4, 0, 4]), np.arange(6) % 2 == 0])
def test_rows_are_chosen_before_they_are_divided(rows: Any) -> None:
    np.testing.assert_array_equal(grey().values(rows), grey().values()[rows])


def test_take_keeps_images_with_their_labels() -> None:
    part = grey().take(np.array([5, 1]))
    assert len(part) == 2
    np.testing.assert_array_equal(part.labels, [5, 1])
    np.testing.assert_array_equal(part.images[1], [4, 5, 6, 7])


def test_a_split_is_contiguous_however_it_was_taken() -> None:
    assert grey().take(slice(None, None, 2)).images.flags.c_contiguous


@pytest.mark.parametrize(
    ("images", "labels", "max_level", "complaint"),
    [
        (np.zeros((2, 3, 4), np.uint8), None, 255, "shape"),
        (np.zeros((2, 3), np.float64), None, None, "float32"),
        (np.zeros((2, 3), np.float32), None, 255, "uint8"),
        (np.full((2, 3), 17, np.uint8), None, 16, "17"),
        (np.zeros((2, 3), np.uint8), None, 0, "max_level=0"),
        (np.zeros((2, 3), np.uint8), np.zeros(3, np.int64), 1, "labels"),
        (np.zeros((2, 3), np.uint8), np.zeros(2, np.int32), 1, "labels"),
        (np.zeros((2, 3), np.uint8), [0, 1], 1, "labels are a NumPy array, not list"),
        ([[0.5]], None, None, "images are a NumPy array, not list"),
        (np.ma.masked_array(np.zeros((2, 3), np.uint8)), None, 1, "masked array"),
        (np.zeros((2, 3), ">f4"), None, None, "float32, not >f4"),
        (np.zeros((2, 3), np.uint8), None, 256, "max_level=256"),
        (np.zeros((2, 3), np.uint8), None, True, "max_level=True"),
        (np.zeros((2, 3), np.uint8), None, 255.0, "max_level=255.0"),
        (np.zeros((2, 3), np.uint8), None, "255", "max_level='255'"),
        (np.array([[0, np.nan]], np.float32), None, None, r"1 of 2 .* index \(0, 1\) \(nan\)"),
    ],
)
def test_a_split_whose_parts_do_not_fit_is_refused(
    images: Any, labels: Any, max_level: int | None, complaint: str
) -> None:
    with pytest.raises(DataError, match=complaint):
        Split(images, labels, max_level)


def test_a_dataset_needs_images_that_fit_its_shape_and_each_other() -> None:
    with pytest.raises(DataError, match="4 pixels, but 3 x 2"):
        Dataset("d", grey(), grey(), (3, 2))
    with pytest.raises(DataError, match="no image"):
        Dataset("d", grey(), grey().take(slice(0)), (2, 2))
    with pytest.raises(DataError, match="max_level"):
        Dataset("d", grey(), Split(np.zeros((1, 4), np.uint8), None, 1), (2, 2))


@pytest.mark.parametrize(
    ("name", "train", "shape", "complaint"),
    [
        (None, grey(), (2, 2), "the name of a data set is a text, not None"),
        ("d", np.zeros((6, 4), np.uint8), (2, 2), "the train part is a Split, not ndarray"),
        ("d", grey(), 4, "not 4"),
        ("d", grey(), (4,), r"not \(4,\)"),
        ("d", grey(), (-2, -2), r"not \(-2, -2\)"),
        ("d", grey(), (2.0, 2.0), r"not \(2.0, 2.0\)"),
    ],
)
def test_a_dataset_of_other_things_is_refused(
    name: Any, train: Any, shape: Any, complaint: str
) -> None:
    with pytest.raises(DataError, match=complaint):
        Dataset(name, train, grey(), shape)


def test_max_level_may_be_an_integer_of_numpys() -> None:
    assert type(Split(np.zeros((1, 4), np.uint8), None, np.int64(16)).max_level) is int


def test_the_fingerprint_sees_bytes_labels_shape_dtype_levels_and_the_cut() -> None:
    split = grey()
    binary = np.zeros((6, 4), np.uint8)
    variants = [
        (split, split),
        (split.take(slice(0, 5)), split.take(slice(5, 6))),
        (split.take(slice(0, 4)), split.take(slice(4, 6))),
        (split, Split(split.images, None, 255)),
        (Split(split.images.reshape(4, 6), None, 255), Split(split.images, None, 255)),
        (Split(binary, None, 255), Split(binary, None, 255)),
        (Split(binary, None, 1), Split(binary, None, 1)),
        (Split(binary.astype(np.float32), None, None),) * 2,
    ]
    assert len({fingerprint(*pair) for pair in variants}) == len(variants)
    assert fingerprint(split) == fingerprint(grey())


def test_the_fingerprint_is_the_digest_of_exactly_these_bytes() -> None:
    labels = b"".join(n.to_bytes(8, "little") for n in range(6))
    expected = b"levels 255;" + b"|u1 (6, 4);" + bytes(range(24)) + b"<i8 (6,);" + labels
    assert fingerprint(grey()) == hashlib.sha256(expected).hexdigest()


def test_the_unit_interval_error_counts_and_names_the_first_pixel() -> None:
    images = np.full((3, 4), 0.5, dtype=np.float32)
    require_unit_interval(Split(images, None, None), "mine")
    images[1, 2], images[2, 0] = 255, -1
    with pytest.raises(DataError, match=r"mine: 2 of 12 .* image 1, pixel 2 \(value 255\)"):
        require_unit_interval(Split(images, None, None), "mine")


def test_levels_are_always_in_the_unit_interval() -> None:
    require_unit_interval(grey(), "mine")


def test_held_out_images_and_the_rest_are_all_images_in_their_order() -> None:
    rest, validation = hold_out(grey(20), 5, seed=3)
    assert (len(rest), len(validation)) == (15, 5)
    assert sorted([*known_labels(rest), *known_labels(validation)]) == list(range(20))
    for part in (rest, validation):
        assert list(known_labels(part)) == sorted(known_labels(part))
        np.testing.assert_array_equal(part.images, grey(20).images[part.labels])


def test_the_same_seed_holds_out_the_same_images_and_more_of_them() -> None:
    few, again, many = (set(known_labels(hold_out(grey(20), n, seed=3)[1])) for n in (5, 5, 8))
    assert few == again
    assert few < many
    assert few != set(known_labels(hold_out(grey(20), 5, seed=4)[1]))


@pytest.mark.parametrize("count", [1, 19])
def test_the_stream_of_splits_says_which_images_are_held_out(count: int) -> None:
    rest, validation = hold_out(grey(20), count, seed=3)
    order = permutation(20, Stream(3, Purpose.SPLIT))
    assert list(known_labels(validation)) == sorted(order[:count])
    assert list(known_labels(rest)) == sorted(order[count:])


@pytest.mark.parametrize("count", [-1, 0, 6, 7])
def test_nothing_or_everything_cannot_be_held_out(count: int) -> None:
    with pytest.raises(ConfigError, match="held out"):
        hold_out(grey(6), count, seed=0)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_that_64_bits_cannot_hold_is_refused(seed: int) -> None:
    with pytest.raises(ConfigError, match="seed"):
        hold_out(grey(6), 2, seed=seed)
