"""Layers: forward, and right below it the gradients of the input and of the parameters."""

from scratchvae.layers.activations import Elementwise, ReLU, Sigmoid, Tanh, sigmoid
from scratchvae.layers.base import Layer
from scratchvae.layers.convolution import Conv2D, ConvTranspose2D
from scratchvae.layers.dense import Dense
from scratchvae.layers.initializers import (
    HEAD_STARTS,
    INITIALIZATIONS,
    Constant,
    FanInUniform,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    Initialization,
    Initializer,
    TruncatedNormal,
)
from scratchvae.layers.reshape import Flatten, Reshape
from scratchvae.layers.sequential import (
    BoundLayer,
    BoundSequential,
    Meetings,
    Parameter,
    Sequential,
    Turn,
    complete,
)

ACTIVATIONS: dict[str, type[Layer]] = {"relu": ReLU, "tanh": Tanh, "sigmoid": Sigmoid}

# What settings call a layer; numbers may follow the name, as its class says.
LAYERS: dict[str, type[Layer]] = {
    "dense": Dense,
    "conv": Conv2D,
    "conv-transpose": ConvTranspose2D,
    "reshape": Reshape,
    "flatten": Flatten,
    **ACTIVATIONS,
}

__all__ = [
    "ACTIVATIONS",
    "HEAD_STARTS",
    "INITIALIZATIONS",
    "LAYERS",
    "BoundLayer",
    "BoundSequential",
    "Constant",
    "Conv2D",
    "ConvTranspose2D",
    "Dense",
    "Elementwise",
    "FanInUniform",
    "Flatten",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "Initialization",
    "Initializer",
    "Layer",
    "Meetings",
    "Parameter",
    "ReLU",
    "Reshape",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "TruncatedNormal",
    "Turn",
    "complete",
    "sigmoid",
]
