"""Code of this package as a subject: a forward and a backward on buffers that are handed in."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import Array, Backend
from scratchvae.errors import value_is_lost
from scratchvae.gradcheck.backends import MagnitudeBackend
from scratchvae.gradcheck.report import UncheckableError
from scratchvae.gradcheck.subjects.base import Arrays, Subject
from scratchvae.memory import Shape
from scratchvae.types import Function, Json

Buffers = Json  # the buffers by name
Step = Callable[[Backend, Buffers], None]
Place = Callable[[Backend, Shape], Array]  # how an input lies in memory


def contiguous(bk: Backend, shape: Shape) -> Array:
    """Inputs as the workspace makes them."""
    return bk.empty(shape)


def strided(bk: Backend, shape: Shape) -> Array:
    """Inputs that are every second row and column of something larger."""
    view = bk.empty(tuple(2 * n for n in shape))
    for axis in range(len(shape)):
        view = view[(slice(None),) * axis + (slice(None, None, 2),)]
    return view


def writes_only(method: Function, statement: str) -> Callable[..., None]:
    """A method of a layer or likelihood that must return nothing: results go into buffers.

    ``UncheckableError`` for one that returns a value, with the statement to write instead.
    """

    def call(*args: object) -> None:
        if method(*args) is not None:
            raise UncheckableError(value_is_lost(method, statement))

    return call


@dataclass
class BufferedSubject(Subject):
    """Buffers by name, and the two calls that work on them.

    ``constants`` are inputs without a gradient (ε, pixels); ``w`` names the input that holds the
    cotangent and has the shape ``w_shape``; ``writes`` are all other buffers; ``y`` is the output;
    ``gradients`` says which buffer holds the gradient of which argument. ``batched`` names what
    has a row for each image. ``setup`` may add buffers that the two calls need.
    ``destroys`` names the inputs that backward may overwrite. ``written_by`` names the statement
    that fills a buffer, to be named where it was forgotten.
    """

    name: str
    args: Arrays
    constants: Arrays
    w_shape: Shape
    y: str
    writes: dict[str, Shape]
    gradients: dict[str, str]
    forward: Step
    backward: Step
    setup: Step | None = None
    batched: tuple[str, ...] = ()
    destroys: tuple[str, ...] = ()
    sizes: dict[str, int] = field(default_factory=dict)
    expand_to: Shape | None = None
    value_again: str | None = None  # the buffer into which backward writes the value once more
    by_shares: Step | None = None  # backward once more, as two workers would share it
    runs_forward: bool = False  # backward computes the value itself: no forward before it
    written_by: dict[str, str] = field(default_factory=dict)  # the statement that fills a buffer
    in_place: "BufferedSubject | None" = None  # the same with y over x and dx over dy
    accepts_views: bool = True  # its inputs come from the caller: strided, read-only

    def bind(self, bk: Backend, place: Place = contiguous) -> "BoundSubject":
        return BoundSubject(self, bk, place)

    def cotangent_shape(self) -> Shape:
        return self.w_shape

    def expand_cotangent(self, w: NDArray) -> NDArray:
        if self.expand_to is None:
            return w
        same = np.size(w) == math.prod(self.expand_to)
        return w.reshape(self.expand_to) if same else np.broadcast_to(w, self.expand_to)

    def magnitudes(self, w: NDArray) -> Arrays:
        bk = MagnitudeBackend()
        bound = self.bind(bk)
        bound.gradient(self.args, w)
        return {name: bk.magnitude(bound.buffers[g]) for name, g in self.gradients.items()}

    def permuted(self, order: NDArray) -> "BufferedSubject":
        """The same subject with its images in another order."""

        def rows(arrays: Arrays) -> Arrays:
            return {n: a[order] if n in self.batched else a for n, a in arrays.items()}

        return replace(self, args=rows(self.args), constants=rows(self.constants))


class BoundSubject:
    """A buffered subject on the buffers of one backend."""

    def __init__(self, subject: BufferedSubject, bk: Backend, place: Place) -> None:
        self.subject, self.bk = subject, bk
        inputs = {**subject.args, **subject.constants}
        self.buffers: Buffers = {name: place(bk, a.shape) for name, a in inputs.items()}
        self.buffers["w"] = place(bk, subject.w_shape)
        self.buffers |= {name: bk.empty(shape) for name, shape in subject.writes.items()}
        if subject.setup is not None:
            subject.setup(bk, self.buffers)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of all buffers that the code reads and does not own."""
        return (*self.subject.args, *self.subject.constants, "w")

    def load(self, args: Mapping[str, NDArray], w: NDArray | None = None) -> None:
        """Copy the point, the constants and the cotangent into the buffers."""
        for name, a in {**self.subject.constants, **args}.items():
            self.bk.load(a, self.buffers[name])
        if w is not None:
            self.bk.load(np.asarray(w), self.buffers["w"])

    def value(self, args: Mapping[str, NDArray]) -> NDArray:
        self.load(args)
        with self.bk.ignore_float_errors():
            self.subject.forward(self.bk, self.buffers)
        return self.bk.to_host(self.buffers[self.subject.y])

    def gradient(self, args: Mapping[str, NDArray], w: NDArray) -> Arrays:
        self.load(args, w)
        with self.bk.ignore_float_errors():
            if not self.subject.runs_forward:
                self.subject.forward(self.bk, self.buffers)
            self.subject.backward(self.bk, self.buffers)
        return self.collect()

    def collect(self) -> Arrays:
        """Copies of the gradients on the host."""
        gradients = self.subject.gradients.items()
        return {name: self.bk.to_host(self.buffers[g]) for name, g in gradients}
