"""The default checks of other projects, from their documented formulas, on the same bugs.

- PyTorch ``gradcheck``: the whole Jacobian by central differences of step 1e-6; every element
  |a − n| ≤ 1e-5 + 1e-3 |n|.
- JAX ``check_grads``, reverse mode, float64: along a normal tangent v and for a normal cotangent w,
  ⟨Jᵀw, v⟩ against ⟨w, (f(x + hv) − f(x − hv)) / 2h⟩ with h = 1e-4, both tolerances 1e-5.
- Chainer ``check_backward``: the same for a unit tangent by a five-point stencil of step 1e-3,
  tolerances 1e-5 and 1e-4.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import get_backend
from scratchvae.gradcheck.directions import direction, point
from scratchvae.gradcheck.methods import Curve, central, five_point
from scratchvae.gradcheck.subjects.base import Arrays
from scratchvae.selfcheck.mutation.judges import EntrySuite


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
