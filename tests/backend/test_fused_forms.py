"""A backend computes an equation in its own form where it has one, and else as it stands."""

import inspect

import numpy as np
import pytest

from scratchvae.backend import fusible, get_backend
from scratchvae.backend.base import FUSIBLE, Backend
from scratchvae.backend.cpu import NumpyBackend
from scratchvae.backend.cuda.operations import CudaOperations
from scratchvae.gradcheck.backends import PlainBackend
from scratchvae.layers.activations import relu, relu_grad
from scratchvae.likelihoods.bernoulli import (
    bernoulli_nll,
    bernoulli_nll_and_grad,
    bernoulli_nll_terms,
)
from scratchvae.optim import OPTIMIZERS
from scratchvae.optim.clipping import clip_gradient, measure_norm

ELEMENTWISE = (relu, relu_grad, bernoulli_nll_terms, bernoulli_nll, bernoulli_nll_and_grad)
FLAT = (measure_norm, clip_gradient, *(rule.update for rule in OPTIMIZERS.values()))
BACKENDS = pytest.mark.parametrize("backend", [NumpyBackend, CudaOperations])


@fusible("double")
def double(bk, x, y):
    y[...] = 2 * x


@fusible("triple")
def triple(bk, x, y):
    y[...] = 3 * x


def computed(bk, equation, x=1.0):
    y = np.full(1, np.nan)
    bk.compute(equation, np.array([x]), y)
    return y[0]


def with_form(name, form):
    """A backend that has a form of one equation."""
    return type("Odd", (PlainBackend,), {"fused_forms": {name: form}})()


def negate(bk, x, y):
    y[...] = -x


def test_a_backend_computes_in_its_own_form_or_else_as_the_equation_stands():
    bk = with_form("double", negate)
    assert computed(bk, double) == -1
    assert computed(bk, triple) == 3
    assert computed(PlainBackend(), double) == 2


def test_an_equation_without_a_mark_has_no_form():
    bk = with_form("double", negate)
    assert computed(bk, lambda bk, x, y: np.copyto(y, 2 * x)) == 2


def test_a_form_that_cannot_read_its_arrays_leaves_them_to_the_equation():
    def picky(bk, x, y):
        return NotImplemented if x > 0 else negate(bk, x, y)

    bk = with_form("double", picky)
    assert [computed(bk, double, x) for x in (5.0, -5.0, 1.0)] == [10, 5, 2]


def test_a_form_is_looked_up_once(monkeypatch):
    bk, asked = PlainBackend(), []
    monkeypatch.setattr(bk, "fused", asked.append)  # which answers None
    for _ in range(3):
        assert computed(bk, relu, -1.0) == 0
        assert computed(bk, double) == 2
    assert asked == [relu, double]


@BACKENDS
@pytest.mark.parametrize("equation", ELEMENTWISE, ids=lambda f: f.__name__)
def test_relu_and_the_bernoulli_have_a_form_for_real_numbers_alone(backend, equation):
    for dtype in ("float32", "float64"):
        assert backend(np, dtype).fused(equation)
        assert get_backend("strict", dtype).fused(equation)
    assert backend(np, "complex128").fused(equation) is None
    assert get_backend("strict", "complex128").fused(equation) is None


@BACKENDS
@pytest.mark.parametrize("equation", [*ELEMENTWISE, *FLAT], ids=lambda f: f.__qualname__)
def test_a_form_takes_the_arguments_of_its_equation(backend, equation):
    form = backend.fused_forms[FUSIBLE[equation]]
    names = list(inspect.signature(equation).parameters)
    names[0] = {"self": "rule"}.get(names[0], names[0])
    if equation in FLAT:  # these have scratch: an update's stands at the end of its buffers
        names = [{"moments": "buffers"}.get(name, name) for name in names]
        names += [] if "buffers" in names else ["scratch"]
    assert list(inspect.signature(form).parameters) == names


def test_no_form_is_without_an_equation():
    ours = {FUSIBLE[equation] for equation in (*ELEMENTWISE, *FLAT)}
    assert set(NumpyBackend.fused_forms) == set(CudaOperations.fused_forms) == ours
    assert not Backend.fused_forms
