"""What the rest of the program sees of data: a Split of images, a Dataset of two Splits.

Small grey levels stay uint8, as the files hold them: a quarter of the memory of float32, and
the training step divides by ``max_level`` when it gathers a batch.
"""

import hashlib
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.noise import Purpose, Stream
from scratchvae.data.arrays import (
    as_images,
    as_labels,
    as_pixels,
    first_that,
    range_of,
    require_array,
    require_finite,
)
from scratchvae.data.mapped import Images, MappedRows, blocks, chosen
from scratchvae.data.reading import Reading, choose_test_rows, is_whole
from scratchvae.errors import ConfigError, DataError, did_you_mean
from scratchvae.types import Values

PROTOCOLS = ("none", "threshold", "dynamic", "static")  # of binarization, see data.binarize
SAMPLED = 1000  # rows by which two copies of files are compared
FEW = 1000  # images by which the ground of a data set is judged: black, or none


@dataclass(frozen=True, eq=False)
class Split:
    """Images (or rows of a table) and, if known, their labels.

    ``images``: (N, D), uint8 levels or float32 values, in memory or in files. ``max_level``: a
    uint8 pixel k means the grey value k / max_level; None if the images are float32, whose values
    are the grey values.
    ``labels``: (N,) int64 from 0, with −1 for an image without a label; or None.
    ``binarized``: the protocol under which a model sees the images, one of ``PROTOCOLS``.
    :func:`~scratchvae.data.binarize` sets it, and ``static_seed``, the seed of a static draw.
    "threshold" and "static" images are already binary; "dynamic" images are grey values, drawn
    afresh each time a model sees them.

    Raises DataError for shapes, dtypes, levels or pixels that do not fit together, and for values
    that are not finite; ConfigError for an unknown protocol.
    """

    images: Images
    labels: NDArray[np.int64] | None
    max_level: int | None
    binarized: str = "none"
    static_seed: int | None = None

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        mapped = isinstance(images, MappedRows)
        if not mapped:
            require_array(images, "a split's images")
        if images.ndim != 2:
            raise DataError(f"a split's images have the shape (N, D), not {images.shape}")
        if self.max_level is not None:
            object.__setattr__(self, "max_level", require_max_level(self.max_level))
        wanted = np.dtype(np.float32 if self.max_level is None else np.uint8)
        if images.dtype != wanted:
            raise DataError(
                f"images with max_level={self.max_level} are {wanted}, not {images.dtype}"
            )
        if self.max_level is None:
            require_finite(images, "a split's images")
        else:
            most = int(largest_possible(images))
            if most > self.max_level:
                raise DataError(
                    f"max_level={self.max_level} cannot be: the brightest pixel is {most}"
                )
        if labels is not None:
            require_array(labels, "a split's labels")
            if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
                raise DataError(
                    f"labels are int64 of shape {images.shape[:1]}, one for each image, "
                    f"not {labels.dtype} of shape {labels.shape}"
                )
            if labels.min(initial=0) < -1:
                raise DataError(
                    f"label {int(labels.min())} cannot be: labels are whole numbers from 0, "
                    f"and −1 for an image without one"
                )
        self._check_protocol()
        if not mapped:
            object.__setattr__(self, "images", np.ascontiguousarray(images))

    def _check_protocol(self) -> None:
        require_protocol(self.binarized)
        if self.binarized in ("threshold", "static") and self.max_level != 1:
            raise DataError(
                f"images binarized by '{self.binarized}' have max_level=1, not {self.max_level}: "
                "binarize(split, ...) makes them from grey ones"
            )
        if self.binarized == "dynamic":
            require_unit_interval(self, "binarization 'dynamic'")
        if self.static_seed is not None and self.binarized != "static":
            raise DataError(
                f"images binarized by '{self.binarized}' have no static_seed, but it is "
                f"{self.static_seed}"
            )

    def __repr__(self) -> str:
        known = "no labels" if self.labels is None else f"{len(np.unique(self.labels))} labels"
        values = "float32" if self.max_level is None else f"uint8, max_level {self.max_level}"
        count, pixels = self.images.shape
        return f"<Split: {count} x {pixels}, {values}, {known}, binarized={self.binarized!r}>"

    def __len__(self) -> int:
        """How many images there are."""
        return int(self.images.shape[0])

    def values(self, rows: Values = slice(None)) -> NDArray[np.float32]:
        """A copy of the grey values of ``rows`` (a slice or an index array): (n, D) float32."""
        found = self.images[rows]
        if self.max_level is None:
            return np.array(found, dtype=np.float32)
        return np.divide(found, np.float32(self.max_level), dtype=np.float32)

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest grey value."""
        low, high = range_of([self.images])
        scale = self.max_level or 1
        return low / scale, high / scale

    def spread(self) -> float:
        """The root mean square of x − (mean image), over all images and pixels.

        The error of a model that knows only the mean image: a scale for the σ of a Gaussian
        likelihood.
        """
        total = np.zeros((2, self.images.shape[1]))
        shift = self.values(slice(0, 1)).astype(np.float64)  # sums of squares then cancel little
        for start in range(0, len(self), FEW):
            values = self.values(slice(start, start + FEW)) - shift
            total += values.sum(axis=0), (values**2).sum(axis=0)
        mean, mean_square = total / len(self)
        return float(np.sqrt(np.maximum(mean_square - mean**2, 0.0).mean()))

    def take(self, index: Values) -> "Split":
        """The images (and labels) selected by ``index``: a slice, an index array or a mask."""
        labels = None if self.labels is None else self.labels[index]
        return replace(self, images=chosen(self.images, index), labels=labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images (or rows of a table), split into a part to train on and a part to test on.

    ``image_shape``: (height, width) or (height, width, channels), with product D; None for a
    table of D features. ``feature_names``: the names of its D columns, or ().
    ``class_names``: the name of label k is the k-th; () if labels have no names.
    ``colormap``: matplotlib's name of the colours of grey images; by default "Greys" (ink on
    paper) if most pixels are nearly black, otherwise "gray".
    ``notes``: what a person should know, for example that the test part was cut off the end.
    ``fingerprint``: SHA-256 over ``max_level``, shapes, dtypes and bytes; a checkpoint compares
    it to tell whether the data are still the same.

    Raises DataError for splits that do not fit each other, ``image_shape`` or the names.
    """

    name: str
    train: Split
    test: Split
    image_shape: tuple[int, ...] | None
    notes: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    colormap: str = ""

    def __post_init__(self) -> None:
        name, train, test = self.name, self.train, self.test
        if not isinstance(name, str):
            raise DataError(f"the name of a data set is a text, not {name!r}")
        shape = require_image_shape(self.image_shape, name)
        object.__setattr__(self, "image_shape", shape)
        for part, split in (("train", train), ("test", test)):
            if not isinstance(split, Split):
                raise DataError(f"{name}: the {part} part is a Split, not {type(split).__name__}")
            if len(split) == 0:
                raise DataError(f"{name}: the {part} split holds no image; at least one is needed")
            if shape is not None and split.images.shape[1] != math.prod(shape):
                raise DataError(
                    f"{name}: the {part} images have {split.images.shape[1]} pixels, "
                    f"but {' x '.join(map(str, shape))} were expected"
                )
        features = train.images.shape[1]
        if test.images.shape[1] != features:
            raise DataError(
                f"{name}: train rows have {features} values and test rows {test.images.shape[1]}"
            )
        if train.max_level != test.max_level:
            raise DataError(
                f"{name}: train and test images differ in max_level "
                f"({train.max_level} and {test.max_level}); store both in one dtype"
            )
        if self.feature_names and len(self.feature_names) != features:
            raise DataError(f"{name}: {len(self.feature_names)} names for {features} features")
        if not self.colormap:
            object.__setattr__(self, "colormap", default_colormap(train))

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.row_shape))
        what = f"rows of {size} features" if self.image_shape is None else f"images of {size}"
        return (
            f"<Dataset {self.name!r}: {len(self.train)} training and {len(self.test)} test {what}>"
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex), on every machine the same, of images in memory or in files."""
        return fingerprint(self.train, self.test)

    @property
    def in_files(self) -> bool:
        """Whether the images stay in their files and are read when they are asked for."""
        return isinstance(self.train.images, MappedRows)

    def sampled(self) -> str:
        """As :attr:`fingerprint`, of about a thousand rows of each part, evenly spread."""
        parts = (self.train, self.test)
        return fingerprint(*(s.take(slice(None, None, -(-len(s) // SAMPLED))) for s in parts))

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one image, (H, W) or (H, W, C); (D,) for a table."""
        return self.image_shape or self.train.images.shape[1:]

    @classmethod
    def from_arrays(
        cls,
        train: Values,
        test: Values = None,
        *,
        labels: Values = None,
        test_labels: Values = None,
        image_shape: Sequence[int] | None = None,
        full_scale: int = 0,
        split: str = "auto",
        colormap: str = "",
        channels_first: bool = False,
        name: str = "arrays",
    ) -> "Dataset":
        """A data set from arrays of images or a table, with or without a test part of its own.

        ``train`` and ``test``: images (N, H, W) or (N, H, W, C), or (N, D): flattened images or a
        table. They may be NumPy arrays of booleans, integers or floats of any size, nested lists,
        DataFrames (column names are kept) or tensors; with ``channels_first``, images are
        (N, C, H, W). ``labels``, ``test_labels``: (N,) whole numbers from 0, −1 for an image
        without a label, or strings; or None. All are copied, but for what
        ``np.load("images.npy", mmap_mode="r")`` returns, whose rows stay in the file and are read
        when they are needed (docs/scaling.md).

        In images, whole numbers 0..255 are grey levels out of 255 (out of 1 if none exceeds 1),
        and booleans are 0 and 1; floats and the numbers of a table are taken as they are. Guesses
        are recorded in ``notes``; ``image_shape``, ``full_scale`` and ``colormap`` (see
        :class:`Reading`) override them. If ``test`` is None, a tenth of the images, at least one,
        becomes the test part: by default the last ones, or as ``split`` says ("random:SEED",
        "stratified:SEED").

        Raises DataError for arrays of other kinds, shapes or ranges, masked elements, values that
        are not finite and labels that do not fit; ConfigError for invalid settings.

        >>> data = Dataset.from_arrays([[0.1, 2.0], [0.3, 1.0], [0.2, 3.0]])
        >>> len(data.train), len(data.test), data.image_shape
        (2, 1, None)
        """
        shape = () if image_shape is None else tuple(image_shape)
        reading = Reading(shape, full_scale, split, colormap=colormap)
        given = [train] if test is None else [train, test]
        titles = [name] if test is None else [f"{name}, train part", f"{name}, test part"]
        read = [as_images(value, title) for value, title in zip(given, titles, strict=True)]
        arrays, names = [array for array, _ in read], read[0][1]
        if any(other != names for _, other in read):
            raise DataError(f"{name}: train and test have columns of different names")
        if channels_first:
            arrays = [channels_last(array, name) for array in arrays]
        pixels = as_pixels(arrays, bool(names), reading, name)
        known, class_names = as_labels(
            [labels] if test is None else [labels, test_labels],
            [len(array) for array in arrays],
            name,
        )
        parts = [
            Split(images, some, pixels.max_level)
            for images, some in zip(pixels.parts, known, strict=True)
        ]
        notes = pixels.notes
        if test is None:
            if test_labels is not None:
                raise DataError(f"{name}: there are labels of a test part, but no test part")
            rows = choose_test_rows(len(parts[0]), parts[0].labels, reading.split, name)
            parts = [parts[0].take(some) for some in rows[:2]]
            notes.append(rows[2])
        return cls(
            name,
            parts[0],
            parts[1],
            pixels.image_shape,
            tuple(notes),
            names if pixels.image_shape is None else (),
            class_names,
            reading.colormap,
        )


def largest_possible(images: Images) -> float:
    """A number that no value exceeds: the largest or, of images in files, a known one."""
    if isinstance(images, MappedRows):
        return images.bounds[1]
    return float(images.max(initial=0))


def require_protocol(protocol: str) -> None:
    """Raise ConfigError, suggesting the nearest name, unless ``protocol`` is one of PROTOCOLS."""
    if protocol in PROTOCOLS:
        return
    hint = did_you_mean(str(protocol), PROTOCOLS)
    raise ConfigError(
        f"unknown binarization '{protocol}'.{hint} There are: {', '.join(PROTOCOLS)}."
    )


def require_max_level(max_level: object) -> int:
    """``max_level`` as an int; raises DataError unless it is a whole number from 1 to 255."""
    if not is_whole(max_level, 1) or max_level > 255:
        raise DataError(f"max_level={max_level!r} cannot be: a whole number from 1 to 255, or None")
    return int(max_level)


def channels_last(array: Images, what: str) -> Images:
    """Images (N, C, H, W) as (N, H, W, C), all others as they are.

    ``DataError`` for images in files, which only their owner can save so.
    """
    if isinstance(array, MappedRows):
        raise DataError(f"{what}: images that stay in their file have channels last: save them so")
    return np.moveaxis(array, 1, -1) if array.ndim == 4 else array


def require_image_shape(shape: object, name: str) -> tuple[int, ...] | None:
    """(height, width) or (height, width, channels) as Python ints, or None for a table.

    Raises DataError unless they are whole numbers of at least 1.
    """
    if shape is None:
        return None
    sizes = shape if isinstance(shape, tuple) and len(shape) in (2, 3) else (0,)
    if not all(is_whole(n, 1) for n in sizes):
        raise DataError(
            f"{name}: the shape of an image is (height, width) or (height, width, channels), whole "
            f"numbers of at least 1, or None for a table, not {shape!r}"
        )
    return tuple(int(n) for n in sizes)


def default_colormap(split: Split) -> str:
    """ "Greys" if at least half of the pixels lie in the lowest quarter of the range, else "gray".

    So drawings on a black ground are shown as ink on paper, everything else as light.
    """
    values = split.values(slice(0, FEW)).astype(np.float64)  # a sum of two may overflow float32
    low, high = float(values.min()), float(values.max())
    return "Greys" if (values <= low + (high - low) / 4).mean() >= 0.5 else "gray"


def fingerprint(*splits: Split) -> str:
    """SHA-256 (hex) of the splits' scale, shapes, dtypes and bytes; the same on every machine."""
    digest = hashlib.sha256()
    for split in splits:
        digest.update(f"levels {split.max_level};".encode())  # as every run has recorded it
        for array in (split.images, split.labels):
            if array is None:
                digest.update(b"none;")
                continue
            digest.update(f"{array.dtype.newbyteorder('<').str} {array.shape};".encode())
            for _, block in blocks(array):
                if sys.byteorder == "big":
                    block = block.astype(block.dtype.newbyteorder("<"))
                digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


def require_unit_interval(split: Split, name: str) -> None:
    """Raise DataError unless every grey value lies in [0, 1].

    Likelihoods of grey values in [0, 1] (Bernoulli) and draws of binary pixels require this; a
    Gaussian likelihood does not. ``name`` names the images in the message.
    """
    if split.max_level is not None:
        return  # k / max_level with 0 <= k <= max_level: a Split has checked it
    images = split.images
    if isinstance(images, MappedRows) and images.bounds[0] >= 0 and images.bounds[1] <= 1:
        return
    found = first_that(images, lambda block: ~((block >= 0) & (block <= 1)))
    if found is None:
        return
    count, (image, pixel), value = found
    raise DataError(
        f"{name}: {count} of {math.prod(images.shape)} pixels lie outside [0, 1], the first in "
        f"image {image}, pixel {pixel} (value {value:g}). Grey values between 0 and 1 are needed "
        f"here: rescale the images, store them as uint8, or use a Gaussian likelihood."
    )


def stream_of(seed: int, purpose: Purpose, lane: int = 0) -> Stream:
    """The stream of ``seed``; raises ConfigError for a seed that 64 bits cannot hold."""
    if not 0 <= seed < 2**64:
        raise ConfigError(f"seed {seed}: a seed is a whole number from 0 to 2**64 - 1")
    return Stream(seed, purpose, 0, lane)
