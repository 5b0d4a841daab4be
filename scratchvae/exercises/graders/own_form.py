"""Code in the package's own form: a layer on a backend, and the dot test."""

import math
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from scipy import special

from scratchvae.backend import get_backend
from scratchvae.exercises.verdict import (
    WrongAnswerError,
    array,
    call,
    compare,
    compare_gradient,
    function_of,
    guarded,
    require_right,
)
from scratchvae.gradcheck import gradcheck

RNG = np.random.default_rng(14)
BK = get_backend("cpu", "float64", compiled=False)
X = RNG.normal(size=(5, 3))


def sigmoid(student: ModuleType) -> None:
    """E6, written into y, and over x where y is x."""
    label, x = "E6", np.vstack([X, [[30.0, -30.0, 0.0], [800.0, -800.0, 2.0]]])
    y = np.full(x.shape, np.nan)
    value = call(student, "sigmoid", label, BK, x, y, writes=(0, 2))
    _require_written(value, y, "y", label)
    right = special.expit(x)
    mistakes = {
        "the half is missing, in tanh or outside": np.tanh(x) / 2 + 0.5,
        "tanh of a half lies between −1 and 1": np.tanh(x / 2),
        "this is tanh, between −1 and 1": np.tanh(x),
        "the sign of x is wrong: 1 − y": 1 - right,
        "this is its derivative": right * (1 - right),
    }
    compare(y, right, "y", label, {}, mistakes)
    over = x.copy()
    call(student, "sigmoid", label, BK, over, over, writes=(0, 1, 2))
    compare(over, right, "y where y is x, the same array", label, {}, mistakes)


def sigmoid_grad_input(student: ModuleType) -> None:
    """E7, by gradcheck, which looks at the layer in place, too."""
    label = "E7"
    layer = function_of(student, "Sigmoid", label)()
    y, dy = special.expit(X), RNG.normal(size=X.shape)
    dx, tmp = np.full(X.shape, np.nan), np.full(X.shape, np.nan)
    before = dy.copy()
    value = guarded(
        student, "grad_input", label, layer.grad_input, BK, None, X.copy(), y.copy(), dy, dx, tmp
    )
    _require_written(value, dx, "dx", label)
    if not np.array_equal(dy, before):
        raise WrongAnswerError("dy is changed though dx is another array: compute in tmp", label)
    mistakes = {
        "dy is missing: the chain rule multiplies by it": y * (1 - y),
        "x where the output y belongs": dy * X * (1 - X),
        "y is put through the sigmoid once more": dy * special.expit(y) * (1 - special.expit(y)),
        "the factor 1 − y is missing": dy * y,
        "the factor y is missing": dy * (1 - y),
        "this is the derivative of tanh": dy * (1 - y**2),
    }
    compare_gradient(dx, dy * y * (1 - y), "dx", label, {}, mistakes)
    report = guarded(student, "grad_input", label, lambda: gradcheck(layer, X, raises=False))
    require_right(report, "Sigmoid", label)


def _require_written(value: object, out: NDArray, name: str, label: str) -> None:
    if value is not None:
        raise WrongAnswerError(f"a value is returned: write into {name} instead", label)
    if np.all(np.isnan(out)):
        raise WrongAnswerError(
            f"nothing is in {name}: write into the array, as in {name}[...] = … or out={name}",
            label,
        )


def pairing_error(student: ModuleType) -> None:
    """E32: small for pairs that are adjoint, of the right size for others, free of scale."""
    v, w = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 2))
    matrix = RNG.normal(size=(3, 2))
    y, back = v @ matrix, w @ matrix.T
    if _error(student, v, y, w, back) > 1e-12:
        words = "a right pair has an error: are w and A v paired, and Aᵀ w and v?"
        raise WrongAnswerError(words, "E32")
    for factor in (1.1, 0.5, -1.0):
        _check_size(student, v, y, w, back, factor)
    if _error(student, 0 * v, 0 * y, 0 * w, 0 * back) != 0:
        raise WrongAnswerError("where all is zero the error must be 0", "E32")
    c = matrix + 1j * RNG.normal(size=(3, 2))
    v, w = v + 1j * RNG.normal(size=(4, 3)), w + 1j * RNG.normal(size=(4, 2))
    if _error(student, v, v @ c, w, w @ c.conj().T) > 1e-12:
        raise WrongAnswerError("complex arrays: the pairing is Re Σ conj(a) b, as in _pair", "E32")
    if _error(student, v, v @ c, w, w @ c.T) < 1e-6:
        raise WrongAnswerError("complex arrays: a transpose without conjugation passes", "E32")


def _error(student: ModuleType, v: NDArray, y: NDArray, w: NDArray, back: NDArray) -> float:
    """What the student's function says, a number that is not negative."""
    value = call(student, "pairing_error", "E32", v, y, w, back)
    found = float(array(value, (), "the error", "E32"))
    if math.isnan(found):
        raise WrongAnswerError("the error is NaN where all is zero: 0 / 0", "E32")
    if found < 0:
        raise WrongAnswerError("the error is negative: an absolute value is missing", "E32")
    return found


def _check_size(
    student: ModuleType, v: NDArray, y: NDArray, w: NDArray, back: NDArray, factor: float
) -> None:
    """The error of a pair whose second map is ``factor`` times the adjoint."""
    left = float(np.sum(w * y))
    first = math.sqrt(np.sum(w**2) * np.sum(y**2))
    second = abs(factor) * math.sqrt(np.sum(back**2) * np.sum(v**2))
    apart, size = abs(left - factor * left), max(first, second)
    found = _error(student, v, y, w, factor * back)
    if math.isclose(found, apart / size, rel_tol=1e-9):
        return
    mistakes = {
        "it is not relative: divide by the larger of the products of norms": apart,
        "it is relative to the pairing itself, which may be zero by chance": apart / abs(left),
        "the two are added, where their difference belongs": abs(left + factor * left) / size,
        "only one side is in it": 0.0,
        "it is squared": (apart / size) ** 2,
        "it is relative to one of the two products, not to the larger": apart / min(first, second),
        "it is relative to the sum of the two products, not to the larger": (
            apart / (first + second)
        ),
    }
    for words, value in mistakes.items():
        if math.isclose(found, value, rel_tol=1e-9, abs_tol=1e-300):
            raise WrongAnswerError(words, "E32")
    larger = _error(student, 1e3 * v, 1e3 * y, w, factor * back)
    raise WrongAnswerError(
        "the error grows with v: measure it relative to the sizes of the terms"
        if math.isclose(larger, 1e3 * found, rel_tol=1e-6)
        else "the error of a pair that is not adjoint has the wrong size: relative to what is it?",
        "E32",
    )
