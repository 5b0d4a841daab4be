"""Each layer on numbers that can be checked with a pencil."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit

from scratchvae.backend import get_backend
from scratchvae.errors import ConfigError
from scratchvae.layers import ACTIVATIONS, Dense, ReLU, Sigmoid, Tanh

LN3 = np.log(3.0)

# Two images, three inputs, four outputs:
#     x = 1 2  0        W = 1 0 2 −1        b = 1 0 −1 2        dy = 1 0  0 2
#         0 1 −1            0 1 1  0                                 0 1 −1 0
#                           3 0 0  1
X = np.array([[1.0, 2, 0], [0, 1, -1]])
W = np.array([[1.0, 0, 2, -1], [0, 1, 1, 0], [3, 0, 0, 1]])
b = np.array([1.0, 0, -1, 2])
DY = np.array([[1.0, 0, 0, 2], [0, 1, -1, 0]])


def empty(*shape):
    return np.full(shape, np.nan)


def test_e3_a_dense_layer_multiplies_and_adds_its_bias(cpu64):
    y = empty(2, 4)
    Dense(4).forward(cpu64, SimpleNamespace(W=W, b=b), X, y)
    # Row 1: (1 0 2 −1) + 2 (0 1 1 0) + b;  row 2: (0 1 1 0) − (3 0 0 1) + b.
    np.testing.assert_array_equal(y, [[2, 2, 3, 1], [-2, 1, 0, 1]])


def test_e4_the_input_gradient_of_a_dense_layer_multiplies_by_the_transposed_weights(cpu64):
    dx = empty(2, 3)
    Dense(4).grad_input(cpu64, SimpleNamespace(W=W, b=b), X, empty(2, 4), DY, dx, None)
    # Row 1: dy · rows of W = 1 − 2, 0, 3 + 2;  row 2: −2, 1 − 1, 0.
    np.testing.assert_array_equal(dx, [[-1, 0, 5], [-2, 0, 0]])


def test_e5_the_gradient_of_a_dense_layer_is_assigned_and_summed_over_rows(cpu64):
    g = SimpleNamespace(W=empty(3, 4), b=empty(4))
    for _ in range(2):  # twice: assigned, not accumulated
        Dense(4).grad_params(cpu64, X, DY, g)
    # dW: column i of x times dy, e.g. row 2 is 2 (1 0 0 2) + 1 (0 1 −1 0).
    np.testing.assert_array_equal(g.W, [[1, 0, 0, 2], [2, 1, -1, 4], [0, -1, 1, 0]])
    np.testing.assert_array_equal(g.b, [1, 1, -1, 2])


def test_e5_the_shares_of_two_workers_make_up_the_gradient_of_a_dense_layer(cpu64):
    whole = SimpleNamespace(W=empty(3, 4), b=empty(4))
    Dense(4).grad_params(cpu64, X, DY, whole)
    shared = SimpleNamespace(W=empty(3, 4), b=empty(4))
    Dense(4).grad_params(cpu64, X, DY, shared, slice(0, 2))
    assert np.isnan(shared.W[2]).all()  # the other worker's row
    assert np.isnan(shared.b).all()  # and the bias goes with the last row
    Dense(4).grad_params(cpu64, X, DY, shared, slice(2, 3))
    np.testing.assert_array_equal(shared.W, whole.W)
    np.testing.assert_array_equal(shared.b, whole.b)


def activate(bk, layer, x, dy):
    x, dy = np.array([x]), np.array([dy])
    y, dx, tmp = empty(*x.shape), empty(*x.shape), empty(*x.shape)
    layer.forward(bk, None, x, y)
    layer.grad_input(bk, None, x, y, dy, dx, tmp)
    return y[0], dx[0]


def test_e6_e7_sigmoid_and_its_chain(cpu64):
    y, dx = activate(cpu64, Sigmoid(), [0.0, LN3, -LN3], [4.0, -16.0, 32.0])
    np.testing.assert_allclose(y, [1 / 2, 3 / 4, 1 / 4], rtol=0, atol=1e-16)
    # y (1 − y) = 1/4, 3/16, 3/16
    np.testing.assert_allclose(dx, [1, -3, 6], rtol=1e-15)


def test_e8_e9_tanh_and_its_chain(cpu64):
    y, dx = activate(cpu64, Tanh(), [0.0, LN3 / 2, -np.log(2)], [4.0, -16.0, 25.0])
    np.testing.assert_allclose(y, [0, 1 / 2, -3 / 5], rtol=1e-15)
    # 1 − y² = 1, 3/4, 16/25
    np.testing.assert_allclose(dx, [4, -12, 16], rtol=1e-15)


def test_e10_e11_relu_and_its_chain_with_zero_derivative_at_zero(cpu64):
    y, dx = activate(cpu64, ReLU(), [-2.0, 0.0, 3.0, -0.0], [5.0, 6.0, -7.0, 8.0])
    np.testing.assert_array_equal(y, [0, 0, 3, 0])
    np.testing.assert_array_equal(dx, [0, 0, -7, 0])


def test_e6_e7_sigmoid_is_within_four_ulp_of_one_everywhere_and_never_overflows(cpu64):
    x = np.linspace(-30.0, 30.0, 60_001)
    y, dx = activate(cpu64, Sigmoid(), x, np.ones_like(x))
    ulp = np.finfo(float).eps
    assert np.abs(y - expit(x)).max() <= 4 * ulp
    assert np.abs(dx - expit(x) * expit(-x)).max() <= 4 * ulp
    y, dx = activate(cpu64, Sigmoid(), [-1e4, 1e4], [1.0, 1.0])
    np.testing.assert_array_equal(y, [0, 1])
    np.testing.assert_array_equal(dx, [0, 0])


def test_e8_e9_the_derivative_of_tanh_from_its_output_is_within_four_ulp_of_one(cpu64):
    x = np.linspace(-30.0, 30.0, 60_001)
    _, dx = activate(cpu64, Tanh(), x, np.ones_like(x))
    assert np.abs(dx - 1 / np.cosh(x) ** 2).max() <= 4 * np.finfo(float).eps


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_an_activation_may_overwrite_its_input_and_its_cotangent(name, device):
    bk, layer = get_backend(device, "float64"), ACTIVATIONS[name]()
    host = np.array([[-1.5, 0.0, 0.25], [2.0, -0.5, 3.0]])
    assert layer.inplace
    x, dy, tmp = bk.array(host), bk.array(host + 1.0), bk.empty((2, 3))
    y, dx = bk.empty((2, 3)), bk.empty((2, 3))
    layer.forward(bk, None, x, y)
    layer.grad_input(bk, None, x, y, dy, dx, tmp)
    np.testing.assert_array_equal(bk.to_host(dy), host + 1.0)
    np.testing.assert_array_equal(bk.to_host(x), host)
    layer.forward(bk, None, x, x)
    layer.grad_input(bk, None, x, x, dy, dy, tmp)
    np.testing.assert_array_equal(bk.to_host(x), bk.to_host(y))
    np.testing.assert_array_equal(bk.to_host(dy), bk.to_host(dx))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_keeps_any_shape_and_has_no_parameters(name):
    layer = ACTIVATIONS[name]()
    assert layer.infer_shape((4, 3, 2)) == (4, 3, 2)
    assert dict(layer.parameters((4, 3, 2))) == {}


def test_a_dense_layer_declares_its_parameters_and_fans_with_the_inputs_first():
    layer = Dense(4)
    assert layer.infer_shape((3,)) == (4,)
    assert {name: shape for name, (shape, _) in layer.parameters((3,)).items()} == {
        "W": (3, 4),
        "b": (4,),
    }
    assert layer.fans((3,)) == (3, 4)


@pytest.mark.parametrize("shape", [(2, 3), (), (0,)])
def test_a_dense_layer_refuses_rows_that_are_not_vectors(shape):
    with pytest.raises(ConfigError, match="rows of one dimension"):
        Dense(4).infer_shape(shape)


@pytest.mark.parametrize("units", [0, -3])
def test_a_dense_layer_needs_a_unit(units):
    with pytest.raises(ConfigError, match=f"at least 1, not {units}"):
        Dense(units)
