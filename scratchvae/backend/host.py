"""Host arrays from what people hold: lists, data frames, tensors of other libraries."""

import numpy as np
from numpy.typing import NDArray

from scratchvae.errors import DataError


def host_array(values: object, what: str) -> NDArray:
    """``values`` as an array of real numbers on the host, without a copy where that is possible.

    Takes whatever NumPy makes an array of, and tensors that sit on a GPU or carry a gradient.
    ``what`` names the values in a message. Raises ``DataError`` for masked arrays, whose mask would
    be lost, for numbers that are not real, and for what is no array.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise DataError(f"{what} are a masked array: fill what is masked, or leave it out")
    if hasattr(values, "detach") and hasattr(values, "cpu"):  # PyTorch's
        values = values.detach().cpu()
    elif hasattr(values, "__cuda_array_interface__") and hasattr(values, "get"):
        values = values.get()
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{what} cannot be converted to an array of numbers: {reason}") from error
    if array.dtype.kind not in "biuf":
        kind = type(values).__name__ if array.ndim == 0 else array.dtype
        raise DataError(f"{what} are an array of real numbers, not {kind}")
    return array


def require_finite(array: NDArray, what: str) -> None:
    """Raise ``DataError``, with the first index, where ``array`` holds a NaN or an infinity."""
    if np.isfinite(array).all():
        return
    bad = np.argwhere(~np.isfinite(array))
    first = tuple(int(i) for i in bad[0])
    raise DataError(
        f"{what} hold {len(bad)} values of {array.size} that are NaN or infinite, the first at "
        f"index {first}: repair or drop them"
    )


def one_hot(labels: NDArray, classes: int, one: float, like: NDArray) -> NDArray:
    """``one`` in column k of the rows with label k and 0 elsewhere, in the dtype of ``like``."""
    rows = np.zeros((len(labels), classes), like.dtype)
    rows[np.arange(len(labels)), labels] = one
    return rows


def side_by_side(*arrays: NDArray) -> NDArray:
    """The columns of all arrays, one array after the other."""
    return np.hstack(arrays)


def repeated(row: NDArray, n: int) -> NDArray:
    """``n`` copies of an array of one row."""
    return np.repeat(row, n, axis=0)
