"""Whether a layer may work in place, as it declares: y over x, and dx over dy."""

from collections.abc import Iterator

from numpy.typing import NDArray

from scratchvae.backend import get_backend
from scratchvae.gradcheck.measure import gradient_error
from scratchvae.gradcheck.report import Finding, Outcome
from scratchvae.gradcheck.subjects import BufferedSubject, Subject
from scratchvae.gradcheck.subjects.base import Arrays

SAME = 1e-13  # the same operations on the same numbers, wherever they lie


def in_place_findings(apart: Subject, seed: int) -> Iterator[Finding]:
    """A finding for each gradient that working in place changes; none for a layer that may.

    ``apart`` is the layer with x, y, dx and dy in buffers of their own; its ``in_place`` is the
    same layer with y over x and dx over dy, if it declares that it may; other subjects have none.
    """
    if not isinstance(apart, BufferedSubject) or apart.in_place is None:
        return
    in_place, w = apart.in_place, apart.cotangent(seed)
    if apart.args["x"].shape != apart.w_shape:
        said = "declared in place, but y has another shape than x: set inplace = False"
        yield Finding("x, in place", apart.args["x"].shape, float("inf"), SAME, Outcome.WRONG, said)
        return
    bk = get_backend("cpu", "float64")
    bound = in_place.bind(bk)
    value = apart.bind(bk).value(apart.args)
    error = gradient_error(bound.value(in_place.args), value)
    if not error <= SAME:
        said = "forward reads x after writing y, but is declared in place: set inplace = False"
        yield Finding("x, in place", value.shape, error, SAME, Outcome.WRONG, said)
        return
    found, gradient = bound.gradient(in_place.args, w), apart.bind(bk).gradient(apart.args, w)
    for name, g in gradient.items():
        error = gradient_error(found[name], g)
        if not error <= SAME:
            said = f"{_why(apart, gradient, w)}: set inplace = False, or change it"
            yield Finding(f"{name}, in place", g.shape, error, SAME, Outcome.WRONG, said)


def _why(apart: BufferedSubject, gradient: Arrays, w: NDArray) -> str:
    """Which of the two overlaps of the backward changes the gradient."""
    bound = apart.bind(get_backend("cpu", "float64"))
    value = bound.value(apart.args)
    bound.load(apart.args, w)
    bound.buffers["x"][...] = value
    with bound.bk.ignore_float_errors():
        apart.backward(bound.bk, bound.buffers)
    reads_x = any(not gradient_error(g, gradient[n]) <= SAME for n, g in bound.collect().items())
    if reads_x:
        return "it reads x, but is declared in place, where y has overwritten it"
    return "it reads dy after writing dx, but is declared in place"
