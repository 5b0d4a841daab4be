"""Tables in text files: header, separators, labels, and the cell that is no number by its name."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchvae.data import Dataset, Reading, load_dataset
from scratchvae.errors import DataError


def table(folder: Path, text: str, name: str = "t.csv", label_column: str = "") -> Dataset:
    (folder / name).write_text(text, encoding="utf-8")
    return load_dataset(folder / name, reading=Reading(split="last", label_column=label_column))


def test_a_header_names_the_features_and_the_label(tmp_path: Path) -> None:
    data = table(tmp_path, "\ufeffheight,Label,weight\n1.5,b,-2\n2.5,a,1e1\n0,b,3\n")
    assert (data.feature_names, data.class_names) == (("height", "weight"), ("a", "b"))
    assert (data.image_shape, data.train.max_level) == (None, None)
    np.testing.assert_array_equal(data.train.images, [[1.5, -2], [2.5, 10]])
    assert data.train.labels is not None
    assert data.train.labels.tolist() == [1, 0]
    assert "column 'Label' of t.csv holds the labels" in data.notes


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_without_a_header_columns_are_numbered(tmp_path: Path, separator: str) -> None:
    text = "\n".join(separator.join(row) for row in ("123", "456", "789"))
    data = table(tmp_path, f"{text}\n\n", "t.tsv")
    assert data.feature_names == ("1", "2", "3")
    np.testing.assert_array_equal(data.train.images, [[1, 2, 3], [4, 5, 6]])


def test_the_label_column_may_have_any_name_or_number(tmp_path: Path) -> None:
    named = table(tmp_path, "x,kind\n.5,3\n.5,4\n", label_column="kind")
    numbered = table(tmp_path, "3,.5\n4,.5\n", label_column="1")
    for data in (named, numbered):
        assert data.train.labels is not None
        assert (data.train.labels.tolist(), data.train.images.tolist()) == ([3], [[0.5]])


def test_quoted_names_may_hold_separators(tmp_path: Path) -> None:
    assert table(tmp_path, '"a, b",c\n1,2.5\n3,4\n').feature_names == ("a, b", "c")


def test_digits_as_kaggle_has_them_are_images(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 64))
    rows = "\n".join(",".join(map(str, [k % 3, *row])) for k, row in enumerate(pixels))
    header = ",".join(["label", *(f"pixel{k}" for k in range(64))])
    data = table(tmp_path, f"{header}\n{rows}\n")
    assert (data.image_shape, data.train.max_level) == ((8, 8), 255)
    np.testing.assert_array_equal(data.train.images, pixels[:5])


BAD = {
    "": "is empty; expected a row",
    "a,b\n": "holds a header and no row",
    "a,b\n1,2\n3,x\n": r"line 3, column 'b': 'x' is not a number",
    "a,b\n1,2\n3,\n": r"line 3, column 'b': the cell is empty",
    "a,b\n1,nan\n": r"line 2, column 'b': 'nan' is not a number",
    "1,2\n3,inf\n": r"line 2, column '2': 'inf' is not a number",
    "a,b\n1,2\n3\n": "line 3 has 1 cells, but the first line has 2",
    "label\n1\n2\n": "no column besides 'label'",
    "x,label\n1,\n": "line 2 has no label in column 'label'",
    "x,label\n1,0.5\n2,1\n": "label 0.5 of image 0",
    "x,y\n1,2\n": "holds one image",
    f"a\n{'9' * 5000}x\n": "is not a number",
}


@pytest.mark.parametrize("text", BAD, ids=list(BAD.values()))
def test_a_bad_table_is_refused_by_line_and_column(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=BAD[text]) as caught:
        table(tmp_path, text)
    assert "t.csv" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_label_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no column 'z': \['x', 'y'\]"):
        table(tmp_path, "x,y\n1,2\n", label_column="z")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,\xff\n")
    with pytest.raises(DataError, match=r"t\.csv: damaged"):
        load_dataset(tmp_path / "t.csv")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_make_a_table_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.csv"
    path.write_bytes(content)
    try:
        data = load_dataset(path)
    except DataError as error:
        assert "fuzzed.csv" in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert np.isfinite(data.train.values()).all()
