"""What the rest of the program sees of data: a Split of images, a Dataset of two Splits.

Small grey levels stay uint8, as the files hold them: a quarter of the memory of float32, and
the training step divides by ``max_level`` when it gathers a batch.
"""

import difflib
import hashlib
import sys
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.noise import Purpose, Stream
from scratchvae.errors import ConfigError, DataError

PROTOCOLS = ("none", "threshold", "dynamic", "static")  # of binarization, see data.binarize


@dataclass(frozen=True, eq=False)
class Split:
    """Images and, where they are known, their labels.

    ``images``: (N, D), uint8 levels or float32 values. ``labels``: (N,) int64, or None.
    ``max_level``: a uint8 pixel k means the grey value k / max_level; None: the images are float32
    and their values are the grey values. ``binarized``: the protocol under which a model sees
    them, one of ``PROTOCOLS``; :func:`~scratchvae.data.binarize` sets it, with the seed of a
    static draw as ``static_seed``. "threshold" and "static" images are binary already; "dynamic"
    ones are grey values, to be drawn anew each time that a model sees them.

    Raises DataError for shapes, dtypes, levels or pixels that do not fit together, and for values
    that are not finite; ConfigError for an unknown protocol.
    """

    images: NDArray[Any]
    labels: NDArray[np.int64] | None
    max_level: int | None
    binarized: str = "none"
    static_seed: int | None = None

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
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
        elif int(images.max(initial=0)) > self.max_level:
            raise DataError(
                f"max_level={self.max_level} cannot be: the brightest pixel is {int(images.max())}"
            )
        if labels is not None:
            require_array(labels, "a split's labels")
            if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
                raise DataError(
                    f"labels are int64 of shape {images.shape[:1]}, one for each image, "
                    f"not {labels.dtype} of shape {labels.shape}"
                )
        self._check_protocol()
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

    def values(self, rows: Any = slice(None)) -> NDArray[np.float32]:
        """The grey values of ``rows`` (a slice or an index array): (n, D) float32, a fresh copy."""
        chosen = self.images[rows]
        if self.max_level is None:
            return np.array(chosen, dtype=np.float32)
        return np.divide(chosen, np.float32(self.max_level), dtype=np.float32)

    def take(self, index: Any) -> "Split":
        """The images (and labels) that ``index`` names: a slice, an index array or a mask."""
        labels = None if self.labels is None else self.labels[index]
        return replace(self, images=self.images[index], labels=labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images to train on and images to test on.

    ``image_shape``: (height, width), whose product is D. ``notes``: lines that a person should
    see, such as a test split that was cut off the end. ``fingerprint``: SHA-256 over ``max_level``,
    shapes, dtypes and bytes, so that a checkpoint can tell whether it meets its data again.

    Raises DataError for splits that do not fit each other or ``image_shape``.
    """

    name: str
    train: Split
    test: Split
    image_shape: tuple[int, int]
    notes: tuple[str, ...] = ()
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        name, train, test = self.name, self.train, self.test
        if not isinstance(name, str):
            raise DataError(f"the name of a data set is a text, not {name!r}")
        height, width = require_image_shape(self.image_shape, name)
        for part, split in (("train", train), ("test", test)):
            if not isinstance(split, Split):
                raise DataError(f"{name}: the {part} part is a Split, not {type(split).__name__}")
            if len(split) == 0:
                raise DataError(f"{name}: the {part} split holds no image; at least one is needed")
            if split.images.shape[1] != height * width:
                raise DataError(
                    f"{name}: the {part} images have {split.images.shape[1]} pixels, "
                    f"but {height} x {width} were expected"
                )
        if train.max_level != test.max_level:
            raise DataError(
                f"{name}: train and test images differ in max_level "
                f"({train.max_level} and {test.max_level}); store both in one dtype"
            )
        object.__setattr__(self, "fingerprint", fingerprint(train, test))

    def __repr__(self) -> str:
        height, width = self.image_shape
        return (
            f"<Dataset {self.name!r}: {len(self.train)} training and {len(self.test)} test images "
            f"of {height} x {width}>"
        )


def require_protocol(protocol: str) -> None:
    """Raise ConfigError, with the nearest name, unless ``protocol`` is one of PROTOCOLS."""
    if protocol in PROTOCOLS:
        return
    near = difflib.get_close_matches(str(protocol).lower(), PROTOCOLS, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise ConfigError(
        f"unknown binarization '{protocol}'.{hint} There are: {', '.join(PROTOCOLS)}."
    )


def require_array(array: Any, what: str) -> None:
    """Raise DataError unless ``array`` is NumPy's, and whole: a mask would be lost in silence."""
    if not isinstance(array, np.ndarray):
        raise DataError(f"{what} are a NumPy array, not {type(array).__name__}")
    if isinstance(array, np.ma.MaskedArray):
        raise DataError(f"{what} are a masked array; fill what is masked, or leave it out")


def require_max_level(max_level: Any) -> int:
    """``max_level`` as an int; raises DataError unless it is a whole number from 1 to 255."""
    fine = isinstance(max_level, int | np.integer) and not isinstance(max_level, bool)
    if not fine or not 1 <= max_level <= 255:
        raise DataError(f"max_level={max_level!r} cannot be: a whole number from 1 to 255, or None")
    return int(max_level)


def require_image_shape(shape: Any, name: str) -> tuple[int, int]:
    """(height, width); raises DataError unless they are two whole numbers of at least 1."""
    pair = shape if isinstance(shape, tuple) and len(shape) == 2 else ()
    if not pair or not all(isinstance(n, int) and n >= 1 for n in pair):
        raise DataError(
            f"{name}: the shape of an image is (height, width), two whole numbers of at least 1, "
            f"not {shape!r}"
        )
    return pair[0], pair[1]


def fingerprint(*splits: Split) -> str:
    """SHA-256 (hex) of the splits' scale, shapes, dtypes and bytes, alike on every machine."""
    digest = hashlib.sha256()
    for split in splits:
        digest.update(f"levels {split.max_level};".encode())  # as every run has recorded it
        for array in (split.images, split.labels):
            if array is None:
                digest.update(b"none;")
                continue
            if sys.byteorder == "big":
                array = array.astype(array.dtype.newbyteorder("<"))
            digest.update(f"{array.dtype.newbyteorder('<').str} {array.shape};".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def require_finite(images: NDArray[np.floating], name: str) -> None:
    """Raise DataError, with their number and the first index, if a NaN or infinity is there."""
    finite = np.isfinite(images)
    if finite.all():
        return
    count = images.size - int(np.count_nonzero(finite))
    first = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), finite.shape))
    raise DataError(
        f"{name}: {count} of {images.size} values are NaN or infinite as float32, the first at "
        f"index {first} ({images[first]}). Repair or drop these images."
    )


def require_unit_interval(split: Split, name: str) -> None:
    """Raise DataError unless every grey value lies in [0, 1].

    Likelihoods of grey values in [0, 1] (Bernoulli) and draws of binary pixels ask this; a
    Gaussian likelihood does not. ``name`` says in the message whose images these are.
    """
    if split.max_level is not None:
        return  # k / max_level with 0 <= k <= max_level: a Split has checked it
    outside = ~((split.images >= 0) & (split.images <= 1))
    if not outside.any():
        return
    count = int(np.count_nonzero(outside))
    image, pixel = divmod(int(np.argmax(outside)), outside.shape[1])
    raise DataError(
        f"{name}: {count} of {outside.size} pixels lie outside [0, 1], the first in image {image}, "
        f"pixel {pixel} (value {split.images[image, pixel]:g}). Grey values between 0 and 1 are "
        f"needed here: rescale the images, store them as uint8, or use a Gaussian likelihood."
    )


def stream_of(seed: int, purpose: Purpose, lane: int = 0) -> Stream:
    """The stream of ``seed``; raises ConfigError for a seed that 64 bits cannot hold."""
    if not 0 <= seed < 2**64:
        raise ConfigError(f"seed {seed}: a seed is a whole number from 0 to 2**64 - 1")
    return Stream(seed, purpose, 0, lane)
