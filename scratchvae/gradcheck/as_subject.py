"""The argument of gradcheck turned into a subject; whether the arrays beside it fit."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scratchvae.errors import ConfigError
from scratchvae.gradcheck.report import UncheckableError
from scratchvae.gradcheck.subjects import (
    FunctionSubject,
    Subject,
    layer_subject,
    likelihood_subject,
    model_subject,
    sequential_subject,
)
from scratchvae.latent import Estimator
from scratchvae.layers import Layer, Sequential
from scratchvae.likelihoods import Likelihood
from scratchvae.models import VAE
from scratchvae.types import Function, Json, Values


def as_subject(
    what: object,
    *arrays: object,
    backward: Function | None = None,
    parameters: Mapping[str, NDArray] | None = None,
    seed: int = 0,
) -> Subject:
    """What :func:`~scratchvae.gradcheck.gradcheck` was given, as a subject."""
    given: list[Values] = [
        np.asarray(a, dtype=np.float64) if backward is None else a for a in arrays
    ]
    how: Json = {"parameters": parameters, "seed": seed}
    if isinstance(what, Subject):
        return what
    require_arrays(what, given)
    if isinstance(what, Layer):
        return layer_subject(what, *given, **how)
    if isinstance(what, Sequential):
        return sequential_subject(what, *given, **how)
    if isinstance(what, Likelihood):
        return likelihood_subject(what, *given, **how)
    if isinstance(what, VAE):
        return model_subject(what, *given, **how)
    if isinstance(what, Estimator):
        raise ConfigError(
            f"an estimator is checked inside a model: gradcheck(VAE.mlp(7, (5,), estimator={what}))"
        )
    if isinstance(what, type) and issubclass(what, Layer | Likelihood | Sequential | VAE):
        raise ConfigError(f"gradcheck takes an object, not its class: write {what.__name__}(…)")
    if not callable(what):
        raise ConfigError(f"gradcheck takes a function, layer, likelihood or VAE, not {what!r}")
    if backward is None:
        raise ConfigError("gradcheck of a function needs its backward(*arguments, dy)")
    if not given:
        raise ConfigError("gradcheck of a function needs the arguments to check it at")
    return FunctionSubject(what, backward, given)


def require_arrays(what: object, arrays: Sequence[Values]) -> None:
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
