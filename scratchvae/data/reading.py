"""Settings for reading data of one's own, and the choice of their test part."""

import re
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.noise import Purpose, Stream, permutation
from scratchvae.errors import ConfigError, DataError

SPLITS = "auto, last[:N], random[:SEED[:N]] or stratified[:SEED[:N]], N test images"
SPLIT_FORM = re.compile(r"auto|last(?::([1-9]\d*))?|(random|stratified)(?::(\d+)(?::([1-9]\d*))?)?")
DRAW_LANE = 1  # of Purpose.SPLIT; the validation images of a training are drawn from lane 0

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Reading:
    """How :func:`load_dataset` reads your own files; by default everything is inferred from them.

    ``image_shape``: (height, width) or (height, width, channels) of flattened images.
    ``full_scale``: the number that means white, such as 16 or 65535; 0 for 255, or for 1 if
    nothing exceeds 1. ``split``: which images become the test part of data without one (SPLITS).
    ``label_column``: the column of a table that holds labels; by default ``label``, if it exists.
    ``colormap``: matplotlib's name of the colours of grey images; by default ink on paper for
    drawings on a black ground, otherwise "gray".

    Raises ConfigError, naming the setting, for invalid settings.
    """

    image_shape: tuple[int, ...] = ()
    full_scale: int = 0
    split: str = "auto"
    label_column: str = ""
    colormap: str = ""

    def __post_init__(self) -> None:
        """Check everything that can be checked without the data."""
        shape = self.image_shape
        sizes = isinstance(shape, tuple | list) and all(is_whole(n, 1) for n in shape)
        if not sizes or len(shape) not in (0, 2, 3):
            raise ConfigError(
                f"image_shape is {shape!r}, but it must be a height and a width, and perhaps a "
                f"number of channels"
            )
        object.__setattr__(self, "image_shape", tuple(int(n) for n in shape))
        if not is_whole(self.full_scale, 0):
            raise ConfigError(
                f"full_scale is {self.full_scale!r}, but it must be the whole number that means "
                f"white, or 0 to go by the data"
            )
        for name in ("split", "label_column", "colormap"):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f"{name} is {getattr(self, name)!r}, but it must be a text")
        if SPLIT_FORM.fullmatch(self.split) is None:
            raise ConfigError(f"split is {self.split!r}, but it must be {SPLITS}")
        if self.colormap:
            import matplotlib

            if self.colormap not in matplotlib.colormaps:
                raise ConfigError(
                    f"colormap is {self.colormap!r}, but it must be one that matplotlib knows, "
                    f"such as 'Greys' (ink on paper) or 'gray' (light)"
                )

    def require_default(self, name: str) -> None:
        """Raise ConfigError if anything but the colormap is set: ``name`` leaves nothing open."""
        for setting in ("image_shape", "full_scale", "split", "label_column"):
            if getattr(self, setting) != getattr(Reading(), setting):
                raise ConfigError(
                    f"{setting} is for data of your own; the data set {name} is read in one way, "
                    f"with its usual test images: leave it out"
                )


def is_whole(value: object, least: int) -> TypeGuard[int]:
    """Whether ``value`` is a whole number (Python's or NumPy's, not a boolean) >= ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        return False
    return bool(value >= least)


def choose_test_rows(
    count: int, labels: NDArray[np.int64] | None, split: str, what: str
) -> tuple[Rows, Rows, str]:
    """Split ``count`` images: (train rows, test rows, a note on how they were chosen).

    The test part has ``count // 10`` rows, at least one, unless ``split`` gives a number.
    "last": the last rows. "random": rows drawn with the seed. "stratified": rows drawn with the
    seed, from every label in proportion. "auto": "last", but "stratified" if the images are
    sorted by label, because the last rows would then show only a few of the classes.

    Raises DataError if either part would be empty, and for a stratified split without labels;
    ``what`` names the data in the message.
    """
    form, seed, size = parse_split(split)
    if count < 2:
        raise DataError(f"{what}: holds one image (or row); train and test need one each")
    size = max(1, count // 10) if size is None else size
    if size >= count:
        raise DataError(f"{what}: {size} test images cannot be taken from {count}; one must remain")
    grouped = labels is not None and is_grouped(labels)
    why = ""
    if form == "auto":
        form = "stratified" if grouped else "last"
        why = " and is sorted by label, so that its last images are of few labels" * grouped
    if form == "last":
        warning = "; the images are sorted by label, so that it holds few of the labels" * grouped
        return (
            np.arange(count - size),
            np.arange(count - size, count),
            f"{what} has no test part: its last {size} of {count} images are the test split"
            f"{warning}",
        )
    order = permutation(count, Stream(seed, Purpose.SPLIT, 0, DRAW_LANE))
    if form == "random":
        test = np.sort(order[:size])
    elif labels is None:
        raise DataError(f"{what}: has no labels by which a split could be stratified; use random")
    else:
        test = stratified_rows(labels, order, size)
    by_label = ", from every label in proportion" if form == "stratified" else ""
    return (
        np.setdiff1d(np.arange(count), test),
        test,
        f"{what} has no test part{why}: {size} of {count} images, drawn with seed {seed}"
        f"{by_label}, are the test split",
    )


def parse_split(split: str) -> tuple[str, int, int | None]:
    """Parse a split such as "random:SEED:N": (form, seed, number of test images or None)."""
    match = SPLIT_FORM.fullmatch(split)
    if match is None:
        raise ConfigError(f"split is {split!r}, but it must be {SPLITS}")
    size = match[1] or match[4]
    seed = int(match[3] or 0)
    if seed >= 2**64:
        raise ConfigError(f"split is {split!r}: a seed is a whole number from 0 to 2**64 - 1")
    return split.partition(":")[0], seed, None if size is None else int(size)


def is_grouped(labels: NDArray[np.int64]) -> bool:
    """Whether each label is one block of consecutive rows, as in images sorted by class.

    Labels that are mostly distinct (serial numbers, years) do not count as classes.
    """
    distinct = len(np.unique(labels))
    changes = int(np.count_nonzero(np.diff(labels)))
    return 2 <= distinct <= len(labels) // 2 and changes == distinct - 1


def stratified_rows(labels: NDArray[np.int64], order: Rows, size: int) -> Rows:
    """Choose ``size`` rows, ascending: of each label its share, the first ones in ``order``.

    Shares are rounded down; the rows still missing go to the labels with the largest remainders,
    and among equal remainders to the larger label.
    """
    _, of, counts = np.unique(labels, return_inverse=True, return_counts=True)
    shares = counts * size / len(labels)
    quota = np.floor(shares).astype(np.int64)
    missing = size - int(quota.sum())
    quota[np.lexsort((-counts, quota - shares))[:missing]] += 1
    by_label = order[np.argsort(of[order], kind="stable")]
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(by_label[rank < np.repeat(quota, counts)])
