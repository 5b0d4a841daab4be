"""A given gradient against that of a method: argument by argument, element by element."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.gradcheck.arbiter import arbitrate, has_kink, settle
from scratchvae.gradcheck.diagnose import diagnose, verdict_of_ratios
from scratchvae.gradcheck.differences import SURE
from scratchvae.gradcheck.measure import allowed, direction_scale, gradient_error, norm
from scratchvae.gradcheck.methods import Plan
from scratchvae.gradcheck.points import direction, typical
from scratchvae.gradcheck.probe import ROUNDING, Estimate, Probe
from scratchvae.gradcheck.report import Finding, Outcome, Report
from scratchvae.gradcheck.subjects.base import Arrays, Subject

EVERY = 5000  # elements of an argument that are all looked at; of more, some, and whole directions
ALONG = 4
CONTRADICTED = "differences contradict the complex step at single elements"
RESOLVED = 0.05  # a limit of more than this part of an element has not checked it


def compare(
    subject: Subject, gradient: Arrays, w: NDArray, plan: Plan, notes: Sequence[str] = ()
) -> Report:
    """A given gradient of ⟨w, f⟩ against that of a method, argument by argument."""
    probe = Probe(subject, w, plan.method)
    tolerance, directions = plan.limit, plan.directions
    findings, partly = [], False
    with np.errstate(all="ignore"):  # a wrong gradient may well be infinite: the report says so
        for name, g in gradient.items():
            if g.size == 0:
                empty = Finding(name, g.shape, 0.0, tolerance, Outcome.RIGHT, "right: empty")
                findings.append(empty)
            elif directions is not None:
                findings.append(along_directions(probe, name, g, tolerance, directions, plan.seed))
            elif g.size > EVERY:
                partly = True
                findings += _sampled(probe, name, g, tolerance, plan.seed)
            else:
                findings.append(elements(probe, name, g, tolerance))
        for name in subject.args:
            if name not in gradient:
                findings.append(without_gradient(probe, name))
    coverage = "every element" if directions is None else f"{directions} directions"
    if partly:
        coverage = f"some elements and {ALONG} directions of each large argument"
    if any(f.declared for f in findings):
        coverage += " of the gradients returned"
    if probe.contradicted:
        probe.notes.append(CONTRADICTED)
    return Report(
        subject.name, plan.method.name, coverage, probe.evaluations, tuple(findings),
        (*notes, *probe.notes),
    )  # fmt: skip


def elements(
    probe: Probe, name: str, g: NDArray, tolerance: float, chosen: NDArray | None = None
) -> Finding:
    """Every element of a gradient, or the chosen ones (flat indices)."""
    x = probe.subject.args[name]
    at = np.arange(x.size) if chosen is None else chosen
    found = g.reshape(-1)[at]
    estimate = probe.elements(name, at)
    limit = estimate.limit(tolerance)
    wrong = ~(np.abs(found - estimate.value) <= limit)
    kinks, undecided = 0, np.zeros(at.size, bool)
    if np.any(wrong):
        ruling = arbitrate(probe, name, at, found, estimate, tolerance, wrong)
        estimate, limit, kinks = ruling.estimate, ruling.limit, ruling.kinks
        undecided = ruling.undecided
        wrong = ~(np.abs(found - estimate.value) <= limit) & ~undecided
    unresolved = undecided | (
        _unresolved(probe, name, at, found, estimate, tolerance, limit) & ~wrong
    )
    value = estimate.value
    scale = norm(estimate.scale)
    error = gradient_error(found, value, scale)
    allowance = allowed(value, tolerance)
    if error > allowance:  # element by element, more was allowed to some
        allowance = norm(limit) / max(norm(value), scale, 1e-300)
    power = _power(value, limit, wrong | unresolved)
    if np.any(wrong):
        index, k = _worst(found, value, wrong, at, x.shape)
        words = _diagnosis(probe, g, value, tolerance, limit, wrong)
        return Finding(
            name, x.shape, error, tolerance, Outcome.WRONG, words, index, float(found[k]),
            float(value[k]), kinks,
        )  # fmt: skip
    if np.any(unresolved):
        if np.any(undecided):
            words = (
                f"{int(np.count_nonzero(undecided))} of {at.size} elements are not settled: a kink "
                "or rounding hides whether the gradient or the method is right there"
            )
        else:
            words = _floor(limit[unresolved], at.size)
        return Finding(
            name, x.shape, error, allowance, Outcome.NOT_CHECKED, words, kinks=kinks, power=power
        )
    if kinks:
        jointly = _ties_together(probe, name, g, tolerance)
        if jointly is not None:
            return jointly
    excused = float(np.max(np.abs(found - value) - estimate.limit(0.0), initial=0.0))
    words = "right"
    if tolerance > 1e-5 and excused > 0 and error > 1e-5:
        words = f"right within the tolerance, which excuses a difference of {error:.1g}"
    return Finding(name, x.shape, error, allowance, Outcome.RIGHT, words, kinks=kinks, power=power)


def _worst(
    found: NDArray, value: NDArray, wrong: NDArray, at: NDArray, shape: tuple[int, ...]
) -> tuple[tuple[int, ...], int]:
    """The element that is furthest off, or the first that is no number: where, and its place."""
    k = int(np.argmax(np.where(wrong, np.abs(found - value), -1.0)))
    if not np.all(np.isfinite(found)):
        k = int(np.argmax(~np.isfinite(found)))
    index = np.unravel_index(int(at[k]), shape) if shape else ()
    return tuple(int(i) for i in index), k


def _floor(limits: NDArray, size: int) -> str:
    """What is not known of elements that differences do not resolve."""
    seen = f"an error below {float(np.max(limits)):.1g}"
    if limits.size == size:
        return f"at the floor of rounding: {seen} would not show"
    return (
        f"{limits.size} of {size} elements are at the floor of rounding: {seen} there would not "
        "show; the others are right"
    )


def _power(value: NDArray, limit: NDArray, left_out: NDArray) -> float | None:
    """The least relative error of any element that would have been seen."""
    counted = (np.abs(value) > limit) & ~left_out
    return float(np.max(limit[counted] / np.abs(value[counted]))) if np.any(counted) else None


def _unresolved(
    probe: Probe, name: str, at: NDArray, found: NDArray, estimate: Estimate, tolerance: float,
    limit: NDArray,
) -> NDArray:  # fmt: skip
    """Elements whose limit is as large as they are, because differences see no better.

    An element that is zero by its own rounding is a zero, and needs no more than that.
    """
    floor = np.maximum(limit - tolerance * np.abs(estimate.value), 0.0)
    size = np.maximum(np.abs(found), np.abs(estimate.value))
    if not probe.method.adapts:  # its one step for all resolves the argument as a whole
        size = np.maximum(size, norm(estimate.value) / np.sqrt(at.size))
    doubtful = (floor > RESOLVED * size) & (SURE * estimate.error > 0.5 * floor)
    doubtful &= ~((found == 0) & (estimate.value == 0))
    if np.any(doubtful):
        zero = np.abs(found) <= ROUNDING * probe.cancelled(name, at)
        doubtful &= ~(zero & (found != 0))
    return np.asarray(doubtful)


def _diagnosis(
    probe: Probe, g: NDArray, value: NDArray, tolerance: float, limit: NDArray, wrong: NDArray
) -> str:
    fit = max(1e-6 if tolerance < 1e-6 else 100 * tolerance, 1e-9)
    fit = max(fit, 3 * norm(limit) / max(norm(value), 1e-300)) if norm(value) else fit
    if value.size != g.size:
        return f"{int(np.count_nonzero(wrong))} of {value.size} elements looked at are wrong"
    near = {"the cotangent": np.asarray(probe.weights), **probe.subject.args}
    near = {n if n == "the cotangent" else f"the argument {n}": a for n, a in near.items()}
    return diagnose(g, value.reshape(g.shape), probe.subject.sizes, near, min(fit, 0.1), wrong)


def _ties_together(probe: Probe, name: str, g: NDArray, tolerance: float) -> Finding | None:
    """Equal numbers moved together meet no kink: what is wrong there, if anything.

    Each of two equal numbers may have the gradient of the greatest one, but not both.
    """
    x = probe.subject.args[name]
    values, which = np.unique(x, return_inverse=True)
    if len(values) == x.size:
        return None
    u = direction(values.shape, 0, f"ties {name}") * (values != 0)
    v = u[which].reshape(x.shape)
    if has_kink(probe, name, v, _sizes(x, v)[0]):  # of another sort, at a bound or at zero
        return None
    found = along_directions(probe, name, g, tolerance, 1, 0, v)
    if found.outcome is not Outcome.WRONG:
        return None
    return replace(found, verdict=f"where equal numbers move together: {found.verdict}")


class _Along(NamedTuple):
    """One direction: the gradient's slope, the method's, and the error that is allowed."""

    slope: float
    derivative: float
    error: float
    limit: float


def along_directions(
    probe: Probe, name: str, g: NDArray, tolerance: float, count: int, seed: int,
    chosen: NDArray | None = None,
) -> Finding:  # fmt: skip
    """Random directions of a whole argument, or one that is chosen."""
    x = probe.subject.args[name]
    looks, kinks, power, undecided = [], 0, 0.0, 0
    for k in range(count):
        v = direction(x.shape, seed, f"{probe.subject.name} {name}", k)
        v = v if chosen is None else chosen
        estimate = probe.along(name, v)
        slope, d = float(np.sum(g * v)), float(estimate.value[0])
        scale = direction_scale(g, v, float(estimate.scale[0]))
        error, limit = gradient_error(slope, d, scale), allowed(d, tolerance)
        limit += float(estimate.error[0]) / scale if scale else 0.0
        if error > limit:
            scale = max(scale, probe.cancelled_norm(name) * norm(v) / np.sqrt(v.size))
            error = gradient_error(slope, d, scale)
        if error > limit and np.isfinite(slope):
            there = settle(probe, name, v, _sizes(x, v), slope, limit * scale, d)
            kinks, undecided = kinks + there.kink, undecided + there.unknown
            error = 0.0 if there.right or there.unknown else error
        power = max(power, limit)
        looks.append(_Along(slope, d, error, limit))
    worst = max(looks, key=lambda look: look.error - look.limit)
    if worst.error > worst.limit or not np.all(np.isfinite(g)):
        ratios = [a.slope / a.derivative if a.derivative else float("inf") for a in looks]
        words = verdict_of_ratios(ratios, g, probe.subject.sizes)
        return Finding(
            name, x.shape, worst.error, worst.limit, Outcome.WRONG, words, None, worst.slope,
            worst.derivative, kinks,
        )  # fmt: skip
    largest = max(looks, key=lambda look: look.error)
    if undecided:
        words = f"along {undecided} of {count} directions the differences do not settle"
        return Finding(
            name, x.shape, largest.error, largest.limit, Outcome.NOT_CHECKED, words, None,
            largest.slope, largest.derivative, kinks,
        )  # fmt: skip
    return Finding(
        name, x.shape, largest.error, largest.limit, Outcome.RIGHT, "right", None, largest.slope,
        largest.derivative, kinks, float(power * np.sqrt(x.size)),
    )  # fmt: skip


def _sizes(x: NDArray, v: NDArray) -> tuple[float, float]:
    """How far along v the nearest element is at zero, and what is usual."""
    moving = (x != 0) & (v != 0)
    own = float(np.min(np.abs(x[moving] / v[moving]))) if np.any(moving) else 1.0
    return own, max(own, typical(x))


def _sampled(probe: Probe, name: str, g: NDArray, tolerance: float, seed: int) -> list[Finding]:
    """A large argument: its largest elements, some others, and whole directions."""
    rng = np.random.default_rng(seed)
    count = max(20, min(200, 10_000_000 // g.size))
    largest = np.argpartition(-np.abs(g).reshape(-1), count // 4)[: count // 4]
    at = np.unique([*largest, *rng.choice(g.size, count - largest.size, replace=False)])
    some = elements(probe, name, g, tolerance, at)
    if some.outcome is Outcome.WRONG:
        return [some]
    whole = along_directions(probe, name, g, tolerance, ALONG, seed)
    if whole.outcome is not Outcome.RIGHT:
        return [whole]
    # The directions have seen all elements; those that were looked at alone were seen better.
    return [replace(some, power=max(some.power or 0.0, whole.power or 0.0))]


def without_gradient(probe: Probe, name: str) -> Finding:
    """An argument for which backward returned None: said, and whether f depends on it."""
    x = probe.subject.args[name]
    v = direction(x.shape, 0, f"none {name}")
    moves = abs(float(probe.along(name, v).value[0])) > 0
    words = "backward returned None for it" + (", though the function depends on it" * moves)
    return Finding(name, x.shape, 0.0, 0.0, Outcome.NOT_CHECKED, words, declared=True)
