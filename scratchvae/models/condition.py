"""The condition of a model, which is given and not modelled: none, a label, or some quadrants."""

import math
from collections.abc import Sequence

from scratchvae.backend import Array, Backend, HostArray
from scratchvae.backend.host import host_array, one_hot, repeated, side_by_side
from scratchvae.errors import ConfigError, DataError
from scratchvae.memory import Shape
from scratchvae.types import Values

FORMS = "label, some-labels, label:CLASSES, quadrants:N with N from 1 to 3, or empty"


class Condition:
    """Which numbers of a model's input row are modelled, and which are given; here none are given.

    A row holds all that is known about an image: its pixels and, if a condition adds some, columns
    of its own. ``given`` of these numbers are the condition c, the other ``modelled`` ones are x.
    """

    text = ""  # as settings write it
    kind = ""  # the part of the text before its numbers

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def row_size(self, pixels: int) -> int:
        """The numbers in the row of an image of ``pixels``."""
        return pixels

    def given(self, row: int) -> int:
        """How many numbers of a row of ``row`` numbers are given."""
        return 0

    def modelled(self, row: int) -> int:
        """How many numbers of a row of ``row`` numbers are modelled."""
        return row - self.given(row)

    def pixels(self, row: int) -> int:
        """The pixels of the image whose row has ``row`` numbers."""
        return row

    def require_data(self, image_shape: Shape | None, labels: Sequence[HostArray | None]) -> None:
        """``DataError`` unless the condition fits images of this shape with these labels.

        ``labels``: those of each part of the data.
        """

    def rows(self, images: HostArray, labels: HostArray | None = None, one: int = 1) -> HostArray:
        """The rows (N, row) of images (N, D) and their labels (N,).

        ``one``: what stands for 1 in the images' dtype, which is ``max_level`` for levels. Raises
        ``DataError`` for a label that is missing or unknown to the condition.
        """
        return images

    def rows_given(self, given: Values, n: int, row: int) -> HostArray:
        """``n`` rows with the condition ``given`` and no image, for sampling and decoding.

        Raises ``DataError`` if ``given`` is missing, or is no such condition.
        """
        raise DataError("nothing is given to this model, which has no condition: leave out given")

    def images(self, rows: HostArray) -> HostArray:
        """The images (N, D) in rows."""
        return rows

    def modelled_of(self, image: HostArray) -> HostArray:
        """The modelled numbers of an image (D,)."""
        return image

    def complete(self, given: HostArray | None, modelled: HostArray) -> HostArray:
        """Images (N, D) whose modelled numbers are (N, …), and whose others stand in ``given``."""
        return modelled

    def split(self, bk: Backend, row: Array, modelled: Array, given: Array) -> None:
        """Copy rows (B, row) into x, ``modelled``, and c, ``given``: here the last columns."""
        modelled[...] = row[:, : modelled.shape[1]]
        given[...] = row[:, modelled.shape[1] :]

    def describe(self) -> str:
        """A short phrase that follows "likelihood" in protocols."""
        return ""


class Label(Condition):
    """The label of an image, one of ``classes``: c is 1 at the label and 0 elsewhere (one-hot)."""

    kind = "label"

    def __init__(self, classes: int) -> None:
        if not isinstance(classes, int) or classes < 1:
            raise ConfigError(
                f"classes is {classes!r}, but it must be a whole number of at least 1"
            )
        self.classes, self.text = classes, f"label:{classes}"

    def __repr__(self) -> str:
        return f"Label({self.classes})"

    def row_size(self, pixels: int) -> int:
        return pixels + self.classes

    def given(self, row: int) -> int:
        return self.classes

    def pixels(self, row: int) -> int:
        return row - self.classes

    def require_data(self, image_shape: Shape | None, labels: Sequence[HostArray | None]) -> None:
        for part in labels:
            self.require(part)

    def require(self, labels: Values, some: bool = False) -> HostArray:
        """``labels`` as (N,) whole numbers from 0 to classes − 1; ``DataError`` for others.

        With ``some``, −1 is a label that is not known.
        """
        if labels is None:
            raise DataError(
                "the model is conditional on the label of an image, but these have none: pass "
                "labels, or data with labels"
            )
        array = host_array(labels, "labels").reshape(-1)
        if array.dtype.kind not in "iu":
            raise DataError(f"labels are whole numbers, not {array.dtype}")
        if array.size and array.min() < 0 and not some:
            raise DataError(
                f"image {int(array.argmin())} has no label, but the model is conditional on it: "
                "leave out the images without one"
            )
        if array.size and array.max() >= self.classes:
            raise DataError(
                f"label {int(array.max())} is unknown to this model, whose {self.classes} labels "
                f"are 0 to {self.classes - 1}"
            )
        return array

    def rows(self, images: HostArray, labels: HostArray | None = None, one: int = 1) -> HostArray:
        known = self.require(labels)
        if len(known) != len(images):
            raise DataError(f"{len(images)} images have {len(known)} labels: each needs one")
        return side_by_side(images, one_hot(known, self.classes, one, images))

    def rows_given(self, given: Values, n: int, row: int) -> HostArray:
        if given is not None:
            rows = host_array(given, "given")
            if rows.ndim == 2 and rows.shape[1] == row:
                return _one_each(rows, n)
        known = _one_each(self.require(given), n)
        blank = host_array([[0.0] * (row - self.classes)], "")
        return side_by_side(repeated(blank, n), one_hot(known, self.classes, 1, blank))

    def images(self, rows: HostArray) -> HostArray:
        return rows[:, : rows.shape[1] - self.classes]

    def describe(self) -> str:
        return "given the label"


class SomeLabels(Label):
    """As :class:`Label`, where −1 says that an image has no label: c is then 0 everywhere."""

    kind = "some-labels"

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.text = f"some-labels:{classes}"

    def __repr__(self) -> str:
        return f"SomeLabels({self.classes})"

    def require_data(self, image_shape: Shape | None, labels: Sequence[HostArray | None]) -> None:
        for part in labels:
            self.require(part, some=True)

    def rows(self, images: HostArray, labels: HostArray | None = None, one: int = 1) -> HostArray:
        known = self.require(labels, some=True)
        rows = super().rows(images, known.clip(min=0), one)
        rows[known < 0, images.shape[1] :] = 0
        return rows


class Quadrants(Condition):
    """The ``seen`` quadrants of an image (H, W) or (H, W, C); the hidden ones are modelled.

    The lower left one is seen first, then the upper left, then the upper right, as in Pyro's
    tutorial on conditional VAEs.
    """

    kind = "quadrants"

    def __init__(self, seen: int, image_shape: Sequence[int]) -> None:
        if seen not in (1, 2, 3):
            raise ConfigError(f"1, 2 or 3 quadrants of an image are seen, not {seen!r}")
        self.image_shape = tuple(image_shape)
        if len(self.image_shape) not in (2, 3) or min(self.image_shape[:2]) < 2:
            raise ConfigError(
                f"an image with quadrants has the shape (height, width) or (height, width, "
                f"channels) with at least 2 rows and 2 columns, not {self.image_shape}"
            )
        self.seen = seen
        self.text = ":".join(map(str, ("quadrants", seen, *self.image_shape)))

    def __repr__(self) -> str:
        return f"Quadrants({self.seen}, {self.image_shape})"

    def blocks(self) -> list[tuple[slice, slice]]:
        """Rows and columns of each quadrant in an image (H, W C), in the order of being seen."""
        height, width, *depth = self.image_shape
        middle = width // 2 * math.prod(depth)
        upper, lower = slice(0, height // 2), slice(height // 2, height)
        left, right = slice(0, middle), slice(middle, width * math.prod(depth))
        return [(lower, left), (upper, left), (upper, right), (lower, right)]

    def columns(self, blocks: Sequence[tuple[slice, slice]]) -> list[int]:
        """Where the numbers of these blocks are in a flattened image."""
        width = math.prod(self.image_shape[1:])
        return [
            width * i + j
            for rows, columns in blocks
            for i in range(rows.start, rows.stop)
            for j in range(columns.start, columns.stop)
        ]

    @property
    def hidden(self) -> list[int]:
        """The indices of the modelled numbers in a flattened image, in their order."""
        return self.columns(self.blocks()[self.seen :])

    def given(self, row: int) -> int:
        self.require_pixels(row)
        return row - len(self.hidden)

    def require_pixels(self, pixels: int) -> None:
        """``DataError`` for images of another size."""
        if pixels != math.prod(self.image_shape):
            raise DataError(
                f"the quadrants are those of images of {' x '.join(map(str, self.image_shape))}, "
                f"but an image here has {pixels} numbers"
            )

    def require_data(self, image_shape: Shape | None, labels: Sequence[HostArray | None]) -> None:
        if image_shape is None or tuple(image_shape) != self.image_shape:
            found = "a table" if image_shape is None else " x ".join(map(str, image_shape))
            raise DataError(
                f"the model sees {self.seen} quadrants of images of "
                f"{' x '.join(map(str, self.image_shape))}, but the data are {found}"
            )

    def rows_given(self, given: Values, n: int, row: int) -> HostArray:
        if given is None:
            raise DataError(
                f"the model is conditional on {self._seen_in_words} of an image: pass the images "
                "in which they are seen as given"
            )
        images = host_array(given, "given")
        if images.size % row or not images.size:
            raise DataError(f"given has shape {images.shape}, but an image has {row} numbers")
        return _one_each(images.reshape(-1, row), n)

    def complete(self, given: HostArray | None, modelled: HostArray) -> HostArray:
        assert given is not None
        images = given.astype(modelled.dtype)
        images[:, self.hidden] = modelled
        return images

    def modelled_of(self, image: HostArray) -> HostArray:
        return image[self.hidden]

    def split(self, bk: Backend, row: Array, modelled: Array, given: Array) -> None:
        height, width = self.image_shape[0], math.prod(self.image_shape[1:])
        image, blocks = row.reshape(-1, height, width), self.blocks()
        for out, part in ((given, blocks[: self.seen]), (modelled, blocks[self.seen :])):
            start = 0
            for rows, columns in part:
                block = image[:, rows, columns]
                stop = start + block.shape[1] * block.shape[2]
                out[:, start:stop].reshape(block.shape)[...] = block
                start = stop

    def describe(self) -> str:
        return f"of the hidden pixels given {self._seen_in_words}"

    @property
    def _seen_in_words(self) -> str:
        return f"{self.seen} quadrant{'s' if self.seen > 1 else ''}"


def parse_condition(text: object, image_shape: Sequence[int] | None = None) -> Condition:
    """The condition that settings write as "", "label:10", "quadrants:1" or "quadrants:1:28:28".

    ``image_shape``: of the images, where the text does not say it. Raises ``ConfigError`` for other
    texts, and for one that leaves something to data that are not there.
    """
    if not isinstance(text, str):
        raise ConfigError(f"a condition is {FORMS}, as text, not {text!r}")
    kind, *rest = text.split(":")
    numbers = [int(part) for part in rest if part.isdecimal()]
    if text == "":
        return Condition()
    if kind in (Label.kind, SomeLabels.kind) and len(rest) == len(numbers) <= 1:
        if not numbers:
            raise ConfigError(
                f"the condition {kind!r} does not say how many labels there are: write {kind}:10"
            )
        return Label(*numbers) if kind == Label.kind else SomeLabels(*numbers)
    if kind == Quadrants.kind and len(rest) == len(numbers) and len(numbers) in (1, 3, 4):
        shape = numbers[1:] or image_shape
        if shape is None:
            raise ConfigError("quadrants are those of images, but the data are a table")
        return Quadrants(numbers[0], shape)
    raise ConfigError(f"a condition is {FORMS}, not {text!r}")


def is_condition(text: object) -> bool:
    """Whether settings may say this, with what the data add (an image shape)."""
    try:
        parse_condition(text, (2, 2))
    except ConfigError:
        return False
    return True


def _one_each(rows: HostArray, n: int) -> HostArray:
    """``n`` rows; a single one is repeated."""
    if len(rows) == 1:
        rows = repeated(rows, n)
    if len(rows) != n:
        raise DataError(f"{len(rows)} conditions are given for {n} z: give one for each, or one")
    return rows
