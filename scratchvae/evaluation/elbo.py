"""The ELBO of a model on images it may never have seen, and what its latent units do."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.noise import Purpose, Stream
from scratchvae.data import Split, bernoulli, describe
from scratchvae.errors import DataError
from scratchvae.models import Model

# Images whose float values exist at one time: a multiple of the model's block, and, beyond so many
# images, part of the definition of the draws of `dynamic`.
CHUNK = 10_000
ACTIVE = 0.01  # a latent unit is active when the variance of its μ over images exceeds this


@dataclass(frozen=True)
class Evaluation:
    """Means over the images, in nats an image, with the protocol they were measured under."""

    elbo: float  # −(reconstruction + kl), a bound of log p(x)
    elbo_standard_error: float  # of the mean over images
    loss: float  # reconstruction + beta · kl (E2), whatever estimator training used
    reconstruction: float  # −E log p(x|z)
    kl: float
    kl_per_unit: list[float]
    active_units: int  # E34
    images: int
    samples: int  # z an image
    protocol: str

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return asdict(self)


def evaluate(model: Model, split: Split, binarize: str, seed: int, visit: int = 0) -> Evaluation:
    """The bound of log p(x) (E1) and its parts, averaged over the images of a split.

    The expectation over q(z|x) is the mean of the model's number of samples.

    ``split`` is already binarized where the protocol is a fixed one; under ``dynamic`` its pixels
    are drawn here. Noise and draws are functions of (seed, visit): the same visit, which is the
    epoch for the numbers of a training run, gives the same numbers again.
    """
    if len(split) == 0:
        raise DataError("there are no images to evaluate the model on")
    nll_sum = kl_sum = square_sum = 0.0
    units = np.zeros(model.vae.latent_dim)
    mu_parts: list[NDArray] = []
    for start in range(0, len(split), CHUNK):
        images = visible(split.take(slice(start, start + CHUNK)), binarize, seed, visit, start)
        with model.bk.ignore_float_errors():  # whoever asked looks at the numbers
            terms = model.terms(images, None, Stream(seed, Purpose.TEST_LATENT, visit, start))
        nll = terms.nll.mean(axis=1, dtype=np.float64)
        kl = terms.kl.sum(axis=1, dtype=np.float64)
        nll_sum += float(nll.sum())
        kl_sum += float(kl.sum())
        square_sum += float(((nll + kl) ** 2).sum())
        units += terms.kl.sum(axis=0, dtype=np.float64)
        mu_parts.append(terms.mu)
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
        active_units=active_units(np.concatenate(mu_parts)),
        images=n,
        samples=model.vae.samples,
        protocol=describe_protocol(model, binarize, seed),
    )


def active_units(mu: NDArray) -> int:
    """How many latent units have Var_x[μ_j(x)] > 0.01  (E34): Burda et al. 2016, section 5.2."""
    with np.errstate(all="ignore"):  # the variance of an overflow is NaN, and not active
        return int((mu.var(axis=0, dtype=np.float64) > ACTIVE).sum())


def visible(split: Split, binarize: str, seed: int, visit: int, start: int = 0) -> NDArray:
    """The images (N, D) that the model sees at this visit; ``start``: the index of the first."""
    if binarize == "dynamic":
        return bernoulli(split, Stream(seed, Purpose.TEST_BINARIZE, visit, start))
    return split.values()


def describe_protocol(model: Model, binarize: str, seed: int) -> str:
    """What every printed number carries: pixels, likelihood, samples.

    A Bernoulli likelihood on grey pixels is a cross-entropy, not a density, and is named so.
    """
    likelihood, pixels = model.vae.likelihood, describe(binarize, seed)
    name = f"{likelihood.describe()} likelihood"
    if likelihood.unit_interval and binarize == "none":
        name += " on grey values (a cross-entropy, not a density)"
    samples = model.vae.samples
    return f"{pixels}; {name}; {samples} sample{'s' if samples > 1 else ''} an image"
