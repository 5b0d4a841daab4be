"""The error of a gradient, defined once; every table of this package names it."""

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from scratchvae.errors import ConfigError

ZERO_ULPS = 4  # an exact zero must be zero to this many ulp of the scale


def gradient_error(g: ArrayLike, reference: ArrayLike, scale: float = 0.0) -> float:
    """‖g − ĝ‖₂ / max(‖ĝ‖₂, s)  (E27).

    ``scale`` is s, the norm of the same sum formed from the absolute values of its terms (for
    a − b: ‖|a| + |b|‖₂), so that a difference that cancels is not blamed for its last bits. Along
    a direction v, g and ĝ are the two slopes and s is at least ‖g‖ ‖v‖ / √n
    (:func:`direction_scale`). Where both norms are zero the error is 0 or infinite.
    """
    a, b = np.asarray(g, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if a.shape != b.shape:
        raise ConfigError(f"a gradient of shape {a.shape} has no error against one of {b.shape}")
    difference, size = norm(a - b), max(norm(b), float(scale))
    if not np.isfinite(difference):
        return float("inf")
    if size == 0:
        return 0.0 if difference == 0 else float("inf")
    return difference / size


def direction_scale(g: ArrayLike, v: ArrayLike, terms: float = 0.0) -> float:
    """max(‖g‖₂ ‖v‖₂ / √n, s): what an error along the direction v is measured by (E27)."""
    n = np.size(v)
    return max(norm(g) * norm(v) / np.sqrt(n), float(terms)) if n else float(terms)


def allowed(reference: ArrayLike, tolerance: float, dtype: DTypeLike = np.float64) -> float:
    """The largest error that passes: the tolerance, or 4 ulp where the reference is zero (E27)."""
    if np.any(reference):
        return tolerance
    return min(tolerance, ZERO_ULPS * float(np.finfo(dtype).eps))


def norm(a: ArrayLike) -> float:
    """‖a‖₂ over all elements, without overflow for elements beyond 1e154."""
    flat = np.abs(np.asarray(a, dtype=np.float64)).reshape(-1)
    top = float(flat.max(initial=0.0))
    if top == 0 or not np.isfinite(top):
        return top
    return top * float(np.sqrt(np.sum((flat / top) ** 2)))
