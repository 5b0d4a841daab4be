"""gradcheck: the gradient that code computes against one computed by evaluation alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchvae.errors import ConfigError
from scratchvae.gradcheck.adapters import Adapted
from scratchvae.gradcheck.compare import CONTRADICTED, compare
from scratchvae.gradcheck.dual import Watch
from scratchvae.gradcheck.methods import METHODS, Method, Plan, method_named
from scratchvae.gradcheck.points import hiding
from scratchvae.gradcheck.prechecks import (
    Screen,
    checked_gradient,
    refusal,
    require_same,
    screen,
)
from scratchvae.gradcheck.report import (
    BrokenContractError,
    Finding,
    Outcome,
    Report,
    UncheckableError,
    UnsteadyError,
)
from scratchvae.gradcheck.subjects.base import Arrays, Subject
from scratchvae.gradcheck.subjects.function import Calls, FunctionSubject
from scratchvae.types import Function

FALLBACK = "ridders"
SMALL = 300  # numbers that a second point looks at one by one; of more, along a few directions


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
      each argument: what :func:`check_gradient` takes;
    - a ``Layer`` or ``Sequential`` and x, (B, …); a layer that declares itself ``inplace`` is
      checked in place as well;
    - a ``Likelihood``, logits (B, K, D) and pixels (B, 1, D);
    - a ``VAE``, and optionally images (B, D) and noise (B, K, Z);
    - a ``Subject``.

    ``parameters``: host arrays by name, drawn from ``seed`` unless given. ``method``: complex
    (E28), central (E29), five_point (E30), richardson (E31), or ridders, differences with a step
    and an error of each element's own. Every element is checked, or, with ``directions``, that
    many random directions for each argument. Functions that a complex step cannot pass are noticed
    and checked by ridders instead; the report says so.

    Returns the :class:`Report`; unless ``raises`` is False, raises ``GradientError`` with the same
    content where a gradient is wrong and ``UncheckableError`` where it could not be checked. The
    latter is raised in any case for arguments that make no sense.
    """
    from scratchvae.gradcheck.as_subject import as_subject
    from scratchvae.gradcheck.in_place import in_place_findings

    subject = as_subject(what, *arrays, backward=backward, parameters=parameters, seed=seed)
    report = check_subject(subject, method, directions, tolerance, seed)
    report = replace(report, findings=(*report.findings, *in_place_findings(subject, seed)))
    return report.raise_if_failed() if raises else report


def check_gradient(
    f: Function | Adapted,
    *arguments: object,
    vjp: Function | None = None,
    constants: Mapping[str, object] | None = None,
    method: str = "complex",
    directions: int | None = None,
    tolerance: float | None = None,
    seed: int = 0,
    nearby: bool = True,
    overwrites: Sequence[str] = (),
    surrogate: Function | None = None,
    reseed: Function | None = None,
) -> Report:
    """Check the gradient ``vjp(*arguments, dy)`` of a function, and report.

    Arguments: arrays, numbers, and tuples, lists and dicts of them. Floating-point numbers are
    checked, in float64; the rest is handed through, as are the keyword arguments ``constants``.
    ``vjp`` returns a gradient for each argument, None for one without; ``f`` may come from an
    adapter, which has the vjp. ``nearby``: also at a second point near the first, and where f has
    kinks at one with zeros and ties. ``overwrites``: what ``vjp`` may use as scratch, names of
    arguments or "dy". ``surrogate``: vjp is meant to be the gradient of this function instead, as
    of x for round(x); the report says so. ``reseed()`` sets the seed of a function that draws its
    own noise. The rest as in :func:`gradcheck`.
    """
    name: str | None = getattr(f, "__name__", None)
    names: tuple[str, ...] = ()
    if isinstance(f, Adapted):
        arguments, vjp, name, names = (*arguments, *f.more), f.vjp, f.name, f.names
        f = f.f
    if vjp is None:
        raise ConfigError("a check needs the gradient: pass vjp=, a function (*arguments, dy)")
    note = None
    if surrogate is not None:
        _require_same_shape(f, surrogate, arguments, constants)
        other = getattr(surrogate, "__name__", "its surrogate")
        note = f"declared: the gradient of the surrogate {other}, not of {name or 'the function'}"
        f = surrogate
    calls = Calls(dict(constants or {}), tuple(overwrites), reseed)
    subject = FunctionSubject(f, vjp, arguments, name, names, calls)
    if note:
        subject.remarks.append(note)
    return check_subject(subject, method, directions, tolerance, seed, nearby)


def assert_gradient(
    f: Function | Adapted, *arguments: object, vjp: Function | None = None, **options: Any
) -> Report:
    """:func:`check_gradient`, for tests: an ``AssertionError`` with the report unless it is right.

    A gradient that could not be checked raises ``UncheckableError``: it is not known to be right.
    """
    return check_gradient(f, *arguments, vjp=vjp, **options).raise_if_failed()


def _require_same_shape(
    f: Function,
    surrogate: Function,
    arguments: Sequence[object],
    constants: Mapping[str, object] | None,
) -> None:
    """``UncheckableError`` for a surrogate that is none: its values have another shape."""
    shapes = [np.shape(g(*arguments, **(constants or {}))) for g in (f, surrogate)]
    if shapes[0] != shapes[1]:
        raise UncheckableError(
            f"the surrogate returns shape {shapes[1]} where the function returns {shapes[0]}"
        )


def check_subject(
    subject: Subject,
    method: str = "complex",
    directions: int | None = None,
    tolerance: float | None = None,
    seed: int = 0,
    nearby: bool = True,
) -> Report:
    """The check itself; see :func:`gradcheck`."""
    plan = Plan(method_named(method), tolerance, directions, seed)
    try:
        w = subject.cotangent(seed)
        gradient = checked_gradient(subject, w)
    except UnsteadyError as error:
        return _without_numbers(subject, plan.method, Outcome.NOT_CHECKED, str(error))
    except BrokenContractError as error:
        return _without_numbers(subject, plan.method, Outcome.WRONG, str(error))
    report, watch = _checked_here(subject, gradient, w, plan)
    if isinstance(subject, FunctionSubject):
        report = _with_hints(subject, gradient, report)
        report = _at_the_end(subject, gradient, w, report)
        if nearby and report.outcome is not Outcome.WRONG:
            report = _elsewhere(subject, report, plan, watch)
    return report


def _checked_here(
    subject: Subject, gradient: Arrays, w: NDArray, plan: Plan
) -> tuple[Report, Watch | None]:
    """The comparison at this point, by the method or by the one that takes its place."""
    if plan.method.name != "complex":
        return compare(subject, gradient, w, plan), None
    with np.errstate(all="ignore"):
        found = screen(subject, w, tuple(gradient))
    why = found.unsafe
    if why is None:
        try:
            notes = [*_rules(found.watched), *_doubts(found)]
            report = compare(subject, gradient, w, plan, notes)
            why = CONTRADICTED if CONTRADICTED in report.notes else None
        except (UncheckableError, BrokenContractError):
            raise
        except Exception as error:  # on a branch that the first look did not take
            why = refusal(error)
        if why is None:
            return report, found.watched
    other = replace(plan, method=METHODS[FALLBACK])
    note = f"not complex-safe: {why}; checked by {FALLBACK} instead, tolerance {other.limit:g}"
    return compare(subject, gradient, w, other, [note]), found.watched


def _rules(watch: Watch | None) -> list[str]:
    """The operations that a plain complex step gets wrong, and this one does not."""
    if watch is None or not watch.met:
        return []
    return [f"{', '.join(watch.met)}: by the rules of real numbers, not of complex ones"]


def _doubts(found: Screen) -> list[str]:
    """What a second method could not bear out, where that is little."""
    if found.confirmed <= 1e-5:
        return []
    return [f"differences bear the complex step out to a relative {found.confirmed:.1g} only"]


def _without_numbers(subject: Subject, how: Method, outcome: Outcome, why: str) -> Report:
    error = float("inf") if outcome is Outcome.WRONG else 0.0
    finding = Finding("the contract", (), error, 0.0, outcome, why)
    return Report(subject.name, how.name, "not compared", 0, (finding,))


def _with_hints(subject: FunctionSubject, gradient: Arrays, report: Report) -> Report:
    hints = tuple(f"this point hides errors: {h}" for h in hiding(subject.args, gradient))
    return replace(report, notes=(*report.notes, *hints, *subject.remarks))


def _at_the_end(subject: FunctionSubject, gradient: Arrays, w: NDArray, report: Report) -> Report:
    """The same point once more, after all those evaluations."""
    from scratchvae.backend import get_backend

    try:
        again = subject.bind(get_backend("cpu", "float64")).gradient(subject.args, w)
        calls = max(3 + report.evaluations, 6)
        require_same(subject, gradient, {n: np.asarray(g) for n, g in again.items()}, calls)
    except BrokenContractError as error:
        wrong = Finding("the contract", (), float("inf"), 0.0, Outcome.WRONG, str(error))
        return replace(report, findings=(*report.findings, wrong))
    return report


def _elsewhere(subject: FunctionSubject, report: Report, plan: Plan, watch: Watch | None) -> Report:
    """The same function near the point, and with zeros and ties where it has kinks."""
    size = sum(a.size for a in subject.args.values())
    directions = 3 if plan.directions is None and size > SMALL else plan.directions
    places = ["near the point"]
    if (watch is not None and watch.branches) or any(f.kinks for f in report.findings):
        places.append("near the point, with zeros and ties")
    for place in places:
        try:
            there = subject.near(plan.seed, ties=place.endswith("ties"))
            second = check_subject(
                there, plan.method.name, directions, plan.tolerance, plan.seed + 1, nearby=False
            )
        except Exception as error:  # outside of what the function takes: nothing is known there
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            report = replace(report, notes=(*report.notes, f"{place}: not checked: {why}"))
            continue
        wrong = [f for f in second.findings if f.outcome is Outcome.WRONG]
        if wrong:
            moved = [replace(f, argument=f"{f.argument}, {place}") for f in wrong]
            note = (
                f"right at the point, wrong {place}: "
                + "; ".join(f"{n} = {_short(a)}" for n, a in there.args.items())
                + " (nearby=False checks the point alone)"
            )
            return replace(report, findings=(*report.findings, *moved), notes=(*report.notes, note))
        report = replace(report, evaluations=report.evaluations)
    return report


def _short(a: NDArray) -> str:
    if a.size <= 6:
        return np.array2string(a, precision=4, separator=", ").replace("\n", "")
    return f"an array of shape {a.shape}"
