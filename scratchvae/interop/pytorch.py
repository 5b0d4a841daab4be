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

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.errors import ConfigError
from scratchvae.latent import LogStdHead
from scratchvae.layers import ACTIVATIONS, Conv2D, Dense, Elementwise, Layer, Reshape, Sequential
from scratchvae.layers.convolution import ConvTranspose2D
from scratchvae.memory import Shape, size_of
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
    for part in PARTS:
        for label, ours, index in _tensors(getattr(vae, part)):
            found[f"{part}.{label}"] = Place(f"{part}.{ours}", index)
    for name, shape in vae.layout.shapes.items():
        if name.split(".")[0] not in PARTS:
            found[name] = Place(name, np.arange(size_of(shape)).reshape(shape))
    return found


def _tensors(layers: Sequential) -> Iterator[tuple[str, str, Order]]:
    """(their name, our name, index) of each parameter; keeps account of the order of the rows."""
    order = _natural(layers.shapes[0])
    for i, layer in enumerate(layers.layers):
        after = layers.shapes[i + 1]
        if isinstance(layer, Dense):
            out = _wanted_after(layers, i)
            matrix = np.arange(layer.n_in * layer.n_out).reshape(layer.n_in, layer.n_out)
            yield f"{i}.weight", f"{i}.W", matrix.T[out][:, order]
            yield f"{i}.bias", f"{i}.b", out
            order = out
        elif isinstance(layer, Conv2D | ConvTranspose2D):
            rows, columns = layer.parameters()["W"][0]
            kernel = np.arange(rows * columns).reshape(*layer.kernel, -1, columns)
            yield f"{i}.weight", f"{i}.W", kernel.transpose(3, 2, 0, 1)
            yield f"{i}.bias", f"{i}.b", np.arange(layer.channels)
            order = _channels_first(after)
        elif isinstance(layer, Reshape) and len(after) == 3:
            _require_same(order, _channels_first(after), f"what {layer!r} is given")
    _require_same(order, _natural(layers.shapes[-1]), "the last output")


def _natural(shape: Shape) -> Order:
    return np.arange(size_of(shape))


def _channels_first(shape: Shape) -> Order:
    """The numbers of an image (H, W, C) in the order of (C, H, W)."""
    return np.arange(size_of(shape)).reshape(shape).transpose(2, 0, 1).reshape(-1)


def _wanted_after(layers: Sequential, i: int) -> Order:
    """The order in which a dense layer's outputs serve what follows: an image's, or their own."""
    for layer, after in zip(layers.layers[i + 1 :], layers.shapes[i + 2 :], strict=True):
        if isinstance(layer, Reshape) and len(after) == 3:
            return _channels_first(after)
        if not isinstance(layer, Elementwise | Reshape):
            break
    return _natural(layers.shapes[i + 1])


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
        part: [_module(layer, *layers.shapes[i : i + 2]) for i, layer in enumerate(layers.layers)]
        for part, layers in (("encoder", vae.encoder), ("decoder", vae.decoder))
    }


def _module(layer: Layer, before: Shape, after: Shape) -> dict[str, Any]:
    name = type(layer).__name__
    if isinstance(layer, Dense):
        return {"module": "Linear", "in_features": layer.n_in, "out_features": layer.n_out}
    if isinstance(layer, Conv2D | ConvTranspose2D):
        module = "Conv2d" if isinstance(layer, Conv2D) else "ConvTranspose2d"
        channels = {"in_channels": before[2], "out_channels": after[2]}
        sizes = {"kernel_size": list(layer.kernel), "stride": list(layer.stride)}
        return {"module": module} | channels | sizes | _padding(layer)
    if isinstance(layer, Reshape) and len(after) == 1:
        return {"module": "Flatten"}
    if isinstance(layer, Reshape) and len(before) == 1 and len(after) == 3:
        return {"module": "Unflatten", "dim": 1, "unflattened_size": [after[2], *after[:2]]}
    if isinstance(layer, LogStdHead) or type(layer) in ACTIVATIONS.values():
        return {"module": name}
    raise ConfigError(f"the layer {layer!r} on rows of shape {before} is no module of PyTorch's")


def _padding(layer: Conv2D | ConvTranspose2D) -> dict[str, list[int]]:
    """The zeros before and after each axis, or what a transposed convolution has too much."""
    y, x = layer.map.y, layer.map.x
    if isinstance(layer, Conv2D):
        after = [axis.padded - axis.before - axis.big for axis in (y, x)]
        return {"pad": [x.before, after[1], y.before, after[0]]}
    # Its output ends with the last kernel's last tap, unless we ask for more.
    reach = [(axis.small - 1) * axis.stride + axis.kernel for axis in (y, x)]
    more = [max(0, axis.before + axis.big - n) for axis, n in zip((y, x), reach, strict=True)]
    over = [n + m - axis.before - axis.big for axis, n, m in zip((y, x), reach, more, strict=True)]
    return {"output_padding": more, "crop": [x.before, over[1], y.before, over[0]]}
