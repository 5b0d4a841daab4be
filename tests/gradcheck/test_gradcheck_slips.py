"""A slip in a layer or likelihood of one's own: one sentence says what to write, and where."""

import numpy as np
import pytest

from scratchvae.gradcheck import GradientError, UncheckableError, gradcheck
from scratchvae.gradcheck.points import point
from scratchvae.layers import Dense, Elementwise, Layer, Sequential
from scratchvae.likelihoods import Bernoulli

X = np.linspace(-1.0, 1.1, 15).reshape(5, 3)


class Twice(Layer):
    """y = 2x, right in every way."""

    def forward(self, bk, p, x, y):
        y[...] = 2.0 * x

    def grad_input(self, bk, p, x, y, dy, dx, tmp):
        dx[...] = 2.0 * dy


def refused(layer, match):
    with pytest.raises(UncheckableError, match=match):
        gradcheck(layer, X)


def test_the_layer_without_a_slip_is_right():
    assert gradcheck(Twice(), X).ok


def test_a_forward_that_returns_y():
    class Returns(Twice):
        def forward(self, bk, p, x, y):
            return 2.0 * x

    refused(Returns(), r"Returns.forward returns a value, .* y\[...\] = …, and return nothing")


def test_a_grad_input_that_returns_dx():
    class Returns(Twice):
        def grad_input(self, bk, p, x, y, dy, dx, tmp):
            return 2.0 * dy

    refused(Returns(), r"Returns.grad_input returns a value, .* dx\[...\] = …")


def test_a_forward_that_gives_y_another_meaning():
    class Rebinds(Twice):
        def forward(self, bk, p, x, y):
            y = 2.0 * x  # noqa: F841

    refused(Rebinds(), r"write y\[...\] = … in forward")


@pytest.mark.parametrize("name", ["x", "dy"])
def test_a_layer_that_works_in_what_it_is_handed(name):
    class Overwrites(Twice):
        def forward(self, bk, p, x, y):
            super().forward(bk, p, x, y)
            if name == "x":
                x += 1.0

        def grad_input(self, bk, p, x, y, dy, dx, tmp):
            super().grad_input(bk, p, x, y, dy, dx, tmp)
            if name == "dy":
                dy += 1.0

    with pytest.raises(GradientError, match=rf"Overwrites\(\) overwrites {name}, which others"):
        gradcheck(Overwrites(), X)


def test_a_grad_input_that_writes_nothing():
    class Rebinds(Twice):
        def grad_input(self, bk, p, x, y, dy, dx, tmp):
            dx = 2.0 * dy  # noqa: F841

    refused(Rebinds(), r"write dx\[...\] = … in grad_input")


def test_a_forgotten_grad_params():
    class Forgets(Dense):
        def grad_params(self, bk, x, dy, g, rows=slice(None)):
            pass

    refused(Forgets(4), r"write g.W\[...\] = … in grad_params")


def test_a_likelihood_that_returns_its_value():
    class Returns(Bernoulli):
        def nll(self, bk, p, logits, x, out, work):
            return bk.xp.sum(logits * x, axis=-1)

    logits, x = point((3, 2, 5), 0, "logits"), np.zeros((3, 1, 5))
    with pytest.raises(UncheckableError, match=r"Returns.nll returns a value, .* out\[...\] = …"):
        gradcheck(Returns(), logits, x)


class Softplus(Elementwise):
    """y = log(1 + eˣ), with a derivative that reads x."""

    def forward(self, bk, p, x, y):
        y[...] = bk.xp.log(1.0 + bk.xp.exp(x))

    def grad_input(self, bk, p, x, y, dy, dx, tmp):
        dx[...] = dy / (1.0 + bk.xp.exp(-x))


def test_a_layer_in_place_whose_gradient_reads_x():
    report = gradcheck(Softplus(), X, raises=False)
    assert report["x"].ok
    assert report["x, in place"].verdict.startswith("it reads x, but is declared in place")
    assert not gradcheck(Sequential(Dense(4), Softplus(), Dense(2)), X, raises=False).ok
    apart = type("Apart", (Softplus,), {"inplace": False})
    assert gradcheck(apart(), X).ok
    assert gradcheck(Sequential(Dense(4), apart(), Dense(2)), X).ok


def test_a_layer_in_place_that_reads_dy_too_late():
    class Late(Elementwise):
        def forward(self, bk, p, x, y):
            y[...] = bk.xp.exp(x)

        def grad_input(self, bk, p, x, y, dy, dx, tmp):
            dx[...] = y
            dx *= dy

    verdict = gradcheck(Late(), X, raises=False)["x, in place"].verdict
    assert verdict.startswith("it reads dy after writing dx")


def test_a_layer_in_place_whose_forward_reads_x_too_late():
    class Late(Elementwise):
        def forward(self, bk, p, x, y):
            y[...] = bk.xp.exp(x)
            y *= x

        def grad_input(self, bk, p, x, y, dy, dx, tmp):
            dx[...] = dy

    verdict = gradcheck(Late(), X, raises=False)["x, in place"].verdict
    assert verdict.startswith("forward reads x after writing y")


WRONG = {
    "mean": lambda xp, dy, x: dy - dy.mean(axis=1, keepdims=True),
    "power": lambda xp, dy, x: dy * x**2,
    "NumPy's own function": lambda xp, dy, x: dy * np.exp(x),
    "abs": lambda xp, dy, x: dy * abs(x),
    "clip": lambda xp, dy, x: xp.clip(dy, 0, 1),
    "an error of its own": lambda xp, dy, x: dy * (1.0 if isinstance(x, np.ndarray) else None),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_gradient_gets_its_verdict_whatever_it_is_written_with(name):
    class Wrong(Twice):
        def grad_input(self, bk, p, x, y, dy, dx, tmp):
            dx[...] = WRONG[name](bk.xp, dy, x)

    report = gradcheck(Wrong(), X, raises=False)
    assert not report["x"].ok


def test_a_scale_that_could_not_be_found_is_said():
    class Wrong(Twice):
        def grad_input(self, bk, p, x, y, dy, dx, tmp):
            dx[...] = dy - dy.mean(axis=1, keepdims=True)

    (note,) = gradcheck(Wrong(), X, raises=False).notes
    assert "terms that cancel inside the backward were not measured (AttributeError" in note


def test_a_slope_between_those_of_the_two_sides_is_right_at_a_kink():
    class Leaky(Twice):
        def forward(self, bk, p, x, y):
            y[...] = bk.xp.where(x > 0, x, 0.1 * x)

        def grad_input(self, bk, p, x, y, dy, dx, tmp):
            dx[...] = bk.xp.where(x > 0, dy, 0.1 * dy)

    x = np.where(abs(X) < 0.2, 0.0, X)
    found = gradcheck(Leaky(), x)["x"]
    assert found.kinks == np.count_nonzero(x == 0) > 0


def test_a_report_names_its_arguments_to_one_who_asks_for_another():
    with pytest.raises(KeyError, match="nothing was found of 'y'; the arguments are 'x'"):
        gradcheck(Twice(), X)["y"]
