"""The Bernoulli likelihood."""

from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from scipy import special

from scratchvae.exercises.verdict import (
    WrongAnswerError,
    array,
    call,
    compare,
    compare_gradient,
    require_right,
)
from scratchvae.gradcheck import check_gradient

B, D = 5, 7
RNG = np.random.default_rng(8)
X, A, WEIGHT = RNG.random((B, D)), 2 * RNG.normal(size=(B, D)), 0.3
SIZES = {"the number of pixels": D, "the number of images": B}


def cross_entropy(x: NDArray, a: NDArray) -> NDArray:
    """−x log s − (1 − x) log(1 − s), pixel by pixel, with SciPy's log s."""
    return np.asarray(-x * special.log_expit(a) - (1 - x) * special.log_expit(-a))


def bernoulli_nll(student: ModuleType) -> None:
    """E18, against SciPy; then for logits that overflow."""
    terms = cross_entropy(X, A)
    nll = array(call(student, "bernoulli_nll", "E18", X, A), (B,), "nll", "E18")
    mistakes = {
        "x a is not subtracted": np.logaddexp(0, A).sum(axis=1),
        "x a is added": (np.logaddexp(0, A) + X * A).sum(axis=1),
        "this is the cost of the opposite pixels, 1 − x": cross_entropy(1 - X, A).sum(axis=1),
        "the white pixels alone are counted": (-X * special.log_expit(A)).sum(axis=1),
        "this is a squared error of the logits, no probability": ((X - A) ** 2).sum(axis=1),
        "this is a squared error, no log probability": ((X - special.expit(A)) ** 2).sum(axis=1),
        "only the stable form of one sign of a": (np.log1p(np.exp(-abs(A))) - X * A).sum(axis=1),
    }
    compare(nll, terms.sum(axis=1), "nll", "E18", SIZES, mistakes)
    x = np.tile([[1.0, 0.0]], (2, 1))
    a = np.array([[1000.0, -1000.0], [-1000.0, 1000.0]])
    found = array(call(student, "bernoulli_nll", "E18", x, a), (2,), "nll", "E18")
    if not np.all(np.isfinite(found)):
        raise WrongAnswerError("nll is not finite for a = ±1000: e^a overflows", "E18")
    compare(found, np.array([0.0, 2000.0]), "nll for a = ±1000, where something is cut off", "E18")
    a = np.full((1, 2), -40.0)
    found = array(call(student, "bernoulli_nll", "E18", np.zeros((1, 2)), a), (1,), "nll", "E18")
    if abs(found[0] - 2 * np.exp(-40.0)) > 1e-14:
        raise WrongAnswerError(
            "nll of pixels that are as good as certain (a = −40) is off: is a small constant in a "
            "logarithm?",
            "E18",
        )


def bernoulli_grad(student: ModuleType) -> None:
    """E19, by a complex step through E18."""

    def gradient(a: NDArray) -> NDArray:
        value = call(student, "bernoulli_grad", "E19", X, a, WEIGHT)
        return array(value, (B, D), "da", "E19")

    s = special.expit(A)
    mistakes = {
        "the weight w is missing": s - X,
        "the sign is wrong": WEIGHT * (X - s),
        "the softplus is taken for the probability": WEIGHT * (np.logaddexp(0, A) - X),
        "a factor s (1 − s) too many: it has cancelled": WEIGHT * (s - X) * s * (1 - s),
        "the logits are taken for probabilities": WEIGHT * (A - X),
        "the part of x a is missing": WEIGHT * s,
        "s is rounded to 0 or 1": WEIGHT * ((s > 0.5) - X),
    }
    right = WEIGHT * (s - X)
    compare_gradient(gradient(A), right, "da", "E19", SIZES, mistakes)
    report = check_gradient(
        lambda a: WEIGHT * np.sum(np.log1p(np.exp(a)) - X * a), A, vjp=lambda a, dy: gradient(a)
    )
    require_right(report, "bernoulli_grad", "E19")
    if not np.all(np.isfinite(gradient(1000 * A))):
        raise WrongAnswerError(
            "da is not finite for logits of some thousands: e^a overflows", "E19"
        )
