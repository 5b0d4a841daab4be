"""Convolutions, reshapes and the operation beneath them on numbers that one can check by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchvae.backend import get_backend
from scratchvae.backend.base import Backend
from scratchvae.errors import ConfigError
from scratchvae.layers import Conv2D, ConvTranspose2D, Dense, Flatten, ReLU, Reshape, Sequential
from scratchvae.memory import FlatBuffer, Layout, Workspace

# One image, one channel, and a kernel of two rows and three columns:
#     x = 1 2 3 4        K = 1 0 −1        dy = 1 0
#         0 1 0 2            2 1  0             0 2
#         5 0 1 0
X = np.array([[1.0, 2, 3, 4], [0, 1, 0, 2], [5, 0, 1, 0]]).reshape(1, 3, 4, 1)
K = np.array([[1.0, 0, -1], [2, 1, 0]]).reshape(6, 1)


def run(layer, x, W, b, dy=None):
    bk = get_backend("cpu", "float64")
    out = layer.infer_shape(x.shape[1:])
    y, p = np.full((1, *out), np.nan), SimpleNamespace(W=W, b=b)
    layer.forward(bk, p, x, y)
    if dy is None:
        return y
    dx, g = np.full(x.shape, np.nan), SimpleNamespace(W=np.empty_like(W), b=np.empty_like(b))
    layer.grad_input(bk, p, x, y, dy, dx, None)
    layer.grad_params(bk, x, dy, g)
    return y, dx, g


def test_e35_without_padding_every_output_is_one_window_times_the_kernel():
    y = run(Conv2D(1, (2, 3), 1, "valid"), X, K, np.array([10.0]))
    # 1 − 3 + 0 + 1 = −1;  2 − 4 + 2·1 + 0 = 0;  0 − 0 + 2·5 + 0 = 10;  1 − 2 + 0 + 1 = 0
    np.testing.assert_array_equal(y[0, :, :, 0], [[9, 10], [20, 10]])


def test_e35_same_padding_of_an_even_kernel_puts_the_larger_half_at_the_end():
    y = run(Conv2D(1, (2, 3)), X, K, np.zeros(1))
    # Two rows: none before, one after. Three columns: one before, one after.
    # Row 0: −2 + 0 = −2;  −2 + 1 = −1;  −2 + 2 = 0;  3 + 0 + 2 = 5
    # Row 1: −1 + 5 = 4;  0 + 10 + 0 = 10;  −1 + 0 + 1 = 0;  0 + 2 + 0 = 2
    # Row 2: −0 = 0;  5 − 1 = 4;  0 − 0 = 0;  1 = 1
    np.testing.assert_array_equal(y[0, :, :, 0], [[-2, -1, 0, 5], [4, 10, 0, 2], [0, 4, 0, 1]])


def test_e35_with_a_stride_the_padding_is_what_the_last_window_lacks():
    y = run(Conv2D(1, (2, 3), 2), X, K, np.zeros(1))
    # Height 3, stride 2: outputs 2, (2 − 1)·2 + 2 − 3 = 1 row after. Width 4: 1 column after.
    # 1 − 3 + 0 + 1;  3 − 0 + 0 + 2;  5 − 1;  1 − 0
    np.testing.assert_array_equal(y[0, :, :, 0], [[-1, 5], [4, 1]])


def test_e36_e37_a_pixel_collects_from_the_windows_it_is_in():
    dy = np.array([[1.0, 0], [0, 2]]).reshape(1, 2, 2, 1)
    _, dx, g = run(Conv2D(1, (2, 3), 1, "valid"), X, K, np.zeros(1), dy)
    # The kernel at the upper left once, at the lower right twice.
    np.testing.assert_array_equal(dx[0, :, :, 0], [[1, 0, -1, 0], [2, 3, 0, -2], [0, 4, 2, 0]])
    # dK = (1 2 3; 0 1 0) + 2 (1 0 2; 0 1 0)
    np.testing.assert_array_equal(g.W.reshape(2, 3), [[3, 2, 7], [0, 3, 0]])
    np.testing.assert_array_equal(g.b, [3])


def test_e38_e39_e40_a_transposed_convolution_lays_the_kernel_down_at_every_pixel():
    x = np.array([[1.0, 2]]).reshape(1, 1, 2, 1)
    dy = np.arange(8.0).reshape(1, 2, 4, 1)
    y, dx, g = run(ConvTranspose2D(1, (2, 3), 2), x, K, np.array([5.0]), dy)
    # Kernel 3, stride 2: one column of padding, all of it after. K at column 0, 2K at column 2.
    np.testing.assert_array_equal(y[0, :, :, 0], 5 + np.array([[1, 0, 1, 0], [2, 1, 4, 2]]))
    # dy = 0 1 2 3; 4 5 6 7:  0 − 2 + 8 + 5 = 11;  2 − 0 + 12 + 7 = 21
    np.testing.assert_array_equal(dx[0, 0, :, 0], [11, 21])
    # dK = (0 1 2; 4 5 6) + 2 (2 3 0; 6 7 0)
    np.testing.assert_array_equal(g.W.reshape(2, 3), [[4, 7, 2], [16, 19, 6]])
    np.testing.assert_array_equal(g.b, [28])


def test_e35_channels_are_added_up_and_each_output_has_its_own_bias():
    x = np.array([2.0, 3]).reshape(1, 1, 1, 2)
    y = run(Conv2D(3, 1), x, np.array([[1.0, 10, 100], [2, 20, 200]]), np.array([0.5, 0, -1]))
    np.testing.assert_array_equal(y[0, 0, 0], [8.5, 80, 799])


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
@given(data=st.data())
def test_e35_the_fast_windows_are_the_plain_ones(dtype, data):
    bk = get_backend("cpu", dtype)
    n, h, w, kh, kw, c = data.draw(st.tuples(*[st.integers(1, 4)] * 5, st.sampled_from([1, 5, 17])))
    s, r = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    shape = (n, (h - 1) * s + kh, (w - 1) * r + kw + 1, c)
    x = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    found = []
    for windows in (bk.windows, lambda *a: Backend.windows(bk, *a)):
        out = bk.empty((n, h, w, kh, kw, c))
        out.fill(np.nan)
        windows(x, (s, r), out)
        windows(x[:, :, :-1], (s, r), out)  # of a view, too
        found.append(out)
    np.testing.assert_array_equal(found[0], found[1])


def test_reshape_and_flatten_say_the_same_numbers_in_another_shape(cpu64):
    x = np.arange(24.0).reshape(2, 12)
    layer = Reshape((2, 3, 2))
    assert layer.infer_shape((12,)) == (2, 3, 2)
    y, back = np.empty((2, 2, 3, 2)), np.empty((2, 12))
    layer.forward(cpu64, None, x, y)
    np.testing.assert_array_equal(y[1, 0], [[12, 13], [14, 15], [16, 17]])
    layer.grad_input(cpu64, None, x, y, y, back, None)
    np.testing.assert_array_equal(back, x)
    assert Flatten().infer_shape((2, 3, 2)) == (12,)
    assert (repr(layer), repr(Flatten())) == ("Reshape(2, 3, 2)", "Flatten()")


@pytest.mark.parametrize("shape", [(), (0, 3), (2.0, 6), (-1, 12)])
def test_a_shape_of_nothing_is_refused(shape):
    with pytest.raises(ConfigError, match="whole numbers of at least 1"):
        Reshape(shape)


def test_a_shape_with_another_number_of_elements_is_refused():
    with pytest.raises(ConfigError, match=r"12 numbers, which cannot become \(5, 2\) with 10"):
        Reshape((5, 2)).infer_shape((12,))


def bound(layers, rows=2, inputs=12, dtype="float64"):
    bk = get_backend("cpu", dtype)
    net = Sequential(*layers)
    layout = Layout({f"f.{p.name}": p.shape for p in net.parameters((inputs,))})
    params, grads, workspace = FlatBuffer(bk, layout), FlatBuffer(bk, layout), Workspace(bk, rows)
    params.flat[...] = np.linspace(-1, 1, layout.padded_size)
    x, dx = workspace.buffer("x", inputs), workspace.buffer("dx", inputs)
    x[...] = np.linspace(-1, 2, x.size).reshape(x.shape)
    return net.bind(workspace, "f", x, dx, params, grads)


def test_in_a_sequential_a_reshape_moves_nothing():
    net = bound((Dense(12), Reshape((2, 3, 2)), ReLU(), Flatten(), Dense(3)))
    dense, reshape, relu, flatten, last = net.layers
    net.forward()
    assert np.shares_memory(reshape.y, dense.y)
    assert relu.y is relu.x  # in place, as after the dense layer itself
    assert np.shares_memory(last.x, dense.y)
    assert np.shares_memory(dense.dy, last.dx)
    assert flatten.dx is flatten.dy
    assert reshape.y.shape == (2, 2, 3, 2)


def test_a_reshape_in_front_never_lets_the_callers_images_be_overwritten():
    net = bound((Reshape((3, 4)), ReLU(), Flatten(), ReLU()))
    before = net.x.copy()
    net.forward()
    np.testing.assert_array_equal(net.x, before)
    np.testing.assert_array_equal(net.y, np.maximum(before, 0))
    net.dy[...] = 2.0
    net.grad_inputs()
    np.testing.assert_array_equal(net.dx, 2.0 * (before > 0))


def test_a_reshape_alone_hands_its_gradient_to_the_caller():
    net = bound((Reshape((3, 4)),))
    net.forward()
    assert np.shares_memory(net.y, net.x)
    net.dy[...] = np.arange(24.0).reshape(2, 3, 4)
    net.grad_inputs()
    np.testing.assert_array_equal(net.dx, np.arange(24.0).reshape(2, 12))
    assert net.x.shape == net.dx.shape == (2, 12)


def test_an_output_that_is_read_again_survives_through_a_reshape():
    net = bound((ReLU(), Flatten(), ReLU()))
    first, _, last = net.layers
    assert not np.shares_memory(first.y, last.y)
