"""What is wrong with a gradient, in words: from the wrong one and the right one."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from scratchvae.gradcheck.measure import gradient_error, norm

FACTORS = {
    2.0: "twice the right gradient: a missing ½?",
    0.5: "half the right gradient: a ½ too many?",
    -1.0: "the sign is wrong",
    -2.0: "minus twice the right gradient: the sign, and a missing ½?",
    -0.5: "minus half the right gradient: the sign, and a ½ too many?",
}


def diagnose(
    g: NDArray,
    reference: NDArray,
    sizes: Mapping[str, int],
    near: Mapping[str, NDArray],
    precision: float = 1e-6,
    wrong: NDArray | None = None,
) -> str:
    """A verdict on a gradient known to be wrong.

    ``sizes``: what a factor might be; ``near``: arrays a missing term might be a multiple of;
    ``precision``: how closely an explanation must fit, given the method's own error; ``wrong``: the
    elements known to be wrong, where some are too small beside the others to be seen otherwise.
    """
    if not np.all(np.isfinite(g)):
        bad = int(np.size(g) - np.count_nonzero(np.isfinite(g)))
        return f"not finite: {bad} of {np.size(g)} elements are NaN or infinite"
    if not np.any(g):
        return "zero: nothing was computed or assigned"
    if not np.any(reference):
        return "should be exactly zero: the function does not depend on this argument"
    if gradient_error(g, reference) <= precision and wrong is not None:
        return _where(g, reference, precision, wrong)
    for verdict in (_factor(g, reference, sizes, precision), _order(g, reference, precision)):
        if verdict:
            return verdict
    return (
        _term(g, reference, near, precision)
        or _at_zero(g, reference, near, precision)
        or _where(g, reference, precision, wrong)
    )


def _factor(
    g: NDArray, reference: NDArray, sizes: Mapping[str, int], precision: float
) -> str | None:
    factor = float(np.sum(g * reference) / np.sum(reference * reference))
    if abs(factor - 1.0) <= precision:  # then the error lies in elements too small to count
        return None
    if g.size < 2 or gradient_error(g, factor * reference) > precision or factor == 0:
        if g.size >= 2 or not np.any(reference):
            return None
        factor = float(g.reshape(-1)[0] / reference.reshape(-1)[0])
    named = factor_named(factor, sizes, precision)
    # One number is always some multiple of another: only a factor with a name explains it.
    return named if named or g.size < 2 else f"{factor:.6g} times the right gradient"


def factor_named(factor: float, sizes: Mapping[str, int], precision: float = 1e-6) -> str | None:
    """What a constant factor between a gradient and the right one suggests."""

    def equal(a: float, b: float) -> bool:
        return abs(a - b) <= precision * abs(b)

    if equal(factor, 1.0):
        return None
    for value, meaning in sizes.items():
        n = meaning
        if n < 2:
            continue
        for sign, prefix in ((1, ""), (-1, "minus ")):
            if equal(factor, sign * n):
                return f"{prefix}{n} times the right gradient ({n} = {value}): a sum for a mean?"
            if equal(factor, sign / n):
                return (
                    f"{prefix}1/{n} of the right gradient ({n} = {value}): a mean for a sum, "
                    "or divided twice?"
                )
        if n == 2:  # then 2 and ½ are ambiguous, and the size is the better guess
            continue
    for known, meaning_ in FACTORS.items():
        if equal(factor, known):
            return meaning_
    return None


def _order(g: NDArray, reference: NDArray, precision: float) -> str | None:
    """The right numbers in the wrong places."""
    shape = reference.shape
    if len(shape) == 2 and shape[0] == shape[1] and gradient_error(g.T, reference) <= precision:
        return "the transpose of the right gradient"
    if len(shape) == 2:
        turned = g.reshape(shape[::-1]).T
        if gradient_error(turned, reference) <= precision:
            return "the transpose of the right gradient, forced into its shape"
    if g.size > 1 and gradient_error(np.sort(g, axis=None), np.sort(reference, axis=None)) <= (
        precision
    ):
        return "the right numbers in the wrong order"
    return None


def _term(
    g: NDArray, reference: NDArray, near: Mapping[str, NDArray], precision: float
) -> str | None:
    """A missing term that is a constant, or a multiple of one of the arrays ``near``."""
    missing = reference - g
    if g.size < 3 or np.ptp(missing) <= precision * norm(reference):
        value = float(np.mean(missing))
        return f"a term is missing: the constant {value:.6g} everywhere" if g.size >= 3 else None
    for name, array in near.items():
        if array.shape != missing.shape or not np.any(array):
            continue
        c = float(np.sum(missing * array) / np.sum(array * array))
        if gradient_error(missing, c * array) <= precision * max(
            1.0, norm(reference) / norm(missing)
        ):
            return f"a term is missing: {c:.6g} times {name}"
    return None


def _at_zero(
    g: NDArray, reference: NDArray, near: Mapping[str, NDArray], precision: float
) -> str | None:
    """Wrong only where an argument is exactly zero, where many functions have a kink."""
    wrong = np.abs(g - reference) > precision * norm(reference) / np.sqrt(reference.size)
    for name, array in near.items():
        if array.shape == wrong.shape and not np.any(array[wrong]) and np.any(array):
            return (
                f"{int(np.count_nonzero(wrong))} of {wrong.size} elements are wrong, all where "
                f"{name} is exactly 0: what is there lies outside of the slopes on both sides"
            )
    return None


def _where(g: NDArray, reference: NDArray, precision: float, known: NDArray | None = None) -> str:
    """Which part is wrong, when nothing explains how."""
    size = norm(reference) / np.sqrt(reference.size)
    wrong = np.abs(g - reference) > precision * size
    if known is not None and not np.any(wrong):
        wrong = known.reshape(wrong.shape)
    count = int(np.count_nonzero(wrong))
    if count == wrong.size:
        return "every element is wrong, and no simple reason fits: a term missing or a wrong one?"
    for axis in range(wrong.ndim):
        others = tuple(a for a in range(wrong.ndim) if a != axis)
        lines = wrong.any(axis=others)
        if count == int(lines.sum()) * (wrong.size // wrong.shape[axis]) and not lines.all():
            at = ", ".join(map(str, np.flatnonzero(lines)[:6]))
            return f"wrong along axis {axis} at {at} and right elsewhere: an index or a slice?"
    kind = "zero" if not np.any(g[wrong]) else "wrong"
    return f"{count} of {wrong.size} elements are {kind}, the others right: a mask or a slice?"


def verdict_of_ratios(ratios: list[float], g: NDArray, sizes: Mapping[str, int]) -> str:
    """A verdict from ⟨g, v⟩ over the right slope, along some directions alone."""
    if not np.all(np.isfinite(g)):
        return "not finite"
    if not np.any(g):
        return "zero: nothing was computed or assigned"
    if np.ptp(ratios) <= 1e-6 * abs(ratios[0]):
        named = factor_named(ratios[0], sizes)
        if named or len(ratios) > 1:
            return named or f"{ratios[0]:.6g} times the right gradient"
    return "wrong by no constant factor: check every element to see where"
