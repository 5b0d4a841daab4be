"""From one latent vector to another, on the straight line or along the sphere."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from scratchvae.errors import ConfigError
from scratchvae.models import Model

Float64 = NDArray[np.float64]


def linear(za: NDArray, zb: NDArray, t: NDArray) -> Float64:
    """(1 − t) za + t zb  (E62): za, zb (P, Z), t (n,) -> (P, n, Z) float64."""
    return np.asarray(za[:, None] * (1.0 - t[:, None]) + zb[:, None] * t[:, None])


def spherical(za: NDArray, zb: NDArray, t: NDArray) -> Float64:
    """r(t) [sin((1 − t)Ω) za/‖za‖ + sin(tΩ) zb/‖zb‖] / sin Ω, r(t) = (1 − t)‖za‖ + t‖zb‖  (E62).

    za, zb (P, Z), t (n,) -> (P, n, Z) float64; Ω is the angle between za and zb. The direction
    turns at a constant rate along the great circle and the length changes linearly, so no vector
    on the way is longer than the longer end. If the two are parallel, opposite or zero, the arc is
    undefined and the straight line is taken. Source: White 2016, after Shoemake 1985.
    """
    ra, rb = (np.linalg.norm(z, axis=1)[:, None, None] for z in (za, zb))
    nowhere = (ra == 0) | (rb == 0)
    ua, ub = (z[:, None] / np.where(r == 0, 1.0, r) for z, r in ((za, ra), (zb, rb)))
    angle = np.arccos(np.clip((ua * ub).sum(axis=2, keepdims=True), -1.0, 1.0))
    on_line = (np.sin(angle) < 1e-6) | nowhere
    sine = np.where(on_line, 1.0, np.sin(angle))
    s = t[None, :, None]
    direction = (np.sin((1.0 - s) * angle) * ua + np.sin(s * angle) * ub) / sine
    return np.where(on_line, linear(za, zb, t), ((1.0 - s) * ra + s * rb) * direction)


PATHS: dict[str, Callable[[NDArray, NDArray, NDArray], Float64]] = {
    "linear": linear,
    "spherical": spherical,
}


def interpolate(
    model: Model, first: NDArray, second: NDArray, steps: int = 10, path: str = "linear"
) -> NDArray:
    """Decoder means E[x|z] along a path between the encodings of two images, for P pairs.

    first, second (P, D) -> (P, steps, D), from μ(first) to μ(second), both included. ``path`` is
    one of ``PATHS``. Raises ``ConfigError`` for other paths and fewer than two steps, ``DataError``
    for images as in :class:`~scratchvae.models.Model`.
    """
    if path not in PATHS:
        raise ConfigError(f"the path {path!r} is not one of {', '.join(PATHS)}")
    if steps < 2:
        raise ConfigError(f"an interpolation has at least its two ends, not {steps} steps")
    if first.shape != second.shape:
        raise ConfigError(f"{first.shape} images cannot be paired with {second.shape}")
    za, zb = (model.encode(images)[0].astype(np.float64) for images in (first, second))
    z = PATHS[path](za, zb, np.linspace(0.0, 1.0, steps))
    return model.decode(z.reshape(-1, model.vae.latent_dim)).reshape(len(first), steps, -1)
