"""Optimizers: no gradient to check, but an equation, and laws that follow from it.

``OPTIMIZER_ENTRIES`` registers every optimizer with its update as a formula without buffers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import FLUSH_EVERY, Backend, flush_threshold, get_backend
from scratchvae.gradcheck.backends import PlainBackend
from scratchvae.gradcheck.measure import gradient_error, norm
from scratchvae.gradcheck.points import point
from scratchvae.memory import FlatBuffer, Layout
from scratchvae.optim import SGD, Adagrad, Adam, Optimizer, RMSprop
from scratchvae.selfcheck.checks import EXACT, SINGLE, Measured, yes_or_no


class State(NamedTuple):
    """Parameters and moments, all as flat host arrays."""

    p: NDArray
    moments: tuple[NDArray, ...]


Equation = Callable[[Any, State, NDArray, int], State]


@dataclass(frozen=True)
class OptimizerEntry:
    """An optimizer with its update as a formula without buffers."""

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


# ---- checks --------------------------------------------------------------------------------------


LAYOUT = Layout({"W": (5, 3), "b": (3,), "long": (4099,)})
STEPS = 4
TWO_WAYS = ((slice(None),), (slice(0, 48), slice(48, None)))  # one worker, two workers


class Bench:
    """An optimizer bound to small buffers on some backend."""

    def __init__(
        self,
        entry: OptimizerEntry,
        bk: Backend,
        seed: int = 0,
        parts: Sequence[slice] | None = None,
        clip: float | None = None,
    ) -> None:
        self.entry, self.bk = entry, bk
        self.rule = entry.new()
        self.rule.clip = clip
        self.params, self.grads = FlatBuffer(bk, LAYOUT), FlatBuffer(bk, LAYOUT)
        for name, shape in LAYOUT.shapes.items():
            bk.load(_single(point(shape, seed, f"optimizer {name}")), self.params[name])
        self.start = bk.to_host(self.params.flat).astype(np.float64)
        self.parts = (slice(None),) if parts is None else parts
        self.bound = self.rule.bind(bk, self.params, self.grads, self.parts)

    def step(self, t: int, factor: float = 1.0, seed: int = 0) -> NDArray:
        """Update number t with its own seeded gradient; answers with that gradient.

        Every second update is handed its learning rate.
        """
        for name, shape in LAYOUT.shapes.items():
            self.bk.load(
                factor * _single(point(shape, seed + t, f"gradient {name}")), self.grads[name]
            )
        g = self.bk.to_host(self.grads.flat).astype(np.float64)
        with self.bk.ignore_float_errors():
            if self.bound.needs_barrier:
                for part in range(len(self.parts)):
                    self.bound.measure_norm(part)
            for part in range(len(self.parts)):
                self.bound.step(t, part, None if t % 2 else self.rule.schedule(t))
        return g

    def state(self) -> State:
        """Copies of the parameters and the moments."""
        moments = (self.bound.state[n].flat for n in self.rule.moments)
        return State(self.bk.to_host(self.params.flat), tuple(map(self.bk.to_host, moments)))


def _single(a: NDArray) -> NDArray:
    return a.astype(np.float32).astype(np.float64)


def _cpu(dtype: str = "float64") -> Backend:
    return get_backend("cpu", dtype)


def _distance(a: State, b: State) -> float:
    pairs = zip((a.p, *a.moments), (b.p, *b.moments), strict=True)
    return max(gradient_error(x, y) for x, y in pairs)


def _run(
    entry: OptimizerEntry, bk: Backend, steps: int = STEPS, parts: Sequence[slice] | None = None
) -> State:
    bench = Bench(entry, bk, parts=parts)
    for t in range(1, steps + 1):
        bench.step(t)
    return bench.state()


def equation(entry: OptimizerEntry) -> Measured:
    """Several steps against the formula, in float64."""
    bench = Bench(entry, _cpu())
    expected = bench.state()
    for t in range(1, STEPS + 1):
        expected = entry.equation(bench.rule, expected, bench.step(t), t)
    return Measured(_distance(bench.state(), expected), EXACT)


def zero_gradient(entry: OptimizerEntry) -> Measured:
    """A gradient that was always zero moves nothing."""
    bench = Bench(entry, _cpu())
    for t in range(1, STEPS + 1):
        bench.step(t, factor=0.0)
    return yes_or_no(np.array_equal(bench.state().p, bench.start), "moves without a gradient")


def sign(entry: OptimizerEntry) -> Measured:
    """The opposite gradient is the opposite update, to rounding."""
    down, up = Bench(entry, _cpu()), Bench(entry, _cpu())
    down.step(1), up.step(1, factor=-1.0)
    a, b = down.state().p - down.start, up.state().p - up.start
    return Measured(gradient_error(a, -b, norm(down.start)), EXACT)


def descends(entry: OptimizerEntry) -> Measured:
    """The first step goes against the gradient, in every element."""
    bench = Bench(entry, _cpu())
    g = bench.step(1)
    moved = bench.state().p - bench.start
    return yes_or_no(bool(np.all(moved[g != 0] * g[g != 0] < 0)), "a step along the gradient")


def padding(entry: OptimizerEntry) -> Measured:
    """What lies between the arrays of a flat buffer stays zero."""
    state = _run(entry, _cpu())
    gaps = np.ones(LAYOUT.padded_size, dtype=bool)
    for name, shape in LAYOUT.shapes.items():
        gaps[LAYOUT.offsets[name] :][: int(np.prod(shape))] = False
    arrays = (state.p, *state.moments)
    return yes_or_no(not any(np.any(a[gaps]) for a in arrays), "the padding is not zero")


def repeatable(entry: OptimizerEntry) -> Measured:
    """The same steps twice: the same bits."""
    return yes_or_no(_distance(_run(entry, _cpu()), _run(entry, _cpu())) == 0, "other bits")


def gradient_unchanged(entry: OptimizerEntry) -> Measured:
    """The gradient is an input."""
    bench = Bench(entry, _cpu())
    g = bench.step(1)
    return yes_or_no(np.array_equal(bench.grads.flat, g), "overwrites the gradient")


def in_parts(entry: OptimizerEntry) -> Measured:
    """Two workers, a stretch of the buffers each: the same bits."""
    whole, parts = (_run(entry, _cpu(), parts=parts) for parts in TWO_WAYS)
    return yes_or_no(_distance(parts, whole) == 0, "other bits")


def clipped(entry: OptimizerEntry) -> Measured:
    """A gradient longer than the limit counts as one of that length  (E44); a shorter one stays."""
    length = norm(Bench(entry, _cpu()).step(1))
    errors = []
    for limit in (0.25 * length, 4.0 * length):
        by_rule, by_hand = Bench(entry, _cpu(), clip=limit), Bench(entry, _cpu())
        by_rule.step(1)
        by_hand.step(1, factor=min(1.0, limit / length))
        errors.append(_distance(by_rule.state(), by_hand.state()))
    return Measured(max(errors), EXACT)


def clipped_at_any_size(entry: OptimizerEntry) -> Measured:
    """Clipping where squares leave the range of a float  (E44), with one worker and with two.

    An infinity makes the whole gradient NaN; a gradient of zeros stays one.
    """
    errors = []
    for size, limit, parts in product((1e-200, 1e-160, 1.0, 1e200), (0.25, 1.5, 4.0), TWO_WAYS):
        length = norm(Bench(entry, _cpu()).step(1))
        bench = Bench(entry, _cpu(), parts=parts, clip=limit * length * size)
        g = bench.step(1, factor=size)
        errors.append(gradient_error(bench.grads.flat / size, min(1.0, limit) * (g / size)))
    for factor, expected in ((np.inf, np.nan), (0.0, 0.0)):
        bench = Bench(entry, _cpu(), clip=1.0)
        bench.step(1, factor=factor)
        found = bench.grads["long"]
        if not np.array_equal(found, np.full_like(found, expected), equal_nan=True):
            return yes_or_no(False, f"a gradient times {factor} is not {expected}")
    return Measured(max(errors), EXACT)


def flushes(entry: OptimizerEntry) -> Measured:
    """Every 128 steps, moments on their way to subnormal numbers become zero; others stay.

    The gradients here put the moments a hair below, at and above the limit. The update itself is
    the formula's, and the gradient is left alone.
    """
    limit = flush_threshold(np.dtype(np.float64))
    root = np.sqrt(limit) * np.array([1 - 1e-7, 1 + 1e-7, -1 + 1e-7])
    g = np.array([limit, limit * (1 + 1e-7), -limit * (1 + 1e-7), 1.0, *root, 0.0])
    for bk in (_cpu(), PlainBackend()):
        for t in (FLUSH_EVERY + 1, FLUSH_EVERY):
            bench = Bench(entry, bk)
            _at_the_limit(bench, limit)
            before = bench.state()
            bench.grads.flat.fill(0.0)
            bk.load(g, bench.grads["long"][: g.size])
            given = bk.to_host(bench.grads.flat)
            with bk.ignore_float_errors():
                bench.bound.step(t)
            expected, found = entry.equation(bench.rule, before, given, t), bench.state()
            if gradient_error(found.p, expected.p) > EXACT:
                return yes_or_no(False, f"another update at step {t}")
            if not np.array_equal(bk.to_host(bench.grads.flat), given):
                return yes_or_no(False, f"overwrites the gradient at step {t}")
            if t == FLUSH_EVERY + 1:
                kept = found.moments
        for a, b in zip(kept, found.moments, strict=True):
            if not np.any((a != 0) & (np.abs(a) <= limit)):
                return yes_or_no(False, "tiny moments are flushed at every step")
            if not np.array_equal(b, np.where(np.abs(a) > limit, a, 0.0)):
                return yes_or_no(False, f"other moments remain; the limit is {limit}")
    return yes_or_no(True)


def _at_the_limit(bench: "Bench", limit: float) -> None:
    """Put one entry of every moment where a step without a gradient takes it to the limit."""
    probe = Bench(bench.entry, _cpu())
    for buffer in probe.bound.state.values():
        buffer.flat.fill(1.0)
    probe.grads.flat.fill(0.0)
    probe.bound.step(FLUSH_EVERY + 1)
    for name, buffer in bench.bound.state.items():
        decay = float(probe.bound.state[name].flat[0])
        near = limit / decay * (1 + np.arange(-8, 9) * np.finfo(np.float64).eps)
        hits = near[near * decay == limit]
        if hits.size:
            bench.bk.load(hits[:1], buffer["long"][-1:])


def single(entry: OptimizerEntry) -> Measured:
    """float32 against float64."""
    low, high = _run(entry, _cpu("float32")), _run(entry, _cpu())
    return Measured(_distance(low, high), SINGLE)


def dtypes(entry: OptimizerEntry) -> Measured:
    """Everything stays in the float type of the model."""
    for dtype in ("float32", "float64"):
        state = _run(entry, _cpu(dtype), 1)
        if any(a.dtype != dtype for a in (state.p, *state.moments)):
            return yes_or_no(False, f"leaves {dtype}")
    return yes_or_no(True)


def plain_update(entry: OptimizerEntry) -> Measured:
    """The fused update of the CPU against the rule's plain one."""
    return Measured(_distance(_run(entry, _cpu()), _run(entry, PlainBackend())), EXACT)


def strict_device(entry: OptimizerEntry) -> Measured:
    """On the device that shows every hidden transfer: the same bits."""
    strict = _run(entry, get_backend("strict", "float64"))
    return yes_or_no(_distance(strict, _run(entry, _cpu())) == 0, "other bits")


OptimizerCheck = Callable[[OptimizerEntry], Measured]

OPTIMIZER_CHECKS: dict[str, OptimizerCheck] = {
    "equation": equation,
    "zero gradient": zero_gradient,
    "opposite gradient": sign,
    "descends": descends,
    "padding": padding,
    "repeatable": repeatable,
    "in parts": in_parts,
    "clipped gradient": clipped,
    "clipped at any size": clipped_at_any_size,
    "gradient unchanged": gradient_unchanged,
    "float32 against float64": single,
    "shapes and dtypes": dtypes,
    "plain update": plain_update,
    "strict device": strict_device,
}


def optimizer_checks(entry: OptimizerEntry) -> dict[str, OptimizerCheck]:
    """All checks that apply to an optimizer."""
    return OPTIMIZER_CHECKS | ({"flushes tiny moments": flushes} if entry.flushes else {})
