"""Seeded points and directions: functions of a seed and a name alone (E26)."""

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.noise import Purpose, Stream, normal, uniform

Float64 = NDArray[np.float64]


def direction(shape: tuple[int, ...], seed: int, name: str, number: int = 0) -> Float64:
    """A direction whose components cannot vanish: ±[½, 3/2), each sign equally likely.

    With a normal direction a wrong element hides behind a component that happens to be small.
    """
    stream = Stream.named(seed, Purpose.DIRECTION, f"direction {name}")._replace(step=number)
    t = 2.0 * uniform(shape, stream) - 1.0
    return np.where(t >= 0, t + 0.5, t - 0.5)


def point(shape: tuple[int, ...], seed: int, name: str) -> Float64:
    """Normal numbers to check a gradient at."""
    return normal(shape, Stream.named(seed, Purpose.DIRECTION, f"point {name}"))


def unit_interval(shape: tuple[int, ...], seed: int, name: str) -> Float64:
    """Uniform numbers of [0, 1), such as grey pixels."""
    return uniform(shape, Stream.named(seed, Purpose.DIRECTION, f"grey {name}"))
