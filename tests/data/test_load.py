"""Datasets by name: the digits, and MNIST files found in folders and told apart by digests."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_helpers import known_labels, write_files

from benchmarks.reliability.mirror import ARRAYS, NAMES, idx_bytes, packed, sha256, small_archive
from scratchvae.data import DATASETS, load, load_dataset, mirrors
from scratchvae.data.mirrors import ARCHIVES, Archive
from scratchvae.data.mnist import load_archive
from scratchvae.errors import DataError, DownloadError


def test_the_digits_are_the_1797_of_scikit_learn() -> None:
    data = load_dataset("digits")
    assert (len(data.train), len(data.test), data.image_shape) == (1437, 360, (8, 8))
    assert (data.train.max_level, data.train.images.max(), data.notes) == (16, 16, ())
    assert set(known_labels(data.train)) == set(known_labels(data.test)) == set(range(10))
    assert data.fingerprint == load_dataset("digits").fingerprint
    np.testing.assert_array_equal(data.train.images[0, :8], [0, 0, 5, 13, 9, 1, 0, 0])


@pytest.mark.parametrize("name", ["minst", "MNIST", "fashion_mnist", "digit"])
def test_a_misspelt_name_is_answered_with_the_nearest(name: str) -> None:
    with pytest.raises(DataError, match=r"Did you mean '.*\.npy, \.npz, IDX or CSV") as caught:
        load_dataset(name)
    assert all(known in str(caught.value) for known in DATASETS)


@pytest.mark.parametrize("path", ["./mnist", "nowhere.npy", "some/folder/file", Path("digits")])
def test_a_path_that_leads_nowhere_is_no_unknown_name(path: str | Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_dataset(path)


@pytest.mark.parametrize("arguments", [(5,), (None,), (b"mnist",), ("mnist", 5)])
def test_what_is_neither_a_name_nor_a_path_is_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(DataError, match="data are named by a text or a path"):
        load_dataset(*arguments)


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = (
        "import sys, scratchvae.data; heavy = {'sklearn', 'scipy', 'pooch', 'requests', 'tqdm'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("subfolder", ["", "small"])
@pytest.mark.parametrize("compress", [True, False])
def test_four_files_are_found_in_the_folder_or_below_it(
    tmp_path: Path, subfolder: str, compress: bool
) -> None:
    write_files(tmp_path / subfolder, compress=compress)
    data = load_archive(small_archive(), tmp_path)
    np.testing.assert_array_equal(data.train.images, ARRAYS[0].reshape(5, 6))
    np.testing.assert_array_equal(data.test.labels, ARRAYS[3])
    assert (data.train.max_level, data.image_shape, data.notes) == (255, (3, 2), ())


def test_the_environment_names_the_folder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path / "mine")
    monkeypatch.setenv("SCRATCHVAE_DATA", str(tmp_path / "mine"))
    assert load_archive(small_archive(), download=False).name == "small"


def test_the_digest_does_not_care_who_compressed(tmp_path: Path) -> None:
    write_files(tmp_path, level=1)
    assert load_archive(small_archive(), tmp_path).notes == ()


def test_missing_files_are_named(tmp_path: Path) -> None:
    write_files(tmp_path, skip=("t10k",))
    with pytest.raises(DataError, match="lacks t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte"):
        load_archive(small_archive(), tmp_path)


def test_a_data_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is not a folder"):
        load_archive(small_archive(), tmp_path / "nowhere")


@pytest.mark.parametrize("place", ["empty", "nowhere", "partial"])
def test_what_the_environment_lacks_is_said_when_nothing_else_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "empty").mkdir()
    write_files(tmp_path / "partial", skip=("train",))
    monkeypatch.setenv("SCRATCHVAE_DATA", str(tmp_path / place))
    with pytest.raises(DownloadError, match=f"switched off.*{place}"):
        load_archive(small_archive(), download=False)


def test_damaged_or_foreign_bytes_are_refused(tmp_path: Path) -> None:
    write_files(tmp_path)
    (tmp_path / f"{NAMES[0]}.gz").write_bytes(packed(ARRAYS[0] + np.uint8(1)))
    with pytest.raises(DataError, match="valid IDX file, so it may be Fashion-MNIST"):
        load_archive(small_archive(), tmp_path)


def test_train_files_under_the_names_of_test_files_are_refused(tmp_path: Path) -> None:
    write_files(tmp_path, compress=False)
    (tmp_path / NAMES[2]).write_bytes(idx_bytes(ARRAYS[0]))
    with pytest.raises(DataError, match="is not small's t10k-images"):
        load_archive(small_archive(), tmp_path)


def test_bytes_without_a_known_digest_are_accepted_with_one_note(tmp_path: Path) -> None:
    write_files(tmp_path, level=1)
    (note,) = load_archive(small_archive(inner_digests=False), tmp_path).notes
    assert "no digest is known" in note
    assert all(name in note for name in NAMES)


def test_the_usual_gz_without_an_inner_digest_needs_no_note(tmp_path: Path) -> None:
    write_files(tmp_path)
    assert load_archive(small_archive(inner_digests=False), tmp_path).notes == ()


def test_an_unknown_digest_and_another_shape_are_refused(tmp_path: Path) -> None:
    write_files(tmp_path)
    (tmp_path / f"{NAMES[0]}.gz").write_bytes(packed(ARRAYS[2]))
    with pytest.raises(DataError, match=r"\(4, 3, 2\), but small's .* \(5, 3, 2\)"):
        load_archive(small_archive(inner_digests=False), tmp_path)


def test_a_file_with_the_digest_of_another_set_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = small_archive()
    monkeypatch.setitem(mirrors.ARCHIVES, "twin", Archive("twin", (), twin.files))
    write_files(tmp_path, level=1)
    with pytest.raises(DataError, match="it is twin's train-images"):
        load_archive(small_archive(inner_digests=False), tmp_path)


def test_every_digest_of_the_table_is_there_once() -> None:
    files = [file for archive in ARCHIVES.values() for file in archive.files]
    digests = [d for file in files for d in (file.gz_sha256, file.sha256) if d]
    assert len(set(digests)) == len(digests) == 12
    assert all(len(bytes.fromhex(digest)) == 32 for digest in digests)
    assert tuple(ARCHIVES) == DATASETS[2:]


@pytest.mark.mnist
def test_the_real_mnist_has_its_70000_images(mnist_folder: Path) -> None:
    data = load_dataset("mnist", mnist_folder, download=False)
    assert (len(data.train), len(data.test), data.image_shape) == (60_000, 10_000, (28, 28))
    assert data.notes == ()
    np.testing.assert_array_equal(known_labels(data.train)[:5], [5, 0, 4, 1, 9])
    # the mean that every tutorial normalizes with
    assert round(float(data.train.images.mean()) / 255, 4) == 0.1307


@pytest.mark.mnist
def test_the_real_mnist_is_no_fashion_mnist(mnist_folder: Path) -> None:
    with pytest.raises(DataError, match="it is mnist's train-images-idx3-ubyte"):
        load_dataset("fashion-mnist", mnist_folder, download=False)


@pytest.mark.mnist
def test_one_changed_pixel_of_the_real_mnist_is_seen(mnist_folder: Path, tmp_path: Path) -> None:
    for path in mnist_folder.glob("*ubyte*"):
        os.symlink(path, tmp_path / path.name)
    data = load_dataset("mnist", tmp_path, download=False)
    images = data.test.images.reshape(-1, 28, 28).copy()
    assert sha256(idx_bytes(images)) == ARCHIVES["mnist"].files[2].sha256
    images[4_321, 14, 14] ^= 1
    for path in tmp_path.glob("t10k-images*"):
        path.unlink()
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(images))
    with pytest.raises(DataError, match="damaged or foreign"):
        load_dataset("mnist", tmp_path, download=False)


def test_the_digits_are_those_of_scikit_learn_wherever_it_keeps_them(monkeypatch):
    from sklearn.datasets import load_digits as bundled

    pixels, labels = bundled(return_X_y=True)
    for found in (load.find_spec("sklearn"), None):
        monkeypatch.setattr(load, "find_spec", lambda name, found=found: found)
        table = load.digits_table()
        assert table.dtype == np.uint8
        np.testing.assert_array_equal(table, np.column_stack([pixels, labels]))


def test_the_digits_are_read_without_a_second_of_imports():
    program = (
        "import sys; from scratchvae.data import load_dataset; load_dataset('digits');"
        "assert not {'sklearn', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
