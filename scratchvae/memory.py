"""Who owns memory: flat buffers with named views, and the workspace.

Parameters, gradients and an optimizer's moments are each one flat, aligned buffer; a layer sees
views of it. One optimizer call, one reduction between machines and one array of a checkpoint
follow. Everything else that a step writes to belongs to the workspace.
"""

import math
from collections.abc import Iterator, Mapping
from types import SimpleNamespace

from numpy.typing import DTypeLike, NDArray

from scratchvae.backend import Array, Backend
from scratchvae.errors import ConfigError

Shape = tuple[int, ...]
Views = SimpleNamespace  # arrays as attributes: parameters p.W and p.b, buffers work.tmp
ALIGNED_ELEMENTS = 16  # every view starts on a cache line, in float32 and in every wider type


class Layout:
    """Where each named array lies in a flat buffer."""

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self.shapes = dict(shapes)
        self.offsets: dict[str, int] = {}
        self.padded_size = 0
        for name, shape in self.shapes.items():
            self.offsets[name] = self.padded_size
            self.padded_size += -(-math.prod(shape) // ALIGNED_ELEMENTS) * ALIGNED_ELEMENTS

    @property
    def n_parameters(self) -> int:
        """The numbers in all arrays together, without the padding between them."""
        return sum(map(math.prod, self.shapes.values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and list(self.shapes.items()) == list(other.shapes.items())

    __hash__ = None  # type: ignore[assignment]


class FlatBuffer:
    """One buffer for all arrays of a layout; ``buffer["encoder.0.W"]`` is a view of it.

    The padding between the arrays is zero and stays so: an optimizer may run over it.
    """

    def __init__(self, bk: Backend, layout: Layout) -> None:
        self.bk = bk
        self.layout = layout
        self.flat = bk.zeros((layout.padded_size,))
        self.views = {
            name: self.flat[offset : offset + math.prod(shape)].reshape(shape)
            for (name, shape), offset in zip(
                layout.shapes.items(), layout.offsets.values(), strict=True
            )
        }

    def __getitem__(self, name: str) -> Array:
        return self.views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.views)

    def namespace(self, prefix: str) -> Views:
        """The views whose names begin with ``prefix.``, as attributes: ``p.W``, ``p.b``."""
        start = prefix + "."
        return Views(
            **{name[len(start) :]: a for name, a in self.views.items() if name.startswith(start)}
        )

    def load(self, arrays: Mapping[str, NDArray]) -> None:
        """Copy host arrays into the views; names and shapes must be exactly the layout's."""
        if set(arrays) != set(self.views):
            missing, foreign = set(self.views) - set(arrays), set(arrays) - set(self.views)
            raise ConfigError(
                f"parameter names differ: missing {sorted(missing)}, unknown {sorted(foreign)}"
            )
        for name, a in arrays.items():
            shape = self.layout.shapes[name]
            if tuple(a.shape) != shape:
                raise ConfigError(f"parameter {name} has shape {a.shape}, expected {shape}")
            self.bk.load(a, self.views[name])

    def to_host(self) -> dict[str, NDArray]:
        """Copies of all arrays on the host, by name."""
        return {name: self.bk.to_host(a) for name, a in self.views.items()}

    def to(self, bk: Backend) -> "FlatBuffer":
        """A copy on another backend."""
        copy = FlatBuffer(bk, self.layout)
        bk.load(self.bk.to_host(self.flat), copy.flat)
        return copy


class FlatStretch:
    """The numbers ``start`` … ``stop`` − 1 of a flat buffer, as a buffer of one array."""

    def __init__(self, buffer: FlatBuffer, start: int, stop: int) -> None:
        self.layout = Layout({"stretch": (stop - start,)})
        self.flat = buffer.flat[start:stop]


class Workspace:
    """The owner of every work buffer of a step, bound once for a backend and a number of rows.

    A buffer has a name and a row for each image (or ``per`` rows, where there are several samples
    per image). ``rows`` gives the same buffers cut to some of the images: the last short batch, or
    the part that one worker computes. Asking twice for a name gives the same memory.
    """

    def __init__(self, bk: Backend, n_rows: int) -> None:
        self.bk = bk
        self.n_rows = n_rows
        self._start = 0
        self._all_rows = n_rows  # of the workspace that this one is a part of
        self._buffers: dict[str, Array] = {}
        self._repeated: dict[int, dict[str, Array]] = {}

    def rows(self, start: int, stop: int) -> "Workspace":
        """The same buffers for the images ``start`` to ``stop``."""
        if not 0 <= start < stop <= self.n_rows:
            raise ConfigError(
                f"rows {start}:{stop} are not within a workspace of {self.n_rows} rows"
            )
        part = Workspace(self.bk, stop - start)
        part._start = self._start + start
        part._all_rows = self._all_rows
        part._buffers, part._repeated = self._buffers, self._repeated
        return part

    def repeated(self, per: int) -> "Workspace":
        """A workspace with ``per`` rows for each of these, and buffers of its own."""
        part = Workspace(self.bk, self.n_rows * per)
        part._start, part._all_rows = self._start * per, self._all_rows * per
        part._buffers = self._repeated.setdefault(per, {})
        return part

    def buffer(self, name: str, *shape: int, per: int = 1, dtype: DTypeLike | None = None) -> Array:
        """The buffer ``name``: (rows · per, *shape), created when first asked for."""
        whole = self.shared(name, self._all_rows * per, *shape, dtype=dtype)
        return whole[self._start * per : (self._start + self.n_rows) * per]

    def shared(self, name: str, *shape: int, dtype: DTypeLike | None = None) -> Array:
        """A buffer that belongs to the step as a whole and has no rows."""
        if name not in self._buffers:
            self._buffers[name] = self.bk.empty(shape, dtype)
        whole = self._buffers[name]
        if tuple(whole.shape) != shape:
            raise ConfigError(f"buffer {name!r} has shape {tuple(whole.shape)}, not {shape}")
        return whole

    def private(self, name: str, *shape: int) -> Array:
        """A buffer without a row dimension, private to the worker that owns these rows.

        The workspaces of two workers give two buffers. Asking twice for a name and a shape gives
        the same memory, so nothing in it outlasts the call that wrote it.
        """
        return self.shared(f"{name}{shape} from row {self._start}", *shape)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all buffers, in the order of their creation."""
        return tuple(self._buffers)
