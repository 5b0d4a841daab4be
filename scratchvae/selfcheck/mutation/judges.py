"""One registry entry as an examination that a planted bug must fail.

The bugs sit in backward code, so the right answers, by complex step, are computed once from the
real forward code and kept; each bug then costs two runs of the backward.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import Backend, get_backend
from scratchvae.gradcheck.backends import NaNBackend, PlainBackend
from scratchvae.gradcheck.measure import allowed, gradient_error, norm
from scratchvae.gradcheck.methods import METHODS, complex_step
from scratchvae.gradcheck.subjects import BoundSubject, BufferedSubject
from scratchvae.gradcheck.subjects.base import Arrays
from scratchvae.selfcheck.case import EXACT, Case, Measured
from scratchvae.selfcheck.derived import complex_numbers
from scratchvae.selfcheck.entries import ENTRIES, ROWS

TOLERANCE = METHODS["complex"].tolerance
BY_NAME = {e.name: e for e in ENTRIES}


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
        """The gradient by the code as it is now."""
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


def _along(bound: BoundSubject, subject: BufferedSubject, name: str, index: Any) -> Any:
    def phi(t: complex) -> NDArray:
        moved = subject.args[name].astype(np.complex128)
        moved[index] += t
        return bound.value({**subject.args, name: moved})

    return phi
