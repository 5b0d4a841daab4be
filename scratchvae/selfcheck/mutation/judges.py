"""What may find a bug in a gradient: our checks, those of other projects, a loss that has to fall.

Ours: one registry entry as an examination that a planted bug must fail. The bugs sit in backward
code, so the right answers, by complex step, are computed once from the real forward code and kept;
each bug then costs two runs of the backward.

The default checks of other projects, from their documented formulas, on the same bugs:

- PyTorch ``gradcheck``: the whole Jacobian by central differences of step 1e-6; every element
  |a − n| ≤ 1e-5 + 1e-3 |n|.
- JAX ``check_grads``, reverse mode, float64: along a normal tangent v and for a normal cotangent w,
  ⟨Jᵀw, v⟩ against ⟨w, (f(x + hv) − f(x − hv)) / 2h⟩ with h = 1e-4, both tolerances 1e-5.
- Chainer ``check_backward``: the same for a unit tangent by a five-point stencil of step 1e-3,
  tolerances 1e-5 and 1e-4.

And the check that most people rely on: does the loss go down?
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import Backend, get_backend
from scratchvae.backend.cpu import NumpyBackend
from scratchvae.gradcheck.backends import NaNBackend, PlainBackend
from scratchvae.gradcheck.measure import allowed, gradient_error, norm
from scratchvae.gradcheck.methods import METHODS, Curve, central, complex_step, five_point
from scratchvae.gradcheck.points import direction, point
from scratchvae.gradcheck.subjects import BoundSubject, BufferedSubject
from scratchvae.gradcheck.subjects.base import Arrays
from scratchvae.gradcheck.subjects.model import ModelSubject
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.optim import Adam
from scratchvae.selfcheck.checks import EXACT, Case, Measured, complex_numbers
from scratchvae.selfcheck.entries import ENTRIES, ROWS

TOLERANCE = METHODS["complex"].tolerance
BY_NAME = {e.name: e for e in ENTRIES}
IMAGES, STEPS, RATE = 6, 60, 0.02
FALL = 0.1  # of the loss at the start


class EntrySuite:
    """The checks of one entry against answers computed beforehand."""

    def __init__(self, name: str, plain: bool = False) -> None:
        self.entry, self.plain = BY_NAME[name], plain
        self.subject = self.entry.make(ROWS, 0)
        self.w = self.subject.cotangent(0)
        self.value = self.subject.bind(get_backend("cpu", "float64")).value(self.subject.args)
        self.case = Case(self.entry)
        self.answers, self.scales = reference(self.subject, self.w)

    def backend(self) -> Backend:
        """A backend whose memory starts as NaN."""
        return PlainBackend() if self.plain else NaNBackend()

    def gradient(self) -> Arrays:
        """The gradient as the code computes it now."""
        return self.subject.bind(self.backend()).gradient(self.subject.args, self.w)

    def failure(self) -> str | None:
        """The first check that fails with the code as it is now, or None."""
        try:
            return self._examine(self.subject) or self._variants()
        except Exception as error:  # a planted bug may raise anything
            return f"raises {type(error).__name__}"

    def _examine(self, subject: BufferedSubject) -> str | None:
        bound = subject.bind(self.backend())
        found = bound.gradient(subject.args, self.w)
        if self.wrong(found):
            return "gradient"
        if self._changed(bound):
            return "inputs unchanged"
        if subject.value_again is not None:
            again = bound.buffers[subject.value_again]
            if gradient_error(again, self.value, norm(np.ones_like(self.value))) > EXACT:
                return "value beside the gradient"
        second = bound.gradient(subject.args, self.w)
        if any(not np.array_equal(second[n], found[n]) for n in found):
            return "repeatable"
        return None

    def _variants(self) -> str | None:
        if not self.plain and not self.complex_numbers().ok:
            return "complex numbers"
        if self.entry.inplace is not None:
            subject = self.entry.inplace(ROWS, 0)
            if self.wrong(subject.bind(self.backend()).gradient(subject.args, self.w)):
                return "in place"
        if self.subject.by_shares is not None:
            bound = self.subject.bind(self.backend())
            bound.load(self.subject.args, self.w)
            self.subject.forward(bound.bk, bound.buffers)
            self.subject.by_shares(bound.bk, bound.buffers)
            if self.wrong(bound.collect()):
                return "by two workers"
        return None

    def complex_numbers(self) -> Measured:
        """The registry's check that backward passes a complex step, on this suite's own case."""
        return complex_numbers(self.case)

    def wrong(self, found: Arrays) -> bool:
        """Whether a gradient differs from the complex step's by more than 1e-13 (E27)."""
        return any(
            not gradient_error(found[n], a, self.scales[n]) <= allowed(a, TOLERANCE)
            for n, a in self.answers.items()
        )

    def _changed(self, bound: BoundSubject) -> bool:
        given = {**self.subject.args, **self.subject.constants, "w": self.w}
        return any(not np.array_equal(bound.buffers[n], given[n]) for n in bound.inputs)


def reference(subject: BufferedSubject, w: NDArray) -> tuple[Arrays, dict[str, float]]:
    """Every gradient of ⟨w, f⟩ by complex step, with the norms of its summed absolute terms."""
    bound = subject.bind(get_backend("cpu", "complex128"))
    weights = subject.expand_cotangent(w)
    answers: Arrays = {}
    scales: dict[str, float] = {}
    for name in subject.gradients:
        x = subject.args[name]
        answer, size = np.empty(x.shape), np.empty(x.shape)
        for index in np.ndindex(x.shape):
            terms = weights * complex_step(_along(bound, subject, name, index))
            answer[index], size[index] = np.sum(terms), np.sum(np.abs(terms))
        answers[name], scales[name] = answer, norm(size)
    return answers, scales


def _along(
    bound: BoundSubject, subject: BufferedSubject, name: str, index: tuple[int, ...]
) -> Curve:
    def phi(t: complex) -> NDArray:
        moved = subject.args[name].astype(np.complex128)
        moved[index] += t
        return bound.value({**subject.args, name: moved})

    return phi


# ---- other projects ------------------------------------------------------------------------------


class PyTorch:
    """Every element of the Jacobian."""

    name = "PyTorch"

    def __init__(self, suite: EntrySuite) -> None:
        self.suite, subject = suite, suite.subject
        self.columns: dict[str, list[NDArray]] = {}
        f = _function(suite)
        self.cotangents = _unit_cotangents(suite)
        weights = [np.asarray(subject.expand_cotangent(w)) for w in self.cotangents]
        for name in subject.gradients:
            x, columns = subject.args[name], []
            for i in range(x.size):
                v = np.zeros(x.shape)
                v.flat[i] = 1.0
                slope = central(_line(f, {name: v}), 1e-6)
                columns.append(np.array([np.sum(w * slope) for w in weights]))
            self.columns[name] = columns

    def __call__(self) -> bool:
        subject = self.suite.subject
        bound = subject.bind(self.suite.backend())
        rows = [bound.gradient(subject.args, w) for w in self.cotangents]
        for name, columns in self.columns.items():
            a = np.array([row[name].ravel() for row in rows])
            n = np.array(columns).T
            if not np.allclose(a, n, rtol=1e-3, atol=1e-5):
                return False
        return True


class Directional:
    """⟨Jᵀw, v⟩ against ⟨w, numerical Jv⟩, all arguments at once."""

    def __init__(
        self, suite: EntrySuite, v: Arrays, slope: Callable[..., NDArray], rtol: float, atol: float
    ) -> None:
        self.suite, self.v, self.rtol, self.atol = suite, v, rtol, atol
        subject, f = suite.subject, _function(suite)
        self.w = point(subject.cotangent_shape(), 1, f"{subject.name} w")
        if not self.w.shape:
            self.w = np.ones(())  # a loss
        jv = slope(_line(f, v))
        self.expected = float(np.sum(subject.expand_cotangent(self.w) * jv))

    def __call__(self) -> bool:
        subject = self.suite.subject
        g = subject.bind(self.suite.backend()).gradient(subject.args, self.w)
        found = sum(float(np.sum(g[n] * a)) for n, a in self.v.items())
        return bool(np.allclose(found, self.expected, rtol=self.rtol, atol=self.atol))


def jax(suite: EntrySuite) -> Directional:
    """A normal tangent, a central difference."""
    v = {n: point(a.shape, 1, f"tangent {n}") for n, a in suite.subject.args.items()}
    return Directional(suite, v, lambda phi: central(phi, 1e-4), 1e-5, 1e-5)


def chainer(suite: EntrySuite) -> Directional:
    """A unit tangent whose components cannot vanish, a five-point stencil."""
    v = {n: direction(a.shape, 1, f"tangent {n}") for n, a in suite.subject.args.items()}
    size = np.sqrt(sum(float(np.sum(a * a)) for a in v.values()))
    unit = {n: a / size for n, a in v.items()}
    return Directional(suite, unit, lambda phi: five_point(phi, 1e-3), 1e-4, 1e-5)


CHECKERS: dict[str, Callable[[EntrySuite], Callable[[], bool]]] = {
    "PyTorch": PyTorch,
    "JAX": jax,
    "Chainer": chainer,
}


def _function(suite: EntrySuite) -> Callable[[Arrays], NDArray]:
    """f at the point moved by the given amounts, float64."""
    subject = suite.subject
    bound = subject.bind(get_backend("cpu", "float64"))

    def f(moved: Arrays) -> NDArray:
        args = {n: a + moved[n] if n in moved else a for n, a in subject.args.items()}
        return bound.value(args)

    return f


def _line(f: Callable[[Arrays], NDArray], v: Arrays) -> Curve:
    return lambda t: f({n: t * a for n, a in v.items()})


def _unit_cotangents(suite: EntrySuite) -> list[NDArray]:
    shape = suite.subject.cotangent_shape()
    found = []
    for i in range(int(np.prod(shape))):
        w = np.zeros(shape)
        w.flat[i] = 1.0
        found.append(w if shape else np.ones(()))
    return found


# ---- training ------------------------------------------------------------------------------------


class Training:
    """A tiny model of a registry entry, trained on one batch with fixed noise."""

    def __init__(self, name: str, plain: bool = False) -> None:
        subject = BY_NAME[name].make(IMAGES, 0)
        assert isinstance(subject, ModelSubject)
        self.subject, self.plain = subject, plain
        self.vae = subject.vae

    def losses(self) -> tuple[float, float]:
        """E2 before and after."""
        bk: Backend = PlainBackend() if self.plain else NumpyBackend(dtype="float64")
        params, grads = FlatBuffer(bk, self.vae.layout), FlatBuffer(bk, self.vae.layout)
        params.load(self.subject.args)
        bound = self.vae.bind(Workspace(bk, IMAGES), params, grads)
        bk.load(self.subject.constants["x"], bound.x)
        bk.load(self.subject.constants["eps"], bound.eps)
        optimizer = Adam(lr=RATE).bind(bk, params, grads)

        def loss() -> float:
            bound.loss()
            return float(np.sum(bound.objective))

        with bk.ignore_float_errors():
            before = loss()
            for t in range(1, STEPS + 1):
                bound.loss_and_gradient(1.0 / IMAGES)
                optimizer.step(t)
            return before, loss()

    def falls(self) -> bool:
        """Whether the loss falls by more than a tenth."""
        before, after = self.losses()
        return bool(before - after > FALL * abs(before))  # False for NaN
