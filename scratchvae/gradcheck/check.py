"""gradcheck: the gradient that code computes against one computed by evaluation alone."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import get_backend
from scratchvae.errors import ConfigError
from scratchvae.gradcheck.arguments import require_arrays
from scratchvae.gradcheck.diagnose import diagnose, factor_named
from scratchvae.gradcheck.directions import direction
from scratchvae.gradcheck.in_place import findings_in_place
from scratchvae.gradcheck.measure import allowed, direction_scale, gradient_error, norm
from scratchvae.gradcheck.methods import METHODS, Curve, Method, kink, method_named
from scratchvae.gradcheck.prechecks import checked_gradient, complex_unsafe
from scratchvae.gradcheck.report import Finding, Report
from scratchvae.gradcheck.subjects import (
    BufferedSubject,
    FunctionSubject,
    Subject,
    layer_subject,
    likelihood_subject,
    model_subject,
    sequential_subject,
)
from scratchvae.gradcheck.subjects.base import Arrays, Bound
from scratchvae.layers import Layer, Sequential
from scratchvae.likelihoods import Likelihood
from scratchvae.models import VAE
from scratchvae.types import Function, Json


def gradcheck(
    what: object,
    *arrays: object,
    backward: Function | None = None,
    parameters: Mapping[str, NDArray] | None = None,
    method: str = "complex",
    directions: int | None = None,
    tolerance: float | None = None,
    seed: int = 0,
    raises: bool = True,
) -> Report:
    """Check a hand-written gradient.

    ``what`` and ``arrays`` are one of

    - a function and its arguments, with ``backward(*arguments, dy)`` that returns a gradient for
      each argument;
    - a ``Layer`` or ``Sequential`` and x, (B, …); a layer that declares itself ``inplace`` is
      checked in place as well;
    - a ``Likelihood``, logits (B, K, D) and pixels (B, 1, D);
    - a ``VAE``, and optionally images (B, D) and noise (B, K, Z);
    - a ``Subject``.

    ``parameters``: host arrays by name, drawn from ``seed`` unless given. ``method``: complex
    (E28), central (E29), five_point (E30) or richardson (E31). Every element is checked, or, with
    ``directions``, that many random directions for each argument. Functions that a complex step
    cannot pass are noticed by a second method and checked by ``central`` instead; the report says
    so.

    Returns the :class:`Report`; raises ``GradientError`` with the same content where a gradient is
    wrong (unless ``raises`` is False) and ``UncheckableError`` for what cannot be checked.
    """
    subject = as_subject(what, *arrays, backward=backward, parameters=parameters, seed=seed)
    report = check_subject(subject, method, directions, tolerance, seed)
    if isinstance(subject, BufferedSubject) and subject.in_place is not None:
        wrong = findings_in_place(subject, subject.in_place, subject.cotangent(seed))
        report = replace(report, findings=(*report.findings, *wrong))
    return report.raise_if_failed() if raises else report


def as_subject(
    what: object,
    *arrays: object,
    backward: Function | None = None,
    parameters: Mapping[str, NDArray] | None = None,
    seed: int = 0,
) -> Subject:
    """What :func:`gradcheck` was given, as a subject."""
    given: Any = [np.asarray(a, dtype=np.float64) if backward is None else a for a in arrays]
    how: Json = {"parameters": parameters, "seed": seed}
    if isinstance(what, Subject):
        return what
    require_arrays(what, given)
    if isinstance(what, Layer):
        return layer_subject(what, *given, **how)
    if isinstance(what, Sequential):
        return sequential_subject(what, *given, **how)
    if isinstance(what, Likelihood):
        return likelihood_subject(what, *given, **how)
    if isinstance(what, VAE):
        return model_subject(what, *given, **how)
    if not callable(what):
        raise ConfigError(f"gradcheck takes a function, layer, likelihood or VAE, not {what!r}")
    if backward is None:
        raise ConfigError("gradcheck of a function needs its backward(*arguments, dy)")
    if not given:
        raise ConfigError("gradcheck of a function needs the arguments to check it at")
    return FunctionSubject(what, backward, given)


def check_subject(
    subject: Subject,
    method: str = "complex",
    directions: int | None = None,
    tolerance: float | None = None,
    seed: int = 0,
) -> Report:
    """The check itself; see :func:`gradcheck`."""
    how, notes = method_named(method), []
    if tolerance is not None and not 0 < tolerance < float("inf"):
        raise ConfigError(f"a tolerance is a positive number, not {tolerance}")
    w = subject.cotangent(seed)
    gradient = checked_gradient(subject, w)
    if how.name == "complex":
        why = complex_unsafe(subject, w, tuple(gradient))
        if why is not None:
            how = METHODS["central"]
            tolerance = None  # the complex step's would be out of reach
            notes.append(
                f"not complex-safe: {why}; checked by {how.name} instead, "
                f"tolerance {how.tolerance:g}"
            )
    limit = how.tolerance if tolerance is None else tolerance
    return compare(subject, gradient, w, how, limit, directions, seed, tuple(notes))


def compare(
    subject: Subject,
    gradient: Arrays,
    w: NDArray,
    method: Method,
    tolerance: float,
    directions: int | None = None,
    seed: int = 0,
    notes: tuple[str, ...] = (),
) -> Report:
    """A gradient of ⟨w, f⟩ that is at hand against a method, argument by argument."""
    probe = Probe(subject, w, method)
    findings = []
    with np.errstate(all="ignore"):  # a wrong gradient may well be infinite: the report says so
        for name, g in gradient.items():
            if directions is None:
                findings.append(_every_element(probe, name, g, tolerance))
            else:
                findings.append(_directions(probe, name, g, tolerance, directions, seed))
    coverage = "every element" if directions is None else f"{directions} directions"
    notes = (*notes, *probe.notes)
    return Report(subject.name, method.name, coverage, probe.evaluations, tuple(findings), notes)


class Probe:
    """Evaluates a subject along directions and counts how often."""

    def __init__(self, subject: Subject, w: NDArray, method: Method) -> None:
        self.subject, self.w, self.method = subject, w, method
        self.weights = np.asarray(subject.expand_cotangent(w))
        self.bound: Bound = subject.bind(get_backend("cpu", method.dtype))
        self.evaluations = 0
        self.notes: list[str] = []
        self._magnitudes: Arrays | None = None

    def cancelled(self, name: str) -> float:
        """The s of a gradient, from the code that computes it: terms that cancel inside it count.

        Asked for only where the s that the method itself shows, Σ_j |w_j ∂y_j/∂x|, is not enough:
        saturated units, where 1 − y² has few digits left.
        """
        if self._magnitudes is None:
            try:
                self._magnitudes = self.subject.magnitudes(self.w) or {}
            except Exception as error:  # the code may use what arrays of magnitudes have not
                self._magnitudes = {}
                self.notes.append(
                    "terms that cancel inside the backward were not measured "
                    f"({type(error).__name__}: {error}): a saturated unit may be called wrong"
                )
        return norm(self._magnitudes[name]) if name in self._magnitudes else 0.0

    def curve(self, name: str, v: NDArray) -> Curve:
        """φ(t) = f(…, x + t s v, …), with steps relative to the size s ≥ 1 of x."""
        x = self.subject.args[name]
        s = self.unit(name)

        def phi(t: complex) -> NDArray:
            self.evaluations += 1
            return self.bound.value({**self.subject.args, name: x + (t * s) * v})

        return phi

    def unit(self, name: str) -> float:
        """A power of two near the largest element of an argument, at least 1."""
        top = float(np.max(np.abs(self.subject.args[name]), initial=1.0))
        return 2.0 ** float(np.floor(np.log2(top)))

    def terms(self, name: str, v: NDArray) -> NDArray:
        """The terms w_j (∂y_j/∂x · v) whose sum is the derivative along v."""
        terms = self.method.derivative(self.curve(name, v)) / self.unit(name)
        return self.weights * terms

    def at_kink(self, name: str, v: NDArray, slope: float, margin: float) -> tuple[bool, bool]:
        """Whether the method looked across a kink along v, and whether ``slope`` is right there.

        Any slope between those of the two sides is. A kink at the far end of the steps hides in
        the curvature: there, an eighth of the step decides. No more than one look each.
        """
        if not self.method.reach:
            return False, False
        phi, s = self.curve(name, v), self.unit(name)
        sides = kink(lambda t: np.sum(self.weights * phi(t)), self.method.reach)
        if sides is not None:
            return True, sides[0] / s <= slope <= sides[1] / s
        nearer = self.method.derivative(lambda t: phi(t / 8)) * 8 / s
        agrees = abs(slope - float(np.sum(self.weights * nearer))) <= margin
        return agrees, agrees


def _every_element(probe: Probe, name: str, g: NDArray, tolerance: float) -> Finding:
    x = probe.subject.args[name]
    reference, magnitude = np.empty(x.shape), np.empty(x.shape)
    for index in np.ndindex(x.shape):
        v = np.zeros(x.shape)
        v[index] = 1.0
        terms = probe.terms(name, v)
        reference[index], magnitude[index] = np.sum(terms), np.sum(np.abs(terms))
    scale, kinks = norm(magnitude), 0
    if gradient_error(g, reference, scale) > allowed(reference, tolerance):
        scale = max(scale, probe.cancelled(name))
    if gradient_error(g, reference, scale) > allowed(reference, tolerance):
        kinks = _accept_kinks(probe, name, g, reference, tolerance * max(scale, norm(reference)))
    error, limit = gradient_error(g, reference, scale), allowed(reference, tolerance)
    ok = error <= limit
    at = np.unravel_index(int(np.argmax(np.abs(g - reference))), x.shape) if x.shape else ()
    index = tuple(int(i) for i in at)
    verdict = "right"
    if not ok:
        near = {"the cotangent": np.asarray(probe.weights), **probe.subject.args}
        near = {n if n == "the cotangent" else f"the argument {n}": a for n, a in near.items()}
        fit = max(1e-6 if tolerance < 1e-6 else 100 * tolerance, 1e-9)
        verdict = diagnose(g, reference, probe.subject.sizes, near, fit)
    return Finding(
        name, x.shape, error, limit, verdict, ok, index, float(g[index]), float(reference[index]),
        kinks,
    )  # fmt: skip


def _accept_kinks(probe: Probe, name: str, g: NDArray, reference: NDArray, margin: float) -> int:
    """Where a difference looked across a kink, any slope in between is right: one look each."""
    count = 0
    for index in np.ndindex(reference.shape):
        if abs(g[index] - reference[index]) <= margin / np.sqrt(reference.size):
            continue
        v = np.zeros(reference.shape)
        v[index] = 1.0
        found, right = probe.at_kink(name, v, float(g[index]), margin / np.sqrt(reference.size))
        count += found
        if right:
            reference[index] = g[index]
    return count


def _directions(
    probe: Probe, name: str, g: NDArray, tolerance: float, count: int, seed: int
) -> Finding:
    if count < 1:
        raise ConfigError(f"the number of directions must be at least 1, not {count}")
    x = probe.subject.args[name]
    worst, limit, kinks, ratios = 0.0, tolerance, 0, []
    found = expected = 0.0
    for k in range(count):
        v = direction(x.shape, seed, f"{probe.subject.name} {name}", k)
        terms = probe.terms(name, v)
        slope, d = float(np.sum(g * v)), float(np.sum(terms))
        scale = direction_scale(g, v, float(np.sum(np.abs(terms))))
        error = gradient_error(slope, d, scale)
        if error > allowed(d, tolerance):
            scale = max(scale, probe.cancelled(name) * norm(v) / np.sqrt(v.size))
            error = gradient_error(slope, d, scale)
        if error > allowed(d, tolerance):
            found_one, right = probe.at_kink(name, v, slope, tolerance * scale)
            kinks += found_one
            error = 0.0 if right else error
        ratios.append(slope / d if d else float("inf"))
        if error >= worst:
            worst, found, expected, limit = error, slope, d, allowed(d, tolerance)
    ok = worst <= limit
    verdict = "right" if ok else _ratio_verdict(ratios, g, probe.subject.sizes)
    return Finding(name, x.shape, worst, limit, verdict, ok, None, found, expected, kinks)


def _ratio_verdict(ratios: list[float], g: NDArray, sizes: Mapping[str, int]) -> str:
    if not np.all(np.isfinite(g)):
        return "not finite"
    if not np.any(g):
        return "zero: nothing was computed or assigned"
    if np.ptp(ratios) <= 1e-6 * abs(ratios[0]):
        named = factor_named(ratios[0], sizes)
        if named or len(ratios) > 1:
            return named or f"{ratios[0]:.6g} times the right gradient"
    return "wrong by no constant factor: check every element to see where"
