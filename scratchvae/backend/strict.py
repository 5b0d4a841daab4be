"""A device made of NumPy, stricter than any GPU, for machines that have none.

Its arrays refuse to become host arrays unasked and to mix with them, start out filled with NaN,
and count every allocation and every wait for the device; inside a captured step either is an
error. What passes here has no hidden transfer, and what a captured step computes when it is
replayed depends on nothing but the device's memory. Its arrays wrap NumPy's and do not inherit
from them: a subclass would still convert silently.

A recording works like a CUDA graph: while it is made, nothing is computed; every call of the device
is stored with its arrays and with the current values of the host's numbers. When it is replayed,
the same calls run on the same memory, and later changes of the host's variables have no effect.
"""

import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from scratchvae.backend.base import Array as AnyArray
from scratchvae.backend.base import Backend, Function
from scratchvae.backend.cpu import NumpyBackend
from scratchvae.backend.cpu_updates import BRANCH_ON_VALUES
from scratchvae.backend.noise import Stream
from scratchvae.errors import ScratchVAEError

Plain = TypeVar("Plain")  # a number of Python's

__all__ = ["Array", "CaptureError", "StrictBackend", "TransferError"]

Launch = Callable[[], object]  # a call of the device with its arguments
BELOW = {Path(__file__).parent, Path(np.__file__).parent}  # what others call the device through


class CaptureError(ScratchVAEError, RuntimeError):
    """A captured step allocated memory or waited for the device."""


class TransferError(ScratchVAEError, TypeError):
    """A host array met a device array, or one would have silently become the other."""


def caller() -> str:
    """The method and line that called the device: "Swish.forward (swish.py, line 12)"."""
    frame = sys._getframe()
    while frame.f_back is not None and BELOW & {*Path(frame.f_code.co_filename).parents}:
        frame = frame.f_back
    code = frame.f_code
    return f"{code.co_qualname} ({Path(code.co_filename).name}, line {frame.f_lineno})"


class Device:
    """Counts allocations and waits, and makes them an error while a step is recorded."""

    def __init__(self) -> None:
        self.allocations = 0
        self.synchronizations = 0
        self.recording: list[Launch] | None = None
        self.underway: list[Launch] = []  # ends of copies that nothing has waited for

    def allocated(self, shape: tuple[int, ...]) -> None:
        self.allocations += 1
        if self.recording is not None:
            raise CaptureError(
                f"{caller()}: an array of shape {shape} was allocated inside a captured step; "
                "write into a buffer that is handed in, with out= or +="
            )

    def synchronized(self, what: str) -> None:
        self.synchronizations += 1
        if self.recording is not None:
            raise CaptureError(
                f"{caller()}: {what} waits for the device inside a captured step; "
                "compute on the device, and read the result after the step"
            )
        done, self.underway = self.underway, []
        for end in done:
            end()

    def launch(self, call: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Run a call that writes to memory of the device; while recording, store it instead."""
        if self.recording is None:
            call(*args, **kwargs)
        else:
            self.recording.append(lambda: call(*args, **kwargs))

    @contextmanager
    def capture(self) -> Iterator[list[Launch]]:
        """Record instead of computing; yields the list that the launches are appended to."""
        launches: list[Launch] = []
        self.recording = launches
        try:
            yield launches
        finally:
            self.recording = None


class Array:
    """An array of the strict device."""

    __slots__ = ("_a", "device")
    __array_ufunc__ = None  # NumPy's operators and ufuncs give up on it: ours answer instead

    def __init__(self, a: NDArray, device: Device, fresh: bool = True) -> None:
        self._a = a
        self.device = device
        if fresh:
            device.allocated(a.shape)

    shape = property(lambda self: self._a.shape)
    dtype = property(lambda self: self._a.dtype)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    flags = property(lambda self: self._a.flags)
    nbytes = property(lambda self: self._a.nbytes)

    @property
    def T(self) -> "Array":
        return Array(self._a.T, self.device, fresh=False)

    @property
    def real(self) -> "Array":
        return Array(self._a.real, self.device, fresh=False)

    @property
    def imag(self) -> "Array":
        return Array(self._a.imag, self.device, fresh=self.dtype.kind != "c")

    def reshape(self, *shape: int) -> "Array":
        view = self._a.reshape(*shape)
        return Array(view, self.device, fresh=not np.shares_memory(view, self._a))

    def fill(self, value: float) -> None:
        self.device.launch(self._a.fill, value)

    def __len__(self) -> int:
        return len(self._a)

    def __iter__(self) -> Iterator["Array"]:
        raise TransferError(
            f"{caller()}: iterating over a device array reads it element by element; "
            "use an operation on the whole array"
        )

    def __array__(self, *args: object, **kwargs: object) -> NDArray:
        raise TransferError(
            f"{caller()}: a device array does not become a host array unasked; "
            "use bk.xp in place of numpy, or bk.to_host(array)"
        )

    def __getitem__(self, key: Any) -> "Array":
        key = _unwrap(key)
        view = self._a[key]
        if isinstance(view, np.generic):  # a device has no scalars: a view of no dimension
            view = self._a[(*key, ...) if isinstance(key, tuple) else (key, ...)]
        return Array(view, self.device, fresh=not np.may_share_memory(view, self._a))

    def __setitem__(self, key: Any, value: object) -> None:
        self._written_from(value)
        self.device.launch(operator.setitem, self._a, _unwrap(key), _unwrap(value))

    def _written_from(self, *values: object) -> None:
        """Count a copy as CuPy makes it: of what may overlap the array that is written.

        Another view of the same memory is such a thing; the very same array is not.
        """
        for value in values:
            if not isinstance(value, Array) or value is self:
                continue
            if np.may_share_memory(value._a, self._a):
                self.device.allocated(value.shape)

    def _read(self, convert: Callable[[NDArray], Plain]) -> Plain:
        self.device.synchronized(f"{convert.__name__}(array)")
        return convert(self._a)

    def __bool__(self) -> bool:
        return self._read(bool)

    def __float__(self) -> float:
        return self._read(float)

    def __int__(self) -> int:
        return self._read(int)

    def __complex__(self) -> complex:
        return self._read(complex)

    def __index__(self) -> int:
        return self._read(operator.index)

    def __repr__(self) -> str:
        return f"<strict array {self.shape} {self.dtype}>"


def _unwrap(value: object) -> Any:
    """The NumPy memory of a device array; host scalars as they are; host arrays not at all."""
    if isinstance(value, Array):
        return value._a
    if isinstance(value, np.ndarray):
        raise TransferError(
            f"{caller()}: a host array of shape {value.shape} met a device array; "
            "make it with bk.array(…) once, before the step"
        )
    if isinstance(value, tuple | list):
        return type(value)(_unwrap(v) for v in value)
    return value


def _operators() -> None:
    """a + b, b + a, a += b, −a, a < b, … for the arrays above."""

    def binary(op: Callable) -> Callable:
        return lambda self, other: Array(op(self._a, _unwrap(other)), self.device)

    def reflected(op: Callable) -> Callable:
        return lambda self, other: Array(op(_unwrap(other), self._a), self.device)

    def in_place(op: Callable) -> Callable:
        def method(self: Array, other: object) -> Array:
            self._written_from(other)
            self.device.launch(op, self._a, _unwrap(other))
            return self

        return method

    for name in ("add", "sub", "mul", "truediv", "pow", "matmul"):
        setattr(Array, f"__{name}__", binary(getattr(operator, name)))
        setattr(Array, f"__r{name}__", reflected(getattr(operator, name)))
    for name in ("add", "sub", "mul", "truediv"):
        setattr(Array, f"__i{name}__", in_place(getattr(operator, f"i{name}")))
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        setattr(Array, f"__{name}__", binary(getattr(operator, name)))
    setattr(Array, "__neg__", lambda self: Array(-self._a, self.device))  # noqa: B010


_operators()


class PageLocked(np.ndarray):
    """An array of the host for copies that nothing waits for."""


class Namespace:
    """NumPy's functions on arrays of one strict device."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        if not callable(function) or isinstance(function, type):
            return function

        def on_device(*args: object, out: object = None, **kwargs: object) -> object:
            kwargs = {key: _unwrap(value) for key, value in kwargs.items()}
            if out is not None:
                if isinstance(out, Array):
                    out._written_from(*args)
                self.device.launch(function, *_unwrap(args), out=_unwrap(out), **kwargs)
                return out
            result = function(*_unwrap(args), **kwargs)
            if isinstance(result, np.ndarray | np.generic):  # reductions too stay on the device
                return Array(np.asarray(result), self.device)
            return result

        setattr(self, name, on_device)
        return on_device

    def copyto(self, out: Array, source: object) -> None:
        self.device.launch(np.copyto, _unwrap(out), _unwrap(source))


def _read(value: object) -> Any:
    """What a launch computes with: NumPy's arrays, and the numbers that the clock shows by then."""
    if isinstance(value, Stream):
        return value._replace(step=_read(value.step))
    if isinstance(value, StrictBackend):
        return value.host
    if isinstance(value, list):
        return [_read(v) for v in value]
    if not isinstance(value, Array):  # the noise's scratch memory lies on the host
        return value
    return value._a if value.ndim else value._a.item()


def _launched(operation: str) -> Callable:
    """An operation of the CPU as one launch, which reads the clock when it runs.

    A number on the device is an array of no dimension.
    """
    plain = getattr(NumpyBackend, operation)

    @wraps(plain)
    def method(self: "StrictBackend", *args: object) -> None:
        self.device.launch(lambda: plain(self.host, *map(_read, args)))

    return method


class StrictBackend(NumpyBackend):
    """NumPy's operations on the strict device; ``device`` holds the counts."""

    name = "strict"
    records_steps = True
    for_workers = Backend.for_workers
    with_compiled = Backend.with_compiled

    def __init__(self, xp: Namespace | None = None, dtype: DTypeLike = "float32") -> None:
        super().__init__(Namespace(Device()) if xp is None else xp, dtype)
        self.device: Device = self.xp.device
        self.host = NumpyBackend(dtype=dtype)

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> AnyArray:
        memory = super().empty(shape, dtype)
        memory.fill(np.nan if memory.dtype.kind in "fc" else 0x5A)  # a read of it is noticed
        return Array(memory, self.device)

    def load(self, host: ArrayLike, out: Array) -> None:
        if self.device.recording is not None:
            raise CaptureError(
                f"{caller()}: a host array was loaded inside a captured step; load it before"
            )
        super().load(host, out._a)

    def to_host(self, a: Array) -> NDArray:
        self.device.synchronized("to_host")
        return a._a.copy()

    def page_locked(self, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> NDArray:
        host = super().page_locked(shape, dtype).view(PageLocked)
        self.device.allocated(shape)
        return host

    def start_to_host(self, a: Array, out: NDArray) -> None:
        """``out`` is NaN until :meth:`synchronize`."""
        self._require_page_locked(out)
        now = a._a.copy()
        out.fill(np.nan if out.dtype.kind in "fc" else 0x5A)
        self.device.underway.append(lambda: np.copyto(out, now))

    def start_load(self, host: NDArray, out: Array) -> None:
        """:meth:`synchronize` raises if ``host`` has changed by then."""
        self._require_page_locked(host)
        now = host.copy()
        super().load(host, out._a)
        where = caller()

        def compare() -> None:
            if host.tobytes() != now.tobytes():
                raise TransferError(
                    f"{where}: a host array was written to while the device copied it; "
                    "call synchronize before"
                )

        self.device.underway.append(compare)

    def _require_page_locked(self, host: NDArray) -> None:
        if self.device.recording is not None:
            raise CaptureError(f"{caller()}: the host is copied to or from in a captured step")
        if not isinstance(host, PageLocked):
            raise TransferError(f"{caller()}: the host array is not one of page_locked")

    def synchronize(self) -> None:
        self.device.synchronized("synchronize")

    uniform = _launched("uniform")
    normal = _launched("normal")
    windows = _launched("windows")

    def fused(self, equation: Function) -> Function | None:
        """The CPU's form, as one launch where it needs a number of the device.

        That is the clock's learning rate or step, and what clipping finds out about a gradient.
        """
        form = super().fused(equation)
        if form is None:
            return None

        def on_device(*args: object) -> None:
            on_clock = any(isinstance(a, Array) and a.ndim == 0 for a in args)
            if on_clock or form in BRANCH_ON_VALUES:
                self.device.launch(lambda: form(*map(_read, args)))
            else:
                form(*args)

        return on_device

    def begin_step(
        self, i: Array, order: Array, rates: Array, betas: Array, index: Array, lr: Array,
        beta: Array,
    ) -> None:  # fmt: skip
        arrays = map(_unwrap, (i, order, rates, betas, index, lr, beta))
        self.device.launch(self.host.begin_step, *arrays)

    def end_step(self, t: Array, i: Array, loss: Array, losses: Array) -> None:
        self.device.launch(self.host.end_step, *map(_unwrap, (t, i, loss, losses)))

    def capture(self, step: Callable[[], None], times: int = 1) -> Callable[[], None]:
        launches: list[Launch] = []

        def replay() -> None:
            if not launches:
                with self.device.capture() as recorded:
                    for _ in range(times):
                        step()
                launches.extend(recorded)
            with self.ignore_float_errors():  # a device reports no overflow
                for launch in launches:
                    launch()

        return replay
