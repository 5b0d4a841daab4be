"""The checks of an entry, each a function from a case to what it measured.

A case is the entry at one point. First come the checks of its mathematics, then those of what it
reads and writes: in which memory, in which dtype.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from scratchvae.backend import get_backend
from scratchvae.gradcheck.backends import NaNBackend, PlainBackend
from scratchvae.gradcheck.check import check_subject
from scratchvae.gradcheck.measure import allowed, direction_scale, gradient_error, norm
from scratchvae.gradcheck.methods import COMPLEX_STEP, METHODS
from scratchvae.gradcheck.points import direction
from scratchvae.gradcheck.report import Report
from scratchvae.gradcheck.subjects import BoundSubject
from scratchvae.gradcheck.subjects.base import Arrays
from scratchvae.gradcheck.subjects.buffered import strided
from scratchvae.selfcheck.entries import ROWS, Entry

EXACT = 1e-14  # the same sums in another order, float64
SINGLE = 2e-6  # float32 against float64


@dataclass
class Case:
    """An entry at one point: what the checks share."""

    entry: Entry
    method: str = "complex"
    seed: int = 0

    def __post_init__(self) -> None:
        self.subject = self.entry.make(ROWS, self.seed)
        self.w = self.subject.cotangent(self.seed)
        self.gradient = self.run()
        self._magnitudes: Arrays | None = None

    def bind(self, dtype: DTypeLike = "float64") -> BoundSubject:
        return self.subject.bind(get_backend("cpu", dtype))

    def run(self, w: NDArray | None = None) -> Arrays:
        return self.bind().gradient(self.subject.args, self.w if w is None else w)

    def error(self, found: Arrays, expected: Arrays | None = None) -> float:
        """The largest E27 of any gradient, against this case's own unless told otherwise."""
        expected = self.gradient if expected is None else expected
        if self._magnitudes is None:
            self._magnitudes = self.subject.magnitudes(self.w)
        m = self._magnitudes
        return max(gradient_error(found[n], expected[n], norm(m[n])) for n in expected)


class Measured(NamedTuple):
    """What a check measured, what it may be at most, and a word where it is not a number."""

    error: float
    limit: float
    detail: str = ""

    @property
    def ok(self) -> bool:
        return self.error <= self.limit


def yes_or_no(ok: bool, detail: str = "") -> Measured:
    """A check that measures nothing."""
    return Measured(0.0, 0.0) if ok else Measured(float("inf"), 0.0, detail)


def same_bits(found: Arrays, expected: Arrays) -> Measured:
    """Whether two computations of the same gradients agree to the bit."""
    differ = [n for n in expected if not np.array_equal(found[n], expected[n])]
    return yes_or_no(not differ, f"other bits in {', '.join(differ)}")


# ---- the mathematics -----------------------------------------------------------------------------


def gradient(case: Case) -> Measured:
    """Every element of every gradient against the method."""
    return _report(check_subject(case.subject, case.method, seed=case.seed))


def batch_of_one(case: Case) -> Measured:
    """The same for a single row."""
    return _report(check_subject(case.entry.make(1, case.seed), case.method, seed=case.seed))


def differences(case: Case) -> Measured:
    """The second opinion: a five-point stencil along one direction."""
    return _report(check_subject(case.subject, "five_point", directions=1, seed=case.seed))


def saturated(case: Case) -> Measured:
    """Where derivatives vanish, in absolute terms: the terms that cancel there set the scale."""
    assert case.entry.saturated is not None
    return _report(check_subject(case.entry.saturated(ROWS, case.seed), "complex"))


def _report(report: Report) -> Measured:
    limit = max(f.tolerance for f in report.findings)
    if report.ok:
        return Measured(report.worst, limit)
    return Measured(max(report.worst, 2 * limit), limit, report.text())


def dot_product(case: Case) -> Measured:
    """⟨w, Jv⟩ = ⟨Jᵀw, v⟩ for all arguments at once  (E32)."""
    args = case.subject.args
    v = {n: direction(a.shape, case.seed, f"dot {n}") for n, a in args.items()}
    moved = {n: a + 1j * COMPLEX_STEP * v[n] for n, a in args.items()}
    jv = np.imag(case.bind("complex128").value(moved)) / COMPLEX_STEP
    terms = case.subject.expand_cotangent(case.w) * jv
    slope = sum(float(np.sum(case.gradient[n] * v[n])) for n in args)
    flat_g = np.concatenate([case.gradient[n].ravel() for n in args])
    flat_v = np.concatenate([v[n].ravel() for n in args])
    scale = direction_scale(flat_g, flat_v, float(np.sum(np.abs(terms))))
    d = float(np.sum(terms))
    return Measured(gradient_error(slope, d, scale), allowed(d, METHODS["complex"].tolerance))


def linear(case: Case) -> Measured:
    """Jᵀ(2w₁ − 3w₂) = 2 Jᵀw₁ − 3 Jᵀw₂."""
    w2 = case.subject.cotangent(case.seed + 1)
    mixed, second = case.run(2.0 * case.w - 3.0 * w2), case.run(w2)
    expected = {n: 2.0 * g - 3.0 * second[n] for n, g in case.gradient.items()}
    return Measured(case.error(mixed, expected), EXACT)


def zero_cotangent(case: Case) -> Measured:
    """Jᵀ0 = 0, exactly."""
    found = case.run(np.zeros_like(case.w))
    return yes_or_no(not any(np.any(g) for g in found.values()), "not zero for a cotangent of zero")


def permuted(case: Case) -> Measured:
    """The images in another order: their own gradients follow, sums over them stay."""
    order = np.roll(np.arange(ROWS)[::-1], 2)
    subject = case.subject.permuted(order)
    w = case.w[order] if "w" in subject.batched else case.w
    found = subject.bind(get_backend("cpu", "float64")).gradient(subject.args, w)
    expected = {n: g[order] if n in subject.batched else g for n, g in case.gradient.items()}
    return Measured(case.error(found, expected), EXACT)


def single(case: Case) -> Measured:
    """float32 against float64 at the same numbers, rounded to float32 beforehand."""
    subject = case.entry.make(ROWS, case.seed)
    subject.args, subject.constants = _rounded(subject.args), _rounded(subject.constants)
    w = case.w.astype(np.float32).astype(np.float64)
    low, high = (
        subject.bind(get_backend("cpu", dtype)).gradient(subject.args, w)
        for dtype in ("float32", "float64")
    )
    return Measured(case.error(low, high), SINGLE)


def _rounded(arrays: Arrays) -> Arrays:
    return {n: a.astype(np.float32).astype(np.float64) for n, a in arrays.items()}


def plain_operations(case: Case) -> Measured:
    """The backend's fast operations against the contract's plain ones."""
    bound = case.subject.bind(PlainBackend())
    found = bound.gradient(case.subject.args, case.w)
    value, fast = bound.value(case.subject.args), case.bind().value(case.subject.args)
    scale = norm(np.ones_like(fast)) + norm(fast)
    return Measured(max(case.error(found), gradient_error(fast, value, scale)), EXACT)


def complex_numbers(case: Case) -> Measured:
    """Backward passes a complex step as well: its derivative along v is the difference's."""
    args, w = case.subject.args, case.w
    v = {n: direction(a.shape, case.seed, f"second {n}") for n, a in args.items()}
    step = {n: a + 1j * COMPLEX_STEP * v[n] for n, a in args.items()}
    found = case.subject.bind(NaNBackend(dtype="complex128")).gradient(step, w)
    same = case.error({n: g.real for n, g in found.items()})
    if same > EXACT:
        return Measured(same, EXACT, "the real part is another gradient")
    bound, h = case.bind(), 2.0**-17
    up, down = (bound.gradient({n: a + t * v[n] for n, a in args.items()}, w) for t in (h, -h))
    slope = {n: (up[n] - down[n]) / (2 * h) for n in args}
    curved = {n: g.imag / COMPLEX_STEP for n, g in found.items()}
    return Measured(case.error(curved, slope), METHODS["central"].tolerance)


def value_again(case: Case) -> Measured:
    """The value that comes with the gradient is the value."""
    bound = case.bind()
    value = bound.value(case.subject.args)
    bound.gradient(case.subject.args, case.w)
    assert case.subject.value_again is not None
    again = bound.bk.to_host(bound.buffers[case.subject.value_again])
    return Measured(gradient_error(again, value, norm(np.ones_like(value))), EXACT)


def shared(case: Case) -> Measured:
    """The parameter gradient in two shares, as two workers compute it."""
    bound = case.subject.bind(NaNBackend())
    bound.load(case.subject.args, case.w)
    assert case.subject.by_shares is not None
    case.subject.forward(bound.bk, bound.buffers)
    case.subject.by_shares(bound.bk, bound.buffers)
    return Measured(case.error(bound.collect()), EXACT)


def inplace(case: Case) -> Measured:
    """y over x and dx over dy: the same bits, as the layer declares."""
    assert case.entry.inplace is not None
    subject = case.entry.inplace(ROWS, case.seed)
    found = subject.bind(get_backend("cpu", "float64")).gradient(subject.args, case.w)
    return same_bits(found, case.gradient)


# ---- what is read and written --------------------------------------------------------------------


def repeatable(case: Case) -> Measured:
    """Twice on the same buffers: the same bits. What accumulates or remembers fails."""
    bound = case.bind()
    first = bound.gradient(case.subject.args, case.w)
    return same_bits(first, bound.gradient(case.subject.args, case.w))


def stale(case: Case) -> Measured:
    """On memory that starts as NaN: nothing is read that was not written, and all is written."""
    found = case.subject.bind(NaNBackend()).gradient(case.subject.args, case.w)
    return same_bits(found, case.gradient)


def inputs_unchanged(case: Case) -> Measured:
    """What is handed in to be read is as it was, down to the bit."""
    bound = case.bind()
    bound.gradient(case.subject.args, case.w)
    given = {**case.subject.args, **case.subject.constants, "w": case.w}
    keep = [n for n in bound.inputs if n not in case.subject.destroys]
    changed = [n for n in keep if not np.array_equal(bound.buffers[n], given[n])]
    return yes_or_no(not changed, f"overwrites {', '.join(changed)}")


def shapes_and_dtypes(case: Case) -> Measured:
    """float32 in, float32 out; float64 in, float64 out; every gradient of its argument's shape."""
    for dtype in (np.float32, np.float64):
        bound = case.bind(dtype)
        found = bound.gradient(case.subject.args, case.w)
        for n, g in found.items():
            if g.dtype != dtype or g.shape != case.subject.args[n].shape:
                return yes_or_no(False, f"{n}: {g.dtype} {g.shape} for {np.dtype(dtype)}")
        if bound.value(case.subject.args).dtype != dtype:
            return yes_or_no(False, f"the value is no {np.dtype(dtype)}")
    return yes_or_no(True)


def noncontiguous(case: Case) -> Measured:
    """Inputs that are every second row and column of larger arrays."""
    bound = case.subject.bind(get_backend("cpu", "float64"), strided)
    return Measured(case.error(bound.gradient(case.subject.args, case.w)), EXACT)


def readonly(case: Case) -> Measured:
    """Inputs in memory that refuses to be written."""
    bound = case.bind()
    bound.load(case.subject.args, case.w)
    for n in bound.inputs:
        bound.buffers[n].flags.writeable = n in case.subject.destroys
    try:
        case.subject.forward(bound.bk, bound.buffers)
        case.subject.backward(bound.bk, bound.buffers)
    except ValueError as error:
        return yes_or_no(False, f"writes to an input: {error}")
    return same_bits(bound.collect(), case.gradient)


def strict_device(case: Case) -> Measured:
    """On the device that shows every hidden transfer: it runs, and the bits are the same."""
    bk = get_backend("strict", "float64")
    return same_bits(case.subject.bind(bk).gradient(case.subject.args, case.w), case.gradient)
