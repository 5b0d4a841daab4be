"""The same network in PyTorch: the names of its ``state_dict``, and where each weight lies in it.

PyTorch's module has an ``encoder`` and a ``decoder``, each an ``nn.Sequential`` with one module for
each of our layers. What differs:

| | here | PyTorch |
|---|---|---|
| dense | W (I, O) | weight (O, I) |
| convolution | W (kh · kw · C, O) | weight (O, C, kh, kw) |
| transposed convolution | W (kh · kw · O, C) | weight (C, O, kh, kw) |
| images | (B, H, W, C) | (B, C, H, W) |

A flattened image therefore has its numbers in another order there. The dense layers beside a
``Flatten`` and a ``Reshape`` hold the reordering in their weights. "Same" padding is asymmetric
where a stride makes it odd, which PyTorch's own argument cannot say: :func:`modules` says what to
pad and to cut off.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.errors import ConfigError
from scratchvae.latent import LogStdHead
from scratchvae.layers import ACTIVATIONS, Conv2D, Dense, Elementwise, Layer, Sequential
from scratchvae.layers.convolution import ConvTranspose2D
from scratchvae.layers.reshape import View
from scratchvae.memory import Shape
from scratchvae.models import VAE

Order = NDArray[np.intp]  # the k-th number of a row in PyTorch is number order[k] of ours
PARTS = ("encoder", "decoder")


class Place(NamedTuple):
    """One tensor of the ``state_dict``: of which array it is, and which element lies where.

    ``elements`` has PyTorch's shape; its entries count through our flattened array, each once.
    """

    ours: str
    elements: NDArray[np.intp]

    def to_torch(self, a: NDArray[Any]) -> NDArray[Any]:
        """Our array as PyTorch has it."""
        return np.ascontiguousarray(a.reshape(-1)[self.elements])

    def from_torch(self, a: NDArray[Any], shape: Shape) -> NDArray[Any]:
        """PyTorch's tensor as our array of this shape; the inverse, to the bit."""
        flat = np.empty(self.elements.size, dtype=a.dtype)
        flat[self.elements.reshape(-1)] = a.reshape(-1)
        return flat.reshape(shape)


def places(vae: VAE) -> dict[str, Place]:
    """Every tensor of the ``state_dict`` by its name: ``encoder.0.weight``, ``encoder.0.bias``, …

    A likelihood's own parameters keep name and shape. Raises ConfigError for a network that
    PyTorch's modules cannot express one for one.
    """
    modules(vae)  # asks whether PyTorch has them
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
    yield "encoder", vae.encoder, (vae.pixels,)
    yield "decoder", vae.decoder, (vae.latent_dim,)


def _tensors(layers: Sequential, row: Shape) -> Iterator[tuple[str, str, Order]]:
    """(their name, our name, index) of each parameter; keeps account of the order of the rows."""
    shapes = layers.shapes(row)
    order = _natural(row)
    for i, (layer, before, after) in enumerate(
        zip(layers.layers, shapes[:-1], shapes[1:], strict=True)
    ):
        if isinstance(layer, Dense):
            out = _wanted_after(layers.layers[i + 1 :], shapes[i + 1 :])
            matrix = np.arange(before[0] * after[0]).reshape(before[0], after[0])
            yield f"{i}.weight", f"{i}.W", matrix.T[out][:, order]
            yield f"{i}.bias", f"{i}.b", out
            order = out
        elif isinstance(layer, Conv2D | ConvTranspose2D):
            rows, columns = layer.parameters(before)["W"][0]
            kernel = np.arange(rows * columns).reshape(*layer.kernel, -1, columns)
            yield f"{i}.weight", f"{i}.W", kernel.transpose(3, 2, 0, 1)
            yield f"{i}.bias", f"{i}.b", np.arange(layer.channels)
            order = _channels_first(after)
        elif isinstance(layer, View) and len(after) == 3:
            _require_same(order, _channels_first(after), f"what {layer!r} is given")
    _require_same(order, _natural(shapes[-1]), "the last output")


def _natural(shape: Shape) -> Order:
    return np.arange(math.prod(shape))


def _channels_first(shape: Shape) -> Order:
    """The numbers of an image (H, W, C) in the order of (C, H, W)."""
    return np.arange(math.prod(shape)).reshape(shape).transpose(2, 0, 1).reshape(-1)


def _wanted_after(following: Sequence[Layer], shapes: Sequence[Shape]) -> Order:
    """The order in which a dense layer's outputs serve what follows: an image's, or their own.

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
            f"the images of PyTorch are (C, H, W), so that {what} has its numbers in another order "
            f"there, and no dense layer is beside it to hold that"
        )


# ---- the modules, for whoever builds them -------------------------------------------------------


def modules(vae: VAE) -> dict[str, list[dict[str, Any]]]:
    """What to put into the encoder's and the decoder's ``nn.Sequential``, as JSON can hold it.

    Arguments are PyTorch's. ``pad`` comes before a convolution and ``crop`` after a transposed one:
    (left, right, top, bottom), as ``nn.functional.pad`` counts. ``LogStdHead`` doubles the second
    half of a row; PyTorch has no module for it. Raises ConfigError for a layer that is none of
    PyTorch's.
    """
    return {
        part: [
            _module(layer, before, after)
            for layer, (before, after) in zip(
                layers.layers, pairwise(layers.shapes(row)), strict=True
            )
        ]
        for part, layers, row in _parts(vae)
    }


def _module(layer: Layer, before: Shape, after: Shape) -> dict[str, Any]:
    name = type(layer).__name__
    if isinstance(layer, Dense):
        return {"module": "Linear", "in_features": before[0], "out_features": layer.units}
    if isinstance(layer, Conv2D | ConvTranspose2D):
        module = "Conv2d" if isinstance(layer, Conv2D) else "ConvTranspose2d"
        channels = {"in_channels": before[2], "out_channels": after[2]}
        sizes = {"kernel_size": list(layer.kernel), "stride": list(layer.stride)}
        return {"module": module} | channels | sizes | _padding(layer, before)
    if isinstance(layer, View) and len(after) == 1:
        return {"module": "Flatten"}
    if isinstance(layer, View) and len(before) == 1 and len(after) == 3:
        return {"module": "Unflatten", "dim": 1, "unflattened_size": [after[2], *after[:2]]}
    if isinstance(layer, LogStdHead) or type(layer) in ACTIVATIONS.values():
        return {"module": name}
    raise ConfigError(f"the layer {layer!r} on rows of shape {before} is no module of PyTorch's")


def _padding(layer: Conv2D | ConvTranspose2D, row: Shape) -> dict[str, list[int]]:
    """The zeros before and after each axis, or what a transposed convolution has too much."""
    grids = layer.correlation(row)
    y, x = grids.y, grids.x
    if isinstance(layer, Conv2D):
        after = [axis.padded - axis.before - axis.big for axis in (y, x)]
        return {"pad": [x.before, after[1], y.before, after[0]]}
    # Its output ends with the last kernel's last tap, unless we ask for more.
    reach = [(axis.small - 1) * axis.stride + axis.kernel for axis in (y, x)]
    more = [max(0, axis.before + axis.big - n) for axis, n in zip((y, x), reach, strict=True)]
    over = [n + m - axis.before - axis.big for axis, n, m in zip((y, x), reach, more, strict=True)]
    return {"output_padding": more, "crop": [x.before, over[1], y.before, over[0]]}
