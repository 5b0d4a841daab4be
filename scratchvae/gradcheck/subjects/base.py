"""A subject: a differentiable map of named arrays at a point, and the code that runs it."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import Backend
from scratchvae.gradcheck.points import direction

Arrays = dict[str, NDArray]


class Bound(Protocol):
    """A subject on a backend. All arrays that go in and come out are on the host."""

    def value(self, args: Mapping[str, NDArray]) -> NDArray:
        """y = f(args), in the backend's dtype."""
        ...

    def gradient(self, args: Mapping[str, NDArray], w: NDArray) -> Arrays:
        """The gradient of ⟨w, f⟩ with respect to every argument, as the code under test has it."""
        ...


class Subject:
    """What is checked: its name, the arguments it is differentiated in, and the sizes it knows.

    ``args`` is the point, float64. ``sizes`` names sizes for the diagnosis ("the batch size").
    """

    name: str
    args: Arrays
    sizes: dict[str, int]

    def bind(self, bk: Backend) -> Bound:
        """The subject on a backend."""
        raise NotImplementedError

    def cotangent_shape(self) -> tuple[int, ...]:
        """The shape of the w that its backward accepts."""
        raise NotImplementedError

    def expand_cotangent(self, w: NDArray) -> NDArray:
        """w with one weight for each element of y, for a backward that takes fewer."""
        return w

    def cotangent(self, seed: int = 0) -> NDArray:
        """A seeded w whose components cannot vanish."""
        return np.asarray(direction(self.cotangent_shape(), seed, f"{self.name} cotangent"))

    def magnitudes(self, w: NDArray) -> Arrays | None:
        """For every gradient, the sums of the absolute values of its terms; None if unknown."""
        return None
