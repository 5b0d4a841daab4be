"""A user's own images: a .npy, .npz or IDX file made into a Dataset."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from scratchvae.data.dataset import Dataset, Split
from scratchvae.data.files import open_binary
from scratchvae.data.idx import read_idx
from scratchvae.data.labels import as_labels, idx_labels_beside
from scratchvae.data.npy import read_npy, read_npz
from scratchvae.data.pixels import as_pixels, image_shape_of
from scratchvae.errors import DataError

Arrays = dict[str, NDArray[Any]]

TRAIN_KEYS, TEST_KEYS = ("train", "x_train"), ("test", "x_test")
SINGLE_KEYS, LABEL_KEYS = ("images", "x", "arr_0"), ("labels", "y")
ONE_OF_EACH = (  # of each line at most one array: two would leave it open which is meant
    (*SINGLE_KEYS, *TRAIN_KEYS),
    (*SINGLE_KEYS, *TEST_KEYS),
    (*LABEL_KEYS, "y_train"),
    (*LABEL_KEYS, "y_test"),
)
ALL_KEYS = (*TRAIN_KEYS, *TEST_KEYS, "y_train", "y_test", *SINGLE_KEYS, *LABEL_KEYS)


def load_file(path: Path) -> Dataset:
    """The images of ``path``, told apart by their first bytes, not by the file's name.

    Integers 0..255 are grey levels of 255 (of 1 if the brightest is 1), booleans are 0 and 1,
    floats are grey values and must be finite. Where the file has no test part, the last tenth
    of the images, at least one, becomes it, and a note says so.

    Raises DataError for everything that is not such a file.
    """
    with open_binary(path) as stream:
        magic = stream.read(6)
    if magic == b"\x93NUMPY":
        return from_arrays([read_npy(path)], [None], path)
    if magic[:2] == b"PK":
        return from_npz(path)
    if magic[:2] in (b"\0\0", b"\x1f\x8b"):
        images = read_idx(path, rank=3).array
        return from_arrays([images], [idx_labels_beside(path)], path)
    raise DataError(
        f"{path}: neither .npy, .npz nor IDX (it begins with {magic.hex(' ') or 'nothing'}); "
        f"save the images with np.save, shape (N, H, W) or (N, D)"
    )


def from_npz(path: Path) -> Dataset:
    """The Dataset of a .npz file: a train part and perhaps a test part, or one array."""
    arrays, names = read_npz(path, ALL_KEYS)
    require_one_meaning(arrays, path)
    train, test = first_of(arrays, TRAIN_KEYS), first_of(arrays, TEST_KEYS)
    if train is not None and test is not None:
        return from_arrays([train, test], [arrays.get("y_train"), arrays.get("y_test")], path)
    if train is not None:
        return from_arrays([train], [arrays.get("y_train")], path)
    single = first_of(arrays, SINGLE_KEYS)
    if single is not None:
        return from_arrays([single], [first_of(arrays, LABEL_KEYS)], path)
    raise DataError(
        f"{path}: holds the arrays {', '.join(map(repr, names)) or 'none'}; expected 'train' and "
        f"'test', or 'x_train' and 'x_test' (with 'y_train', 'y_test'), or one of 'images', 'x' "
        f"and 'arr_0' (with 'labels' or 'y')"
    )


def require_one_meaning(arrays: Arrays, path: Path) -> None:
    """Raise DataError where two arrays could be the images, or the labels, of one part."""
    for keys in ONE_OF_EACH:
        found = [key for key in keys if key in arrays]
        if len(found) > 1:
            raise DataError(
                f"{path}: holds both {found[0]!r} and {found[1]!r}, and which of them is meant "
                f"cannot be known; keep one of them"
            )


def from_arrays(
    images: Sequence[NDArray[Any]], labels: Sequence[NDArray[Any] | None], path: Path
) -> Dataset:
    """The Dataset of one array of images, to be split, or of two, train and test."""
    shape = image_shape_of(images, path)
    pixels, levels, notes = as_pixels(images, path)
    parts = [
        Split(some, None if known is None else as_labels(known, len(some), path), levels)
        for some, known in zip(pixels, labels, strict=True)
    ]
    if len(parts) == 1:
        whole = parts[0]
        if len(whole) < 2:
            raise DataError(f"{path}: holds one image; train and test need one each")
        cut = len(whole) - max(1, len(whole) // 10)
        parts = [whole.take(slice(None, cut)), whole.take(slice(cut, None))]
        notes.append(
            f"{path.name} has no test part: its last {len(whole) - cut} of {len(whole)} images "
            f"are the test split"
        )
    return Dataset(path.name, parts[0], parts[1], shape, tuple(notes))


def first_of(arrays: Arrays, keys: Sequence[str]) -> NDArray[Any] | None:
    """The array under the first of ``keys`` that is there."""
    return next((arrays[key] for key in keys if key in arrays), None)
