"""E35 to E40: convolutions against SciPy, four loops, PyTorch and the complex step."""

import copy
from itertools import pairwise

import numpy as np
import pytest
from conv_helpers import STEP, Case, cases, four_loops, normal, padding_before
from hypothesis import given
from scipy.signal import correlate2d

from scratchvae.backend import get_backend
from scratchvae.errors import ConfigError
from scratchvae.gradcheck.backends import NaNBackend, PlainBackend
from scratchvae.layers import INITIALIZATIONS, Conv2D, ConvTranspose2D, GlorotUniform

BK, COMPLEX = get_backend("cpu", "float64"), get_backend("cpu", "complex128")
PLACES = {"atol": 1e-12, "rtol": 0}


def kernel_of(case):
    """W as Keras has it: four axes."""
    layer, (rows, last) = case.layer, case.W.shape
    return case.W.reshape(*layer.kernel, rows // (layer.kernel[0] * layer.kernel[1]), last)


def before(case, height, width):
    layer = case.layer
    if layer.padding == "valid":
        return 0, 0
    sizes = zip((height, width), layer.kernel, layer.stride, strict=True)
    return tuple(padding_before(*three) for three in sizes)


def as_correlation(case, x):
    """E35 of x in four loops, with the padding of TensorFlow's documentation."""
    height, width = x.shape[1:3]
    large, small = (case.x, case.dy) if isinstance(case.layer, Conv2D) else (case.dy, case.x)
    assert x.shape[1:] == large.shape[1:]
    return four_loops(
        x, kernel_of(case), case.layer.stride, before(case, height, width), small.shape[1:3]
    )


@pytest.mark.parametrize("kernel", [(3, 3), (2, 4), (5, 1), (1, 1)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_e35_a_convolution_is_scipys_correlation_channel_by_channel(kernel, padding):
    case = Case(Conv2D(3, kernel, 1, padding), (6, 7, 2))
    y, K = case.forward(BK), kernel_of(case)
    for n in range(3):
        for o in range(3):
            planes = [correlate2d(case.x[n, :, :, c], K[:, :, c, o], "full") for c in range(2)]
            whole = sum(planes) + case.b[o]
            # The full correlation begins kernel − 1 pixels before the image.
            top, left = (
                (k - 1) // 2 if padding == "same" else 0 for k in kernel
            )  # zeros before the image
            rows = slice(kernel[0] - 1 - top, kernel[0] - 1 - top + y.shape[1])
            columns = slice(kernel[1] - 1 - left, kernel[1] - 1 - left + y.shape[2])
            np.testing.assert_allclose(y[n, :, :, o], whole[rows, columns], **PLACES)


@given(cases(kinds=(Conv2D,)))
def test_e35_any_convolution_is_four_loops_with_the_padding_of_tensorflow(case):
    expected = as_correlation(case, case.x) + case.b
    np.testing.assert_allclose(case.forward(BK), expected, **PLACES)
    if case.layer.padding == "same":
        sizes = zip(case.x.shape[1:3], case.layer.stride, strict=True)
        assert case.out[:2] == tuple(-(-size // stride) for size, stride in sizes)


@given(cases(kinds=(ConvTranspose2D,)))
def test_e38_a_transposed_convolution_is_the_adjoint_of_a_convolution(case):
    linear = case.forward(BK) - case.b
    back = as_correlation(case, case.dy)
    assert np.sum(linear * case.dy) == pytest.approx(np.sum(case.x * back), abs=1e-11)
    if case.layer.padding == "same":
        sizes = zip(case.x.shape[1:3], case.layer.stride, strict=True)
        assert case.out[:2] == tuple(size * stride for size, stride in sizes)


@given(cases(kinds=(ConvTranspose2D,)))
def test_e39_the_chain_of_a_transposed_convolution_is_a_convolution(case):
    np.testing.assert_allclose(case.backward(BK)[0], as_correlation(case, case.dy), **PLACES)


@given(cases())
def test_e36_e39_the_chain_is_the_adjoint_of_forward(case):
    dx = case.backward(BK)[0]
    linear = case.forward(BK) - case.b
    assert np.sum(linear * case.dy) == pytest.approx(np.sum(case.x * dx), abs=1e-11)


@given(cases())
def test_e37_e40_the_parameter_gradient_is_the_adjoint_of_forward_in_the_parameters(case):
    _, dW, db = case.backward(BK)
    W, b = normal(case.W.shape, 77), normal(case.b.shape, 78)
    moved = case.forward(BK, W=W, b=b)
    found = np.sum(dW * W) + np.sum(db * b)
    assert found == pytest.approx(np.sum(moved * case.dy), abs=1e-11)


LAYERS = {
    "conv, stride 1": (Conv2D(3, (2, 3)), (4, 5, 2)),
    "conv, strides": (Conv2D(2, (3, 2), (2, 3)), (5, 4, 3)),
    "conv to one channel": (Conv2D(1, 3), (4, 3, 5)),
    "conv to one channel, stride": (Conv2D(1, 2, (1, 2), "valid"), (3, 4, 9)),
    "conv, stride beyond the kernel": (Conv2D(2, 1, 3), (5, 4, 2)),
    "transposed, stride 1": (ConvTranspose2D(2, (2, 3)), (3, 2, 4)),
    "transposed, strides": (ConvTranspose2D(3, (3, 4), (2, 3)), (3, 2, 2)),
    "transposed, from one channel": (ConvTranspose2D(5, 3, (2, 1)), (2, 3, 1)),
    "transposed, valid": (ConvTranspose2D(2, (1, 3), (2, 2), "valid"), (2, 3, 3)),
}
each_layer = pytest.mark.parametrize(("layer", "shape"), LAYERS.values(), ids=LAYERS)


@each_layer
@pytest.mark.parametrize("rows", [1, 3])
def test_e36_e37_e39_e40_every_gradient_is_the_complex_steps(layer, shape, rows):
    case = Case(copy.copy(layer), shape, rows)
    for name, found in zip("xWb", case.backward(BK), strict=True):
        at = getattr(case, name).astype(complex)
        slope = np.empty(at.shape)
        for index in np.ndindex(at.shape):
            at[index] += 1j * STEP
            slope[index] = np.sum(case.forward(COMPLEX, **{name: at}).imag * case.dy) / STEP
            at[index] = at[index].real
        scale = np.linalg.norm(slope)
        assert np.linalg.norm(found - slope) <= 1e-14 * scale, name


@each_layer
@pytest.mark.parametrize("device", ["strict", "plain", "nan"])
def test_every_backend_computes_the_same(layer, shape, device):
    bk = {"strict": lambda: get_backend("strict", "float64"), "plain": PlainBackend,
          "nan": NaNBackend}[device]()  # fmt: skip
    case = Case(copy.copy(layer), shape)
    np.testing.assert_allclose(case.forward(bk), case.forward(BK), **PLACES)
    for found, expected in zip(case.backward(bk), case.backward(BK), strict=True):
        np.testing.assert_allclose(found, expected, **PLACES)


@given(cases())
def test_blocks_of_one_image_give_what_one_block_gives(case):
    blocks = get_backend("cpu", "float64")
    blocks.block_size = 1
    np.testing.assert_allclose(case.forward(blocks), case.forward(BK), **PLACES)
    for found, expected in zip(case.backward(blocks), case.backward(BK), strict=True):
        np.testing.assert_allclose(found, expected, **PLACES)


MANY_CHANNELS = (
    Case(Conv2D(1, (2, 3)), (4, 5, 9), rows=5),
    Case(Conv2D(2, 3, (1, 2), "valid"), (5, 6, 16), rows=5),
    Case(Conv2D(1, (2, 3), (2, 1), "valid"), (7, 5, 9), rows=5),
    Case(ConvTranspose2D(9, (2, 3)), (4, 5, 1), rows=5),
)


@pytest.mark.parametrize("block", [1, 2**11, 2**20])
@pytest.mark.parametrize("case", MANY_CHANNELS, ids=lambda case: repr(case.layer))
def test_e35_to_e40_a_correlation_that_multiplies_first_is_four_loops_block_by_block(case, block):
    blocks = get_backend("cpu", "float64")
    blocks.block_size = block
    assert case.layer.correlation(case.x.shape[1:]).products_first
    large, small = (case.x, case.dy) if isinstance(case.layer, Conv2D) else (case.dy, case.x)
    found = case.forward(blocks) if large is case.x else case.backward(blocks)[0]
    expected = as_correlation(case, large) + (case.b if large is case.x else 0)
    np.testing.assert_allclose(found, expected, **PLACES)
    # ⟨small, big ∗ K⟩ is linear in K: its derivative is its value at every unit kernel.
    dW, size = case.backward(blocks)[1], kernel_of(case).shape
    for index in ((0, 0, 0, 0), (1, 2, 3, 0), (size[0] - 1, 0, size[2] - 1, size[3] - 1)):
        unit = np.zeros(size)
        unit[index] = 1.0
        corner, out = before(case, *large.shape[1:3]), small.shape[1:3]
        slope = np.sum(small * four_loops(large, unit, case.layer.stride, corner, out))
        np.testing.assert_allclose(dW.reshape(size)[index], slope, rtol=1e-12)


@pytest.mark.parametrize("case", MANY_CHANNELS, ids=lambda case: repr(case.layer))
def test_e37_e40_a_share_of_the_rows_of_w_writes_no_other_rows(case):
    whole, share = case.backward(BK)[1], slice(2, len(case.W) - 1)
    found = case.backward(BK, [share])[1]
    np.testing.assert_array_equal(found[share], whole[share])
    assert np.isnan(np.delete(found, share, axis=0)).all()


@pytest.mark.parametrize(
    ("channels", "stride", "n_in", "first"),
    [(1, 1, 4, True), (1, 1, 3, False), (2, 1, 8, True), (2, 1, 7, False), (1, (1, 2), 8, True),
     (1, (1, 2), 7, False), (1, (2, 1), 8, True), (1, (2, 1), 7, False), (1, 2, 15, False)],
)  # fmt: skip
def test_it_multiplies_first_from_four_times_as_many_channels_on(channels, stride, n_in, first):
    layer = Conv2D(channels, 3, stride)
    assert layer.correlation((6, 6, n_in)).products_first is first


@pytest.mark.parametrize("kernel", [1, (2, 1), (1, 3)])
def test_e38_no_tap_reaches_the_pixels_of_a_stride_beyond_its_kernel(kernel):
    case = Case(ConvTranspose2D(2, kernel, (3, 4), "valid"), (2, 3, 3))
    y = np.zeros((len(case.x), *case.out)) + case.b
    K = kernel_of(case)
    for p, q in np.ndindex(2, 3):
        for i, j in np.ndindex(*K.shape[:2]):
            y[:, 3 * p + i, 4 * q + j] += case.x[:, p, q] @ K[i, j].T
    assert case.out == (6, 12, 2)
    np.testing.assert_allclose(case.forward(NaNBackend()), y, **PLACES)


@given(cases())
def test_e37_e40_shares_of_the_rows_of_w_make_up_the_whole_gradient(case):
    rows = len(case.W)
    cuts = [0, *sorted({rows // 3, rows // 2, rows}), rows]
    shares = [slice(a, b) for a, b in pairwise(cuts) if a < b]
    for found, expected in zip(case.backward(BK, shares), case.backward(BK), strict=True):
        np.testing.assert_allclose(found, expected, **PLACES)


@each_layer
def test_twice_the_same_gives_the_same_bits_and_float32_is_close(layer, shape):
    case = Case(copy.copy(layer), shape)
    first = (case.forward(BK), *case.backward(BK))
    for a, b in zip(first, (case.forward(BK), *case.backward(BK)), strict=True):
        np.testing.assert_array_equal(a, b)
    single = get_backend("cpu", "float32")
    for a, b in zip(first, (case.forward(single), *case.backward(single)), strict=True):
        assert b.dtype == np.float32
        assert np.linalg.norm(a - b) <= 1e-6 * np.linalg.norm(a)


@given(cases())
def test_e35_e36_e37_e38_e39_e40_agree_with_pytorch(case):
    torch = pytest.importorskip("torch")
    layer, f = case.layer, torch.nn.functional
    x = torch.tensor(case.x.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    K = torch.tensor(kernel_of(case).transpose(3, 2, 0, 1).copy(), requires_grad=True)
    b = torch.tensor(case.b, requires_grad=True)
    height, width = case.out[:2]
    if isinstance(layer, Conv2D):
        (top, left), sizes = before(case, *case.x.shape[1:3]), case.x.shape[1:3]
        reach = [(n - 1) * s + k for n, s, k in zip(
            case.out[:2], layer.stride, layer.kernel, strict=True
        )]  # fmt: skip
        below, right = (max(0, r - n - t) for r, n, t in zip(
            reach, sizes, (top, left), strict=True
        ))  # fmt: skip
        y = f.conv2d(f.pad(x, (left, right, top, below)), K, b, layer.stride)
    else:
        top, left = before(case, height, width)
        whole = f.conv_transpose2d(x, K, None, layer.stride)
        whole = f.pad(whole, (0, max(0, left + width - whole.shape[3]),
                              0, max(0, top + height - whole.shape[2])))  # fmt: skip
        y = whole[:, :, top : top + height, left : left + width] + b[:, None, None]
    y.backward(torch.tensor(case.dy.transpose(0, 3, 1, 2)))
    dK = K.grad.numpy().transpose(2, 3, 1, 0).reshape(case.W.shape)
    dx, dW, db = case.backward(BK)
    np.testing.assert_allclose(case.forward(BK), y.detach().numpy().transpose(0, 2, 3, 1), **PLACES)
    np.testing.assert_allclose(dx, x.grad.numpy().transpose(0, 2, 3, 1), **PLACES)
    np.testing.assert_allclose(dW, dK, **PLACES)
    np.testing.assert_allclose(db, b.grad.numpy(), **PLACES)


@pytest.mark.parametrize("kind", [Conv2D, ConvTranspose2D])
def test_parameters_and_fans_are_those_of_keras(kind):
    layer = kind(5, (3, 2), 2)
    channels = (7, 5) if kind is Conv2D else (5, 7)
    parameters = layer.parameters((6, 4, 7))
    assert parameters["W"][0] == (3 * 2 * channels[0], channels[1])
    assert parameters["b"][0] == (5,)
    assert parameters["W"][1] == GlorotUniform()
    assert layer.fans((6, 4, 7)) == (3 * 2 * channels[0], 3 * 2 * channels[1])
    assert kind(5, init=INITIALIZATIONS["he"]).init is INITIALIZATIONS["he"]
    assert layer.uses_per_row((6, 4, 7)) == (6 // 2 * 4 // 2 if kind is Conv2D else 6 * 4)


@pytest.mark.parametrize("kind", [Conv2D, ConvTranspose2D])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((0,), "at least 1, not 0"),
        ((2.5,), "at least 1, not 2.5"),
        ((3, 0), "kernel must be a whole number of at least 1, or a pair of them, not 0"),
        ((3, (3, 3, 3)), "kernel must be a whole number"),
        ((3, (3, -1)), r"kernel must be .* not \(3, -1\)"),
        ((3, 3, 0), "stride must be a whole number of at least 1"),
        ((3, 3, 1.5), "stride must be .* not 1.5"),
        ((3, 3, True), "stride must be .* not True"),
        ((3, 3, 1, "full"), "padding 'full' is not one of same, valid"),
    ],
)
def test_settings_that_cannot_be_are_refused(kind, settings, message):
    with pytest.raises(ConfigError, match=message):
        kind(*settings)


@pytest.mark.parametrize("kind", [Conv2D, ConvTranspose2D])
@pytest.mark.parametrize("shape", [(784,), (28, 28), (28, 0, 1), (2, 3, 4, 5)])
def test_rows_that_are_no_images_are_refused_with_a_way_out(kind, shape):
    with pytest.raises(
        ConfigError, match=r"rows of the shape \(height, width, channels\).*Reshape"
    ):
        kind(3).infer_shape(shape)


def test_a_kernel_larger_than_the_image_is_refused_without_padding():
    with pytest.raises(ConfigError, match="kernel of 4 does not fit into 3 pixels"):
        Conv2D(2, (2, 4), padding="valid").infer_shape((5, 3, 1))
    assert Conv2D(2, (2, 4)).infer_shape((5, 3, 1)) == (5, 3, 2)


def test_layers_say_what_they_are():
    assert repr(Conv2D(32)) == "Conv2D(32, 3×3, stride 1×1, same)"
    assert repr(ConvTranspose2D(8, (3, 5), 2, "valid")) == (
        "ConvTranspose2D(8, 3×5, stride 2×2, valid)"
    )
