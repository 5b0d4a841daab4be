"""A user's own images: .npy, .npz, IDX or CSV files, or a folder of pictures, as a Dataset."""

import glob
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scratchvae.data.dataset import Dataset
from scratchvae.data.files import open_binary
from scratchvae.data.idx import read_idx
from scratchvae.data.mapped import FileRows, read_file
from scratchvae.data.npy import read_npy, read_npz
from scratchvae.data.pictures import read_folder
from scratchvae.data.reading import Reading
from scratchvae.data.table import ENDINGS, read_table
from scratchvae.errors import DataError
from scratchvae.types import Values

Arrays = dict[str, NDArray]

TRAIN_KEYS, TEST_KEYS = ("train", "x_train"), ("test", "x_test")
SINGLE_KEYS, LABEL_KEYS = ("images", "x", "arr_0"), ("labels", "y")
ONE_OF_EACH = (  # of each line at most one array: two would leave it open which is meant
    (*SINGLE_KEYS, *TRAIN_KEYS),
    (*SINGLE_KEYS, *TEST_KEYS),
    (*LABEL_KEYS, "y_train"),
    (*LABEL_KEYS, "y_test"),
)
DEFAULT = Reading()
LARGE = 1 << 30  # bytes from which a .npy file is not read as a whole
NPY = ".npy"
ALL_KEYS = (*TRAIN_KEYS, *TEST_KEYS, "y_train", "y_test", *SINGLE_KEYS, *LABEL_KEYS)


def load_file(path: Path, reading: Reading = DEFAULT) -> Dataset:
    """Load a file or folder of the user's: its first bytes tell the format, a table's suffix does.

    A folder holds PNG and JPEG files (:func:`read_folder`), a .csv, .tsv or .txt file a table
    (:func:`read_table`), a .npy, .npz or IDX file arrays, read as :meth:`Dataset.from_arrays`
    says. The images of a .npy file of a gigabyte or more stay there and are read when they are
    needed, as do those of several .npy files: all of a folder, or those whose names fit a pattern
    such as ``shards/*.npy``, in the order of their names. If there is no test part,
    ``reading.split`` chooses a tenth of the images for it, and a note says which.

    Raises DataError for any other file.
    """
    several = shards_of(path)
    if several:
        data = from_arrays([FileRows([read_file(each) for each in several])], [None], path, reading)
        first, last = several[0].name, several[-1].name
        note = f"{path}: the images of {len(several)} files, from {first} to {last}, stay in them"
        return replace(data, notes=(note, *data.notes))
    if os.path.isdir(path):  # Path's question raises for a name that is too long
        folder = read_folder(path)
        data = from_arrays(folder.images, folder.labels, path, reading)
        return replace(data, class_names=folder.names, notes=(*folder.notes, *data.notes))
    if path.suffix.lower() in ENDINGS:
        table = read_table(path, reading.label_column)
        data = from_arrays([table], [table.labels], path, reading)
        return replace(data, notes=(*table.notes, *data.notes))
    with open_binary(path) as stream:
        magic = stream.read(6)
    if magic == b"\x93NUMPY":
        large = os.path.getsize(path) >= LARGE
        images = FileRows([read_file(path)]) if large else read_npy(path)
        return from_arrays([images], [None], path, reading)
    if magic[:2] == b"PK":
        return from_npz(path, reading)
    if magic[:2] in (b"\0\0", b"\x1f\x8b"):
        levels = read_idx(path, rank=3).array
        return from_arrays([levels], [idx_labels_beside(path)], path, reading)
    raise DataError(
        f"{path}: neither .npy, .npz nor IDX (it begins with {magic.hex(' ') or 'nothing'}), nor "
        f"named as a table (.csv, .tsv, .txt); save the images with np.save, shape (N, H, W) or "
        f"(N, D), or name their folder"
    )


def shards_of(path: Path) -> list[Path]:
    """The .npy files of a folder without pictures, or whose names fit a pattern, by name; or [].

    ``DataError`` for a pattern that fits no file, or one of another kind.
    """
    if is_pattern(path):
        found = [Path(name) for name in glob.glob(str(path))]
        if not found:
            raise DataError(f"{path}: there is no file of such a name; check the pattern")
        other = next((each for each in found if each.suffix.lower() != NPY), None)
        if other is not None:
            raise DataError(f"{other}: is no .npy file, but fits {path}: a pattern names shards")
    elif os.path.isdir(path):
        entries = [each for each in path.iterdir() if not each.name.startswith(".")]
        found = [each for each in entries if each.suffix.lower() == NPY]
        if len(found) < len(entries):  # pictures, with their own notes and errors
            return []
    else:
        return []
    return sorted(found, key=lambda each: each.name)


def is_pattern(path: Path) -> bool:
    """Whether a path that does not exist has the ``*``, ``?`` or ``[…]`` of a pattern."""
    return glob.has_magic(str(path)) and not os.path.exists(path)


def from_arrays(
    images: Sequence[Values], labels: Sequence[Values], path: Path, reading: Reading
) -> Dataset:
    """The Dataset of one array of images, to be split, or of two, train and test.

    Raises the DataErrors of :meth:`Dataset.from_arrays`, each beginning with the path.
    """
    test, test_labels = (images[1], labels[1]) if len(images) > 1 else (None, None)
    return Dataset.from_arrays(
        images[0],
        test,
        labels=labels[0],
        test_labels=test_labels,
        image_shape=reading.image_shape,
        full_scale=reading.full_scale,
        split=reading.split,
        colormap=reading.colormap,
        name=path.name or str(path),
    )


def from_npz(path: Path, reading: Reading) -> Dataset:
    """The Dataset of a .npz file: a single array, or a train part with or without a test part."""
    arrays, names = read_npz(path, ALL_KEYS)
    require_one_meaning(arrays, path)
    train, test = first_of(arrays, TRAIN_KEYS), first_of(arrays, TEST_KEYS)
    if train is not None and test is not None:
        return from_arrays(
            [train, test], [arrays.get("y_train"), arrays.get("y_test")], path, reading
        )
    if train is not None:
        return from_arrays([train], [arrays.get("y_train")], path, reading)
    single = first_of(arrays, SINGLE_KEYS)
    if single is not None:
        return from_arrays([single], [first_of(arrays, LABEL_KEYS)], path, reading)
    raise DataError(
        f"{path}: holds the arrays {', '.join(map(repr, names)) or 'none'}; expected 'train' and "
        f"'test', or 'x_train' and 'x_test' (with 'y_train', 'y_test'), or one of 'images', 'x' "
        f"and 'arr_0' (with 'labels' or 'y')"
    )


def require_one_meaning(arrays: Arrays, path: Path) -> None:
    """Raise DataError if two arrays could be the images, or the labels, of one part."""
    for keys in ONE_OF_EACH:
        found = [key for key in keys if key in arrays]
        if len(found) > 1:
            raise DataError(
                f"{path}: holds both {found[0]!r} and {found[1]!r}, and which of them is meant "
                f"cannot be known; keep one of them"
            )


def first_of(arrays: Arrays, keys: Sequence[str]) -> NDArray | None:
    """The array under the first of ``keys`` that is there."""
    return next((arrays[key] for key in keys if key in arrays), None)


def idx_labels_beside(images: Path) -> NDArray[np.uint8] | None:
    """The labels whose file is named as the images' file is, or None if there is no such file."""
    stem = images.name.removesuffix(".gz")
    base = stem.removesuffix("-images-idx3-ubyte")
    if base == stem:
        return None
    for ending in ("", ".gz"):
        path = images.with_name(f"{base}-labels-idx1-ubyte{ending}")
        if path.exists():
            return read_idx(path, rank=1).array
    return None
