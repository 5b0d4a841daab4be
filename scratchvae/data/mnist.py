"""MNIST and Fashion-MNIST: found in a folder, in the cache or on the network, then verified."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scratchvae.data.dataset import Dataset, Split
from scratchvae.data.download import fetch
from scratchvae.data.files import file_sha256
from scratchvae.data.idx import Idx, read_idx
from scratchvae.data.mirrors import Archive, IdxFile, identify
from scratchvae.errors import DataError, DownloadError

DATA_VARIABLE = "SCRATCHVAE_DATA"


def load_archive(
    archive: Archive,
    data_dir: str | Path | None = None,
    *,
    download: bool = True,
    quiet: bool = False,
) -> Dataset:
    """Load a data set from ``data_dir`` or SCRATCHVAE_DATA, from the cache, or from a mirror.

    Raises DataError for a folder that is missing or holds only some of the four files, and for
    files that are damaged or belong to another data set; DownloadError if no source has them.
    """
    paths, notes = find_files(archive, data_dir)
    if paths is None:
        try:
            paths = fetch(archive, download=download, quiet=quiet)
        except DownloadError as error:
            raise DownloadError(" ".join([str(error), *notes])) from error
    unknown: list[str] = []
    parts = []
    for file, path in zip(archive.files, paths, strict=True):
        idx = read_idx(path, rank=len(file.shape))
        if not verify(archive, file, path, idx):
            unknown.append(path.name)
        parts.append(idx.array)
    if unknown:
        notes.append(
            f"{archive.name}: no digest is known for {', '.join(unknown)}; accepted because "
            f"the shapes are right"
        )
    return Dataset(
        archive.name,
        as_split(parts[0], parts[1]),
        as_split(parts[2], parts[3]),
        (parts[0].shape[1], parts[0].shape[2]),
        tuple(notes),
    )


def as_split(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Split:
    """Images (N, H, W) and labels (N,), both uint8, as a Split whose white is 255."""
    return Split(images.reshape(len(images), -1), labels.astype(np.int64), 255)


def find_files(
    archive: Archive, data_dir: str | Path | None
) -> tuple[list[Path] | None, list[str]]:
    """The four files in the folder that the user named, or None if it has none; and notes.

    A folder named in the call must be complete: DataError if it is missing or holds only some of
    the files. For the folder in SCRATCHVAE_DATA, what is missing is a note.
    """
    place = os.environ.get(DATA_VARIABLE) if data_dir is None else data_dir
    if not place:
        return None, []
    root = Path(os.path.expanduser(place))
    found = {
        folder: [find_file(folder, file) for file in archive.files]
        for folder in (root / archive.name, root)
    }
    for paths in found.values():
        present = [path for path in paths if path is not None]
        if len(present) == len(archive.files):
            return present, []
    named = f"{DATA_VARIABLE}={root}" if data_dir is None else f"the data folder {root}"
    partial = [folder for folder, paths in found.items() if any(paths)]
    if partial:
        pairs = zip(archive.files, found[partial[0]], strict=True)
        missing = ", ".join(file.name for file, path in pairs if path is None)
        problem = f"{partial[0]} lacks {missing} (raw or .gz) of {archive.name}"
    elif os.path.isdir(root):
        problem = f"{named} holds none of the files of {archive.name}"
    else:
        problem = f"{named} is not a folder"
    if data_dir is not None and (partial or not os.path.isdir(root)):
        raise DataError(f"{problem}; name a folder with all four files, or none to download them")
    return None, [f"{problem}; the cache and the network are asked instead"]


def find_file(folder: Path, file: IdxFile) -> Path | None:
    """The path of the file in ``folder``, raw or .gz; None if it is not there."""
    for path in (folder / file.name, folder / f"{file.name}.gz"):
        if os.path.isfile(path):
            return path
    return None


def verify(archive: Archive, file: IdxFile, path: Path, idx: Idx) -> bool:
    """Whether a digest confirms that ``path`` is ``file``; False if no digest is known for it.

    Raises DataError if the digest or the shape is another one.
    """
    if file.sha256 is not None and idx.sha256 == file.sha256:
        return True
    gz_sha256 = file_sha256(path)
    if file.sha256 is None and gz_sha256 == file.gz_sha256:
        return True
    known = identify(gz_sha256, idx.sha256)
    if known is not None or file.sha256 is not None:
        what = (
            f"it is {known}"
            if known is not None
            else (
                "it is damaged or foreign: a valid IDX file, so it may be Fashion-MNIST or another "
                "set under the same name"
            )
        )
        raise DataError(
            f"{path}: is not {archive.name}'s {file.name}: {what} (SHA-256 of its bytes before "
            f"compression: {idx.sha256}). Fetch the file again, or load it as your own data by "
            f"its path."
        )
    if idx.array.shape != file.shape:
        raise DataError(
            f"{path}: has the shape {idx.array.shape}, but {archive.name}'s {file.name} has "
            f"{file.shape}; it is another set. Load it as your own data by its path."
        )
    return False
