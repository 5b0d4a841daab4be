"""Layers from words, so that a configuration can describe any network.

| words | layer |
|---|---|
| ``dense 400`` | Dense(400) |
| ``relu``, ``tanh``, ``sigmoid`` | the activation |
| ``conv 32 3`` or ``conv 32 3 2`` | Conv2D: channels, kernel, stride |
| ``conv-transpose 32 3 2`` | ConvTranspose2D: channels, kernel, stride |
| ``reshape 28 28 1`` | Reshape |
| ``flatten`` | Flatten |
"""

from collections.abc import Sequence

from scratchvae.errors import ConfigError
from scratchvae.latent import LogStdHead
from scratchvae.layers import (
    ACTIVATIONS,
    Conv2D,
    Dense,
    Flatten,
    Initialization,
    Layer,
    Reshape,
    Sequential,
)
from scratchvae.layers.convolution import ConvTranspose2D

FORMS = "dense N, conv N K [S], conv-transpose N K [S], reshape N …, flatten, relu, tanh, sigmoid"


def parse_layer(words: str, init: Initialization) -> Layer:
    """One layer from its words; ``ConfigError`` for words that name none."""
    name, *rest = words.split() or [""]
    if not all(part.isdecimal() for part in rest):
        raise ConfigError(f"the layer {words!r} is not one of: {FORMS}")
    numbers = [int(part) for part in rest]
    stride = numbers[2] if len(numbers) > 2 else 1
    match name, len(numbers):
        case "dense", 1:
            return Dense(numbers[0], init)
        case "conv", 2 | 3:
            return Conv2D(numbers[0], numbers[1], stride, init=init)
        case "conv-transpose", 2 | 3:
            return ConvTranspose2D(numbers[0], numbers[1], stride, init=init)
        case "reshape", n if n >= 1:
            return Reshape(tuple(numbers))
        case "flatten", 0:
            return Flatten()
        case activation, 0 if activation in ACTIVATIONS:
            return ACTIVATIONS[activation]()
    raise ConfigError(f"the layer {words!r} is not one of: {FORMS}")


def parse_layers(words: Sequence[str], init: Initialization) -> list[Layer]:
    """One layer for each text."""
    return [parse_layer(text, init) for text in words]


def with_head(
    layers: Sequence[Layer], latent_dim: int, head: str, init: Initialization
) -> Sequential:
    """The layers, then the dense layer whose output is [μ | log σ²], by way of log σ if need be."""
    last: list[Layer] = [Dense(2 * latent_dim, init)]
    if head == "logstd":
        last.append(LogStdHead())
    return Sequential(*layers, *last)
