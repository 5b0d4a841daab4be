"""Files drawn at random, most of them damaged: refused in one sentence, or read rightly."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.reliability import fuzz
from benchmarks.reliability.specimens import FORMATS, Specimen, npy, npz
from benchmarks.reliability.strict import read
from scratchvae.data import Dataset, Split, load_dataset
from scratchvae.errors import DataError


def test_five_hundred_files_are_refused_or_read_rightly() -> None:
    """What ``python -m benchmarks.reliability.fuzz`` does with ten thousand."""
    tally, drawn = fuzz.run(500)
    assert tally.wrong == []
    assert tally.files == sum(drawn.values()) == 500
    assert min(drawn.values()) > 200
    assert set(tally.by_kind) == set(FORMATS)
    assert min(tally.verdicts["refused"], tally.verdicts["accepted"]) > 50


FILE = Specimen("npy", npy(np.arange(24, dtype=np.uint8).reshape(6, 4)), ())
CUT = Specimen("npy", FILE.content[:-1], ("truncated",))


def misread(path: Path) -> Dataset:
    data = load_dataset(path)
    images = data.train.images.copy()
    images[1, 2] += 1
    return Dataset(data.name, Split(images, None, 255), data.test, data.image_shape)


def refuse(sentence: str) -> Callable[[Path], Dataset]:
    def raising(path: Path) -> Dataset:
        raise DataError(sentence.format(path))

    return raising


def greedy(path: Path) -> Dataset:
    bytearray(fuzz.MOST + 1000)
    return load_dataset(path)


def careless(path: Path) -> Dataset:
    raise KeyError(str(path))


@pytest.mark.parametrize(
    ("reader", "specimen", "verdict"),
    [
        (load_dataset, FILE, "accepted"),
        (load_dataset, CUT, "refused"),
        (misread, FILE, "silently wrong"),
        (misread, FILE._replace(damage=("nothing that shows",)), "silently wrong"),
        (refuse("{}: no"), FILE, "valid but refused"),
        (refuse("no"), CUT, "no sentence"),
        (refuse("{}:\nno"), CUT, "no sentence"),
        (refuse("{}: " + 1000 * "no"), CUT, "no sentence"),
        (careless, CUT, "foreign exception"),
        (greedy, FILE, "too much memory"),
    ],
)
def test_a_reader_that_does_anything_wrong_is_seen(
    reader: Any, specimen: Specimen, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "load_dataset", reader)
    fuzz.tracemalloc.start()
    try:
        assert fuzz.Tally(tmp_path).judge(specimen) == verdict
    finally:
        fuzz.tracemalloc.stop()


def test_the_strict_reading_shares_nothing_with_the_reader_and_agrees_on_both_parts() -> None:
    train, test = np.ones((3, 2, 2), np.uint8), np.full((2, 2, 2), 9, np.uint8)
    reading = read(npz({"x_train": npy(train), "x_test": npy(test), "y_test": npy([4, 2])}))
    np.testing.assert_array_equal(reading.test, test.reshape(2, 4))
    assert (reading.max_level, reading.image_shape, reading.train_labels) == (255, (2, 2), None)
    assert "scratchvae" not in Path(read.__code__.co_filename).read_text().split('"""', 2)[2]


@pytest.mark.parametrize("keys", [("x", "images"), ("train", "x_train"), ("x", "test"), ("test",)])
def test_the_strict_reading_finds_no_meaning_where_there_are_several(keys: tuple[str, ...]) -> None:
    with pytest.raises((ValueError, KeyError)):
        read(npz({key: npy(np.ones((3, 4), np.uint8)) for key in keys}))


def test_a_quoted_name_of_a_thousand_bytes_does_not_make_a_sentence_long(tmp_path: Path) -> None:
    """zipfile quotes the name of a local header, however long the header says that it is."""
    content = bytearray(npz({"x": npy(np.ones((9, 99), np.uint8))}, zipfile.ZIP_STORED))
    content[26:28] = (900).to_bytes(2, "little")
    (tmp_path / "quoted").write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_dataset(tmp_path / "quoted")
    assert len(str(caught.value)) < 400 + len(str(tmp_path))
