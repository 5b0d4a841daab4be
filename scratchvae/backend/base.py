"""The contract of a backend, stated as plain equations.

A backend is an object, chosen once and handed down: an array namespace ``xp`` (NumPy's names), a
float type, memory, and the *operations* below for what a namespace cannot express. Each operation
stands here as its plain, complex-safe equation; a subclass may replace one by a faster form, and a
test then holds the two equal. A backend may also hold ``fused_forms`` of equations that stand
elsewhere (ReLU, the Bernoulli, an optimizer's update), tested in the same way. "Complex-safe" means
that a complex step passes through unharmed: no absolute value, no conjugate, and branches decided
by the real part.

A backend never guesses a device from an array, copies between host and device unasked, or promotes
a float type.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MethodType, NotImplementedType
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from scratchvae.backend.allocation import SharedMemory, checked_nbytes
from scratchvae.backend.noise import Stream, fill_normal, fill_uniform, normal_scratch_size
from scratchvae.errors import ConfigError
from scratchvae.types import Function, Item, Result

HostArray = NDArray  # an array on the host, for modules that must not import NumPy
Array = Any  # an array of the backend's own device: numpy.ndarray, cupy.ndarray or strict.Array
Number = Any  # a number of the host, or an array of no dimension that the device's clock sets
Weight = float | Array  # of the terms of a sum: a number, or an array that broadcasts
Rule = Any  # an optimizer's settings: a class of optim, which stands above the backend
ArrayModule = Any  # NumPy's functions on such arrays: numpy, cupy or strict.Namespace
FormResult = NotImplementedType | None  # of a fused form: NotImplemented, or None where it computed

Note = Callable[[str], object]  # takes a sentence for people


def ignore(text: str) -> None:
    """The note that is not read."""


FLOAT_TYPES = {"float32": np.float32, "float64": np.float64, "complex128": np.complex128}


def float_type(dtype: DTypeLike) -> np.dtype:
    """The dtype object of one of the float types a model may have; ``ConfigError`` otherwise."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in FLOAT_TYPES:
        raise ConfigError(f"dtype {name!r} is not one of {', '.join(FLOAT_TYPES)}")
    return np.dtype(FLOAT_TYPES[name])


def below_one(dtype: np.dtype) -> float:
    """The largest number below 1 of a float type: a uniform that is rounded stays below 1."""
    return 1.0 - float(np.finfo(dtype).epsneg)


def machine_epsilon(dtype: np.dtype) -> float:
    """The distance from 1 to the next larger number of a float type."""
    return float(np.finfo(dtype).eps)


def invisible_weight(dtype: np.dtype) -> float:
    """The root of the smallest normal number: 1e-19 in float32, 1e-154 in float64.

    A term weighed by less cannot be seen beside one that is weighed by 1; what it is times another
    small number is subnormal, and products with subnormal numbers take five times as long.
    """
    return float(np.finfo(dtype).tiny) ** 0.5


FLUSH_EVERY = 128  # steps; 0.9¹²⁸ ≈ 1e-6 keeps moments that were not flushed far from subnormal


def flush_threshold(dtype: np.dtype) -> float:
    """1e8 times the smallest normal number: what decays through it is soon subnormal, and slow."""
    return 1e8 * float(np.finfo(dtype).tiny)


FUSIBLE: dict[Function, str] = {}  # equations that a backend may compute in another form
Equation = TypeVar("Equation", bound=Function)


def fusible(name: str) -> Callable[[Equation], Equation]:
    """Mark a function or method that states an equation on arrays in plain code.

    A backend may hold a faster form of it under this name, which :meth:`Backend.fused` finds. The
    mark belongs to this very function: whatever overrides it has no other form.
    """

    def mark(equation: Equation) -> Equation:
        FUSIBLE[equation] = name
        return equation

    return mark


class Backend:
    """An array namespace, a float type, memory and operations; see the module's text."""

    name = "plain"
    block_size = 1 << 24  # numbers of a buffer for part of the images: large where cache is not all
    shared_memory: SharedMemory | None = None  # where arrays lie that several processes compute in
    compiled = False  # whether loops that numba compiled take part
    records_steps = False  # whether a step is worth recording: it then takes its time from a clock
    fused_forms: ClassVar[Mapping[str, Function]] = {}  # by the name that ``fusible`` gives

    def __init__(self, xp: ArrayModule, dtype: DTypeLike = "float32") -> None:
        self.xp = xp
        self.dtype = float_type(dtype)
        self._forms: dict[Function, Function] = {}  # what ``compute`` has looked up

    @property
    def is_complex(self) -> bool:
        """Whether this backend computes with complex numbers (to verify, never to train)."""
        return self.dtype.kind == "c"

    def with_dtype(self, dtype: DTypeLike) -> "Backend":
        """The same device with another float type."""
        return type(self)(self.xp, dtype)

    def for_workers(self, count: int) -> "Backend":
        """The same device, with its arrays in ``shared_memory`` if ``count`` processes need it.

        The backend itself where there is no such memory.
        """
        return self

    def with_compiled(self, wanted: bool, note: Note = ignore) -> "Backend":
        """The same device with loops that numba compiles, or without them.

        The backend itself where there are none: on other devices than the CPU, and without numba.
        ``note`` is told, in a sentence, of a numba that does not work, and of loops that are being
        compiled.
        """
        return self

    def __repr__(self) -> str:
        return f"<{self.name} backend, {self.dtype}>"

    # ---- faster forms of equations that stand elsewhere ----------------------------------------

    def compute(self, equation: Function, *args: object) -> None:
        """equation(self, *args), in this backend's own form where it has one for its float type.

        The form is looked up once. Where it answers ``NotImplemented``, as to arrays that it
        cannot read, the equation is computed as it stands.
        """
        form = self._forms.get(equation)
        if form is None:
            form = self._forms[equation] = self.fused(equation) or equation
        if form(self, *args) is NotImplemented:
            equation(self, *args)

    def perform(self, method: Callable[..., None], *args: object) -> None:
        """method(*args) of an object that states equations, in this backend's own form of it.

        As :meth:`compute` does; the form takes the object first.
        """
        if isinstance(method, MethodType):
            form = self.fused(method.__func__)
            if form is not None and form(method.__self__, *args) is not NotImplemented:
                return
        method(*args)

    def fused(self, equation: Function) -> Function | None:
        """This backend's form of an equation marked :func:`fusible`; None where it has none.

        It takes the arguments of the equation, and allocates nothing on the device. That of an
        optimizer's update finds the ``scratch`` that :meth:`update_scratch` makes as the last of
        the moments, that of clipping as its last argument. Where the backend
        ``records_steps``, a number among the arguments may lie on the device.
        """
        return self.fused_forms.get(FUSIBLE.get(equation, ""))

    def update_scratch(self, size: int) -> Array:
        """The buffer that an optimizer's fused form works in, on buffers of ``size`` numbers."""
        return None

    # ---- memory ------------------------------------------------------------------------------

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Array:
        """An uninitialized array of this shape; of the backend's float type by default."""
        return self.xp.empty(shape, dtype=self.dtype if dtype is None else dtype)

    def zeros(self, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Array:
        """An array of zeros; of the backend's float type by default."""
        out = self.empty(shape, dtype)
        out.fill(0)
        return out

    def array(self, host: ArrayLike, dtype: DTypeLike | None = None) -> Array:
        """A new device array of the numbers of ``host``; by default of the float type."""
        source = np.asarray(host)
        out = self.empty(source.shape, dtype)
        self.load(source, out)
        return out

    def load(self, host: ArrayLike, out: Array) -> None:
        """Copy host numbers of any real dtype into a device array of the same shape."""
        raise NotImplementedError

    def to_host(self, a: Array) -> NDArray:
        """A copy of ``a`` on the host, of the same shape and dtype; waits for the device."""
        raise NotImplementedError

    def host_empty(self, shape: tuple[int, ...]) -> NDArray:
        """An uninitialized array on the host, of the float type, to collect results in."""
        checked_nbytes(shape, self.dtype)
        return np.empty(shape, dtype=self.dtype)

    def page_locked(self, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> NDArray:
        """An uninitialized host array for copies that nothing waits for, of the float type unless
        given.

        Where the device has memory of its own, the system keeps these pages in their place.
        """
        kind = self.dtype if dtype is None else dtype
        checked_nbytes(shape, kind)
        return np.empty(shape, kind)

    def start_to_host(self, a: Array, out: NDArray) -> None:
        """Begin to copy contiguous ``a`` to the page-locked ``out``.

        It is there after :meth:`synchronize`.
        """
        out[...] = self.to_host(a)

    def start_load(self, host: NDArray, out: Array) -> None:
        """Begin to copy the page-locked ``host`` to contiguous ``out``.

        What the device is told to do next finds it there; ``host`` must stay as it is until
        :meth:`synchronize`.
        """
        self.load(host, out)

    def synchronize(self) -> None:
        """Wait until the device has finished all work that was launched."""

    # ---- noise (E26) -------------------------------------------------------------------------

    def noise_scratch(self, size: int) -> Array:
        """The scratch buffer of :meth:`uniform` and :meth:`normal` for ``size`` numbers."""
        return np.empty(normal_scratch_size(size))

    def uniform(self, out: Array, stream: Stream, scratch: Array, position: int = 0) -> None:
        """out = U[0, 1), a function of the stream and of the position in it alone.

        ``position``: that of the first number.
        """
        draw = scratch[: out.size]
        fill_uniform(draw, stream, position)
        np.minimum(draw, below_one(self.dtype), out=draw)
        self.load(draw.reshape(out.shape), out)

    def normal(self, out: Array, stream: Stream, scratch: Array, position: int = 0) -> None:
        """out = N(0, 1), a function of the stream and of the position in it alone.

        ``position``: that of the first number, even.
        """
        draw = np.empty(out.shape)
        fill_normal(draw, stream, scratch, position)
        self.load(draw, out)

    def binarize(
        self, x: Array, stream: Stream, draw: Array, scratch: Array, position: int = 0
    ) -> None:
        """x = 1 where a uniform of the stream lies below x, else 0. ``draw`` is a buffer like x.

        ``position``: that of the first uniform in the stream.
        """
        self.uniform(draw, stream, scratch, position)
        self.xp.less(draw, x, out=x)

    # ---- operations --------------------------------------------------------------------------

    def gemm(self, a: Array, b: Array, out: Array) -> None:
        """out = a b, into a given buffer: (M, K), (K, N) -> (M, N). The factors may be views."""
        out[...] = self.xp.matmul(a, b)

    def gemm_nt(self, a: Array, b: Array, out: Array, tmp: Array | None) -> None:
        """out = a bᵀ, into a given buffer: (B, O), (I, O) -> (B, I). ``tmp``: like out, or None."""
        self.gemm(a, b.T, out)

    def sum_rows(self, a: Array, out: Array) -> None:
        """out = Σᵢ aᵢ, the sum over the first axis: (B, D) -> (D,)."""
        out[...] = self.xp.sum(a, axis=0)

    def gather(
        self, images: Array, index: Array, max_level: int | None, out: Array, raw: Array
    ) -> None:
        """out = images[index] / max_level: (N, D), (B,) -> (B, D).

        ``raw`` is a buffer like ``out`` of the images' own dtype; ``max_level`` is None where the
        images are grey values already.
        """
        out[...] = self.xp.take(images, index, axis=0)
        if max_level is not None and max_level != 1:
            out /= float(max_level)

    def windows(self, x: Array, stride: tuple[int, int], out: Array) -> None:
        """out[n, p, q, i, j, c] = x[n, p·s + i, q·r + j, c], for strides s and r  (E35).

        (N, H, W, C) -> (N, h, w, kh, kw, C): beside each result all pixels that it depends on.
        """
        (s, r), (h, w, kh, kw) = stride, out.shape[1:5]
        for i in range(kh):
            for j in range(kw):
                out[:, :, :, i, j] = x[:, i : i + (h - 1) * s + 1 : s, j : j + (w - 1) * r + 1 : r]

    def ignore_float_errors(self) -> AbstractContextManager[object]:
        """Context manager of a step: overflows are not reported; the loop looks for them."""
        return np.errstate(all="ignore")

    def describe(self) -> dict[str, str]:
        """The device by name and properties, for people and for result files."""
        return {"name": self.name}

    def blas_threads(self) -> int:
        """The number of threads that BLAS uses; 0 if there is no BLAS, or it cannot be asked."""
        return 0

    def limit_blas(self, count: int | None) -> AbstractContextManager[object]:
        """Context manager: set BLAS to ``count`` threads (None, 0: unchanged), then restore.

        The number of threads changes the last bits of large products.
        """
        return nullcontext()

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterable[Result]:
        """``function(item)`` of every item, in order; several at once where that is faster.

        ``function`` may then run in several threads. How many changes no bit.
        """
        return map(function, items)

    # ---- steps that are recorded -------------------------------------------------------------

    def capture(self, step: Callable[[], None], times: int = 1) -> Callable[[], None]:
        """A callable that performs ``times`` steps, recorded from ``step``.

        A device that records runs the Python code of ``step`` in the first calls only. Later calls
        repeat the recording, on the same arrays and with the host's numbers as they were; whatever
        changes from step to step must lie on the device, where a clock sets it. A recorded step may
        neither allocate memory nor wait for the device.
        """

        def replay() -> None:
            for _ in range(times):
                step()

        return replay

    def begin_step(
        self, i: Array, order: Array, rates: Array, betas: Array, index: Array, lr: Array,
        beta: Array,
    ) -> None:  # fmt: skip
        """Look up the inputs of step ``i``: index = order[i], lr = rates[i], beta = betas[i].

        order (S, B) and rates, betas (S,) hold an epoch of S steps; ``i``, ``lr`` and ``beta``
        have no dimension.
        """
        take = self.xp.take
        index[...] = take(order, i, axis=0)
        lr[...] = take(rates, i)
        beta[...] = take(betas, i)

    def end_step(self, t: Array, i: Array, loss: Array, losses: Array) -> None:
        """losses[i] = loss; then the clock advances: t += 1, i += 1. losses (S, 1), loss (1,)."""
        losses[i] = loss
        t += 1
        i += 1
