"""Initial weights, always drawn on the host from the stream named after the parameter.

So the same seed gives the same numbers on every backend, in every dtype, and whatever other
layers a model has. Each initializer is called with the shape, the fan-in and the fan-out, and the
stream; it returns a float64 host array.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from scratchvae.backend import HostArray
from scratchvae.backend.noise import Stream, normal, uniform

Shape = tuple[int, ...]


class Initializer(Protocol):
    """Draws the initial values of a parameter."""

    def __call__(self, shape: Shape, fan_in: int, fan_out: int, stream: Stream) -> HostArray: ...


def _symmetric_uniform(limit: float, shape: Shape, stream: Stream) -> HostArray:
    return limit * (2.0 * uniform(shape, stream) - 1.0)


@dataclass(frozen=True)
class GlorotUniform:
    """U(±√(6 / (fan_in + fan_out)))  (E25): Glorot and Bengio 2010, equation 16."""

    def __call__(self, shape: Shape, fan_in: int, fan_out: int, stream: Stream) -> HostArray:
        return _symmetric_uniform(math.sqrt(6.0 / (fan_in + fan_out)), shape, stream)


@dataclass(frozen=True)
class GlorotNormal:
    """N(0, 2 / (fan_in + fan_out))  (E25): the normal distribution with Glorot's variance."""

    def __call__(self, shape: Shape, fan_in: int, fan_out: int, stream: Stream) -> HostArray:
        return math.sqrt(2.0 / (fan_in + fan_out)) * normal(shape, stream)


@dataclass(frozen=True)
class HeNormal:
    """N(0, 2 / fan_in)  (E25), for ReLU layers: He et al. 2015, equation 10."""

    def __call__(self, shape: Shape, fan_in: int, fan_out: int, stream: Stream) -> HostArray:
        return math.sqrt(2.0 / fan_in) * normal(shape, stream)


@dataclass(frozen=True)
class FanInUniform:
    """U(±1 / √fan_in)  (E25): the initial weights and biases of PyTorch's ``nn.Linear``."""

    def __call__(self, shape: Shape, fan_in: int, fan_out: int, stream: Stream) -> HostArray:
        return _symmetric_uniform(1.0 / math.sqrt(fan_in), shape, stream)


@dataclass(frozen=True)
class TruncatedNormal:
    """N(0, std²) truncated at two standard deviations, beyond which it is drawn again  (E25)."""

    std: float = 0.1

    def __call__(self, shape: Shape, fan_in: int, fan_out: int, stream: Stream) -> HostArray:
        z = normal(shape, stream)
        outside = abs(z) > 2.0
        while outside.any():
            stream = stream._replace(step=stream.step + 1)
            z[outside] = normal(shape, stream)[outside]
            outside = abs(z) > 2.0
        return self.std * z


@dataclass(frozen=True)
class Constant:
    """The same value everywhere."""

    value: float = 0.0

    def __call__(self, shape: Shape, fan_in: int, fan_out: int, stream: Stream) -> HostArray:
        return 0.0 * uniform(shape, stream) + self.value


@dataclass(frozen=True)
class OfHalves:
    """Draws each half of the outputs as ``weights`` draws a layer of its own  (E25).

    The halves are independent or, if ``equal``, the second is a copy of the first.
    """

    weights: Initializer
    equal: bool

    def __call__(self, shape: Shape, fan_in: int, fan_out: int, stream: Stream) -> HostArray:
        half = fan_out // 2
        drawn = self.weights(shape, fan_in, half, stream)
        if self.equal:
            drawn[..., half:] = drawn[..., :half]
        return drawn


@dataclass(frozen=True)
class Initialization:
    """The initializers of a layer's weights and biases."""

    weights: Initializer
    bias: Initializer


INITIALIZATIONS: dict[str, Initialization] = {
    "glorot-uniform": Initialization(GlorotUniform(), Constant(0.0)),
    "glorot-normal": Initialization(GlorotNormal(), Constant(0.0)),
    "he": Initialization(HeNormal(), Constant(0.0)),
    "truncated-normal": Initialization(TruncatedNormal(0.1), Constant(0.1)),
    "torch": Initialization(FanInUniform(), FanInUniform()),
}


def _of_halves(start: Initialization, equal: bool) -> Initialization:
    return Initialization(OfHalves(start.weights, equal), OfHalves(start.bias, equal))


# How the encoder's head [μ | log σ²] starts: as the one layer that it is, or as a layer for each
# half, with independent or equal weights.
HEAD_STARTS: dict[str, Callable[[Initialization], Initialization]] = {
    "joint": lambda start: start,
    "independent": lambda start: _of_halves(start, equal=False),
    "equal": lambda start: _of_halves(start, equal=True),
}
