"""Adapters: gradients as other frameworks, courses and optimizers have them."""

import sys

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from scratchvae.backend import get_backend
from scratchvae.errors import ConfigError
from scratchvae.gradcheck import assert_gradient, check_gradient
from scratchvae.gradcheck.adapters import (
    course,
    linear_operator,
    on_device,
    optimizer,
    residuals,
    torch_function,
)
from scratchvae.gradcheck.points import point

X, W, B = point((5, 4), 0, "x"), point((4, 3), 0, "w"), point((3,), 0, "b")


def affine(x, w, b):
    return np.tanh(x @ w + b), (x, w, np.tanh(x @ w + b))


def affine_backward(kept, dy):
    x, w, y = kept
    da = dy * (1 - y * y)
    return da @ w.T, x.T @ da, da.sum(0)


def test_a_pair_with_residuals():
    report = assert_gradient(residuals(affine, affine_backward), X, W, B)
    assert [f.argument for f in report.findings] == ["x", "w", "b"]
    dy_first = residuals(affine, lambda dy, kept: affine_backward(kept, dy), dy_first=True)
    assert_gradient(dy_first, X, W, B)

    def forgets(kept, dy):
        return *affine_backward(kept, dy)[:2], dy.sum(0)

    report = check_gradient(residuals(affine, forgets), X, W, B)
    assert "of affine is wrong" in report.text()
    assert [f.ok for f in report.findings] == [True, True, False]
    with pytest.raises(ConfigError, match=r"returns ndarray, expected the pair \(y, residuals\)"):
        check_gradient(residuals(np.exp, affine_backward), X)


class Affine:
    """As in most courses: parameters and their gradients are attributes."""

    def __init__(self):
        self.W, self.b = W.copy(), B.copy()
        self.dW = self.db = None

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        self.dW, self.db = self.x.T @ dy, dy.sum(0)
        return dy @ self.W.T


class WithDictionaries:
    def __init__(self):
        self.params, self.grads = {"W": W.copy(), "b": B.copy()}, {}

    def forward(self, x):
        self.x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, dy):
        self.grads = {"W": self.x.T @ dy, "b": dy.sum(0)}
        return dy @ self.params["W"].T


class Parameter:
    def __init__(self, data):
        self.data, self.grad = data, np.zeros_like(data)


class WithObjects:
    """Gradients add up until zero_grad(), as in PyTorch."""

    def __init__(self):
        self.W, self.b = Parameter(W.copy()), Parameter(B.copy())

    def zero_grad(self):
        for p in (self.W, self.b):
            p.grad[...] = 0

    def forward(self, x):
        self.x = x
        return x @ self.W.data + self.b.data

    def backward(self, dy):
        self.W.grad += self.x.T @ dy
        self.b.grad += dy.sum(0)
        return dy @ self.W.data.T


@pytest.mark.parametrize("kind", [Affine, WithDictionaries, WithObjects])
def test_a_layer_of_a_course(kind):
    report = assert_gradient(course(kind()), X)
    assert [f.argument for f in report.findings] == ["x", "W", "b"]


def test_a_layer_of_a_course_that_is_wrong():
    class Mean(Affine):
        def backward(self, dy):
            dx = super().backward(dy)
            self.db = dy.mean(0)
            return dx

    report = check_gradient(course(Mean()), X)
    assert report["W"].ok
    assert "1/5 of the right gradient (5 = the batch size)" in report["b"].verdict


def test_a_layer_of_a_course_with_names_of_its_own_or_without_its_methods():
    class Own(Affine):
        def backward(self, dy):
            self.update, self.db = self.x.T @ dy, dy.sum(0)
            return dy @ self.W.T

    assert_gradient(course(Own(), W="update"), X)
    with pytest.raises(ConfigError, match=r"object has no method forward\(\)"):
        course(object())


def test_a_layer_that_forgets_to_zero_its_gradients_accumulates():
    class Forgets(WithObjects):
        zero_grad = None

    assert "it accumulates" in check_gradient(course(Forgets()), X).text()


def test_a_linear_operator():
    assert_gradient(linear_operator(aslinearoperator(W)))
    shift = LinearOperator((4, 4), matvec=lambda x: np.roll(x, 1), rmatvec=lambda y: np.roll(y, 1))
    assert not check_gradient(linear_operator(shift)).ok
    with pytest.raises(ConfigError, match="has no matvec"):
        linear_operator(W)


def test_an_objective_of_an_optimizer():
    x = point((6,), 0, "rosen")
    assert_gradient(optimizer(rosen, rosen_der), x)
    assert_gradient(optimizer(lambda x: (rosen(x), rosen_der(x))), x)
    assert_gradient(optimizer(lambda x, c: c * np.sum(x**2), lambda x, c: 2 * c * x, args=(3,)), x)
    assert not check_gradient(optimizer(rosen, lambda x: 2 * rosen_der(x)), x).ok
    with pytest.raises(ConfigError, match="jac is '2-point': give a function"):
        optimizer(rosen, "2-point")


def test_the_jacobian_of_residuals():
    x = point((4,), 0, "residuals")

    def fun(x):
        return np.tanh(X @ x)

    def jac(x):
        return (1 - np.tanh(X @ x) ** 2)[:, None] * X

    assert_gradient(optimizer(fun, jac), x)
    assert not check_gradient(optimizer(fun, lambda x: jac(x) * 0.5), x).ok


def test_arrays_of_a_device():
    bk = get_backend("strict", "float64")

    def f(x):
        return bk.xp.exp(x) * x

    adapted = on_device(f, lambda x, dy: dy * (bk.xp.exp(x) * x + bk.xp.exp(x)), bk)
    report = assert_gradient(adapted, X)
    assert report.method == "complex"
    assert not check_gradient(on_device(f, lambda x, dy: dy * bk.xp.exp(x), bk), X).ok


@pytest.mark.gpu
def test_arrays_of_cupy():
    bk = get_backend("cuda", "float64")
    assert_gradient(on_device(bk.xp.tanh, lambda x, dy: dy * (1 - bk.xp.tanh(x) ** 2)), X)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def test_a_torch_function(torch):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, power):
            ctx.save_for_backward(x)
            ctx.power = power
            return x**power

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            return dy * ctx.power * x ** (ctx.power - 1), None

    report = assert_gradient(torch_function(Square), X, 3)
    assert report.method == "complex"
    assert [f.argument for f in report.findings] == ["x"]

    class Half(Square):
        @staticmethod
        def backward(ctx, dy):
            return 0.5 * Square.backward(ctx, dy)[0], None

    report = check_gradient(torch_function(Half), X, 3)
    assert "half the right gradient" in report.text()

    class Overwrites(Square):
        @staticmethod
        def backward(ctx, dy):
            dy *= ctx.power
            return dy * ctx.saved_tensors[0] ** (ctx.power - 1), None

    assert "overwrites dy" in check_gradient(torch_function(Overwrites), X, 3).text()


def test_a_torch_function_of_several_outputs_and_indices(torch):
    class Rows(torch.autograd.Function):
        @staticmethod
        def forward(ctx, table, index):
            ctx.save_for_backward(table, index)
            return table[index], (table**2).sum()

        @staticmethod
        def backward(ctx, drows, dtotal):
            table, index = ctx.saved_tensors
            return (2 * dtotal * table).index_add(0, index, drows), None

    index = np.array([0, 2, 2])
    assert_gradient(torch_function(Rows), X, index)
    with pytest.raises(ConfigError, match=r"subclass of torch.autograd.Function, not"):
        torch_function(np.exp)


def test_no_adapter_loads_a_framework():
    code = (
        "import sys; from scratchvae.gradcheck import adapters\n"
        "for name in adapters.__all__: getattr(adapters, name)\n"
        "print([m for m in ('torch', 'jax', 'cupy', 'scipy') if m in sys.modules])"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
