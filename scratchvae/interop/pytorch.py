"""The same network in PyTorch: the names of its ``state_dict``, and where each weight lies in it.

PyTorch's module has an ``encoder`` and a ``decoder``, each an ``nn.Sequential`` with one module per
layer. A layer declares its module and how that holds its parameters (``Layer.torch_module`` and
``torch_tensors``); this file follows the order of the numbers from layer to layer. What differs:

| | here | PyTorch |
|---|---|---|
| dense | W (I, O) | weight (O, I) |
| convolution | W (kh · kw · C, O) | weight (O, C, kh, kw) |
| transposed convolution | W (kh · kw · O, C) | weight (C, O, kh, kw) |
| images | (B, H, W, C) | (B, C, H, W) |

A flattened image therefore has its numbers in another order there. The dense layers beside a
``Flatten`` and a ``Reshape`` absorb the reordering in their weights. "Same" padding with a stride
can be asymmetric, which PyTorch's own argument cannot express: :func:`modules` states what to pad
and to cut off.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.errors import ConfigError
from scratchvae.layers import Elementwise, Layer, Sequential
from scratchvae.layers.reshape import View
from scratchvae.memory import Shape
from scratchvae.models import VAE

Order = NDArray[np.intp]  # the k-th number of a row in PyTorch is number order[k] of ours
PARTS = ("encoder", "decoder")


class Place(NamedTuple):
    """One tensor of the ``state_dict``: the name of our array, and where its elements lie.

    ``elements`` has PyTorch's shape; its entries are indices into our flattened array, each once.
    """

    ours: str
    elements: NDArray[np.intp]

    def to_torch(self, a: NDArray) -> NDArray:
        """Our array in PyTorch's shape and order; of the same dtype."""
        return np.ascontiguousarray(a.reshape(-1)[self.elements])

    def from_torch(self, a: NDArray, shape: Shape) -> NDArray:
        """PyTorch's tensor as our array of the shape ``shape``; the exact inverse."""
        flat = np.empty(self.elements.size, dtype=a.dtype)
        flat[self.elements.reshape(-1)] = a.reshape(-1)
        return flat.reshape(shape)


def places(vae: VAE) -> dict[str, Place]:
    """Every tensor of the ``state_dict`` by its name: ``encoder.0.weight``, ``encoder.0.bias``, …

    A likelihood's own parameters keep their names and shapes. Raises ConfigError for a network that
    cannot be expressed as one PyTorch module per layer.
    """
    modules(vae)  # every layer has one
    found: dict[str, Place] = {}
    for part, layers, row in _parts(vae):
        for label, ours, index in _tensors(layers, row):
            found[f"{part}.{label}"] = Place(f"{part}.{ours}", index)
    for name, shape in vae.layout.shapes.items():
        if name.split(".")[0] not in PARTS:
            found[name] = Place(name, np.arange(math.prod(shape)).reshape(shape))
    return found


def _parts(vae: VAE) -> Iterator[tuple[str, Sequential, Shape]]:
    """Name, layers and shape of an input row of the encoder and the decoder."""
    if vae.networks()["decoder"][1] != vae.latent_dim:
        what = "a condition" if vae.condition.kind else "a second stochastic layer"
        raise ConfigError(
            f"a file for PyTorch holds an encoder of x and a decoder of z, and this model has "
            f"{what}, too: take its arrays by name in Python, Model.params.to_host()"
        )
    yield "encoder", vae.encoder, (vae.pixels,)
    yield "decoder", vae.decoder, (vae.latent_dim,)


def _tensors(layers: Sequential, row: Shape) -> Iterator[tuple[str, str, Order]]:
    """(their name, our name, index) of each parameter, for input rows of the shape ``row``.

    ``order`` follows the numbers of a row through the layers: natural for vectors, channels first
    for images; a matrix may change it.
    """
    shapes = layers.shapes(row)
    order = _natural(row)
    for i, (layer, (before, after)) in enumerate(zip(layers.layers, pairwise(shapes), strict=True)):
        tensors = layer.torch_tensors(before)
        if isinstance(layer, Elementwise | View):
            out = order
        elif len(after) == 3:
            out = _channels_first(after)
        elif any(tensor.y_axis is not None for tensor in tensors.values()):
            out = _wanted_after(layers.layers[i + 1 :], shapes[i + 1 :])
        else:
            if len(before) == 1:
                _require_same(order, _natural(before), f"what {layer!r} is given")
            out = _natural(after)
        for name, tensor in tensors.items():
            index = np.arange(math.prod(tensor.view)).reshape(tensor.view).transpose(tensor.axes)
            for axis, numbers in ((tensor.x_axis, order), (tensor.y_axis, out)):
                index = index if axis is None else index.take(numbers, axis)
            yield f"{i}.{tensor.name}", f"{i}.{name}", index
        if len(after) == 3:
            _require_same(out, _channels_first(after), f"what {layer!r} is given")
        order = out
    _require_same(order, _natural(shapes[-1]), "the last output")


def _natural(shape: Shape) -> Order:
    return np.arange(math.prod(shape))


def _channels_first(shape: Shape) -> Order:
    """The numbers of an image (H, W, C) in the order of (C, H, W)."""
    return np.arange(math.prod(shape)).reshape(shape).transpose(2, 0, 1).reshape(-1)


def _wanted_after(following: Sequence[Layer], shapes: Sequence[Shape]) -> Order:
    """The order that a matrix gives its outputs: channels first if an image is made of them.

    ``shapes``: of a row before each of the following layers, and after the last.
    """
    for layer, after in zip(following, shapes[1:], strict=True):
        if isinstance(layer, View) and len(after) == 3:
            return _channels_first(after)
        if not isinstance(layer, Elementwise | View):
            break
    return _natural(shapes[0])


def _require_same(order: Order, wanted: Order, what: str) -> None:
    if not np.array_equal(order, wanted):
        raise ConfigError(
            f"PyTorch's images are (C, H, W), so {what} has its numbers in another order there, "
            "and no dense layer beside it can absorb that"
        )


# ---- the modules --------------------------------------------------------------------------------


def modules(vae: VAE) -> dict[str, list[dict[str, object]]]:
    """The arguments of the encoder's and the decoder's ``nn.Sequential``, as JSON can hold them.

    Arguments are PyTorch's. ``pad`` comes before a convolution and ``crop`` after a transposed one:
    (left, right, top, bottom), as ``nn.functional.pad`` counts. ``LogStdHead`` doubles the second
    half of a row; PyTorch has no module for it. Raises ConfigError for a layer without a module.
    """
    return {
        part: [
            _module(layer, before)
            for layer, before in zip(layers.layers, layers.shapes(row), strict=False)
        ]
        for part, layers, row in _parts(vae)
    }


def _module(layer: Layer, before: Shape) -> dict[str, object]:
    if _owner(layer, "forward") < _owner(layer, "torch_class", "torch_module"):
        module = None  # what an ancestor declares is not what this class computes
    else:
        module = layer.torch_module(before)
    if module is None:
        raise ConfigError(
            f"{layer!r} on rows of shape {before} cannot be exchanged with PyTorch: its class does "
            "not declare the module that computes the same; give it torch_class, or "
            "torch_module(self, shape)"
        )
    missing = set(layer.parameters(before)) - set(layer.torch_tensors(before))
    if missing:
        raise ConfigError(
            f"{layer!r} cannot be exchanged with PyTorch: its torch_tensors(self, shape) lacks "
            f"{', '.join(sorted(missing))}"
        )
    return module


def _owner(layer: Layer, *names: str) -> int:
    """How far up its ancestors a layer's class finds the first of these attributes."""
    ancestors = type(layer).__mro__
    return next(i for i, cls in enumerate(ancestors) if not vars(cls).keys().isdisjoint(names))
