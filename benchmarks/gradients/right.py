"""Right gradients that checkers have trouble with: they must not be called wrong.

Kinks met exactly or nearly, float32 inside, small, large and far-apart numbers, gradients that
cancel, steep functions, saturation, nearly singular matrices, and 10⁶ elements.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from benchmarks.gradients.case import Case, normal, softmax

RIGHT: list[Case] = []
V = normal(6)
A, B = 10 * normal(30, 4, seed=1), 10 * normal(30, seed=2)
OPTIMUM = np.linalg.lstsq(A, B, rcond=None)[0]
HILBERT = 1.0 / (np.arange(6)[:, None] + np.arange(6) + 1.0)
TARGET = normal(5, 3, seed=4)
MILLION = normal(1_000_000, seed=5)


def elementwise(
    why: str, name: str, f: Callable[[NDArray], Any], slope: Callable[[NDArray], Any], *at: float
) -> None:
    """A function of each number alone, with its derivative."""
    x = np.array(at, dtype=float)
    RIGHT.append(Case(name, f, lambda x, dy: dy * slope(x), (x,), why))


def loss(
    why: str, name: str, f: Callable[[NDArray], Any], g: Callable[[NDArray], Any], x: NDArray
) -> None:
    """A number, with its gradient."""
    RIGHT.append(Case(name, f, lambda x, dy: dy * g(x), (x,), why))


KINK = "a kink at the point"
elementwise(KINK, "ReLU at 0, maximum", lambda x: np.maximum(x, 0), lambda x: x > 0, 0, 1, -1)
elementwise(KINK, "ReLU at 0, product", lambda x: x * (x > 0), lambda x: x > 0, 0, 1, -1)
elementwise(KINK, "ReLU at 0, where", lambda x: np.where(x > 0, x, 0), lambda x: x > 0, 0, 1, -1)
elementwise(KINK, "ReLU at 0, slope 1", lambda x: np.maximum(x, 0), lambda x: x >= 0, 0, 1, -1)
elementwise(KINK, "absolute value at 0", np.abs, np.sign, 0, 1, -1)
elementwise(KINK, "leaky ReLU at 0", lambda x: np.where(x > 0, x, 0.1 * x),
            lambda x: np.where(x > 0, 1, 0.1), 0, 1, -1)  # fmt: skip
elementwise(KINK, "ReLU6 at 6", lambda x: np.clip(x, 0, 6), lambda x: (x > 0) & (x < 6), 6, 0, 3)
elementwise(KINK, "hinge at 1", lambda x: np.maximum(0, 1 - x), lambda x: -1.0 * (x < 1), 1, 0, 2)
elementwise(KINK, "soft threshold", lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
            lambda x: np.abs(x) > 0.5, 0.5, -0.5, 2, 0.1)  # fmt: skip
loss(KINK, "greatest of equals", np.max, lambda x: np.eye(4)[int(np.argmax(x))],
     np.array([1.0, 2.0, 2.0, 0.0]))  # fmt: skip
loss(KINK, "L1 norm with zeros", lambda x: np.sum(np.abs(x)), np.sign, np.array([0.0, 1.0, -2.0]))
loss(KINK, "norm at zero, subgradient 0", np.linalg.norm,
     lambda x: x / np.linalg.norm(x) if np.any(x) else x, np.zeros(3))  # fmt: skip
RIGHT.append(Case("max pooling of a blank image", lambda x: x.reshape(2, 3).max(1),
                  lambda x, dy: np.ravel(np.eye(3)[x.reshape(2, 3).argmax(1)] * dy[:, None]),
                  (np.zeros(6),), KINK))  # fmt: skip

NEAR = "a kink nearer than the usual step"
elementwise(NEAR, "ReLU near 0", lambda x: np.maximum(x, 0), lambda x: x > 0, 1e-8, -1e-7, 1)
elementwise(NEAR, "absolute value near 0", np.abs, np.sign, 1e-9, -1e-7, 1)
elementwise(NEAR, "absolute value of small numbers", np.abs, np.sign, 1e-6, -2e-6, 3e-6)
loss(NEAR, "L1 norm of small numbers, through float()", lambda x: float(np.sum(np.abs(x))), np.sign,
     1e-7 * V)  # fmt: skip

STEEP = "steep where the usual step is wide"
elementwise(STEEP, "log|x| near 0", lambda x: np.log(np.abs(x)), lambda x: 1 / x, 1e-6, -2e-6)
elementwise(STEEP, "√x near 0", np.sqrt, lambda x: 0.5 / np.sqrt(x), 1e-8, 1e-6, 1)
elementwise(STEEP, "1/x near 0", lambda x: 1 / x, lambda x: -1 / x**2, 1e-4, -1e-5, 1)
elementwise(STEEP, "arctanh near 1", np.arctanh, lambda x: 1 / ((1 - x) * (1 + x)),
            1 - 1e-9, 1 - 1e-6, -0.5)  # fmt: skip
elementwise(STEEP, "arcsin near 1", np.arcsin, lambda x: 1 / np.sqrt((1 - x) * (1 + x)),
            1 - 1e-8, -1 + 1e-6, 0.3)  # fmt: skip
elementwise(STEEP, "logit near 0 and 1", special.logit, lambda p: 1 / (p * (1 - p)),
            1e-7, 0.5, 1 - 1e-7)  # fmt: skip
elementwise(STEEP, "x log x near 0", lambda x: x * np.log(x), lambda x: np.log(x) + 1, 1e-9, 0.3)
elementwise(STEEP, "cube root near 0", np.cbrt, lambda x: 1 / (3 * np.cbrt(x) ** 2), 1e-6, -1e-6, 1)
elementwise(STEEP, "sine of large numbers", np.sin, np.cos, 1e8, -3e7, 2)
elementwise(STEEP, "a fast wave", lambda x: np.sin(1e5 * x), lambda x: 1e5 * np.cos(1e5 * x),
            0.3, -0.7)  # fmt: skip

SIZES = "small and large numbers"
loss(SIZES, "large values", lambda x: 1e12 * np.sum(x**3), lambda x: 3e12 * x**2, V)
loss(SIZES, "a large constant", lambda x: 1e9 + np.sum(x**2), lambda x: 2 * x, V)
elementwise(SIZES, "tenth power", lambda x: x**10, lambda x: 10 * x**9, 30, -50, 0.01)
elementwise(SIZES, "exponential of large numbers", np.exp, np.exp, 300, 10, -300)
loss(SIZES, "sizes far apart", lambda x: np.sum(np.sqrt(np.abs(x))),
     lambda x: np.sign(x) / (2 * np.sqrt(np.abs(x))), np.array([1e6, 3.0, 1e-2]))  # fmt: skip
loss(SIZES, "a block of large and one of small gradients",
     lambda x: 0.5e8 * np.sum(x[:3] ** 2) + 0.5 * np.sum(x[3:] ** 2),
     lambda x: np.concatenate([1e8 * x[:3], x[3:]]), V)  # fmt: skip
loss(SIZES, "tiny gradients", lambda x: 1e-12 * np.sum(x**3), lambda x: 3e-12 * x**2, V)

CANCEL = "zero by cancellation"


def batch_norm(x: NDArray) -> NDArray:
    return np.asarray((x - x.mean(0)) / np.sqrt(((x - x.mean(0)) ** 2).mean(0) + 1e-5))


def bias_before_batch_norm(b: NDArray) -> NDArray:
    x = TARGET[::-1] * 2 + b
    h, s = batch_norm(x), np.sqrt(x.var(0) + 1e-5)
    d = 2 * (h - TARGET) / h.size
    return np.asarray(((d - d.mean(0) - h * (d * h).mean(0)) / s).sum(0))


loss(CANCEL, "bias before batch norm", lambda b: np.mean((batch_norm(TARGET[::-1] * 2 + b)
     - TARGET) ** 2), bias_before_batch_norm, np.zeros(3))  # fmt: skip
loss(CANCEL, "least squares at its optimum", lambda w: 0.5 * np.sum((A @ w - B) ** 2),
     lambda w: A.T @ (A @ w - B), OPTIMUM)  # fmt: skip
loss(CANCEL, "sum of batch norm", lambda x: np.sum(batch_norm(x)), np.zeros_like, normal(25, 5))
loss(CANCEL, "sum of softmax", lambda x: np.sum(softmax(x)), np.zeros_like, normal(4, 5))
loss(CANCEL, "an L1 penalty beside large squares",
     lambda w: 0.5 * np.sum((A @ w - B) ** 2) + 0.01 * np.sum(np.abs(w)),
     lambda w: A.T @ (A @ w - B) + 0.01 * np.sign(w), V[:4])  # fmt: skip

SINGLE = "float32 inside"


def through_a_buffer(x: NDArray) -> NDArray:
    y = np.empty(x.shape, np.float32)
    y[...] = np.tanh(x)
    return y


elementwise(SINGLE, "tanh in float32", lambda x: np.tanh(x.astype(np.float32)),
            lambda x: 1 / np.cosh(x) ** 2, *V)  # fmt: skip
elementwise(SINGLE, "tanh in float32, then float64",
            lambda x: np.tanh(x.astype(np.float32)).astype(np.float64),
            lambda x: 1 / np.cosh(x) ** 2, *V)  # fmt: skip
elementwise(SINGLE, "a float32 buffer", through_a_buffer, lambda x: 1 / np.cosh(x) ** 2, *V)
loss(
    SINGLE,
    "squares of large numbers in float32",
    lambda x: np.float32(np.sum(np.asarray(x).astype(np.float32) ** 2) / 2),
    lambda x: x,
    30 * V,
)
loss(SINGLE, "cross-entropy in float32",
     lambda a: -np.sum(TARGET * np.log(softmax(a.astype(np.float32)))),
     lambda a: softmax(a) * np.sum(TARGET, 1, keepdims=True) - TARGET, normal(5, 3))  # fmt: skip
RIGHT.append(Case("a dense layer in float32", lambda x, w: (x @ w).astype(np.float32),
                  lambda x, w, dy: (dy @ w.T, x.T @ dy), (normal(5, 4), normal(4, 3, seed=1)),
                  SINGLE))  # fmt: skip

SATURATED = "saturation"
elementwise(SATURATED, "tanh", np.tanh, lambda x: 1 / np.cosh(x) ** 2, 0.1, 9, -17, 30)
elementwise(SATURATED, "tanh from its output", np.tanh, lambda x: 1 - np.tanh(x) ** 2, 0.1, 9, -17)
elementwise(SATURATED, "softplus", lambda x: np.logaddexp(x, 0), special.expit, 40, -40, 0.5)
elementwise(SATURATED, "log of the normal distribution", special.log_ndtr, lambda x: np.exp(
    -0.5 * x * x - 0.5 * math.log(2 * math.pi) - special.log_ndtr(x)), -30, 9, 0.2)  # fmt: skip

SINGULAR = "nearly singular"
RIGHT.append(Case("inverse of a Hilbert matrix", np.linalg.inv,
                  lambda a, dy: -np.linalg.inv(a).T @ dy @ np.linalg.inv(a).T, (HILBERT,),
                  SINGULAR))  # fmt: skip
loss(SINGULAR, "log-determinant of a Hilbert matrix", lambda a: np.linalg.slogdet(a)[1],
     lambda a: np.linalg.inv(a).T, HILBERT)  # fmt: skip
RIGHT.append(Case("solution of a Hilbert system", lambda b: np.linalg.solve(HILBERT, b),
                  lambda b, dy: np.linalg.solve(HILBERT.T, dy), (V,), SINGULAR))  # fmt: skip

LARGE = "10⁶ elements"
loss(LARGE, "sum of squares", lambda x: np.sum(x**2), lambda x: 2 * x, MILLION)
loss(LARGE, "log of a sum of exponentials", lambda x: np.log(np.sum(np.exp(x))),
     lambda x: np.exp(x) / np.sum(np.exp(x)), MILLION)  # fmt: skip
