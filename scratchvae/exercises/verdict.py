"""What is wrong with a student's answer, in words; never what would be right.

:func:`call` runs a function of theirs, the others look at what it returned. All raise
:class:`WrongAnswerError`; :class:`NotWrittenError` says that the stub still stands there.
"""

import copy
import re
import traceback
import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchvae.gradcheck.diagnose import diagnose
from scratchvae.gradcheck.report import Report

TOLERANCE = 1e-9  # relative: any order of the operations passes, and no constant such as 1e-7
OF_GRADIENT = 1e-8  # the same of a gradient, in which more operations may cancel


class WrongAnswerError(Exception):
    """The verdict on a wrong answer, and the label of the equation to look at."""

    def __init__(self, words: str, label: str) -> None:
        super().__init__(words)
        self.label = label


class NotWrittenError(Exception):
    """The body still raises ``NotImplementedError``."""


def function_of(module: ModuleType, name: str, label: str) -> Any:
    """The student's function or class called ``name``."""
    found = getattr(module, name, None)
    if not callable(found):
        raise WrongAnswerError(f"there is no {name} in the file: keep the name of the stub", label)
    return found


def call(module: ModuleType, name: str, label: str, *args: Any, writes: Sequence[int] = ()) -> Any:
    """What the student's function returns for copies of ``args``.

    ``writes``: the numbers of the arguments it is meant to write into, which are no copies.
    """
    function = function_of(module, name, label)
    given = [a if i in writes else copy.deepcopy(a) for i, a in enumerate(args)]
    result = guarded(module, name, label, function, *given)
    for i, (before, after) in enumerate(zip(args, given, strict=True)):
        same = not isinstance(before, np.ndarray) or np.array_equal(before, after, equal_nan=True)
        if i not in writes and not same:
            raise WrongAnswerError(
                f"{name} changes argument {i + 1}, which belongs to the caller: "
                "compute in a new array",
                label,
            )
    return result


def guarded(module: ModuleType, name: str, label: str, function: Any, *args: Any) -> Any:
    """The function's result; an exception of its own is a wrong answer."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*args)
    except NotImplementedError as error:
        raise NotWrittenError from error
    except WrongAnswerError:
        raise
    except Exception as error:
        raise WrongAnswerError(f"{name} {raised(module, error)}", label) from error


def raised(module: ModuleType, error: Exception) -> str:
    """An exception in words, with the line of the student's file."""
    text = " ".join(str(error).split())[:200]
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == getattr(module, "__file__", None) or "ipykernel" in frame.filename
    ]
    where = f" in line {lines[-1]}" if lines else ""
    why = ""
    if isinstance(error, ValueError) and re.search(r"matmul|shape|broadcast|mismatch|align", text):
        why = ": shapes do not fit, an array transposed, or two in the wrong order?"
    return f"raises {type(error).__name__}{where} ({text}){why}"


def array(value: Any, shape: tuple[int, ...], what: str, label: str) -> NDArray[np.float64]:
    """A returned value as an array of the shape that it must have."""
    if value is None:
        raise WrongAnswerError(f"{what} is None: is a return missing?", label)
    try:
        found = np.asarray(value)
        if found.dtype.kind not in "fiu":
            raise TypeError
    except (TypeError, ValueError):
        kind = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else (
            f"of type {type(value).__name__}"
        )  # fmt: skip
        raise WrongAnswerError(f"{what} is {kind}, not real numbers", label) from None
    if found.shape != shape:
        raise WrongAnswerError(
            f"{what} has the shape {found.shape}, expected {shape}{_why(found.shape, shape)}", label
        )
    return found.astype(np.float64)


def _why(found: tuple[int, ...], shape: tuple[int, ...]) -> str:
    if len(shape) > 1 and found == shape[::-1]:
        return ": transposed?"
    if len(found) < len(shape):
        return ": summed or averaged over too much?"
    if len(found) > len(shape):
        return ": a sum over an axis is missing?"
    return ": summed over the wrong axis?" if len(shape) == 1 else ""


def several(
    value: Any, shapes: Mapping[str, tuple[int, ...]], what: str, label: str
) -> list[NDArray[np.float64]]:
    """A returned tuple as arrays of the shapes that they must have."""
    if value is None:
        raise WrongAnswerError(f"{what} returns nothing: is a return missing?", label)
    if not isinstance(value, tuple | list) or len(value) != len(shapes):
        raise WrongAnswerError(
            f"{what} must return {len(shapes)} arrays: {', '.join(shapes)}", label
        )
    return [array(v, s, n, label) for v, (n, s) in zip(value, shapes.items(), strict=True)]


def compare(
    found: NDArray,
    right: NDArray,
    what: str,
    label: str,
    sizes: Mapping[str, int] | None = None,
    mistakes: Mapping[str, Any] | None = None,
    tolerance: float = TOLERANCE,
) -> None:
    """``WrongAnswerError`` unless the values are equal up to rounding.

    ``sizes``: what a constant factor might be; ``mistakes``: what typical mistakes come to, by what
    the verdict says of them.
    """
    if not close(found, right, tolerance):
        require_no_mistake(found, mistakes or {}, what, label, tolerance)
        words = diagnose(found, right, sizes or {}, {}, precision=1e-8)
        raise WrongAnswerError(f"{what}: {discreet(words, 'value')}", label)


def compare_gradient(
    found: NDArray,
    right: NDArray,
    what: str,
    label: str,
    sizes: Mapping[str, int],
    mistakes: Mapping[str, Any] | None = None,
    base: NDArray | float = 0.0,
) -> None:
    """:func:`compare` for a gradient; ``base``: what was there before, where it is added to it."""
    if not close(found, right, OF_GRADIENT):
        require_no_mistake(found, mistakes or {}, what, label, OF_GRADIENT)
        words = diagnose(found - base, right - base, sizes, {}, precision=1e-8)
        raise WrongAnswerError(f"{what}: {discreet(words)}", label)


def require_no_mistake(
    found: NDArray, mistakes: Mapping[str, Any], what: str, label: str, tolerance: float
) -> None:
    """``WrongAnswerError`` for the result of a typical mistake, with what ``mistakes`` call it."""
    for words, wrong in mistakes.items():
        if close(found, np.asarray(wrong), tolerance):
            raise WrongAnswerError(f"{what}: {words}", label)


def close(found: NDArray, right: NDArray, tolerance: float = TOLERANCE) -> bool:
    """Whether the arrays are equal up to rounding."""
    if found.shape != right.shape:
        return False
    same = found == right  # equal infinities, too
    scale = np.maximum(np.abs(right), np.max(np.abs(right), initial=0.0, where=np.isfinite(right)))
    with np.errstate(invalid="ignore"):
        return bool(np.all(same | (np.abs(found - right) <= tolerance * scale)))


def discreet(words: str, noun: str = "gradient") -> str:
    """A verdict of ``gradcheck`` without the numbers that would be the solution."""
    words = words.replace("right gradient", f"right {noun}")
    words = re.sub(r"a term is missing: \S+ times (.+)", r"a term is missing, a multiple of \1",
                   words)  # fmt: skip
    return re.sub(
        r"a term is missing: the constant \S+ everywhere",
        "a constant is missing, or too much",
        words,
    )


def require_right(report: Report, what: str, label: str) -> None:
    """``WrongAnswerError`` with the first verdict of a gradient check that is not right."""
    for finding in report.findings:
        if not finding.ok and not finding.declared:
            raise WrongAnswerError(
                f"{what}, {finding.argument}: {discreet(finding.verdict)}", label
            )
