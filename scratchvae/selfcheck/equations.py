"""The update of every optimizer written out once more, as a formula without buffers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.optim import SGD, Adagrad, Adam, Optimizer, RMSprop


class State(NamedTuple):
    """Parameters and moments, all as flat host arrays."""

    p: NDArray
    moments: tuple[NDArray, ...]


Equation = Callable[[Any, State, NDArray, int], State]


@dataclass(frozen=True)
class OptimizerEntry:
    """An optimizer with its update written out once more, without buffers."""

    name: str
    rule: type[Optimizer]
    new: Callable[[], Optimizer]
    equation: Equation
    flushes: bool = True  # moments too small to matter become zero now and then


def adam_equation(rule: Adam, state: State, g: NDArray, t: int) -> State:
    """E24 as a formula: Kingma and Ba 2015, algorithm 1. The buffers hold m/(1−β₁), v/(1−β₂).

    Without bias correction, m and v stand for m̂ and v̂; with ε̂, the form at the end of the
    paper's section 2.
    """
    a, b = 1 - rule.beta1, 1 - rule.beta2
    m = rule.beta1 * (a * state.moments[0]) + a * g
    v = rule.beta2 * (b * state.moments[1]) + b * g**2
    if rule.eps_hat:
        rate = rule.lr * np.sqrt(1 - rule.beta2**t) / (1 - rule.beta1**t)
        return State(state.p - rate * m / (np.sqrt(v) + rule.eps), (m / a, v / b))
    m_hat, v_hat = m, v
    if rule.bias_correction:
        m_hat, v_hat = m / (1 - rule.beta1**t), v / (1 - rule.beta2**t)
    return State(state.p - rule.lr * m_hat / (np.sqrt(v_hat) + rule.eps), (m / a, v / b))


def rmsprop_equation(rule: RMSprop, state: State, g: NDArray, t: int) -> State:
    """E41 as a formula. The buffer holds r/(1 − ρ)."""
    c = 1 - rule.rho
    r = rule.rho * (c * state.moments[0]) + c * g**2
    root = np.sqrt(r + rule.eps) if rule.eps_inside else np.sqrt(r) + rule.eps
    return State(state.p - rule.schedule(t) * g / root, (r / c,))


def sgd_equation(rule: SGD, state: State, g: NDArray, t: int) -> State:
    """E42 as a formula."""
    if not state.moments:
        return State(state.p - rule.schedule(t) * g, ())
    v = rule.momentum * state.moments[0] + g
    step = g + rule.momentum * v if rule.nesterov else v
    return State(state.p - rule.schedule(t) * step, (v,))


def adagrad_equation(rule: Adagrad, state: State, g: NDArray, t: int) -> State:
    """E43 as a formula."""
    s = state.moments[0] + g**2
    return State(state.p - rule.schedule(t) * g / (np.sqrt(s) + rule.eps), (s,))


OPTIMIZER_ENTRIES: tuple[OptimizerEntry, ...] = (
    OptimizerEntry("Adam", Adam, lambda: Adam(lr=0.01, eps=1e-4), adam_equation),
    OptimizerEntry(
        "Adam, no bias correction",
        Adam,
        lambda: Adam(lr=0.01, eps=1e-4, v0=0.5, bias_correction=False),
        adam_equation,
    ),
    OptimizerEntry(
        "Adam, eps hat",
        Adam,
        lambda: Adam(lr=0.01, beta1=0.99, eps=1e-4, v0=1.0, eps_hat=True),
        adam_equation,
    ),
    OptimizerEntry("RMSprop", RMSprop, lambda: RMSprop(lr=0.01, eps=1e-3), rmsprop_equation),
    OptimizerEntry(
        "RMSprop, eps inside",
        RMSprop,
        lambda: RMSprop(lr=0.01, eps=1e-3, eps_inside=True),
        rmsprop_equation,
    ),
    OptimizerEntry("SGD", SGD, lambda: SGD(lr=0.01), sgd_equation),
    OptimizerEntry("SGD, Nesterov", SGD, lambda: SGD(0.01, 0.8, True), sgd_equation),
    OptimizerEntry("SGD, no momentum", SGD, lambda: SGD(0.01, 0.0), sgd_equation, flushes=False),
    OptimizerEntry("Adagrad", Adagrad, lambda: Adagrad(eps=1e-3), adagrad_equation, flushes=False),
)
