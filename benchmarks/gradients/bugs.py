"""Bugs that were reported in public, each written anew in NumPy from its description alone.

The forward pass is right and the backward pass has the reported fault; where the fault was in the
forward pass, the backward pass is that of the right one. Points and sizes are those of
the report where it names them, otherwise what a test would take.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from benchmarks.gradients.case import Case, normal, softmax

GITHUB = "https://github.com/"
BUGS: list[Case] = []
X, W = normal(5, 4), normal(4, 3, seed=1)
LABELS = np.array([0, 2, 1, 2, 0])
ONE_HOT = np.eye(3)[LABELS]
TABLE, INDEX = normal(6, 2, seed=2), np.array([0, 3, 3, 5])
BATCH = normal(8, 3, seed=3)


def bug(
    name: str, source: str, f: Callable[..., Any], *arguments: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The decorated backward pass is the one that was reported to be wrong."""

    def add(vjp: Callable[..., Any]) -> Callable[..., Any]:
        BUGS.append(Case(name, f, vjp, arguments, GITHUB + source))
        return vjp

    return add


# Linear algebra ----------------------------------------------------------------------------------


@bug("matrix times vector: .T does nothing in one dimension", "harvard-edge/cs249r_book/pull/1781",
     lambda a, b: a @ b, normal(4, 4), normal(4, seed=1))  # fmt: skip
def matmul_of_a_vector(a: NDArray, b: NDArray, dy: NDArray) -> Any:
    return np.broadcast_to(dy @ b.T, a.shape).copy(), a.T @ dy


@bug("broadcast addition: the gradient keeps the larger shape", "deeplearning4j/nd4j/issues/2424",
     lambda x, b: x + b, normal(3, 4), normal(1, 4, seed=1))  # fmt: skip
def broadcast_addition(x: NDArray, b: NDArray, dy: NDArray) -> Any:
    return dy, dy


@bug("mean over an axis: one incoming gradient for all", "facebookresearch/shumai/issues/74",
     lambda x: x.mean(axis=0), normal(2, 3))  # fmt: skip
def mean_over_an_axis(x: NDArray, dy: NDArray) -> Any:
    return np.full(x.shape, dy.flat[0] / len(x))


@bug("log-determinant of an inverse: the sign", "danielward27/flowjax/issues/208",
     lambda w: -np.linalg.slogdet(w)[1], normal(3, 3) + 2 * np.eye(3))  # fmt: skip
def log_determinant(w: NDArray, dy: float) -> Any:
    return dy * np.linalg.inv(w).T


@bug("norm at zero: NaN", "pytorch/pytorch/issues/2421", np.linalg.norm, np.zeros(3))
def norm_at_zero(x: NDArray, dy: float) -> Any:
    return dy * x / np.linalg.norm(x)


@bug("cumulative product: zeros", "tensorflow/tensorflow/issues/119430",
     np.cumprod, np.array([2.0, 3.0, 0.0]))  # fmt: skip
def cumulative_product(x: NDArray, dy: NDArray) -> Any:
    g = np.cumsum((dy * np.cumprod(x))[::-1])[::-1] / x
    return np.where(np.isnan(g), 0.0, g)


@bug("product: 0 / 0 at a zero", "tinygrad/tinygrad/pull/17404", np.prod, np.array([0.0, 2.0, 3.0]))
def product_at_zero(x: NDArray, dy: float) -> Any:
    return dy * np.prod(x) / x


# Losses ------------------------------------------------------------------------------------------


def cross_entropies(a: NDArray) -> NDArray:
    return -np.log(softmax(a))[np.arange(len(a)), LABELS[: len(a)]]


@bug("cross-entropy: a mean differentiated as a sum", "tensorflow/swift-apis/pull/42",
     lambda a: np.mean(cross_entropies(a)), normal(5, 3))  # fmt: skip
def mean_as_a_sum(a: NDArray, dy: float) -> Any:
    return dy * (softmax(a) - ONE_HOT)


@bug("cross-entropy: a sum differentiated as a mean", "paiml/aprender/pull/2182",
     lambda a: np.sum(cross_entropies(a)), normal(5, 3))  # fmt: skip
def sum_as_a_mean(a: NDArray, dy: float) -> Any:
    return dy * (softmax(a) - ONE_HOT) / len(a)


@bug("softmax loss: divided by all elements", "victorlempitsky/Mate/issues/2",
     lambda a: np.sum(cross_entropies(a)) / len(a), normal(5, 3))  # fmt: skip
def divided_by_all_elements(a: NDArray, dy: float) -> Any:
    return dy * (softmax(a) - ONE_HOT) / a.size


@bug("softmax: off by a factor of two", "markroxor/fromscratchtoml/issues/65",
     softmax, normal(5, 3))  # fmt: skip
def softmax_twice(a: NDArray, dy: NDArray) -> Any:
    y = softmax(a)
    return 2 * y * (dy - np.sum(dy * y, axis=-1, keepdims=True))


@bug(
    "center loss: not divided by the batch",
    "jxgu1016/MNIST_center_loss_pytorch/issues/9",
    lambda x, c: np.sum((x - c[LABELS]) ** 2) / 2 / len(x),
    normal(5, 2),
    normal(3, 2, seed=1),
)
def center_loss(x: NDArray, c: NDArray, dy: float) -> Any:
    difference = x - c[LABELS]
    dc = np.zeros_like(c)
    np.add.at(dc, LABELS, -dy * difference / len(x))
    return dy * difference, dc


def gaussian_kl(mu: NDArray, logvar: NDArray) -> Any:
    return 0.5 * np.sum(np.exp(logvar) + mu**2 - 1 - logvar)


@bug("KL of a Gaussian: ½ lost before the log variance",
     "KarenUllrich/Tutorial_BayesianCompressionForDL/issues/8",
     gaussian_kl, normal(5, 2), normal(5, 2, seed=1))  # fmt: skip
def kl_without_a_half(mu: NDArray, logvar: NDArray, dy: float) -> Any:
    return dy * mu, dy * (0.5 * np.exp(logvar) - 1.0)


@bug("KL of a Gaussian: exp(log σ) not squared", "DaehanKim/vgae_pytorch/issues/2",
     lambda mu, s: 0.5 * np.sum(np.exp(2 * s) + mu**2 - 1 - 2 * s),
     normal(5, 2), normal(5, 2, seed=1))  # fmt: skip
def kl_without_a_square(mu: NDArray, s: NDArray, dy: float) -> Any:
    return dy * mu, dy * (np.exp(s) - 1.0)


@bug("KL of a categorical: the sign", "Kaixhin/Autoencoders/issues/9",
     lambda a: np.sum(softmax(a) * np.log(3 * softmax(a))), normal(5, 3))  # fmt: skip
def kl_of_a_categorical(a: NDArray, dy: float) -> Any:
    p = softmax(a)
    inner = np.log(3 * p) + 1
    return -dy * p * (inner - np.sum(p * inner, axis=-1, keepdims=True))


@bug("weight decay: the sign", "andersbll/nnet/issues/4",
     lambda w: np.sum((X @ w) ** 2) / 2 + 0.05 * np.sum(w**2), W)  # fmt: skip
def weight_decay_sign(w: NDArray, dy: float) -> Any:
    return dy * (X.T @ (X @ w) - 0.1 * w)


@bug("weight decay: takes the place of the gradient", "open-nudge/torchlayers/issues/18",
     lambda w: np.sum((X @ w) ** 2) / 2 + 0.05 * np.sum(w**2), W)  # fmt: skip
def weight_decay_alone(w: NDArray, dy: float) -> Any:
    return dy * 0.1 * w


@bug("weight decay: the factor 2", "titu1994/DenseNet/issues/57",
     lambda w: 1e-4 * np.sum(w**2), W)  # fmt: skip
def weight_decay_factor(w: NDArray, dy: float) -> Any:
    return dy * 1e-4 * w


@bug("second derivative of KL: none for the target", "pytorch/pytorch/issues/65466",
     lambda dy, target: -target * dy / 3, normal(3), softmax(normal(3, seed=1)))  # fmt: skip
def double_backward_of_kl(dy: NDArray, target: NDArray, ddx: NDArray) -> Any:
    return -target * ddx / 3, np.zeros_like(target)


# Activations -------------------------------------------------------------------------------------


@bug("tanh: its derivative is tanh", "andersbll/nnet/issues/4", np.tanh, normal(6))
def tanh_for_its_derivative(x: NDArray, dy: NDArray) -> Any:
    return dy * (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1)


@bug("arctanh: NaN where the incoming gradient is zero", "tenstorrent/tt-metal/issues/55290",
     np.arctanh, normal(6) / 4)  # fmt: skip
def arctanh_without_incoming(x: NDArray, dy: NDArray) -> Any:
    return np.where(dy == 0, np.nan, dy / (1 - x * x))


@bug("arctanh near 1: 1 − x² in single precision", "Oneflow-Inc/oneflow/issues/9089",
     np.arctanh, np.array([0.99983, -0.25, -0.9998]))  # fmt: skip
def arctanh_in_single(x: NDArray, dy: NDArray) -> Any:
    short = x.astype(np.float32)
    return dy / ((1 - short) * (1 + short)).astype(np.float64)


def elu(alpha: float) -> Callable[[NDArray], NDArray]:
    return lambda x: np.where(x > 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1))


@bug("ELU: the branch is read off the output, α < 0", "pytorch/pytorch/issues/47671",
     elu(-2.0), np.array([-2.0, -1.0, 0.5, 1.0, 2.0]))  # fmt: skip
def elu_by_its_output(x: NDArray, dy: NDArray) -> Any:
    y = elu(-2.0)(x)
    return dy * np.where(y <= 0, y - 2.0, 1.0)


@bug("ELU: input taken for output", "mlpack/mlpack/pull/1540", elu(0.7), normal(6))
def elu_of_the_input(x: NDArray, dy: NDArray) -> Any:
    return dy * np.where(x > 0, 1.0, x + 0.7)


@bug("leaky ReLU: α is not used", "deeplearning4j/deeplearning4j/issues/8178",
     lambda x: np.where(x > 0, x, 0.2 * x), normal(6))  # fmt: skip
def leaky_relu_without_alpha(x: NDArray, dy: NDArray) -> Any:
    return dy * np.where(x > 0, 1.0, 0.01)


@bug("leaky ReLU: the mask is read off the output, α < 0", "tracel-ai/burn/pull/1208",
     lambda x: np.where(x > 0, x, -0.2 * x), normal(6))  # fmt: skip
def leaky_relu_by_its_output(x: NDArray, dy: NDArray) -> Any:
    return dy * np.where(np.where(x > 0, x, -0.2 * x) < 0, -0.2, 1.0)


@bug("identity: backward adds to what it was handed", "pytorch/pytorch/issues/81417",
     lambda x: 1.0 * x, normal(2, 4))  # fmt: skip
def overwrites_the_cotangent(x: NDArray, dy: NDArray) -> Any:
    g = dy.copy()
    dy += 1
    return g


# Normalization -----------------------------------------------------------------------------------


def batch_norm(x: NDArray) -> NDArray:
    return np.asarray((x - x.mean(0)) / np.sqrt(((x - x.mean(0)) ** 2).mean(0) + 1e-5))


@bug("batch norm: a term missing that a cotangent of ones hides", "mlpack/mlpack/pull/1930",
     batch_norm, BATCH)  # fmt: skip
def batch_norm_without_a_term(x: NDArray, dy: NDArray) -> Any:
    return (dy - dy.mean(0)) / np.sqrt(x.var(0) + 1e-5)


@bug("layer norm: the inverse deviation inverted again", "ooples/AiDotNet.Tensors/pull/784",
     lambda x: batch_norm(x.T).T, BATCH)  # fmt: skip
def layer_norm_inverted_twice(x: NDArray, dy: NDArray) -> Any:
    saved = 1 / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    inverse = 1 / np.sqrt(saved + 1e-5)  # saved was taken for the variance
    h = (x - x.mean(1, keepdims=True)) * inverse
    inner = dy - dy.mean(1, keepdims=True) - h * (dy * h).mean(1, keepdims=True)
    return inner * inverse


# Indices -----------------------------------------------------------------------------------------


@bug("indexing: only the last of repeated entries counts", "pytorch/pytorch/issues/1528",
     lambda table, index: table[index], TABLE, INDEX)  # fmt: skip
def repeated_indices(table: NDArray, index: NDArray, dy: NDArray) -> Any:
    g = np.zeros_like(table)
    g[index] = dy
    return g, None


@bug("gather: its own adjoint", "ooples/AiDotNet.Tensors/pull/894",
     lambda table, index: table[index], TABLE, INDEX)  # fmt: skip
def gather_for_scatter(table: NDArray, index: NDArray, dy: NDArray) -> Any:
    at = np.resize(index, len(table))
    return dy[at % len(dy)], None


@bug("packed segments: rows that are never written", "pytorch/FBGEMM/pull/5754",
     lambda x: x[:3] * 2.0, normal(5, 2))  # fmt: skip
def rows_never_written(x: NDArray, dy: NDArray) -> Any:
    g = np.full(x.shape, 0.7)  # what the memory held before
    g[:3] = 2.0 * dy
    return g


# Pooling and convolution -------------------------------------------------------------------------


@bug(
    "average pooling: the last window is shorter",
    "pytorch/pytorch/issues/198119",
    lambda x: np.array([x[:3].mean(), x[3:6].mean(), x[6:].mean()], x.dtype),
    normal(8),
)
def average_pooling(x: NDArray, dy: NDArray) -> Any:
    return np.repeat(dy, 3)[:8] / 3


@bug("max pooling: overlapping windows are assigned, not added", "FluxML/NNlib.jl/issues/205",
     lambda x: sliding_window_view(x, 2).max(-1), np.array([0.3, 1.2, 0.4, -0.5, 0.9]))  # fmt: skip
def overlapping_windows(x: NDArray, dy: NDArray) -> Any:
    g = np.zeros_like(x)
    g[np.arange(4) + sliding_window_view(x, 2).argmax(-1)] = dy
    return g


@bug("max: every one of several greatest gets all", "Theano/Theano/issues/5248",
     lambda x: x.reshape(2, 3).max(1), np.array([1.0, 2.0, 2.0, 0.0, 0.0, 0.0]))  # fmt: skip
def ties_get_all(x: NDArray, dy: NDArray) -> Any:
    rows = x.reshape(2, 3)
    return ((rows == rows.max(1, keepdims=True)) * dy[:, None]).reshape(-1)


@bug("max: what is nearly the greatest counts", "mni-ml/framework/pull/22",
     lambda x: x.max(), np.array([0.1, 0.995, 1.0, -0.3]))  # fmt: skip
def nearly_greatest(x: NDArray, dy: float) -> Any:
    return dy * (np.abs(x - x.max()) < 1e-2)


def convolution(x: NDArray, k: NDArray) -> NDArray:
    """x (channels, width), k (filters, channels, 3)."""
    return np.einsum("cwj,fcj->fw", sliding_window_view(x, 3, axis=1), k)


def convolution_gradients(x: NDArray, k: NDArray, dy: NDArray) -> Iterator[NDArray]:
    dx = np.zeros_like(x)
    for j in range(3):
        dx[:, j : j + dy.shape[1]] += np.einsum("fw,fc->cw", dy, k[:, :, j])
    yield dx
    yield np.einsum("cwj,fw->fcj", sliding_window_view(x, 3, axis=1), dy)


@bug("convolution: the gradient goes into another channel", "NervanaSystems/neon/issues/111",
     convolution, normal(2, 7), normal(3, 2, 3, seed=1))  # fmt: skip
def wrong_channel(x: NDArray, k: NDArray, dy: NDArray) -> Any:
    dx, dk = convolution_gradients(x, k, dy)
    return dx[::-1].copy(), dk


@bug("convolution: divided by the number of positions", "Oneflow-Inc/oneflow/pull/255",
     convolution, normal(2, 7), normal(3, 2, 3, seed=1))  # fmt: skip
def divided_by_positions(x: NDArray, k: NDArray, dy: NDArray) -> Any:
    dx, dk = convolution_gradients(x, k, dy)
    return dx, dk / dy.shape[1]


def bias_in_every_product(x: NDArray, k: NDArray, b: NDArray) -> NDArray:
    products = np.einsum("cwj,fcj->fwcj", sliding_window_view(x, 3, axis=1), k)
    return np.sum(products + b[:, None, None, None], axis=(2, 3))


@bug("convolution: the bias inside the sum", "Kulbear/deep-learning-coursera/pull/45",
     bias_in_every_product, normal(2, 7), normal(3, 2, 3, seed=1), normal(3, seed=2))  # fmt: skip
def bias_after_the_sum(x: NDArray, k: NDArray, b: NDArray, dy: NDArray) -> Any:
    return *convolution_gradients(x, k, dy), dy.sum(axis=1)


@bug("convolution: the bias is summed over rows, not filters", "snuspl/cruise/issues/800",
     lambda b: np.ones((3, 5)) * b[:, None], normal(3))  # fmt: skip
def bias_over_rows(b: NDArray, dy: NDArray) -> Any:
    return dy.T.reshape(3, 5).sum(1)
