"""Folders of PNG and JPEG files: what their pixels and subfolders become, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scratchvae.data import Dataset, Reading, load_dataset
from scratchvae.errors import DataError

RNG = np.random.default_rng(0)


def picture(path: Path, array: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def grey(size: tuple[int, int] = (4, 6)) -> Any:
    return RNG.integers(0, 256, size, dtype=np.uint8)


def colour(channels: int = 3) -> Any:
    return RNG.integers(0, 256, (4, 6, channels), dtype=np.uint8)


def loaded(folder: Path, **how: Any) -> Dataset:
    return load_dataset(folder, reading=Reading(**how))


def test_pictures_come_in_alphabetical_order_without_labels(tmp_path: Path) -> None:
    arrays = {name: grey() for name in ("b.png", "a.png", "c.PNG")}
    for name, array in arrays.items():
        picture(tmp_path / name, array)
    data = loaded(tmp_path)
    assert (data.image_shape, data.train.labels, data.train.max_level) == ((4, 6), None, 255)
    np.testing.assert_array_equal(data.train.images[0], arrays["a.png"].ravel())
    np.testing.assert_array_equal(data.test.images[0], arrays["c.PNG"].ravel())


def test_subfolders_are_labels_by_their_names(tmp_path: Path) -> None:
    for k in range(10):
        picture(tmp_path / "dogs" / f"{k}.png", colour())
        picture(tmp_path / "cats" / f"{k}.png", colour())
    data = loaded(tmp_path)
    assert (data.image_shape, data.class_names) == ((4, 6, 3), ("cats", "dogs"))
    assert data.train.labels is not None
    assert data.test.labels is not None
    assert data.test.labels.tolist() == [0, 1]
    assert data.train.labels.tolist() == [0] * 9 + [1] * 9
    assert "2 labels: 'cats', 'dogs'" in data.notes[0]


@pytest.mark.parametrize("inner", ["", "one"])
def test_subfolders_train_and_test_are_the_parts(tmp_path: Path, inner: str) -> None:
    for part, count in (("train", 5), ("test", 3)):
        for k in range(count):
            picture(tmp_path / part / inner / f"{k}.png", grey())
    data = loaded(tmp_path)
    assert (len(data.train), len(data.test)) == (5, 3)
    assert data.class_names == ((inner,) if inner else ())


def test_a_jpeg_is_read_as_pillow_reads_it(tmp_path: Path) -> None:
    files = [picture(tmp_path / f"{k}.jpg", colour()) for k in range(2)]
    with Image.open(files[0]) as first:
        expected = np.asarray(first)
    np.testing.assert_array_equal(loaded(tmp_path).train.images[0], expected.ravel())


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    array = RNG.integers(0, 65536, (4, 6), dtype=np.uint16)
    for k in range(2):
        picture(tmp_path / f"{k}.png", array)
    expected = array.astype(np.float64) / 65535
    np.testing.assert_allclose(loaded(tmp_path).train.images[0], expected.ravel(), rtol=1e-6)


def test_pictures_of_two_colours_are_binary(tmp_path: Path) -> None:
    for k in range(2):
        picture(tmp_path / f"{k}.png", grey() > 100)
    assert loaded(tmp_path).train.max_level == 1


def test_grey_among_coloured_and_opaque_alpha_are_converted_with_a_note(tmp_path: Path) -> None:
    one = grey()
    opaque = colour(4)
    opaque[..., 3] = 255
    picture(tmp_path / "a.png", one)
    picture(tmp_path / "b.png", opaque)
    (tmp_path / "readme.md").write_text("about")
    data = loaded(tmp_path)
    assert data.image_shape == (4, 6, 3)
    np.testing.assert_array_equal(data.train.images[0], np.repeat(one.ravel(), 3))
    np.testing.assert_array_equal(data.test.images[0], opaque[..., :3].ravel())
    text = " ".join(data.notes)
    assert "alpha channel of 1 pictures is opaque" in text
    assert "differ in their colours; all are read as coloured" in text
    assert "1 files in" in text


def nothing(folder: Path) -> None:
    pass


def texts(folder: Path) -> None:
    (folder / "a.txt").write_text("no picture")


def two_sizes(folder: Path) -> None:
    picture(folder / "a.png", grey())
    picture(folder / "b.png", grey((5, 6)))


def broken(folder: Path) -> None:
    file = picture(folder / "a.png", grey((40, 60)))
    file.write_bytes(file.read_bytes()[:900])


def renamed(folder: Path) -> None:
    (folder / "a.png").write_bytes(b"GIF89a no picture of ours")


def transparent(folder: Path) -> None:
    array = colour(4)
    array[0, 0, 3] = 7
    picture(folder / "a.png", array)


def beside(folder: Path) -> None:
    picture(folder / "a.png", grey())
    picture(folder / "cats" / "a.png", grey())


def two_depths(folder: Path) -> None:
    picture(folder / "a.png", grey())
    picture(folder / "b.png", np.zeros((4, 6), np.uint16))


def alone(folder: Path) -> None:
    picture(folder / "a.png", grey())


def empty_test_part(folder: Path) -> None:
    picture(folder / "train" / "a.png", grey())
    (folder / "test").mkdir()


def link_to_nowhere(folder: Path) -> None:
    (folder / "a.png").symlink_to(folder / "nowhere.png")


BAD = {
    nothing: "without PNG or JPEG files",
    texts: "without PNG or JPEG files",
    two_sizes: r"b\.png: has 6 x 5 pixels, but .*a\.png has 6 x 4",
    broken: r"a\.png: damaged or incomplete",
    renamed: r"a\.png: ",
    transparent: r"a\.png: has transparent pixels",
    beside: "pictures beside subfolders",
    two_depths: "some pictures have 16 bits",
    alone: "holds one image",
    empty_test_part: "without PNG or JPEG files",
    link_to_nowhere: r"a\.png': no such file",
}


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_a_bad_folder_is_refused_in_a_sentence(tmp_path: Path, make: Any) -> None:
    make(tmp_path)
    with pytest.raises(DataError, match=BAD[make]) as caught:
        loaded(tmp_path)
    assert tmp_path.name in str(caught.value)
    assert len(str(caught.value)) < 500
