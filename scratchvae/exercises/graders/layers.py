"""The dense layer and the activations."""

from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from scipy import special

from scratchvae.exercises.verdict import (
    array,
    call,
    compare,
    compare_gradient,
    require_right,
    several,
)
from scratchvae.gradcheck import check_gradient

B, I, O = 5, 4, 3  # noqa: E741 — as in the docstrings: images, inputs, outputs; all different
RNG = np.random.default_rng(7)
X, W, BIAS = RNG.normal(size=(B, I)), RNG.normal(size=(I, O)), RNG.normal(size=O)
DY = RNG.normal(size=(B, O))
SIZES = {"the number of images": B, "the inputs": I, "the outputs": O}


def dense(student: ModuleType) -> None:
    """E3, against the sums written out."""
    y = array(call(student, "dense", "E3", X, W, BIAS), (B, O), "y", "E3")
    product = np.einsum("ni,ij->nj", X, W)
    mistakes = {
        "the bias is not added": product,
        "the bias has the wrong sign": product - BIAS,
        "the bias is added once for each input": product + I * BIAS,
        "the bias is added to W, not to the product": np.einsum("ni,ij->nj", X, W + BIAS),
        "the sum of all biases is added to every output": product + BIAS.sum(),
        "the bias multiplies where it should be added": product * BIAS,
    }
    compare(y, product + BIAS, "y", "E3", SIZES, mistakes)


def dense_grad_params(student: ModuleType) -> None:
    """E5, by a complex step through E3."""

    def vjp(w: NDArray, b: NDArray, dy: NDArray) -> list[NDArray]:
        value = call(student, "dense_grad_params", "E5", X, dy)
        return several(value, {"dW": (I, O), "db": (O,)}, "dense_grad_params", "E5")

    dw, db = vjp(W, BIAS, DY)
    compare_gradient(dw, np.einsum("ni,nj->ij", X, DY), "dW", "E5", SIZES, {})
    mistakes = {"each output's bias gets the sum over all outputs": np.full(O, DY.sum())}
    mistakes |= {"one image counts, not all": DY[0], "one image counts, the last": DY[-1]}
    compare_gradient(db, np.einsum("nj->j", DY), "db", "E5", SIZES, mistakes)
    report = check_gradient(lambda w, b: X @ w + b, W, BIAS, vjp=vjp)
    require_right(report, "dense_grad_params", "E5")


def dense_grad_input(student: ModuleType) -> None:
    """E4, by a complex step through E3."""

    def vjp(x: NDArray, dy: NDArray) -> NDArray:
        return array(call(student, "dense_grad_input", "E4", dy, W), (B, I), "dx", "E4")

    compare_gradient(vjp(X, DY), np.einsum("nj,ij->ni", DY, W), "dx", "E4", SIZES, {})
    require_right(check_gradient(lambda x: x @ W, X, vjp=vjp), "dense_grad_input", "E4")
    square = RNG.normal(size=(I, I))
    dy = RNG.normal(size=(B, I))
    found = array(call(student, "dense_grad_input", "E4", dy, square), (B, I), "dx", "E4")
    mistakes = {"W is used as it is: which of its two axes is summed over?": dy @ square}
    compare_gradient(found, np.einsum("nj,ij->ni", dy, square), "dx", "E4", SIZES, mistakes)


def relu(student: ModuleType) -> None:
    """E10, by (y + |y|) / 2."""
    y = np.concatenate([RNG.normal(size=(B, O)), [[0.0, -0.0, -2.0], [3.0, 1e-9, -1e-9]]])
    x = array(call(student, "relu", "E10", y), y.shape, "x", "E10")
    mistakes = {
        "negative numbers become positive": abs(y),
        "it lets through what is negative": (y - abs(y)) / 2,
        "it says which numbers are positive, and not how large they are": np.where(y > 0, 1.0, 0.0),
        "nothing happens to negative numbers": y,
        "this is the softplus, which is positive everywhere": np.logaddexp(0, y),
    }
    compare(x, (y + abs(y)) / 2, "x", "E10", {}, mistakes)


def relu_grad(student: ModuleType) -> None:
    """E11, by a complex step through E10; at a kink any slope in between is right."""
    y = RNG.normal(size=(B, O))
    x, dx = np.maximum(y, 0), RNG.normal(size=(B, O))
    found = array(call(student, "relu_grad", "E11", x, dx), (B, O), "dy", "E11")
    zero = y <= 0
    mistakes = {
        "where the ReLU is open, dx should pass, not 1": np.where(zero, 0.0, 1.0),
        "the condition is on dx, not on x": np.where(dx > 0, dx, 0.0),
        "dx passes where the ReLU is shut": dx,
        "open and shut are exchanged": np.where(zero, dx, 0.0),
        "x multiplies dx: it is a slope of 1 that should": x * dx,
    }
    compare_gradient(found, np.where(zero, 0.0, dx), "dy", "E11", {}, mistakes)

    def vjp(y: NDArray, dx: NDArray) -> NDArray:
        return array(call(student, "relu_grad", "E11", np.maximum(y, 0), dx), (B, O), "dy", "E11")

    require_right(check_gradient(lambda y: np.maximum(y, 0), y, vjp=vjp), "relu_grad", "E11")


def sigmoid(student: ModuleType) -> None:
    """E6, against scipy.special.expit."""
    a = np.concatenate([RNG.normal(size=(B, O)), [[0.0, 30.0, -30.0], [800.0, -800.0, 1.0]]])
    found = array(call(student, "sigmoid", "E6", a), a.shape, "s", "E6")
    right = special.expit(a)
    mistakes = {
        "the sign of a is wrong: 1 − s": 1 - right,
        "the half is missing, in tanh or outside": np.tanh(a) / 2 + 0.5,
        "this is tanh, between −1 and 1": np.tanh(a),
        "tanh of a half lies between −1 and 1": np.tanh(a / 2),
        "this is its derivative": right * (1 - right),
    }
    compare(found, right, "s", "E6", {}, mistakes)
