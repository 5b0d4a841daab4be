"""Layers from text, so that a configuration can describe any network.

| text | layer |
|---|---|
| ``dense 400`` | Dense(400) |
| ``relu``, ``tanh``, ``sigmoid`` | the activation |
| ``conv 32 3`` or ``conv 32 3 2`` | Conv2D: channels, kernel, stride |
| ``conv-transpose 32 3 2`` | ConvTranspose2D: channels, kernel, stride |
| ``reshape 28 28 1`` | Reshape |
| ``flatten`` | Flatten |
| ``mymodule:MyLayer 3`` | a layer of your own |
"""

from collections.abc import Sequence

from scratchvae.errors import ConfigError
from scratchvae.latent import Flow, LogStdHead
from scratchvae.layers import (
    ACTIVATIONS,
    HEAD_STARTS,
    LAYERS,
    Dense,
    Initialization,
    Layer,
    Sequential,
)
from scratchvae.tables import instantiate, look_up

FORMS = ", ".join(f"{name} {kind.numbers}".strip() for name, kind in LAYERS.items())


def parse_layer(text: str, init: Initialization) -> Layer:
    """The layer that a text such as "conv 32 3 2" describes; ``ConfigError`` if it names none."""
    name, *rest = text.split() or [""]
    known = name in LAYERS or ":" in name
    if known and all(part.isdecimal() for part in rest):
        kind = look_up("the layer", name, LAYERS, Layer)
        try:
            return kind.from_numbers(*map(int, rest), init=init)
        except TypeError:  # too few numbers, or too many
            pass
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
    raise ConfigError(f"the layer {text!r} is not one of: {FORMS}, or module:Class of your own")


def parse_layers(texts: Sequence[str], init: Initialization) -> list[Layer]:
    """The layers that these texts describe, see :func:`parse_layer`."""
    return [parse_layer(text, init) for text in texts]


def dense_layers(sizes: Sequence[int], activation: str, init: Initialization) -> list[Layer]:
    """A dense layer and an activation for each of the sizes; ``ConfigError`` for unknown names."""
    unit = look_up("activation", activation, ACTIVATIONS, Layer)
    layers: list[Layer] = []
    for units in sizes:
        layers += [Dense(units, init), instantiate("activation", activation, unit)]
    return layers


def with_head(
    layers: Sequence[Layer],
    latent_dim: int,
    head: str,
    init: Initialization,
    heads: str = "joint",
    flow: Flow | None = None,
) -> Sequential:
    """The layers, then the dense layer whose output is [μ | log σ²], by way of log σ if need be.

    ``heads``: how its two halves start, a key of ``layers.HEAD_STARTS``. Behind them are the
    numbers of a ``flow``. ``ConfigError`` for a flow with other heads than the usual ones.
    """
    inputs = 0 if flow is None else flow.inputs(latent_dim)
    if inputs and (head, heads) != ("logvar", "joint"):
        raise ConfigError(
            f"behind a head there are {inputs} numbers of the flow {flow!r}, so that it has no "
            "halves: set head to logvar and heads to joint"
        )
    last: list[Layer] = [Dense(2 * latent_dim + inputs, HEAD_STARTS[heads](init))]
    if head == "logstd":
        last.append(LogStdHead())
    return Sequential(*layers, *last)
