"""Strangers' arrays: what they become, what is said about it, and what is refused in a sentence."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from scratchvae.data import Dataset
from scratchvae.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 16, 4), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (20, 5, 6, 3), dtype=np.uint8)
TABLE = RNG.normal(size=(20, 3))


def test_images_keep_their_shape_and_channels() -> None:
    data = Dataset.from_arrays(COLOUR)
    assert (data.image_shape, data.train.max_level, data.name) == ((5, 6, 3), 255, "arrays")
    np.testing.assert_array_equal(data.train.images, COLOUR[:18].reshape(18, 90))
    assert Dataset.from_arrays(COLOUR[..., :1]).image_shape == (5, 6)


def test_channels_may_come_first_if_that_is_said() -> None:
    first = np.moveaxis(RNG.integers(0, 256, (20, 8, 9, 3), dtype=np.uint8), -1, 1)
    with pytest.raises(DataError, match="as if channels came first"):
        Dataset.from_arrays(first)
    data = Dataset.from_arrays(first, channels_first=True)
    assert data.image_shape == (8, 9, 3)
    np.testing.assert_array_equal(data.train.images[0].reshape(8, 9, 3)[:, :, 1], first[0, 1])


@pytest.mark.parametrize("shape", [(16, 4), [16, 4], (4, 4, 4)])
def test_flattened_images_have_the_shape_that_is_named(shape: Any) -> None:
    data = Dataset.from_arrays(GREY.reshape(20, 64), image_shape=shape)
    assert data.image_shape == tuple(shape)
    assert len(data.notes) == 1  # of the split alone


def test_a_square_that_was_guessed_is_noted() -> None:
    data = Dataset.from_arrays(GREY.reshape(20, 64))
    assert data.image_shape == (8, 8)
    assert "taken for images of 8 x 8 pixels; --image-shape" in data.notes[0]


@pytest.mark.parametrize(
    "rows", [TABLE, RNG.normal(size=(20, 16)), RNG.random((20, 4)), RNG.random((20, 20))]
)
def test_rows_that_look_like_no_square_of_grey_values_are_a_table(rows: Any) -> None:
    data = Dataset.from_arrays(rows)
    assert (data.image_shape, data.row_shape) == (None, rows.shape[1:])
    assert "read as a table" in data.notes[0]


def test_a_data_frame_keeps_the_names_of_its_features() -> None:
    frame = pd.DataFrame(TABLE, columns=["height", "weight", "age"])
    data = Dataset.from_arrays(frame, labels=pd.Series(["b", "a"] * 10))
    assert (data.feature_names, data.image_shape) == (("height", "weight", "age"), None)
    assert data.class_names == ("a", "b")
    assert data.train.labels is not None
    assert data.train.labels[:4].tolist() == [1, 0, 1, 0]
    np.testing.assert_array_equal(data.train.images, TABLE[:18].astype(np.float32))


def test_whole_numbers_of_a_data_frame_mean_themselves() -> None:
    data = Dataset.from_arrays(pd.DataFrame({"rooms": [3, 4] * 5, "new": [True, False] * 5}))
    assert data.train.max_level is None
    np.testing.assert_array_equal(data.train.images[:2], [[3, 1], [4, 0]])


def test_a_data_frame_of_many_bytes_a_row_is_taken_for_images() -> None:
    frame = pd.DataFrame(RNG.integers(0, 256, (20, 64)), columns=[f"pixel{k}" for k in range(64)])
    data = Dataset.from_arrays(frame)
    assert (data.image_shape, data.train.max_level, data.feature_names) == ((8, 8), 255, ())


def test_tensors_come_without_their_gradient() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(TABLE, requires_grad=True)
    data = Dataset.from_arrays(x, labels=torch.arange(20) % 3)
    np.testing.assert_array_equal(data.train.images, TABLE[:18].astype(np.float32))
    assert data.train.labels is not None
    assert data.train.labels[:4].tolist() == [0, 1, 2, 0]


def test_lists_are_arrays_and_the_arrays_are_copied() -> None:
    images = GREY.copy()
    data = Dataset.from_arrays(images, images[:3])
    images[:] = 0
    np.testing.assert_array_equal(data.test.images, GREY[:3].reshape(3, 64))
    assert data.notes == ()
    assert Dataset.from_arrays(GREY.tolist()).fingerprint == Dataset.from_arrays(GREY).fingerprint


def test_an_unmasked_masked_array_is_an_array() -> None:
    whole = Dataset.from_arrays(np.ma.masked_array(TABLE, mask=False))
    assert whole.fingerprint == Dataset.from_arrays(TABLE).fingerprint


# ---- scales -------------------------------------------------------------------------------------


def test_levels_that_end_long_before_255_are_noted_and_the_full_scale_says_better() -> None:
    dark = GREY // 16
    guessed, said = Dataset.from_arrays(dark), Dataset.from_arrays(dark, full_scale=15)
    assert "is 15 of 255" in guessed.notes[0]
    assert (guessed.train.max_level, said.train.max_level) == (255, 15)
    assert said.train.range == (0.0, 1.0)
    assert len(said.notes) == 1


@pytest.mark.parametrize("dtype", ["uint16", "float64"])
def test_a_full_scale_beyond_a_byte_or_of_floats_divides(dtype: str) -> None:
    values = GREY.astype(dtype) * 4
    data = Dataset.from_arrays(values, full_scale=1020)
    expected = GREY.reshape(20, 64).astype(np.float64) / 255
    np.testing.assert_allclose(data.train.images, expected[:18], rtol=1e-7)


def test_sixteen_bits_are_parts_of_65535() -> None:
    data = Dataset.from_arrays(GREY.astype(np.uint16) * 257)
    assert data.train.range == (0.0, 1.0)
    assert "k / 65535" in data.notes[0]


def test_floats_on_a_large_scale_are_noted_with_what_to_do() -> None:
    assert "divide by 255" in Dataset.from_arrays(GREY.astype(float)).notes[0]
    assert "standardize each column" in Dataset.from_arrays(TABLE * 1e4).notes[1]


def test_range_and_spread_are_those_of_the_values() -> None:
    table = Dataset.from_arrays(RNG.normal(5.0, [0.5, 2.0, 1.0], (3000, 3))).train
    assert table.range == (table.images.min(), table.images.max())
    assert table.spread() == pytest.approx(np.sqrt(table.images.var(axis=0).mean()), rel=1e-6)
    grey = Dataset.from_arrays(GREY).train
    assert grey.spread() == pytest.approx(np.sqrt((grey.images / 255).var(axis=0).mean()))
    assert Dataset.from_arrays(np.full((5, 3), 1e6)).train.spread() == 0.0


def test_drawings_are_ink_and_photographs_light() -> None:
    drawing = np.where(RNG.random((20, 6, 6)) < 0.3, 1.0, 0.0)
    assert Dataset.from_arrays(drawing).colormap == "Greys"
    assert Dataset.from_arrays(1 - drawing).colormap == "gray"
    assert Dataset.from_arrays(drawing * 2 - 1).colormap == "Greys"
    assert Dataset.from_arrays(drawing, colormap="magma").colormap == "magma"


# ---- splits -------------------------------------------------------------------------------------


def test_sorted_labels_are_noticed_and_the_test_part_has_all_of_them() -> None:
    labels = np.repeat(np.arange(10), 30)
    data = Dataset.from_arrays(RNG.random((300, 3)), labels=labels)
    assert "sorted by label" in data.notes[1]
    assert data.test.labels is not None
    np.testing.assert_array_equal(np.bincount(data.test.labels), np.full(10, 3))
    last = Dataset.from_arrays(RNG.random((300, 3)), labels=labels, split="last")
    assert last.test.labels is not None
    assert set(last.test.labels) == {9}
    assert "it holds few of the labels" in last.notes[1]


@pytest.mark.parametrize("split", ["random", "random:7", "random:7:40", "stratified:3:40"])
def test_a_drawn_split_takes_every_image_once_and_is_the_same_again(split: str) -> None:
    rows, labels = np.arange(200.0)[:, None] / 200, np.arange(200) % 4
    data = Dataset.from_arrays(rows, labels=labels, split=split)
    assert len(data.test) == (40 if split.endswith("40") else 20)
    both = np.concatenate([data.train.images, data.test.images])
    np.testing.assert_array_equal(np.sort(both, axis=0), rows.astype(np.float32))
    assert not np.array_equal(data.test.images, np.sort(both, axis=0)[-len(data.test) :])
    again = Dataset.from_arrays(rows, labels=labels, split=split)
    assert again.fingerprint == data.fingerprint
    for part in (data.train, data.test):
        assert part.labels is not None
        np.testing.assert_array_equal(part.labels, np.rint(part.images[:, 0] * 200) % 4)


def test_another_seed_draws_another_split() -> None:
    found = {Dataset.from_arrays(TABLE, split=f"random:{seed}").fingerprint for seed in range(5)}
    assert len(found) > 1


def test_a_stratified_split_keeps_the_only_image_of_a_label_for_training() -> None:
    labels = np.array([0] * 60 + [1] * 39 + [2])
    data = Dataset.from_arrays(RNG.random((100, 3)), labels=labels, split="stratified")
    assert data.test.labels is not None
    np.testing.assert_array_equal(np.bincount(data.test.labels), [6, 4])


def test_images_without_a_label_have_minus_one() -> None:
    data = Dataset.from_arrays(TABLE, labels=[-1.0, 2.0] * 10)
    assert data.train.labels is not None
    assert data.train.labels[:2].tolist() == [-1, 2]


# ---- what is refused ----------------------------------------------------------------------------

MASKED = np.ma.masked_array(TABLE, mask=TABLE > 1)
HOLE = np.where(np.arange(60).reshape(20, 3) == 7, np.nan, TABLE)
OBJECTS = TABLE.astype(object)
OBJECTS[4, 1] = "tall"

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({"train": []}, r"shape \(0,\)"),
    "no rows": ({"train": np.zeros((0, 3))}, "is empty"),
    "one row": ({"train": TABLE[:1]}, "holds one image"),
    "a number": ({"train": 3.0}, r"shape \(\)"),
    "None": ({"train": None}, "None at index"),
    "a text": ({"train": "digits"}, "expected an array of numbers, not 'digits'"),
    "texts": ({"train": [["a", "b"]] * 5}, "holds <U1; expected integers or floats"),
    "complex numbers": ({"train": TABLE * 1j}, "holds complex128"),
    "dates": ({"train": np.zeros((5, 2), "datetime64[s]")}, "datetime64"),
    "an object": ({"train": OBJECTS}, r"'tall' at index \(4, 1\) is not a number"),
    "masked": ({"train": MASKED}, "elements are masked"),
    "NaN": ({"train": HOLE}, r"1 of 60 values .* first at index \(2, 1\)"),
    "rows of different lengths": ({"train": [[1.0, 2.0], [3.0]]}, "cannot be read as an array"),
    "a missing value": (
        {"train": pd.DataFrame({"a": pd.array([1, None, 3], "Int64"), "b": 1.0})},
        r"<NA> at index \(1, 0\) is not a number",
    ),
    "five dimensions": ({"train": np.zeros((2, 2, 2, 2, 2))}, "Reshape it"),
    "another test shape": ({"train": TABLE, "test": TABLE[:, :2]}, "differ in shape"),
    "another test dtype": ({"train": TABLE, "test": TABLE.astype(int)}, "store both alike"),
    "other columns": (
        {"train": pd.DataFrame({"a": [1.0]}), "test": pd.DataFrame({"b": [1.0]})},
        "columns of different names",
    ),
    "a shape that does not fit": ({"train": TABLE, "image_shape": (2, 2)}, "have 4 values, but"),
    "levels beyond the full scale": ({"train": GREY, "full_scale": 16}, "but the full scale is 16"),
    "fewer labels": ({"train": TABLE, "labels": [1, 2]}, "20 images but 2 labels"),
    "half labels": ({"train": TABLE, "labels": [0.5] * 20}, "label 0.5 of image 0"),
    "NaN labels": ({"train": TABLE, "labels": [1.0] * 19 + [np.nan]}, "label nan of image 19"),
    "labels below −1": ({"train": TABLE, "labels": [-2] * 20}, "label -2 of image 0"),
    "labels in a column": ({"train": TABLE, "labels": np.ones((20, 1))}, r"shape \(20, 1\)"),
    "labels of no test part": ({"train": TABLE, "test_labels": [1]}, "but no test part"),
    "a stratified split without labels": ({"train": TABLE, "split": "stratified"}, "no labels"),
    "a split of everything": ({"train": TABLE, "split": "last:20"}, "one must remain"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arrays_are_refused_in_a_sentence(name: str) -> None:
    given, complaint = BAD[name]
    train = given.pop("train") if "train" in given else None
    with pytest.raises(DataError, match=complaint) as caught:
        Dataset.from_arrays(train, name="mine", **given)
    assert str(caught.value).startswith("mine")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "how",
    [
        {"split": "first"},
        {"split": "random:-1"},
        {"split": f"random:{2**64}"},
        {"image_shape": (8,)},
        {"image_shape": (8, 0)},
        {"image_shape": "88"},
        {"full_scale": -1},
        {"full_scale": 0.5},
        {"colormap": "sepia"},
        {"colormap": None},
    ],
)
def test_settings_that_cannot_be_are_refused(how: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(how))):
        Dataset.from_arrays(TABLE, **how)
