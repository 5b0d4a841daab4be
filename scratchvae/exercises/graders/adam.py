"""Adam, against its averages written out as weighted sums."""

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from scratchvae import reference
from scratchvae.exercises.verdict import WrongAnswerError, call, compare

STEPS, SHAPE = 5, (4, 3)
RNG = np.random.default_rng(11)
P, G = RNG.normal(size=SHAPE), RNG.normal(size=(STEPS, *SHAPE)) * np.array([1e-7, 1.0, 1e2])
LR, B1, B2, EPS = 0.1, reference.BETA1, reference.BETA2, reference.EPS


def average(values: NDArray, beta: float) -> NDArray:
    """(1 − β) Σ_i β^(t − i) values_i after t values: the moving average from zero, unrolled."""
    ages = np.arange(len(values))[::-1].reshape(-1, *[1] * len(SHAPE))
    return np.asarray((1 - beta) * np.sum(beta**ages * values, axis=0))


def path(form: str = "right") -> list[NDArray]:
    """The parameters after each step; ``form`` names a typical mistake."""
    p, found = P.copy(), []
    for t in range(1, STEPS + 1):
        m, v = average(G[:t], B1), average(G[:t] ** 2, B2)
        c1, c2 = 1 - B1**t, 1 - B2**t
        if form == "one step late":
            c1, c2 = 1 - B1 ** (t + 1), 1 - B2 ** (t + 1)
        if form == "one beta":
            c2 = c1
        if form == "uncorrected":
            c1 = c2 = 1.0
        if form == "no power":
            c1, c2 = 1 - B1, 1 - B2
        if form == "multiplied":
            c1, c2 = 1 / c1, 1 / c2
        m, v = m / c1, v / c2
        step = m / (np.sqrt(v) + EPS)
        step = m / np.sqrt(v + EPS) if form == "eps inside" else step
        step = m / (v + EPS) if form == "no root" else step
        step = G[t - 1] / (np.sqrt(v) + EPS) if form == "no momentum" else step
        step = m / np.sqrt(v) if form == "no eps" else step
        step = G[t - 1] if form == "plain" else step
        step = step / LR if form == "no lr" else step
        p = p + LR * step if form == "uphill" else p - LR * step
        found.append(p)
    return found


WORDS = {
    "uphill": "the step goes up: the sign",
    "uncorrected": "the divisions by 1 − β^t are missing",
    "no power": "the corrections do not depend on t: the power is missing",
    "multiplied": "the corrections multiply where they should divide",
    "eps inside": "ε stands under the root",
    "no root": "the root of v is missing",
    "no momentum": "the step is along g, not along its average m",
    "no eps": "ε is missing",
    "no lr": "the learning rate is missing",
    "plain": "this is a step along the gradient, without its averages",
    "one step late": "t is too large by one: the first step has t = 1",
    "one beta": "β₁ stands in the correction of v",
}


def adam(student: ModuleType) -> None:
    """E24, five steps from zero."""
    p, m, v = P.copy(), np.zeros(SHAPE), np.zeros(SHAPE)
    wrong = {WORDS[form]: path(form) for form in WORDS}
    for t, right in enumerate(path(), start=1):
        before = m.copy(), v.copy(), p.copy()
        arguments = (p, G[t - 1], m, v, t, LR)
        call(student, "adam", "E24", *arguments, writes=(0, 2, 3))
        for name, old, new in zip(("m", "v", "p"), before, (m, v, p), strict=True):
            if np.array_equal(old, new):
                raise WrongAnswerError(
                    f"{name} is as before: write into it, as in {name}[:] = …; a new array of that "
                    "name is lost",
                    "E24",
                )
        for name, found, values, beta in (
            ("m", m, G[:t], B1), ("v", v, G[:t] ** 2, B2),
        ):  # fmt: skip
            exact = average(values, beta)
            mistakes = {
                "β and 1 − β are exchanged": average(values, 1 - beta),
                "it is a sum, not an average": exact / (1 - beta),
                "g where g² belongs": average(G[:t], beta),
                "β₁ where β₂ belongs": average(values, B1),
                "β₂ where β₁ belongs": average(values, B2),
                "what was there before is lost": (1 - beta) * values[-1],
                "the correction is kept: it belongs to the step alone": exact / (1 - beta**t),
            }
            compare(found, exact, f"{name} after step {t}", "E24", {}, mistakes)
        compare(p, right, f"p after step {t}", "E24", {}, {w: q[t - 1] for w, q in wrong.items()})
