"""Before a gradient is blamed: rounding, kinks, and a second method that may side with it."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.gradcheck.differences import SURE, Slope, nearest, one_sided
from scratchvae.gradcheck.probe import Estimate, Probe

# Of the outputs that an element moves by the size it has, or is usual: a gradient of zero may
ULPS_OF_ZERO = 4  # be rounded from no more than this, and
ULPS_UNSEEN = 16  # of a difference below this it is not known whose rounding it is
MOST = 200  # disputed elements that are looked at one by one
MOST_ROUNDING = 64  # of those, how many have the rounding of their reference measured: of the
# others it is taken for the median


class Settled(NamedTuple):
    """What a closer look at one slope says of it."""

    right: bool
    kink: bool = False
    unknown: bool = False
    value: float = float("nan")  # what the second method has
    error: float = 0.0


class Ruling(NamedTuple):
    """The disputed elements after a closer look."""

    estimate: Estimate
    limit: NDArray
    kinks: int
    undecided: NDArray


def arbitrate(
    probe: Probe,
    name: str,
    at: NDArray,
    found: NDArray,
    estimate: Estimate,
    tolerance: float,
    disputed: NDArray,
) -> Ruling:
    """Look again at the elements whose gradient the method denies.

    Ends with the first that is wrong beyond doubt: then the others need no closer look.
    """
    scale: NDArray = np.where(
        disputed, np.fmax(estimate.scale, probe.cancelled(name, at)), estimate.scale
    )
    estimate = replace(estimate, scale=scale)
    value, error = np.array(estimate.value), np.array(estimate.error)
    undecided, kinks = np.zeros(at.size, bool), 0
    rounding: list[float] = []

    def limit() -> NDArray:
        return Estimate(value, scale, error).limit(tolerance)

    excess = np.abs(found - value) / np.maximum(limit(), 1e-300)
    excess = np.where(np.isfinite(excess), excess, np.inf)
    order = [int(k) for k in np.argsort(-excess) if excess[k] > 1]
    for looked, k in enumerate(order):
        if not np.isfinite(found[k]):
            if _finite_slope(probe, name, int(at[k])):
                break
            undecided[k] = True
            continue
        known = bool(np.isfinite(value[k]))  # an overflow on the way makes a complex step NaN
        if known and probe.method.name == "complex":
            if looked < MOST_ROUNDING:
                rounding.append(probe.rounding_of_reference(name, int(at[k])))
                scale[k] = max(scale[k], rounding[-1])
            else:
                scale[k] = max(scale[k], float(np.median(rounding)))
            if abs(found[k] - value[k]) <= limit()[k]:
                continue
            own, usual = probe.sizes(name, int(at[k]))
            ulp = probe.resolution(name, int(at[k]))
            if found[k] == 0 and abs(value[k]) <= ULPS_OF_ZERO * ulp:
                value[k] = 0.0
                continue
            unseen = ULPS_UNSEEN * ulp * own / usual
            if abs(found[k] - value[k]) <= unseen:
                error[k] = unseen / SURE
                continue
        if looked >= MOST:
            undecided[k] = True
            continue
        v = np.zeros(probe.subject.args[name].shape)
        v.reshape(-1)[at[k]] = 1.0
        sizes = probe.sizes(name, int(at[k]))
        margin, reference = (float(limit()[k]), float(value[k])) if known else (0.0, None)
        there = settle(probe, name, v, sizes, float(found[k]), margin, reference)
        kinks += there.kink
        undecided[k] = there.unknown or not (known or there.right or np.isfinite(there.value))
        if there.right:
            value[k] = found[k] if there.kink else there.value
            error[k] = 0.0 if there.kink else max(there.error, abs(there.value - found[k]) / SURE)
        elif not undecided[k]:
            value[k] = value[k] if known else there.value
            break
    return Ruling(Estimate(value, scale, error), limit(), kinks, undecided)


def _finite_slope(probe: Probe, name: str, i: int) -> bool:
    """Whether the function has a finite slope here at all: √x at 0 has none."""
    x = probe.subject.args[name]
    v = np.zeros(x.size)
    v[i] = 1.0
    terms, own = probe.weighted(name, v.reshape(x.shape)), probe.sizes(name, i)[0]
    sides = one_sided(terms, own), one_sided(lambda t: terms(-t), own)
    return all(s.error <= 0.1 * abs(s.value) or s.value == 0 for s in sides)


def has_kink(probe: Probe, name: str, v: NDArray, size: float) -> bool:
    """Whether the slopes on the two sides of the point differ along v."""
    branches = probe.branches(name, v)
    if branches is not None and branches[1] - branches[0] > 1e-9 * max(map(abs, branches)):
        return True
    noise, terms = probe.noise(name), probe.weighted(name, v)
    right = one_sided(terms, size, noise)
    return _apart(right, _mirrored(one_sided(lambda t: terms(-t), size, noise)))


def settle(
    probe: Probe,
    name: str,
    v: NDArray,
    sizes: tuple[float, float],
    claimed: float,
    margin: float,
    reference: float | None,
) -> Settled:
    """Whether a slope along v that the method denies is right after all.

    At a kink any slope between those of the branches and of the two sides is. Elsewhere a second
    method, differences with steps from the element's own size, may contradict the first.
    """
    branches = probe.branches(name, v)
    if branches is not None:
        slack = margin + 1e-9 * max(map(abs, branches))
        if branches[0] - slack <= claimed <= branches[1] + slack:
            return Settled(right=True, kink=True)
    noise = probe.noise(name)
    terms = probe.weighted(name, v)
    sides = (
        one_sided(terms, sizes[0], noise),
        _mirrored(one_sided(lambda t: terms(-t), sizes[0], noise)),
    )
    if _apart(*sides):
        low, high = _between(probe, name, v, sizes[0])
        low, high = min(low, *(s.value for s in sides)), max(high, *(s.value for s in sides))
        slack = margin + sum(SURE * s.error for s in sides)
        inside = low - slack <= claimed <= high + slack
        return Settled(right=inside, kink=inside)
    second = nearest(terms, *sizes, noise)
    sides_with = second.agrees(claimed, margin + 1e-9 * abs(claimed))
    borne_out = reference is not None and second.agrees(reference, margin)
    if sides_with and not borne_out:
        probe.contradicted |= _exact(probe) and reference is not None
        return Settled(right=True, value=second.value, error=second.error)
    if not _exact(probe):
        unknown = sides_with or not np.isfinite(second.error)
    elif borne_out and not sides_with:
        unknown = False
    else:
        unknown = _like_a_kink(probe, name, v, sizes[0], claimed, reference)
    return Settled(right=False, unknown=unknown, value=second.value, error=second.error)


def _like_a_kink(
    probe: Probe, name: str, v: NDArray, size: float, claimed: float, reference: float | None
) -> bool:
    """Whether a kink may hide below what differences resolve: the complex step sees one side of it.

    Then the gradient lies between the slopes of the two sides, and is off by as much as they
    differ, or they differ by more than it.
    """
    low, high = _between(probe, name, v, size)
    slack = (high - low) / 16
    sizes = [abs(claimed)] if reference is None else [abs(claimed), abs(reference)]
    off = np.inf if reference is None else abs(claimed - reference)
    inside = low - slack <= claimed <= high + slack
    return bool(inside and (off > slack or high - low > max(sizes)))


def _exact(probe: Probe) -> bool:
    return probe.method.name == "complex"


def _mirrored(s: Slope) -> Slope:
    return Slope(-s.value, s.error)


def _apart(right: Slope, left: Slope) -> bool:
    """Whether two one-sided slopes differ by more than their errors: a kink lies between."""
    if not (np.isfinite(right.error) and np.isfinite(left.error)):
        return False
    gap, errors = abs(right.value - left.value), right.error + left.error
    return gap > SURE * errors + 1e-6 * max(abs(right.value), abs(left.value))


def _between(probe: Probe, name: str, v: NDArray, size: float) -> tuple[float, float]:
    """The slopes beside a kink when every output takes the side that is worst."""
    terms, h = probe.weighted(name, v), size * 2.0**-16
    here = terms(0.0)
    right, left = (terms(h) - here) / h, (here - terms(-h)) / h
    low, high = np.sum(np.minimum(right, left)), np.sum(np.maximum(right, left))
    return float(low), float(high)
