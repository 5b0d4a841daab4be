"""Images that stay in .npy files: the rows of the array in memory, and a sentence for bad files."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from scratchvae.data import Dataset, Split, load_dataset, select
from scratchvae.data.mapped import FileRows, MappedRows, read_file
from scratchvae.errors import DataError

GREY = np.random.default_rng(0).integers(0, 256, (50, 4, 5), dtype=np.uint8)


def shards(folder: Path, array: NDArray, cuts: tuple[int, ...] = (7, 8, 30)) -> Path:
    """A folder with the array in files, cut before these rows."""
    folder.mkdir()
    for k, part in enumerate(np.split(array, cuts)):
        np.save(folder / f"part{k}.npy", part)
    return folder


ARRAYS = {
    "levels": GREY,
    "booleans": GREY > 99,
    "binary levels": (GREY > 99).astype(np.int64),
    "16-bit levels": GREY.astype(np.uint16) * 256,
    "floats": (GREY / 255).astype(">f8"),
    "a table": np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_a_folder_of_files_is_the_data_set_of_the_array(name, tmp_path):
    array = ARRAYS[name]
    here, there = Dataset.from_arrays(array), load_dataset(shards(tmp_path / "some", array))
    assert there.in_files
    assert not here.in_files
    assert there.fingerprint == here.fingerprint
    assert (there.image_shape, there.colormap) == (here.image_shape, here.colormap)
    for ours, theirs in ((there.train, here.train), (there.test, here.test)):
        np.testing.assert_array_equal(ours.images[:], theirs.images)
        assert ours.range == theirs.range
        assert ours.spread() == theirs.spread()


def test_a_pattern_names_files_in_the_order_of_their_names(tmp_path):
    folder = shards(tmp_path / "some", GREY)
    (folder / "notes.txt").write_text("no images")
    data = load_dataset(str(folder / "part*.npy"))
    np.testing.assert_array_equal(data.train.images[:], GREY[:45].reshape(45, 20))
    assert "the images of 4 files, from part0.npy to part3.npy, stay in them" in data.notes[0]


def test_an_array_that_numpy_has_mapped_stays_in_its_file_and_may_have_labels(tmp_path):
    np.save(tmp_path / "a.npy", GREY)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    labels = np.arange(50) % 3
    there, here = (Dataset.from_arrays(a, labels=labels) for a in (mapped, GREY))
    assert there.in_files
    assert there.fingerprint == here.fingerprint
    assert not Dataset.from_arrays(mapped[5:]).in_files  # a part of it is copied


def test_a_large_file_stays_where_it_is(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", GREY)
    assert not load_dataset(tmp_path / "a.npy").in_files
    monkeypatch.setattr("scratchvae.data.user_files.LARGE", 500)
    assert load_dataset(tmp_path / "a.npy").in_files


def test_rows_are_chosen_as_from_an_array(tmp_path):
    flat = GREY.reshape(50, 20)
    rows = load_dataset(shards(tmp_path / "some", GREY)).train.images
    assert isinstance(rows, MappedRows)
    some = np.array([44, 0, 7, 7, -1])
    for choice in (slice(3, 40, 5), some, np.arange(45) % 2 == 0, slice(9, 9)):
        np.testing.assert_array_equal(rows[choice], flat[:45][choice])
        np.testing.assert_array_equal(rows.take(choice).take(slice(1, 4))[:],
                                      flat[:45][choice][1:4])  # fmt: skip
    assert rows.take(some).range == (int(flat[:45][some].min()), int(flat[:45][some].max()))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(rows))[:], flat[:45])


def test_more_files_than_a_process_may_open_are_mapped_in_turn(tmp_path, monkeypatch):
    monkeypatch.setattr("scratchvae.data.mapped.MAX_MAPPED_FILES", 2)
    folder = shards(tmp_path / "some", GREY, tuple(range(5, 50, 5)))
    rows = FileRows([read_file(path) for path in sorted(folder.iterdir())])
    np.testing.assert_array_equal(rows[np.arange(50)[::-1]], GREY[::-1])
    assert len(rows._mapped) == 2


def test_the_subset_of_a_configuration_stays_in_the_files(tmp_path):
    data = select(load_dataset(shards(tmp_path / "some", GREY)), "draw:3:10:2")
    assert data.in_files
    assert data.fingerprint == select(Dataset.from_arrays(GREY), "draw:3:10:2").fingerprint


# ---- bad files ----------------------------------------------------------------------------------

OTHERS = {
    "holds images of shape (5, 4), but those of part0.npy have (4, 5)": GREY.reshape(50, 5, 4),
    "holds uint16, but part0.npy uint8": GREY.astype(np.uint16),
    "holds Python objects": GREY.astype(object),
    "is empty: its header declares the shape (0, 4, 5)": GREY[:0],
    "holds its numbers column by column (Fortran order)": np.asfortranarray(GREY),
    "expected a row for each image": GREY.reshape(-1),
    "holds complex64": GREY.astype(np.complex64),
}


@pytest.mark.parametrize("sentence", OTHERS)
def test_a_file_that_does_not_fit_is_named(sentence, tmp_path):
    folder = shards(tmp_path / "some", GREY)
    np.save(folder / "part9.npy", OTHERS[sentence])
    with pytest.raises(DataError) as raised:
        load_dataset(folder)
    assert str(raised.value).startswith(f"{folder / 'part9.npy'}: ")
    assert sentence in str(raised.value)


def test_a_file_of_other_bytes_than_it_declares_is_named(tmp_path):
    folder = shards(tmp_path / "some", GREY > 99)
    content = bytearray((folder / "part2.npy").read_bytes())
    content[-1] = 7
    (folder / "part2.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"part2\.npy: holds bytes other than 0 and 1"):
        load_dataset(folder)
    (folder / "part2.npy").write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"part2\.npy: its header declares 440 bytes"):
        load_dataset(folder)


def test_values_that_are_not_finite_are_counted_in_all_files(tmp_path):
    floats = (GREY / 255).astype(np.float32)
    floats[[8, 40], 1, 2] = np.nan, np.inf
    with pytest.raises(DataError, match=r"2 of 1000 values .* the first at index \(8, 7\) \(nan\)"):
        load_dataset(shards(tmp_path / "some", floats))


def test_a_pattern_without_files_or_with_other_files_is_refused(tmp_path):
    folder = shards(tmp_path / "some", GREY)
    with pytest.raises(DataError, match="there is no file of such a name; check the pattern"):
        load_dataset(str(folder / "none*.npy"))
    (folder / "part.txt").touch()
    with pytest.raises(DataError, match=r"part\.txt: is no \.npy file, but fits"):
        load_dataset(str(folder / "part*"))


def test_a_file_that_changes_or_vanishes_while_it_is_read_is_named(tmp_path):
    folder = shards(tmp_path / "some", GREY)
    data = load_dataset(folder)
    os.truncate(folder / "part0.npy", 150)
    with pytest.raises(DataError, match=r"part0\.npy: has changed since it was opened"):
        data.train.values()
    (folder / "part0.npy").unlink()
    with pytest.raises(DataError, match=r"part0\.npy: cannot be read any more"):
        data.train.values()


def test_a_copy_for_another_process_notices_another_file(tmp_path):
    folder = shards(tmp_path / "some", GREY)
    sent = pickle.dumps(load_dataset(folder).train)
    np.save(folder / "part0.npy", GREY[:6])
    with pytest.raises(DataError, match="is another file than the one that was opened first"):
        pickle.loads(sent)


def test_images_in_files_have_their_channels_last(tmp_path):
    np.save(tmp_path / "a.npy", GREY.reshape(10, 5, 4, 5))
    with pytest.raises(DataError, match="channels last"):
        Dataset.from_arrays(np.load(tmp_path / "a.npy", mmap_mode="r"), channels_first=True)


def test_levels_beyond_white_are_refused_without_reading(tmp_path):
    rows = load_dataset(shards(tmp_path / "some", GREY)).train.images
    with pytest.raises(DataError, match="max_level=16 cannot be: the brightest pixel is 255"):
        Split(rows, None, 16)
