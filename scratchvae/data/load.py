"""One door to all data: a name or a path in, a Dataset out."""

import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scratchvae.data.dataset import Dataset, Split
from scratchvae.data.mirrors import ARCHIVES
from scratchvae.data.mnist import load_archive
from scratchvae.data.reading import Reading
from scratchvae.data.sprites import load_sprites
from scratchvae.data.user_files import is_pattern, load_file
from scratchvae.errors import DataError, did_you_mean

DATASETS = ("digits", "sprites", "mnist", "fashion-mnist")
KINDS = (
    f"there are: {', '.join(DATASETS)}; the path of a .npy, .npz, IDX or CSV file of your own, "
    f"of a folder of PNG, JPEG or .npy files, or a pattern as shards/*.npy, works too"
)


def load_dataset(
    source: str | Path,
    data_dir: str | Path | None = None,
    *,
    download: bool = True,
    quiet: bool = False,
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> Dataset:
    """Load a named data set (one of DATASETS), or a file or folder of your own.

    Images are .npy, .npz or IDX files, or a folder of PNG or JPEG files; tables are .csv, .tsv or
    .txt files. Several .npy files, of a folder or a pattern such as ``shards/*.npy``, and one of a
    gigabyte or more, stay where they are, and their rows are read when they are needed.
    ``reading`` settles what the files leave open, such as the shape of an image.

    ``digits`` and ``sprites`` need neither files nor network. ``mnist`` and ``fashion-mnist`` are
    looked for in ``data_dir`` (default: the folder in SCRATCHVAE_DATA), then in the cache, and
    then, if ``download``, fetched from a mirror; ``quiet`` hides the progress bar. A name takes
    precedence over a file of the same name: write ``./mnist`` for the file.

    Raises DataError for an unknown name, unusable files, and data that are damaged or not what
    their name says; ConfigError for a ``reading`` of a named data set; DownloadError if no mirror
    could deliver the files.
    """
    for what in (source, "" if data_dir is None else data_dir):
        if not isinstance(what, str | os.PathLike):
            raise DataError(f"data are named by a text or a path, not by {what!r}")
    if not os.fspath(source):
        raise DataError(f"data are named by a text, and this one is empty; {KINDS}")
    if isinstance(source, str) and source in DATASETS:
        reading.require_default(source)
        made = MADE_HERE.get(source)
        if made is not None:
            named = made()
        else:
            named = load_archive(ARCHIVES[source], data_dir, download=download, quiet=quiet)
        return replace(named, colormap=reading.colormap or named.colormap)
    path = Path(os.path.expanduser(source))
    known = looks_like_a_path(os.fspath(source)) or os.path.exists(path) or is_pattern(path)
    if isinstance(source, str) and not known:
        raise unknown_name(source)
    return load_file(path, reading)


def looks_like_a_path(source: str) -> bool:
    """Whether ``source`` looks like a file name: it has a path separator or a suffix."""
    return os.sep in source or "/" in source or bool(Path(source).suffix)


def unknown_name(source: str) -> DataError:
    """The DataError for an unknown name, which suggests the nearest one."""
    hint = did_you_mean(source, DATASETS)
    return DataError(f"unknown dataset {source!r}.{hint} {KINDS[0].upper()}{KINDS[1:]}.")


def digits_table() -> NDArray[np.uint8]:
    """The digits that scikit-learn ships: 64 pixels and a label in each row, (1797, 65) uint8.

    Read from the file where it lies, because to import scikit-learn takes a second.
    """
    found = find_spec("sklearn")
    for folder in (found and found.submodule_search_locations) or ():
        file = Path(folder, "datasets", "data", "digits.csv.gz")
        if file.exists():
            return np.loadtxt(file, np.uint8, delimiter=",")
    from sklearn.datasets import load_digits as bundled

    pixels, labels = bundled(return_X_y=True)
    return np.column_stack([pixels, labels]).astype(np.uint8)


LEVELS = 16  # each pixel counts the dark dots among 4 x 4
TRAIN_IMAGES = 1437  # the last 360, a fifth, are the test split


def load_digits() -> Dataset:
    """The 8 × 8 digits: 1,437 to train, the last 360 to test; (N, 64) uint8 levels 0..16.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, 1998, as shipped with
    scikit-learn.
    """
    table = digits_table()
    whole = Split(table[:, :-1].copy(), table[:, -1].astype(np.int64), LEVELS)
    train, test = whole.take(slice(None, TRAIN_IMAGES)), whole.take(slice(TRAIN_IMAGES, None))
    return Dataset("digits", train, test, (8, 8))


MADE_HERE = {"digits": load_digits, "sprites": load_sprites}
