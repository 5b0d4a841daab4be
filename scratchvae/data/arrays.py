"""Arrays from anywhere as what a Split holds: numbers, their scale, their shape, and labels.

Everything is converted, checked and, where it was guessed, noted; nothing of pandas or PyTorch is
imported: what they hand over is told by its methods.
"""

import math
import mmap
import reprlib
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.data.mapped import (
    FileRows,
    Images,
    Index,
    MappedRows,
    blocks,
    range_of_blocks,
    read_file,
)
from scratchvae.data.reading import Reading
from scratchvae.errors import DataError
from scratchvae.types import Values

Array = NDArray

SMALL = 4  # pixels: a smaller square is an image only where image_shape says so
LARGE = 20.0  # a float value beyond this is on no scale that a Gaussian with σ near 1 describes


class Pixels(NamedTuple):
    """Arrays in the form that a Split holds: (N, D) each, uint8 or float32.

    ``max_level`` and ``image_shape`` are those of Split and Dataset; ``notes`` say what was
    guessed.
    """

    parts: list[Images]
    max_level: int | None
    image_shape: tuple[int, ...] | None
    notes: list[str]


# ---- numbers ------------------------------------------------------------------------------------


def as_images(value: object, what: str) -> tuple[Images, tuple[str, ...]]:
    """As :func:`as_numbers`; but rows that lie in files stay there.

    So do those of a whole .npy file, which ``np.load`` has mapped.
    """
    if isinstance(value, np.memmap) and is_whole_file(value):
        return FileRows([read_file(Path(str(value.filename)))]), ()
    return (value, ()) if isinstance(value, MappedRows) else as_numbers(value, what)


def as_numbers(value: object, what: str) -> tuple[Array, tuple[str, ...]]:
    """``value`` as an array of booleans, integers or floats, and the names of its columns.

    Accepts arrays, nested sequences, DataFrames and Series (anything with ``to_numpy``), tensors
    (``detach``, ``cpu``), device arrays (``get``) and sparse matrices (``toarray``). The names are
    those of a DataFrame's columns, otherwise ().

    Raises DataError, beginning with ``what``, for masked elements, rows of different lengths and
    elements that are not real numbers; the index of the first such element is named.
    """
    names: tuple[str, ...] = ()
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            raise DataError(f"{what}: elements are masked; fill what is masked, or leave it out")
        value = value.data
    if hasattr(value, "to_numpy") and np.ndim(getattr(value, "columns", 0)) == 1:
        names = tuple(str(name) for name in getattr(value, "columns", ()))
    if isinstance(value, str | bytes | dict | set):
        raise DataError(f"{what}: expected an array of numbers, not {reprlib.repr(value)}")
    try:
        array = np.asarray(on_host(value))
    except Exception as error:  # lists, tensors and frames have no common type for it
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{what}: cannot be read as an array of numbers: {reason}") from error
    if array.dtype.kind == "O":
        array = numbers_of(array, what)
    if array.dtype.kind not in "buif":
        raise DataError(f"{what}: holds {array.dtype}; expected integers or floats")
    return array, names


def is_whole_file(value: "np.memmap[Any, Any]") -> bool:
    """Whether ``value`` is what ``np.load(path, mmap_mode="r")`` returns, and no part of it."""
    whole = isinstance(getattr(value, "base", None), mmap.mmap) and value.mode == "r"
    return whole and Path(str(value.filename)).suffix == ".npy"


def on_host(value: Values) -> Values:
    """``value`` as NumPy can read it: tensors are detached, device arrays copied to the host."""
    for method in ("detach", "cpu", "to_numpy", "toarray"):
        if not isinstance(value, np.ndarray) and callable(getattr(value, method, None)):
            value = getattr(value, method)()
    if hasattr(value, "__cuda_array_interface__") and hasattr(value, "get"):
        value = value.get()
    return value


def numbers_of(array: Array, what: str) -> Array:
    """An array of Python objects as numbers; raises DataError, with the index, for any other."""
    for index, element in np.ndenumerate(array):
        if not isinstance(element, Real | np.bool_):
            raise DataError(
                f"{what}: {reprlib.repr(element)} at index {index} is not a number; "
                f"fill what is missing, encode what is text, or leave it out"
            )
    return np.array(array.tolist())


# ---- pixels -------------------------------------------------------------------------------------


def as_pixels(arrays: Sequence[Images], named: bool, reading: Reading, what: str) -> Pixels:
    """Convert the arrays (one, or train and test) to (N, D) uint8 or float32, all by the same rule.

    ``named``: the columns have names, so the rows are a table unless ``reading`` says otherwise
    or they look like pixels. In images a whole number k means the grey value k / 255 (k / 65535
    for uint16), or k itself if none exceeds 1; floats and the numbers of a table are taken as
    they are. ``reading.full_scale`` overrides this.

    Raises DataError for ranks, shapes, dtypes and ranges that neither images nor tables have.
    """
    shape, notes = image_shape_of(arrays, named, reading, what)
    flat = [flattened(array) for array in arrays]
    kinds = {"float" if array.dtype.kind == "f" else "whole" for array in flat}
    if len(kinds) > 1:
        raise DataError(
            f"{what}: train and test images have dtypes {flat[0].dtype} and {flat[1].dtype}, one "
            f"of floats and one of integers; store both alike"
        )
    low, high = range_of(flat)
    if kinds == {"float"}:
        return as_floats(flat, shape, reading, notes, what)
    scale = reading.full_scale
    if scale:
        if low < 0 or high > scale:
            raise DataError(
                f"{what}: integers from {low} to {high}, but the full scale is {scale}; "
                f"name the number that means white"
            )
    elif high == 1 and low >= 0:
        scale = 1
        if any(array.dtype.kind != "b" for array in flat):
            notes.append(f"{what} holds only 0 and 1: read as binary pixels, not as k / 255")
    elif shape is None and (named or low < 0 or high > 255):
        return as_floats(flat, shape, reading, notes, what)
    elif low < 0 or high > 255:
        if any(array.dtype != np.uint16 for array in flat):
            raise DataError(
                f"{what}: integers from {low} to {high} ({flat[0].dtype}); grey levels lie in "
                f"0..255. Name the number that means white (--full-scale), rescale them, or store "
                f"floats in [0, 1]."
            )
        scale = 65535
        notes.append(f"{what} holds 16-bit integers up to {high}: k is read as k / 65535")
    else:
        scale = 255
        if 0 < high < 128:
            notes.append(
                f"the brightest pixel of {what} is {high} of 255, and k is read as k / 255: if "
                f"{high} means white, say --full-scale {high}"
            )
    if scale > 255:
        return Pixels(as_float32(flat, scale, what), None, shape, notes)
    return Pixels([each_row(to_levels, array, np.uint8) for array in flat], scale, shape, notes)


def flattened(array: Images) -> Images:
    """Images (N, …) as (N, D)."""
    return array.flat() if isinstance(array, FileRows) else array[:].reshape(len(array), -1)


def each_row(function: Callable[[Array], Array], array: Images, dtype: Values) -> Images:
    """``function``, which keeps the order of numbers, of all rows, perhaps when they are read."""
    if not isinstance(array, MappedRows):
        return function(array)
    with np.errstate(invalid="ignore"):  # NaN stays NaN
        low, high = function(np.array([array.bounds], array.dtype))[0].tolist()
    return array.made(partial(_of_rows, function), dtype, (low, high))


def _of_rows(function: Callable[[Array], Array], rows: Array, numbers: Index) -> Array:
    return function(rows)


def to_levels(array: Array) -> Array:
    """Whole numbers up to 255 as uint8."""
    return np.array(array, np.uint8)


def to_floats(divisor: float, array: Array) -> Array:
    """array / divisor as float32."""
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is reported
        return np.array(array / divisor, dtype=np.float32, order="C")


def as_floats(
    flat: list[Images], shape: tuple[int, ...] | None, reading: Reading, notes: list[str], what: str
) -> Pixels:
    """Arrays (N, D) as float32, divided by ``reading.full_scale`` if one is set."""
    parts = as_float32(flat, reading.full_scale or 1, what)
    low, high = range_of(parts)
    if max(-low, high) > LARGE:
        remedy = (
            "divide by 255 (--full-scale 255)"
            if shape is not None and low >= 0 and high <= 255
            else "standardize each column, (x − mean) / standard deviation,"
        )
        notes.append(
            f"{what} holds values from {low:g} to {high:g}: {remedy} before a training, which on "
            f"such a scale ends in infinities or learns the largest values only"
        )
    return Pixels(parts, None, shape, notes)


def image_shape_of(
    arrays: Sequence[Images], named: bool, reading: Reading, what: str
) -> tuple[tuple[int, ...] | None, list[str]]:
    """The shape of one image, or None for the rows of a table; and a note if it was guessed.

    Arrays are (N, H, W), (N, H, W, C) or (N, D); if D is a square number and the values look like
    grey values, the rows are taken for square images. A single channel is dropped: (H, W, 1)
    becomes (H, W).

    Raises DataError for other ranks, empty arrays, and arrays that differ in shape.
    """
    for array in arrays:
        if array.ndim not in (2, 3, 4):
            raise DataError(
                f"{what}: an array of shape {array.shape}; expected (N, H, W) or (N, H, W, C) for "
                f"images, (N, D) for flattened images and tables. Reshape it."
            )
        if 0 in array.shape:
            raise DataError(f"{what}: is empty: an array of shape {array.shape}")
    shapes = sorted({array.shape[1:] for array in arrays})
    if len(shapes) != 1:
        raise DataError(f"{what}: train and test images differ in shape: {shapes}")
    shape: tuple[int, ...] = shapes[0]
    size, given = math.prod(shape), reading.image_shape
    if given:
        if math.prod(given) != size:
            raise DataError(
                f"{what}: images of {' x '.join(map(str, given))} have {math.prod(given)} values, "
                f"but there are {size} in each row"
            )
        return without_one_channel(given), []
    if len(shape) == 3 and shape[2] > 4 and shape[0] in (1, 3, 4):
        raise DataError(
            f"{what}: images of shape {shape} look as if channels came first; move them to the "
            f"end, as in np.moveaxis(images, 1, -1), or say channels_first=True to "
            f"Dataset.from_arrays"
        )
    if len(shape) > 1:
        return without_one_channel(shape), []
    side = math.isqrt(size)
    low, high = range_of(arrays)
    whole = all(array.dtype.kind != "f" for array in arrays)
    grey = low >= 0 and high <= (255 if whole else 1)
    if named:  # most tables are not of pixels: only many columns that look like nothing else
        grey = grey and whole and side >= 2 * SMALL and high > 1
    if side * side == size and side >= SMALL and grey:
        return (side, side), [
            f"rows of {size} values in {what} are taken for images of {side} x {side} pixels; "
            f"--image-shape says otherwise"
        ]
    if named and (side * side != size or side < 2 * SMALL):
        return None, []
    return None, [
        f"rows of {size} values in {what} are read as a table, and no images are drawn; if they "
        f"are images, name their --image-shape"
    ]


def without_one_channel(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(H, W) for (H, W, 1); every other shape unchanged."""
    return shape[:2] if shape[2:] == (1,) else shape


def range_of(arrays: Sequence[Images]) -> tuple[float, float]:
    """The smallest and the largest value, as Python numbers; both NaN if the arrays hold a NaN."""
    return range_of_blocks(
        np.array(array.range) if isinstance(array, MappedRows) else array for array in arrays
    )


def as_float32(arrays: Sequence[Images], divisor: float, what: str) -> list[Images]:
    """The arrays / divisor as float32; raises DataError for values that are not finite then."""
    parts = [each_row(partial(to_floats, divisor), array, np.float32) for array in arrays]
    for part in parts:
        require_finite(part, what)
    return parts


def require_array(array: object, what: str) -> None:
    """Raise DataError unless ``array`` is a NumPy array without a mask, which would be dropped."""
    if not isinstance(array, np.ndarray):
        raise DataError(f"{what} are a NumPy array, not {type(array).__name__}")
    if isinstance(array, np.ma.MaskedArray):
        raise DataError(f"{what} are a masked array; fill what is masked, or leave it out")


def require_finite(images: Images, what: str) -> None:
    """Raise DataError if ``images`` hold NaN or infinity; it gives their number and first index."""
    if isinstance(images, MappedRows) and np.isfinite(images.bounds).all():
        return
    found = first_that(images, lambda block: ~np.isfinite(block))
    if found is None:
        return
    count, first, value = found
    raise DataError(
        f"{what}: {count} of {math.prod(images.shape)} values are NaN or infinite as float32, the "
        f"first at index {first} ({value}). Repair or drop these images."
    )


def first_that(
    images: Images, test: Callable[[Array], Array]
) -> tuple[int, tuple[int, ...], float] | None:
    """For how many values ``test`` is true, and index and value of the first; None if for none."""
    count, value = 0, 0.0
    first: tuple[int, ...] = ()
    for start, block in blocks(images):
        true = test(block)
        here = int(np.count_nonzero(true))
        if here and not count:
            index = tuple(int(i) for i in np.unravel_index(int(np.argmax(true)), true.shape))
            first, value = (start + index[0], *index[1:]), block[index]
        count += here
    return (count, first, value) if count else None


# ---- labels -------------------------------------------------------------------------------------


def as_labels(
    values: Sequence[Values], counts: Sequence[int], what: str
) -> tuple[list[NDArray[np.int64] | None], tuple[str, ...]]:
    """The labels of each part as (N,) int64, or None without labels; and the class names.

    Whole numbers from 0 are classes, −1 an image without a label; booleans count as 0 and 1.
    Strings are numbered in alphabetical order and returned as the class names, otherwise ().

    Raises DataError for shapes and lengths other than one label per image, for numbers that are
    not whole, and for those below −1.
    """
    arrays = [None if value is None else label_array(value, what) for value in values]
    for array, count in zip(arrays, counts, strict=True):
        if array is None:
            continue
        if array.ndim != 1:
            raise DataError(
                f"{what}: labels of dtype {array.dtype} and shape {array.shape}; expected whole "
                f"numbers of shape ({count},)"
            )
        if len(array) != count:
            raise DataError(f"{what}: {count} images but {len(array)} labels; they belong together")
    known = [array for array in arrays if array is not None]
    if any(array.dtype.kind == "U" for array in known):
        if not all(array.dtype.kind == "U" for array in known):
            raise DataError(f"{what}: labels of train and test are numbers here and texts there")
        names = np.unique(np.concatenate(known))
        coded = [None if a is None else np.searchsorted(names, a).astype(np.int64) for a in arrays]
        return coded, tuple(str(name) for name in names)
    return [None if array is None else whole_labels(array, what) for array in arrays], ()


def label_array(value: object, what: str) -> Array:
    """Labels as an array of numbers or of strings."""
    try:
        array = np.asarray(on_host(value))
    except Exception as error:  # as in as_numbers
        raise DataError(f"{what}: labels cannot be read as an array of numbers") from error
    if array.dtype.kind == "O" and all(isinstance(element, str) for element in array.flat):
        array = array.astype(np.str_)
    if array.dtype.kind == "U":
        return array
    return as_numbers(value, f"{what}, labels")[0]


def whole_labels(array: Array, what: str) -> NDArray[np.int64]:
    """Numeric labels as int64; raises DataError unless they are whole numbers, −1 or larger."""
    wrong = ~np.isfinite(array) | (array % 1 != 0) | (array < -1)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DataError(
            f"{what}: label {array[first]} of image {first} is not a label ({array.dtype}); labels "
            f"are whole numbers from 0, and −1 for an image without one"
        )
    if array.max() >= 2**63:
        raise DataError(f"{what}: label {array.max()} does not fit 64 bits with a sign")
    return array.astype(np.int64)
