"""The ELBO of a model on images it may never have seen, and what its latent units do."""

import math
from dataclasses import asdict, dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.noise import Purpose, Stream
from scratchvae.data import Split, bernoulli, describe
from scratchvae.errors import DataError
from scratchvae.evaluation.units import is_active
from scratchvae.models import Condition, Model
from scratchvae.models.model import BLOCK, Terms
from scratchvae.types import Json, Over

# Images whose float values exist at one time: a multiple of the model's block. Splits with more
# images than this are drawn in chunks, so that it is part of the definition of `dynamic` draws.
CHUNK = 10_000
PART = 2 * BLOCK  # images that a process evaluates at a time, where several share them
UNCONDITIONAL = Condition()


class Protocol(NamedTuple):
    """What a printed number carries: pixels, likelihood and estimate. ``str()`` gives one line."""

    pixels: str  # "pixels > 1/2"
    likelihood: str  # "Bernoulli likelihood"
    estimate: str  # "1 sample per image"

    def __str__(self) -> str:
        return "; ".join(self)


@dataclass(frozen=True)
class Evaluation:
    """Means over the images of a split, in nats per image, and the protocol of the measurement."""

    elbo: float  # −(reconstruction + kl), a bound of log p(x)
    elbo_standard_error: float  # of the mean over images
    loss: float  # reconstruction + beta · kl (E2), whatever estimator training used
    reconstruction: float  # −E log p(x|z)
    kl: float
    kl_per_unit: list[float]
    active_units: int  # E34
    inactive_units: list[int]  # the others, counted from 0
    images: int
    samples: int  # z per image
    protocol: str

    def to_json(self) -> Json:
        """A dictionary that JSON can hold."""
        return asdict(self)


def evaluate(
    model: Model, split: Split, *, seed: int = 0, draw: int = 0, over: Over | None = None
) -> Evaluation:
    """The ELBO (E1) and its parts, averaged over the images of a split, in nats per image.

    E_q[log p(x|z)] is the mean over the model's number of samples; the KL is analytic, or with a
    flow the mean over the same samples. The split carries its protocol: binarized images are
    evaluated as they are, "dynamic" ones are drawn here. Noise and draws are functions of (seed,
    draw), so the same pair gives the same numbers; training passes the epoch as ``draw``. ``over``:
    a map that divides the images among processes; it changes no bit.

    Raises ``DataError`` for anything but a split, for a split without images and for images that
    the model cannot score (another number of pixels, values outside [0, 1] for a Bernoulli);
    ``ConfigError`` for a seed or draw that is not a whole number from 0 to 2⁶⁴ − 1. If a model's
    numbers overflow, so does the ``Evaluation``: check that ``loss`` is finite.
    """
    require_images(split)
    nll_sum = kl_sum = square_sum = 0.0
    units = np.zeros(model.vae.latent_dim)
    mu_parts: list[NDArray] = []
    for start in range(0, len(split), CHUNK):
        chunk = split.take(slice(start, start + CHUNK))
        images = as_seen_by_model(
            chunk, seed=seed, draw=draw, start=start, condition=model.vae.evaluated.condition
        )
        stream = Stream(seed, Purpose.TEST_LATENT, draw, start)
        terms = _terms_over(over, model, stream, images)
        nll = terms.nll.mean(axis=1, dtype=np.float64)
        kl = terms.kl.sum(axis=1, dtype=np.float64)
        nll_sum += float(nll.sum())
        kl_sum += float(kl.sum())
        square_sum += float(((nll + kl) ** 2).sum())
        units += terms.kl.sum(axis=0, dtype=np.float64)
        mu_parts.append(terms.mu)
    active = is_active(np.concatenate(mu_parts))
    n = len(split)
    reconstruction, kl_mean = nll_sum / n, kl_sum / n
    variance = max(square_sum / n - (reconstruction + kl_mean) ** 2, 0.0)
    return Evaluation(
        elbo=-(reconstruction + kl_mean),
        elbo_standard_error=math.sqrt(variance / n),
        loss=reconstruction + model.vae.beta * kl_mean,
        reconstruction=reconstruction,
        kl=kl_mean,
        kl_per_unit=[float(u) for u in units / n],
        active_units=int(active.sum()),
        inactive_units=[int(unit) for unit in np.flatnonzero(~active)],
        images=n,
        samples=model.vae.evaluated.samples,
        protocol=str(describe_protocol(model, split.binarized, split.static_seed)),
    )


def _terms(model: Model, part: tuple[Stream, NDArray]) -> Terms:
    stream, images = part
    with model.bk.ignore_float_errors():  # the caller checks for non-finite results
        return model.terms(images, stream=stream)


def _terms_over(over: Over | None, model: Model, stream: Stream, images: NDArray) -> Terms:
    """The terms of all images, computed as a whole or in parts of whole blocks."""
    if over is None:
        return _terms(model, (stream, images))
    starts = range(0, len(images), PART)
    parts = [(stream._replace(lane=stream.lane + k), images[k : k + PART]) for k in starts]
    found = over(partial(_terms, model), parts)
    return Terms(*(np.concatenate(each) for each in zip(*found, strict=True)))


def require_images(split: Split) -> None:
    """Raise ``DataError`` unless ``split`` is a Split with at least one image."""
    if not isinstance(split, Split):
        raise DataError(
            f"a model is evaluated on a Split, which says how its pixels were made, not on a value "
            f"of type {type(split).__name__}: Split(images, None, None) holds float32 grey values"
        )
    if len(split) == 0:
        raise DataError("there are no images to evaluate the model on")


def as_seen_by_model(
    split: Split,
    *,
    seed: int = 0,
    draw: int = 0,
    start: int = 0,
    condition: Condition = UNCONDITIONAL,
) -> NDArray:
    """The images as a model sees them, (N, D): grey values or binary pixels, float32.

    The pixels of a "dynamic" split are drawn (E33): uint8 zeros and ones, a function of (seed,
    draw, start), where ``start`` is the index of the first image in the whole split. ``condition``:
    the model's; with one, the result has its rows, and ``DataError`` is raised where a label is
    missing or unknown.
    """
    if split.binarized == "dynamic":
        images: NDArray = bernoulli(split, Stream(seed, Purpose.TEST_BINARIZE, draw, start))
    else:
        images = split.values()
    return condition.rows(images, split.labels)


def describe_protocol(model: Model, binarized: str, static_seed: int | None = None) -> Protocol:
    """The protocol of a number that ``model`` gives for a split.

    ``binarized`` and ``static_seed`` are those of the Split. A Bernoulli likelihood of values
    that were not binarized is a cross-entropy, not a density, and is called so. Raises
    ``ConfigError`` for unknown protocols.
    """
    likelihood = model.vae.likelihood
    name = f"{likelihood.describe()} likelihood"
    if model.vae.evaluated.condition.kind:
        name += f" {model.vae.evaluated.condition.describe()}"
    if likelihood.binary and binarized == "none":
        name += " on values in [0, 1] (a cross-entropy, not a density)"
    estimate = per_image(model.vae.evaluated.samples)
    if model.vae.flow.length:
        estimate += ", KL by Monte Carlo"
    return Protocol(describe(binarized, static_seed), name, estimate)


def per_image(samples: int) -> str:
    """The number of samples as a phrase: "1 sample per image", "5 samples per image"."""
    return f"{samples} sample{'s' if samples > 1 else ''} per image"
