"""Whether the arrays of a check fit what is to be checked."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchvae.gradcheck.report import UncheckableError
from scratchvae.layers import Layer, Sequential
from scratchvae.likelihoods import Likelihood
from scratchvae.models import VAE


def require_arrays(what: object, arrays: Sequence[Any]) -> None:
    """``UncheckableError`` unless a layer gets x, a likelihood logits and pixels, a VAE its own."""
    shapes = [np.shape(a) for a in arrays]
    if isinstance(what, Layer | Sequential):
        fine, wanted = len(shapes) == 1 and len(shapes[0]) > 1, "one array x, (B, …)"
    elif isinstance(what, Likelihood):
        fine, wanted = _fits_likelihood(what, shapes), "logits (B, K, D) and pixels (B, 1, D)"
        if what.logits_per_pixel > 1:
            wanted = wanted.replace("K, D", f"K, {what.logits_per_pixel} D")
    elif isinstance(what, VAE):
        tails = [(what.pixels,), (what.samples, what.latent_dim)]
        fine = len(shapes) <= 2 and all(
            s[:1] == shapes[0][:1] and s[1:] == tail for s, tail in zip(shapes, tails, strict=False)
        )
        wanted = (
            f"nothing, or images (B, {what.pixels}) and noise "
            f"(B, {what.samples}, {what.latent_dim})"
        )
    else:
        return
    if not fine:
        given = " and ".join(map(str, shapes)) or "none"
        raise UncheckableError(
            f"a {type(what).__name__} is checked at {wanted}; the shapes given are: {given}"
        )


def _fits_likelihood(likelihood: Likelihood, shapes: Sequence[tuple[int, ...]]) -> bool:
    if [len(s) for s in shapes] != [3, 3]:
        return False
    (rows, _, width), (images, one, pixels) = shapes
    return (rows, 1, likelihood.logits_per_pixel * pixels) == (images, one, width)
