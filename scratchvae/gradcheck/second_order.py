"""Second derivatives: Hessian times vector by a complex step over a hand-written gradient."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scratchvae.backend import get_backend
from scratchvae.errors import ConfigError
from scratchvae.gradcheck.dual import Watch
from scratchvae.gradcheck.measure import gradient_error, norm
from scratchvae.gradcheck.methods import COMPLEX_STEP
from scratchvae.gradcheck.points import direction
from scratchvae.gradcheck.prechecks import refusal
from scratchvae.gradcheck.report import Finding, Outcome, Report, UncheckableError
from scratchvae.gradcheck.subjects.base import Arrays
from scratchvae.gradcheck.subjects.function import FunctionSubject
from scratchvae.types import Function, Values

TOLERANCE = 1e-11


def hessian_product(
    f: Function, *arguments: object, vjp: Function, v: Values | None = None
) -> Arrays:
    """H v of ⟨w, f⟩ by argument, from the gradient alone: Im ∇f(x + ihv) / h  (E28).

    ``v``: a direction for each argument, in the same order, or a random one. w is 1 for a scalar
    f, and seeded otherwise. Raises ``UncheckableError`` where the gradient cannot pass a complex
    step.
    """
    subject = FunctionSubject(f, vjp, arguments)
    along = _directions(subject, 0) if v is None else _named(subject, v)
    return _product(subject, subject.cotangent(), along)


def check_hessian(
    f: Function, *arguments: object, vjp: Function, hvp: Function | None = None,
    tolerance: float = TOLERANCE, seed: int = 0,
) -> Report:  # fmt: skip
    """Whether the second derivatives that a gradient implies are symmetric: ⟨u, Hv⟩ = ⟨v, Hu⟩.

    A gradient that is wrong by a term is rarely that of any function, and then they are not. With
    ``hvp(*arguments, *directions)``, which returns H v for each argument, a hand-written
    Hessian–vector product is checked as well. Raises as :func:`hessian_product`.
    """
    if not 0 < tolerance < float("inf"):
        raise ConfigError(f"a tolerance is a positive number, not {tolerance}")
    subject = FunctionSubject(f, vjp, arguments)
    w = subject.cotangent(seed)
    u, v = (_directions(subject, seed + k) for k in range(2))
    hu, hv = _product(subject, w, u), _product(subject, w, v)
    pairs = _dot(u, hv), _dot(v, hu)
    scale = max(_size(u) * _size(hv), _size(v) * _size(hu))
    findings = [_finding("⟨u, Hv⟩ = ⟨v, Hu⟩", pairs[0], pairs[1], scale, tolerance,
                         "not symmetric: this is the gradient of no function")]  # fmt: skip
    if hvp is not None:
        found = hvp(*arguments, *(v[n] for n in subject.args))
        given = _named(subject, found if isinstance(found, tuple | list) else (found,))
        findings += [
            _finding(f"H v, {n}", given[n], hv[n], norm(hv[n]), tolerance, "another product")
            for n in subject.args
        ]
    return Report(subject.name, "complex over the gradient", "two directions", 2, tuple(findings))


def _product(subject: FunctionSubject, w: NDArray, v: Arrays) -> Arrays:
    bound = subject.bind(get_backend("cpu", "complex128"))
    bound.watch = Watch()
    moved = {n: a + 1j * COMPLEX_STEP * v[n] for n, a in subject.args.items()}
    try:
        found = bound.gradient(moved, w)
    except Exception as error:  # whatever a foreign gradient does with complex numbers
        raise UncheckableError(
            f"the gradient of {subject.name} cannot pass a complex step: {refusal(error)}"
        ) from error
    if any(g.dtype.kind != "c" for g in found.values()):
        raise UncheckableError(f"the gradient of {subject.name} drops the imaginary part")
    return {n: np.imag(g) / COMPLEX_STEP for n, g in found.items()}


def _directions(subject: FunctionSubject, seed: int) -> Arrays:
    return {n: direction(a.shape, seed, f"second {n}") for n, a in subject.args.items()}


def _named(subject: FunctionSubject, arrays: Values) -> Arrays:
    given = list(arrays) if isinstance(arrays, tuple | list) else [arrays]
    shapes = [np.shape(a) for a in given]
    wanted = [a.shape for a in subject.args.values()]
    if shapes != wanted:
        raise UncheckableError(f"arrays of shapes {shapes} for arguments of shapes {wanted}")
    return dict(zip(subject.args, map(np.asarray, given), strict=True))


def _dot(a: Arrays, b: Arrays) -> float:
    return float(sum(np.sum(a[n] * b[n]) for n in b))


def _size(a: Arrays) -> float:
    return float(np.sqrt(sum(norm(x) ** 2 for x in a.values())))


def _finding(
    name: str, found: ArrayLike, expected: ArrayLike, scale: float, tolerance: float, wrong: str
) -> Finding:
    error = gradient_error(found, expected, scale)
    right = error <= tolerance
    return Finding(
        name, np.shape(found), error, tolerance, Outcome.RIGHT if right else Outcome.WRONG,
        "right" if right else wrong,
    )  # fmt: skip
