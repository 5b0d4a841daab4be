"""Checks of conduct: what is read, what is written, in which memory, in which dtype."""

import numpy as np

from scratchvae.backend import get_backend
from scratchvae.gradcheck.backends import NaNBackend
from scratchvae.gradcheck.subjects.buffered import strided
from scratchvae.selfcheck.case import EXACT, Case, Measured, same_bits, yes_or_no


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
