"""Completing an image: infer q(z) from the pixels that are seen, decode those that are not."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import Array
from scratchvae.backend.noise import Purpose, Stream, fill_normal, normal, normal_scratch_size
from scratchvae.data.reading import is_whole
from scratchvae.errors import ConfigError, DataError, NonFiniteError
from scratchvae.evaluation.masks import observed_pixels
from scratchvae.evaluation.nll import HOST, LogMeanExp, reparameterized
from scratchvae.latent import kl_per_unit
from scratchvae.models import Model
from scratchvae.models.inputs import grey_values
from scratchvae.models.posterior import KL_ESTIMATES, BoundPosterior, require_completing
from scratchvae.optim import SGD, Adam, Optimizer
from scratchvae.types import Over, Values

Float64 = NDArray[np.float64]

OPTIMIZERS = ("adam", "sgd")
BATCH = 50  # images fitted at a time
TRACE = 10  # steps between two entries of a trace
RELIABLE_SAMPLES = 30  # effective ones: the bias is then at most a tenth of the standard error


@dataclass(frozen=True)
class CompletionSettings:
    """How q(z) is fitted. Raises ``ConfigError`` for invalid settings.

    ``mu`` and ``logstd`` are the initial values: one number for all latent units, or one each.
    """

    steps: int = 500
    rate: float = 0.05
    samples: int = 10  # z per step
    optimizer: str = "adam"  # or sgd: plain gradient descent
    kl: str = "analytic"  # or sampled: from the same z as the likelihood
    mu: tuple[float, ...] = (0.0,)
    logstd: tuple[float, ...] = (0.0,)
    final_samples: int = 1_000  # of the numbers that are reported
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "samples", "final_samples"):
            value = getattr(self, name)
            if not is_whole(value, 1) or value >= 2**63:
                raise ConfigError(
                    f"{name} is {value!r}, but it must be a whole number of at least 1, at most "
                    "2⁶³ − 1"
                )
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise ConfigError(f"rate is {self.rate}, but it must be a positive number")
        if not isinstance(self.seed, int | np.integer) or not 0 <= self.seed < 2**64:
            raise ConfigError(f"seed is {self.seed!r}, but it must be from 0 to 2⁶⁴ − 1")
        for name, known in (("optimizer", OPTIMIZERS), ("kl", KL_ESTIMATES)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}, but it must be one of {', '.join(known)}"
                )

    def start(self, latent: int) -> tuple[Float64, Float64]:
        """The initial μ and log σ, (Z,) each; ``ConfigError`` for another number of values."""
        for name in ("mu", "logstd"):
            if len(getattr(self, name)) not in (1, latent):
                raise ConfigError(
                    f"{name} has {len(getattr(self, name))} numbers, but the model has {latent} "
                    "latent units"
                )
        mu, logstd = (np.array(np.broadcast_to(a, latent)) for a in (self.mu, self.logstd))
        return mu, logstd


@dataclass(frozen=True, eq=False)
class Completion:
    """The result for N images, in nats: means over ``final_samples`` new draws of the fitted q."""

    observed: NDArray[np.bool_]  # (N, D)
    mu: Float64  # (N, Z)
    logstd: Float64  # (N, Z)
    filled: NDArray  # (N, D): observed pixels as they are, hidden ones E_q E[x|z]
    negative_elbo: Float64  # (N,): −ELBO of the observed pixels
    error: Float64  # (N,): its Monte-Carlo standard error
    hidden: Float64  # (N,): −log E_q p(hidden|z) over the number of hidden pixels; NaN if none is
    hidden_error: Float64  # (N,): its standard error, by the delta method
    hidden_effective_samples: Float64  # (N,): (Σ w)² / Σ w² of w = p(hidden|z)
    trace: Float64  # (steps // 10, N): E60 at every tenth step, before its update

    @property
    def hidden_is_biased(self) -> NDArray[np.bool_]:
        """Whether ``hidden`` is too high to be relied on, image by image: (N,).

        With few effective samples the estimate lies above −log E_q p(hidden|z) by more than its
        standard error: the z that explain the hidden pixels have not been drawn. True below
        ``RELIABLE_SAMPLES`` effective samples; raise ``final_samples`` then.
        """
        return np.asarray(self.hidden_effective_samples < RELIABLE_SAMPLES)


def complete(
    model: Model,
    images: Values,
    observed: Values,
    *,
    settings: CompletionSettings | None = None,
    numbers: Sequence[int] | None = None,
    over: Over | None = None,
) -> Completion:
    """Fit q(z) to the observed pixels of each image (N, D), then decode the hidden ones.

    ``observed``: booleans, (D,) for all images or (N, D). The values of hidden pixels are used
    only to report ``hidden``. The noise of a step is a function of (seed, the image's number,
    step), so the completion of an image does not depend on the other images; ``numbers`` are
    0 to N − 1 unless given. ``over``: a map that divides the images among processes; it changes no
    bit.

    Raises ``DataError`` for images as in :class:`~scratchvae.models.Model` and for masks of
    another size or with nothing observed; ``NonFiniteError`` if the fit diverges.
    """
    settings = settings or CompletionSettings()
    require_completing(model.vae)
    images = grey_values(images, model.vae)
    n, pixels = images.shape
    mask = observed_pixels(np.asarray(observed), pixels)
    if mask.ndim == 2 and len(mask) != n:
        raise DataError(f"there are {len(mask)} masks for {n} images")
    mask = np.broadcast_to(mask, (n, pixels))
    numbers = list(range(n)) if numbers is None else list(numbers)
    if len(numbers) != n:
        raise DataError(f"there are {len(numbers)} numbers for {n} images")
    parts = [slice(i, i + BATCH) for i in range(0, n, BATCH)]
    done = (over or map)(
        partial(_complete_part, model, settings),
        [(images[here], mask[here], numbers[here]) for here in parts],
    )
    fitted, reports = zip(*done, strict=True)
    mu, logstd, trace = (np.concatenate(part, axis=-2) for part in zip(*fitted, strict=True))
    columns = zip(*(report for part in reports for report in part), strict=True)
    of_all = dict(zip(_Report._fields, map(np.array, columns), strict=True))
    _require_finite(settings, of_all["negative_elbo"], of_all["error"])
    return Completion(observed=mask, mu=mu, logstd=logstd, trace=trace[..., 0], **of_all)


def _complete_part(
    model: Model, settings: CompletionSettings, part: tuple[NDArray, NDArray, Sequence[int]]
) -> tuple[tuple[Float64, Float64, Float64], list["_Report"]]:
    """μ, log σ and trace of some images with their masks and numbers, and a report on each."""
    images, mask, numbers = part
    mu, logstd, trace = _fit(model, images, mask, settings, numbers)
    with model.bk.ignore_float_errors():
        reports = [
            _report(model, images[i], mask[i], mu[i], logstd[i], settings, numbers[i])
            for i in range(len(images))
        ]
    return (mu, logstd, trace), reports


def _fit(
    model: Model,
    images: NDArray,
    mask: NDArray,
    settings: CompletionSettings,
    numbers: Sequence[int],
) -> tuple[Float64, Float64, Float64]:
    """μ and log σ (N, Z) after all steps, and the trace (T, N, 1)."""
    bk, n = model.bk, len(images)
    bound = BoundPosterior(model.vae, model.params, images, mask, settings.samples, settings.kl)
    mu, logstd = settings.start(model.vae.latent_dim)
    bk.load(np.broadcast_to(mu, bound.mu.shape), bound.mu)
    bk.load(np.broadcast_to(logstd, bound.logstd.shape), bound.logstd)
    trace = []

    def look(t: int) -> None:
        if t % TRACE == 0:
            bound.value()
            trace.append(bk.to_host(bound.objective).astype(np.float64))

    rule = Adam(settings.rate) if settings.optimizer == "adam" else SGD(settings.rate, momentum=0)
    with bk.ignore_float_errors():
        fit(bound, rule, settings.steps, settings.seed, numbers, look)
    mu, logstd = (bk.to_host(a).astype(np.float64) for a in (bound.mu, bound.logstd))
    _require_finite(settings, mu, logstd)
    return mu, logstd, np.array(trace).reshape(-1, n, 1)


def fit(
    bound: BoundPosterior,
    rule: Optimizer,
    steps: int,
    seed: int,
    numbers: Sequence[int],
    look: Callable[[int], None] = lambda t: None,
) -> None:
    """Fit q(z) of every image by ``steps`` updates of E61, from the μ and log σ that it has.

    The noise is a function of (seed, the image's number, step). ``look`` is called with the number
    of each step when its noise is there, before the update.
    """
    optimizer = rule.bind(bound.bk, bound.q, bound.dq)
    for t in range(1, steps + 1):
        _load_noise(bound.eps, bound, seed, numbers, t)
        look(t)
        bound.gradient()
        optimizer.step(t)


def _require_finite(settings: CompletionSettings, *arrays: NDArray) -> None:
    if not all(np.isfinite(a).all() for a in arrays):
        raise NonFiniteError(
            f"the fit of q(z) diverged at a rate of {settings.rate:g}: choose a smaller one"
        )


def _load_noise(
    eps: Array, bound: BoundPosterior, seed: int, numbers: Sequence[int], t: int
) -> None:
    """ε of step t, for each image from the stream that bears its number."""
    host = np.empty(eps.shape)
    scratch = np.empty(normal_scratch_size(host[0].size))
    for row, number in zip(host, numbers, strict=True):
        fill_normal(row, Stream(seed, Purpose.COMPLETION, t, number), scratch)
    bound.bk.load(host, eps)


class _Report(NamedTuple):
    """Of one image, as in Completion."""

    filled: NDArray
    negative_elbo: float
    error: float
    hidden: float = math.nan
    hidden_error: float = math.nan
    hidden_effective_samples: float = math.nan


def _report(
    model: Model,
    x: NDArray,
    mask: NDArray,
    mu: Float64,
    logstd: Float64,
    settings: CompletionSettings,
    number: int,
) -> _Report:
    """The completed image, and the nats of its observed and of its hidden pixels."""
    S, Z = settings.final_samples, len(mu)
    head = np.concatenate([mu, 2.0 * logstd])[None]
    eps = normal((S, Z), Stream(settings.seed, Purpose.COMPLETION, 0, number))
    z = reparameterized(head, eps[None])[0]
    nll = model.pixel_nll(np.broadcast_to(x, (S, len(x))), z).astype(np.float64)
    kl, tmp = np.empty((1, Z)), np.empty((1, Z))
    kl_per_unit(HOST, head, np.exp(logstd)[None], kl, tmp)
    seen = nll[:, mask].sum(axis=1)
    found = _Report(
        filled=np.where(mask, x, model.decode(z).mean(axis=0)),
        negative_elbo=float(seen.mean() + kl.sum()),
        error=float(seen.std() / math.sqrt(S)),
    )
    if mask.all():
        return found
    mean, pixels = LogMeanExp(1), int((~mask).sum())
    mean.add(-nll[None][:, :, ~mask].sum(axis=2))
    return found._replace(
        hidden=-float(mean.value()[0]) / pixels,
        hidden_error=float(mean.standard_error()[0]) / pixels,
        hidden_effective_samples=float(mean.effective_samples()[0]),
    )


def log_joint(model: Model, x: NDArray, mask: NDArray, z: NDArray) -> Float64:
    """log p(observed pixels, z) of one image (D,) at each z (N, Z), in nats: (N,)."""
    nll = model.pixel_nll(np.broadcast_to(x, (len(z), len(x))), z)
    prior = 0.5 * (z.astype(np.float64) ** 2 + math.log(2 * math.pi)).sum(axis=1)
    return np.asarray(-nll[:, mask].sum(axis=1, dtype=np.float64) - prior)
