"""The layers of a spec in PyTorch: its own shapes of weights, and the forward pass.

PyTorch's images are (channels, height, width). With ``channels_last`` they lie in memory as ours
do, (height, width, channels), and so do the dense layers' pixels; without it the rows and columns
of the weights of dense layers beside an image are permuted once, so that no step has to.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from benchmarks.layers import ACTIVATIONS, Layer, Shape
from benchmarks.models import Spec

FUNCTIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


def forward(
    layers: Sequence[Layer], params: Sequence[Any], x: Any, channels_last: bool = False
) -> Any:
    """The layers' output for rows x; ``params`` are W and b in turn, as :func:`load` makes them."""
    found = iter(params)
    for i, layer in enumerate(layers):
        match layer.kind:
            case "dense":
                x = functional.linear(x, next(found), next(found))
            case "conv":
                x = convolution(layer, x, next(found), next(found))
            case "conv-transpose":
                x = transposed(layer, x, next(found), next(found))
            case "reshape":
                x = to_images(x, layer.after, i == 0 or channels_last)
            case "flatten":
                x = to_rows(x, channels_last)
            case activation:
                x = FUNCTIONS[activation](x)
    return to_rows(x, channels_last=True) if x.dim() == 4 else x


def convolution(layer: Layer, x: Any, W: Any, b: Any) -> Any:
    """With Keras' padding: what there is more of it after an axis than before comes first."""
    (top, bottom), (left, right) = layer.margins
    if bottom > top or right > left:
        x = functional.pad(x, (0, right - left, 0, bottom - top))
    return functional.conv2d(x, W, b, layer.stride, (top, left))


def transposed(layer: Layer, x: Any, W: Any, b: Any) -> Any:
    """PyTorch crops both ends alike; what Keras crops more of the far end is cut off here."""
    (top, _), (left, _) = layer.margins
    more = max(layer.stride - layer.kernel, 0)
    y = functional.conv_transpose2d(x, W, b, layer.stride, (top, left), more)
    return y[..., : layer.after[0], : layer.after[1]]


def to_images(x: Any, shape: Shape, channels_last: bool) -> Any:
    """Rows of pixels as images (B, C, H, W)."""
    height, width, channels = shape
    if channels_last:
        return x.view(-1, height, width, channels).permute(0, 3, 1, 2)
    return x.view(-1, channels, height, width)


def to_rows(x: Any, channels_last: bool) -> Any:
    """The reverse."""
    return (x.permute(0, 2, 3, 1) if channels_last else x).flatten(1)


# ---- weights ---------------------------------------------------------------------------------


def load(
    spec: Spec, arrays: Mapping[str, NDArray], channels_last: bool = False, device: Any = None
) -> list[Any]:
    """Tensors for :func:`forward` from scratchvae's arrays, encoder first: float32, trainable."""
    tensors = []
    for layer, rows, columns in weighted(spec, channels_last):
        W, b = arrays[f"{layer.name}.W"], arrays[f"{layer.name}.b"]
        if layer.kind == "dense":
            W, b = W[rows][:, columns].T, b[columns]
        else:
            W = W.reshape(layer.kernel, layer.kernel, -1, W.shape[1]).transpose(3, 2, 0, 1)
        for array in (W, b):
            tensor = torch.tensor(array, dtype=torch.float32, device=device).contiguous()
            if channels_last and tensor.dim() == 4:
                tensor = tensor.contiguous(memory_format=torch.channels_last)
            tensors.append(tensor.requires_grad_())
    return tensors


def to_host(spec: Spec, tensors: Sequence[Any], channels_last: bool = False) -> dict[str, NDArray]:
    """Copies in scratchvae's names and layout: the inverse of :func:`load`."""
    host = iter([tensor.detach().cpu().numpy() for tensor in tensors])
    found: dict[str, NDArray] = {}
    for layer, rows, columns in weighted(spec, channels_last):
        W, b = next(host), next(host)
        if layer.kind == "dense":
            W, b = W.T[np.argsort(rows)][:, np.argsort(columns)], b[np.argsort(columns)]
        else:
            W = W.transpose(2, 3, 1, 0).reshape(-1, W.shape[0])
        found[f"{layer.name}.W"], found[f"{layer.name}.b"] = W.copy(), b.copy()
    return found


def weighted(spec: Spec, channels_last: bool) -> Iterator[tuple[Layer, NDArray, NDArray]]:
    """Layers with weights, and in which order PyTorch's dense layer has our inputs and outputs."""
    for layers in spec.networks:
        for i, layer in enumerate(layers):
            if layer.weights is None:
                continue
            n, m = layer.weights
            rows, columns = np.arange(n), np.arange(m)
            before, after = last_of(layers[:i]), last_of(layers[:i:-1])
            if before is not None and before.kind == "flatten" and not channels_last:
                rows = rows.reshape(before.before).transpose(2, 0, 1).ravel()
            if after is not None and after.kind == "reshape" and not channels_last:
                columns = columns.reshape(after.after).transpose(2, 0, 1).ravel()
            yield layer, rows, columns


def last_of(layers: Sequence[Layer]) -> Layer | None:
    """The last that is no activation."""
    return next((x for x in reversed(layers) if x.kind not in ACTIVATIONS), None)
