"""The only place that knows NumPy from CuPy: one object per device, chosen once and handed down."""

from numpy.typing import DTypeLike

from scratchvae.backend.base import (
    FLUSH_EVERY,
    Array,
    Backend,
    HostArray,
    Note,
    Number,
    Weight,
    float_type,
    flush_threshold,
    fusible,
    ignore,
    invisible_weight,
    machine_epsilon,
)
from scratchvae.backend.cpu import NumpyBackend
from scratchvae.errors import ConfigError

__all__ = [
    "DEVICES",
    "FLUSH_EVERY",
    "Array",
    "Backend",
    "HostArray",
    "Number",
    "Weight",
    "float_type",
    "flush_threshold",
    "fusible",
    "get_backend",
    "invisible_weight",
    "machine_epsilon",
    "why_no_gpu",
]

DEVICES = ("auto", "cpu", "cuda", "strict")


def get_backend(
    device: str = "auto",
    dtype: DTypeLike = "float32",
    tf32: bool = False,
    *,
    compiled: bool = False,
    note: Note = ignore,
) -> Backend:
    """The backend of a device.

    ``auto`` is ``cuda`` where a GPU can be used and ``cpu`` elsewhere (:func:`why_no_gpu` says
    why not); ``cpu`` is NumPy, ``cuda`` CuPy, ``strict`` a device made of NumPy that shows every
    hidden transfer and allocation. ``dtype``: float32 to train, float64 and complex128 to verify.
    With ``tf32`` a GPU rounds the factors of float32 products to 10 bits of mantissa, which is
    faster. With ``compiled`` the CPU computes in loops that numba compiles, where that is installed
    (the extra ``fast``); ``note`` is told what :meth:`Backend.with_compiled` has to say.

    Raises ``ConfigError`` for an unknown device or dtype and for TF32 elsewhere, ``DeviceError``
    for ``cuda`` without a usable GPU.
    """
    if device not in DEVICES:
        raise ConfigError(f"device {device!r} is not one of {', '.join(DEVICES)}")
    if device == "auto":
        device = "cpu" if why_no_gpu() else "cuda"
    if device == "cuda":
        from scratchvae.backend.cuda import CupyBackend

        return CupyBackend(dtype=dtype, tf32=tf32)
    if tf32:
        raise ConfigError(
            f"TF32 is a way in which a GPU multiplies, and the device is {device}: "
            "leave --tf32 out, or choose --device cuda on a machine with one"
        )
    if device == "strict":
        from scratchvae.backend.strict import StrictBackend

        return StrictBackend(dtype=dtype)
    return NumpyBackend(dtype=dtype).with_compiled(compiled, note)


def why_no_gpu() -> str | None:
    """Why no GPU can be used on this machine, in one sentence; None when one can."""
    from scratchvae.backend.cuda import unavailable

    return unavailable()
