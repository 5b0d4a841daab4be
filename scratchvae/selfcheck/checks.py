"""Which checks an entry gets: all that apply to it, by name."""

from collections.abc import Callable

from scratchvae.gradcheck.subjects import BufferedSubject
from scratchvae.selfcheck import conduct, derived
from scratchvae.selfcheck.case import Case, Measured
from scratchvae.selfcheck.entries import ROWS, Entry

Check = Callable[[Case], Measured]

ALWAYS: dict[str, Check] = {
    "gradient": derived.gradient,
    "batch of one": derived.batch_of_one,
    "differences": derived.differences,
    "dot product": derived.dot_product,
    "linear in the cotangent": derived.linear,
    "zero cotangent": derived.zero_cotangent,
    "repeatable": conduct.repeatable,
    "no stale buffer": conduct.stale,
    "inputs unchanged": conduct.inputs_unchanged,
    "shapes and dtypes": conduct.shapes_and_dtypes,
    "batch permutation": derived.permuted,
    "float32 against float64": derived.single,
    "plain verbs": derived.plain_verbs,
    "strict device": conduct.strict_device,
    "complex numbers": derived.complex_numbers,
}


def checks_of(entry: Entry) -> dict[str, Check]:
    """All checks that apply to an entry."""
    subject: BufferedSubject = entry.make(ROWS, 0)
    found = dict(ALWAYS)
    if subject.accepts_views:
        found |= {
            "non-contiguous inputs": conduct.noncontiguous,
            "read-only inputs": conduct.readonly,
        }
    if subject.value_again is not None:
        found["value beside the gradient"] = derived.value_again
    if subject.by_shares is not None:
        found["by two workers"] = derived.shared
    if entry.inplace is not None:
        found["in place"] = derived.inplace
    if entry.saturated is not None:
        found["saturated"] = derived.saturated
    return found
