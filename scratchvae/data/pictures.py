"""A folder of PNG and JPEG files as arrays, its subfolders as labels; Pillow reads them."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.data.files import MAX_BYTES, one_kind_of_error, require_file
from scratchvae.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg")
PARTS = ("train", "test")  # subfolders of these names are the parts, not labels
# Pillow's modes as ours; all others become "RGB".
MODES = {"1": "1", "L": "L", "LA": "L", "I;16": "I", "I;16B": "I", "I;16L": "I", "I": "I"}


class Folder(NamedTuple):
    """The pictures of a folder: one array (N, H, W) or (N, H, W, 3), or two, train and test.

    Label k stands for the k-th subfolder in alphabetical order, whose name is ``names[k]``;
    without subfolders ``labels`` are None and ``names`` (). ``notes`` say what was left out or
    converted.
    """

    images: list[NDArray]
    labels: list[NDArray[np.int64] | None]
    names: tuple[str, ...]
    notes: tuple[str, ...]


def read_folder(path: Path) -> Folder:
    """Read the PNG and JPEG files of a folder, in alphabetical order, as uint8, uint16 or bool.

    The files lie in the folder itself or in one subfolder per label; subfolders ``train`` and
    ``test``, each laid out in either way, are the two parts. Other files are left out, with a
    note. If some pictures are coloured, grey ones are converted to RGB. An opaque alpha channel is
    dropped.

    Raises DataError for a folder without pictures, pictures beside subfolders of pictures, files
    that cannot be read, transparent pixels, and pictures of different sizes.
    """
    with one_kind_of_error(path):
        folders = {name: path / name for name in PARTS}
        if not all(folder.is_dir() for folder in folders.values()):
            folders = {"all": path}
        found = [labelled_files(folder) for folder in folders.values()]
        others = sum(count for _, count in found)
    if any(not files for files, _ in found):
        raise DataError(
            f"{path}: is a folder without PNG or JPEG files; give a folder of pictures, a .npy, "
            f".npz, IDX or CSV file, or a dataset's name and this folder as the data folder"
        )
    labels = [[label for label, _ in files] for files, _ in found]
    names = sorted({label for part in labels for label in part if label is not None})
    if names and any(label is None for part in labels for label in part):
        raise DataError(
            f"{path}: holds pictures beside subfolders of pictures; subfolders are labels, so move "
            f"all pictures into one each, or all into the folder"
        )
    images, notes = read_pictures([[file for _, file in files] for files, _ in found])
    if others:
        notes.append(f"{others} files in {path} are neither PNG nor JPEG and were left out")
    if names:
        notes.append(f"the subfolders of {path.name or path} are {len(names)} labels: "
                     f"{shortened(names)}")  # fmt: skip
    coded = [np.searchsorted(names, [str(n) for n in part]) if names else None for part in labels]
    return Folder(images, coded, tuple(names), tuple(notes))


def labelled_files(folder: Path) -> tuple[list[tuple[str | None, Path]], int]:
    """(label, file) of every picture and the number of other files; no subfolder: label None."""
    files: list[tuple[str | None, Path]] = []
    others = 0
    for entry in sorted(folder.iterdir()):
        inner: Iterable[Path] = sorted(entry.iterdir()) if entry.is_dir() else [entry]
        for file in inner:
            if file.name.startswith("."):
                continue
            if file.suffix.lower() in ENDINGS:
                files.append((entry.name if entry.is_dir() else None, file))
            else:
                others += 1
    return files, others


def read_pictures(parts: list[list[Path]]) -> tuple[list[NDArray], list[str]]:
    """The pictures of each part, all in one mode, and notes on what was converted."""
    found: list[list[Image]] = []
    size: tuple[int, int] | None = None
    first = parts[0][0]
    opaque = total = 0
    for files in parts:
        images = []
        for file in files:
            picture, had_alpha = read_picture(file)
            opaque += had_alpha
            size = size or picture.size
            if picture.size != size:
                raise DataError(
                    f"{file}: has {picture.width} x {picture.height} pixels, but {first} has "
                    f"{size[0]} x {size[1]}; all pictures must have one size: crop or scale them"
                )
            total += picture.width * picture.height * len(picture.getbands())
            if total > MAX_BYTES:
                raise DataError(f"{file}: more than {MAX_BYTES} bytes of pictures; use fewer")
            images.append(picture)
        found.append(images)
    modes = {image.mode for images in found for image in images}
    notes = [f"the alpha channel of {opaque} pictures is opaque and was dropped"] * (opaque > 0)
    mode = next(iter(modes)) if len(modes) == 1 else "RGB" if "RGB" in modes else "L"
    if len(modes) > 1:
        if "I" in modes:
            raise DataError(f"{first.parent}: some pictures have 16 bits and some 8; convert them")
        name = "coloured" if mode == "RGB" else "grey"
        notes.append(f"pictures of {first.parent} differ in their colours; all are read as {name}")
    return [stack(images, mode) for images in found], notes


def stack(images: list["Image"], mode: str) -> NDArray:
    """Stack Pillow images, converted to ``mode``, into one array (N, H, W) or (N, H, W, 3)."""
    kind = {"1": np.bool_, "I": np.uint16}.get(mode, np.uint8)
    return np.stack(
        [np.asarray(i if i.mode == mode else i.convert(mode)).astype(kind) for i in images]
    )


def read_picture(file: Path) -> tuple["Image", bool]:
    """The picture in mode "1", "L", "I" or "RGB", and whether it had an opaque alpha channel."""
    from PIL import Image

    require_file(file)
    with one_kind_of_error(file), Image.open(file, formats=("PNG", "JPEG")) as picture:
        picture.load()
        alpha = "A" in picture.getbands() or "transparency" in picture.info
        if alpha and np.asarray(picture.convert("RGBA").getchannel("A")).min() < 255:
            raise DataError(
                f"{file}: has transparent pixels, whose colour depends on what lies behind; "
                f"save the picture without an alpha channel"
            )
        mode = MODES.get(picture.mode, "RGB")
        return (picture.copy() if picture.mode == mode else picture.convert(mode)), alpha


def shortened(names: list[str]) -> str:
    """The first ten names, separated by commas, for a message."""
    return ", ".join(map(repr, names[:10])) + ", …" * (len(names) > 10)
