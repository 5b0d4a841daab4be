"""What a model accepts: grey values, latent vectors and noise, checked and converted in one place.

Lists, data frames and tensors of other libraries become host arrays; a single image or latent
vector becomes a batch of one. What would give a wrong number in silence is refused.
"""

import math

from scratchvae.backend import HostArray
from scratchvae.backend.host import host_array, require_finite
from scratchvae.errors import DataError
from scratchvae.models.vae import VAE
from scratchvae.types import Values


def grey_values(images: Values, vae: VAE) -> HostArray:
    """``images`` as a float array (N, D) of the values that ``vae`` models, if possible no copy.

    Accepts (N, D), (N, H, W) or any (N, …) with D = ``vae.pixels`` numbers per image; a single
    image (D,) or (H, W) counts as N = 1. Booleans, and whole numbers 0 and 1, are binary pixels.
    Raises ``DataError`` for other whole numbers, which are levels and not grey values, for NaN and
    infinities, for values outside [0, 1] if the likelihood needs them inside, and for other shapes.
    """
    if hasattr(images, "images") and callable(getattr(images, "values", None)):
        raise DataError("images are an array, not a Split: use split.values()")
    x = host_array(images, "images")
    if x.ndim > 1 and math.prod(x.shape[1:]) == vae.pixels:
        x = x.reshape(len(x), vae.pixels)
    elif x.size == vae.pixels:
        x = x.reshape(1, vae.pixels)
    if x.ndim != 2 or x.shape[1] != vae.pixels or len(x) == 0:
        made = ""
        if vae.condition.kind == "label":
            made = f": {vae.modelled} pixels and the label, by vae.condition.rows(images, labels)"
        raise DataError(
            f"images have shape {x.shape}, expected (N, {vae.pixels}) with N at least 1{made}"
        )
    low, high = float(x.min()), float(x.max())
    if x.dtype.kind in "iu" and not 0 <= low <= high <= 1:
        raise DataError(
            f"images are whole numbers from {low:g} to {high:g} ({x.dtype}), which are levels and "
            "not grey values: use split.values(), or divide by the level of white (x / 255)"
        )
    if not math.isfinite(low + high):
        require_finite(x, "images")
    if vae.likelihood.unit_interval and not 0 <= low <= high <= 1:
        raise DataError(
            f"images reach from {low:g} to {high:g}, but a {vae.likelihood.describe()} likelihood "
            "is of values in [0, 1]: rescale them, or use a Gaussian likelihood"
        )
    return x


def latent_vectors(z: Values, latent_dim: int) -> HostArray:
    """``z`` as an array (N, Z) of finite numbers; a single vector (Z,) counts as N = 1.

    Raises ``DataError`` for other shapes, NaN and infinities.
    """
    array = host_array(z, "latent vectors")
    if array.shape == (latent_dim,):
        array = array.reshape(1, latent_dim)
    if array.ndim != 2 or array.shape[1] != latent_dim or len(array) == 0:
        raise DataError(
            f"latent vectors have shape {array.shape}, expected (N, {latent_dim}) with N at least 1"
        )
    require_finite(array, "latent vectors")
    return array


def noise(eps: Values, shape: tuple[int, int, int]) -> HostArray:
    """``eps`` as an array of finite numbers of ``shape`` (N, K, Z); ``DataError`` otherwise."""
    array = host_array(eps, "eps")
    if array.shape != shape:
        raise DataError(f"eps has shape {array.shape}, expected {shape}")
    require_finite(array, "eps")
    return array
