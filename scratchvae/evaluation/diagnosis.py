"""Diagnosis of a trained model: inactive units, a decoder that ignores z, gaps, overfitting.

The gap between log p(x) and the encoder's bound has two parts (E252). Fitting q(z) to each image
closes the one that is due to the encoder; the other is due to the family of q. The same parts on
training images tell which of the two networks is overfitted.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.noise import Purpose, Stream, normal, permutation
from scratchvae.data import Split
from scratchvae.data.reading import is_whole
from scratchvae.errors import ConfigError, DataError, NonFiniteError
from scratchvae.evaluation.completion import BATCH, fit
from scratchvae.evaluation.elbo import (
    CHUNK,
    as_seen_by_model,
    describe_protocol,
    per_image,
    require_images,
)
from scratchvae.evaluation.information import Estimate, Information, decompose_kl, mean_of
from scratchvae.evaluation.nll import HOST, LogMeanExp, log_weights, noise, reparameterized
from scratchvae.evaluation.units import is_active
from scratchvae.latent import kl_per_unit
from scratchvae.likelihoods import Gaussian
from scratchvae.models import VAE, Condition, Label, Model
from scratchvae.models.inputs import grey_values
from scratchvae.models.model import Encoding
from scratchvae.models.posterior import BoundPosterior
from scratchvae.optim import Adam
from scratchvae.types import Json, JsonView

Float64 = NDArray[np.float64]

MAX_CODES = 1_000  # images of the mutual information at most: its time grows like N²
RATE = 0.05  # the learning rate of the fit's first steps; it falls to a hundredth
RECENT = 5  # the fewest epochs of a trend, which is that of the last fifth of them


@dataclass(frozen=True)
class DiagnosisSettings:
    """How much a diagnosis computes. Its errors fall with images and samples, its bias with steps.

    Raises ``ConfigError`` for numbers that are not whole or below 1, one image, and an odd number
    of ``samples``.
    """

    images: int = 100  # of each split, drawn by seed, that q(z) is fitted to
    steps: int = 300  # updates of that fit by Adam, from the encoder's q(z|x)
    samples: int = 10  # z per image in each
    final_samples: int = 1_000  # z per image of the results; rounded up to a multiple of samples
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("images", "steps", "samples", "final_samples"):
            value, least = getattr(self, name), 2 if name == "images" else 1  # one has no error
            if not is_whole(value, least) or value >= 2**63:
                raise ConfigError(
                    f"{name} is {value!r}, but it must be a whole number of at least {least}, at "
                    "most 2⁶³ − 1"
                )
        if self.samples % 2:
            raise ConfigError(
                f"samples is {self.samples}, but noise is drawn in pairs: take an even number"
            )


@dataclass(frozen=True)
class Gaps:
    """From log p(x) down to the encoder's bound, over some images of a split (E252).

    All three estimates of an image come from the same noise. ``log_p`` is importance-sampled from
    the fitted q, so that it is on average not below ``refitted``; like any such estimate it is too
    low, by about what half of the samples lack.
    """

    elbo: Estimate  # with the encoder's q(z|x)
    refitted: Estimate  # with q(z) fitted image by image
    log_p: Estimate
    amortization: Estimate  # refitted − elbo: what the encoder loses
    approximation: Estimate  # log_p − refitted: what independent Gaussian units lose
    log_p_of_half: float  # log_p from the first half of the samples
    effective_samples: float  # of log_p, averaged over images; near 1: too few samples
    images: int
    samples: int  # z per image


@dataclass(frozen=True)
class Diagnosis:
    """What :func:`diagnose` has found; every ``Estimate`` is in nats per image, with its error.

    ``kl_per_unit``, ``inactive``, ``information`` and ``use_of_z`` are of the test images.
    """

    kl_per_unit: tuple[Estimate, ...]
    inactive: tuple[int, ...]  # units, counted from 0, whose μ is the same for all images (E34)
    inactive_since: dict[int, int | None]  # by unit the epoch; None where the epochs do not tell
    information: Information
    use_of_z: Estimate  # by how much log p(x|z) falls when z is that of another image
    test: Gaps
    train: Gaps
    trend: Estimate | None  # of the training loss, in nats per epoch; None: too few epochs
    beta: float  # of the KL, in training
    std: float | None  # of the pixels; None unless it is a setting
    protocol: str

    @property
    def encoder_overfitting(self) -> Estimate:
        """How much more the encoder loses on test images than on those that it has learned."""
        return self.test.amortization - self.train.amortization

    @property
    def decoder_overfitting(self) -> Estimate:
        """How much better the refitted bound is on training images: no encoder is in it."""
        return self.train.refitted - self.test.refitted

    def to_json(self) -> Json:
        """A dictionary that JSON can hold."""
        found = asdict(self)
        found["inactive_since"] = {str(unit): e for unit, e in self.inactive_since.items()}
        for name in ("encoder_overfitting", "decoder_overfitting"):
            found[name] = asdict(getattr(self, name))
        return found


def diagnose(
    model: Model,
    train: Split,
    test: Split,
    *,
    settings: DiagnosisSettings = DiagnosisSettings(),
    draw: int = 0,
    epochs: Sequence[JsonView] = (),
) -> Diagnosis:
    """Diagnose a trained model on training and on test images  (E34, E250, E252).

    Parameters
    ----------
    model : Model
        For a conditional one, x is what is modelled: log p(x|c), and q(z|x, c) relative to p(z|c).
    train, test : Split
        The images that the model was trained on, and others, as ``evaluate`` takes them. Where the
        label is the condition, images without one are left out.
    settings : DiagnosisSettings
        How many images, steps and samples, and the seed of ``evaluate``.
    draw : int
        As in ``evaluate``.
    epochs : sequence of dict
        The lines of metrics.jsonl up to the model's epoch (``RunFolder.metrics``), which tell since
        when a unit is inactive, and the trend of the training loss.

    Raises
    ------
    ConfigError
        For a model with a flow or a second layer.
    DataError
        For splits of fewer than two images, or images that the model cannot score.
    NonFiniteError
        If the fit, or the model itself, has diverged.
    """
    seed = settings.seed
    condition = model.vae.evaluated.condition
    for split in (train, test):
        require_images(split)
    train, test = (known_to(condition, split) for split in (train, test))
    if min(len(train), len(test)) < 2:
        raise DataError("a standard error needs at least two images, for training and test each")
    _require_gaussian(model.vae)

    def rows(split: Split) -> NDArray:
        return as_seen_by_model(split, seed=seed, draw=draw, condition=condition)

    with model.bk.ignore_float_errors():
        seen = rows(choose(test, CHUNK, seed))
        q = model.encode(seen)
        some = permutation(len(seen), Stream.named(seed, Purpose.SPLIT, "codes"))[:MAX_CODES]
        some_q = Encoding(q.mu[some], q.logvar[some])
        of_test, of_train = (
            gaps_of(model, rows(choose(split, settings.images, seed)), settings)
            for split in (test, train)
        )
        inactive = tuple(int(unit) for unit in np.flatnonzero(~is_active(q.mu)))
        likelihood = model.vae.likelihood
        return Diagnosis(
            kl_per_unit=tuple(map(mean_of, kl_of(q).T)),
            inactive=inactive,
            inactive_since={unit: inactive_since(epochs, unit) for unit in inactive},
            information=decompose_kl(*some_q, seed=seed),
            use_of_z=use_of_z(model, seen[some], some_q, seed),
            test=of_test,
            train=of_train,
            trend=trend([line["train_loss"] for line in epochs]),
            beta=model.vae.beta,
            std=likelihood.fixed if isinstance(likelihood, Gaussian) else None,
            protocol=str(
                describe_protocol(model, test.binarized, test.static_seed)._replace(
                    estimate=f"q(z) fitted in {settings.steps} steps of "
                    f"{per_image(settings.samples)}, its bound and log p(x) with "
                    f"{per_image(of_test.samples)}"
                )
            ),
        )


def _require_gaussian(vae: VAE) -> None:
    if vae.flow.length:
        raise ConfigError(
            "a diagnosis weighs the KL unit by unit and needs the density of q(z|x) at the z of "
            f"other images, but this posterior has a flow ({vae.flow.name}), which "
            "mixes the units and is computed in one direction alone: diagnose a model whose "
            "posterior is Gaussian; the bound and log p(x) of this one are those of scratchvae "
            "evaluate --nll"
        )


def known_to(condition: Condition, split: Split) -> Split:
    """The images whose condition is known: where it is the label, those with one, once each."""
    if condition.kind != Label.kind or split.labels is None or (split.labels >= 0).all():
        return split
    known = np.flatnonzero(split.labels >= 0)  # some of which stand there more than once
    _, first = np.unique(split.images[known], axis=0, return_index=True)
    return split.take(known[np.sort(first)])


def choose(split: Split, most: int, seed: int) -> Split:
    """All images of a split, or ``most`` of them, drawn by ``seed``."""
    if len(split) <= most:
        return split
    order = permutation(len(split), Stream.named(seed, Purpose.SPLIT, "diagnosis"))
    return split.take(np.sort(order[:most]))


def kl_of(q: Encoding) -> Float64:
    """The KL of every image and unit, in nats  (E16): (N, Z)."""
    head = np.hstack(q).astype(np.float64)
    std = np.exp(0.5 * head[:, q.mu.shape[1] :])
    kl, tmp = np.empty(q.mu.shape), np.empty(q.mu.shape)
    kl_per_unit(HOST, head, std, kl, tmp)
    return kl


def use_of_z(model: Model, x: NDArray, q: Encoding, seed: int) -> Estimate:
    """By how much log p(x|z) falls when z ~ q is that of another image  (E253).

    Images x (N, D) and their q(z|x). The other image is the one N/2 further on. 0 for one image,
    and exactly 0 for a decoder that ignores z.
    """
    eps = normal((len(x), 1, q.mu.shape[1]), Stream.named(seed, Purpose.TEST_LATENT, "use of z"))
    z = reparameterized(np.hstack(q).astype(np.float64), eps)[:, 0].astype(model.bk.dtype)
    own, other = (
        model.pixel_nll(x, each).sum(axis=1, dtype=np.float64)
        for each in (z, np.roll(z, len(z) // 2, axis=0))
    )
    return mean_of(other - own)


# ---- gaps ----------------------------------------------------------------------------------------


def gaps_of(model: Model, images: NDArray, settings: DiagnosisSettings) -> Gaps:
    """log p(x), the bound of q fitted image by image and the encoder's, of images (N, D)  (E252).

    All of them, whatever ``settings.images`` says. ``NonFiniteError`` if a bound is not finite.
    """
    x, parts = grey_values(images, model.vae), []
    steps, samples, seed = settings.steps, settings.samples, settings.seed
    rule = Adam(f"cosine:{RATE}:{RATE / 100}:{steps}")
    for start in range(0, len(x), BATCH):
        block = x[start : start + BATCH]
        every = np.ones((len(block), model.vae.modelled), dtype=bool)
        bound = BoundPosterior(model.vae, model.params, block, every, samples)
        mu, logvar = model.encode(block)
        model.bk.load(mu, bound.mu)
        model.bk.load(0.5 * logvar, bound.logstd)
        encoder = score(bound, settings.final_samples, seed, start)
        fit(bound, rule, steps, seed, range(start, start + len(block)))
        parts.append((encoder.elbo, *score(bound, settings.final_samples, seed, start)))
    elbo, refitted, log_p, half, effective = (np.concatenate(p) for p in zip(*parts, strict=True))
    if not (np.isfinite(refitted).all() and np.isfinite(elbo).all()):
        raise NonFiniteError(
            "a bound is not finite: the model, or the fit of q(z) to an image, has diverged"
        )
    return Gaps(
        elbo=mean_of(elbo),
        refitted=mean_of(refitted),
        log_p=mean_of(log_p),
        amortization=mean_of(refitted - elbo),
        approximation=mean_of(log_p - refitted),
        log_p_of_half=float(half.mean()),
        effective_samples=float(effective.mean()),
        images=len(x),
        samples=-(-settings.final_samples // samples) * samples,
    )


class Scores(NamedTuple):
    """Of every image, (B,) each, in nats: the bound of its q, and log p(x) by importance sampling.

    ``half`` is log p(x) from the first half of the samples.
    """

    elbo: Float64
    log_p: Float64
    half: Float64
    effective_samples: Float64


def score(bound: BoundPosterior, final_samples: int, seed: int, first: int) -> Scores:
    """The bound and log p(x) (E59) with the q that every image has now.

    The noise is that of importance sampling, for images whose numbers begin at ``first``.
    """
    bk, (n, K, _) = bound.bk, bound.eps.shape
    rounds = -(-final_samples // K)
    mean, half, nll_sum = LogMeanExp(n), np.zeros(n), np.zeros(n)
    for i in range(rounds):
        eps = noise(bound.eps.shape, seed, first, i * K).astype(bk.dtype)
        bk.load(eps, bound.eps)
        bound.value()
        nll, head = (bk.to_host(a).astype(np.float64) for a in (bound.nll, bound.head))
        mean.add(log_weights(head, eps, nll))
        nll_sum += nll.sum(axis=1)
        if i == (rounds - 1) // 2:
            half = mean.value()
    kl = kl_of(Encoding(*np.hsplit(head, 2))).sum(axis=1)
    return Scores(-nll_sum / (rounds * K) - kl, mean.value(), half, mean.effective_samples())


# ---- what the epochs tell ------------------------------------------------------------------------


def inactive_since(epochs: Sequence[JsonView], unit: int) -> int | None:
    """The first epoch from which a unit was inactive at every evaluation; None if at none."""
    since = None
    for line in epochs:
        if "inactive_units" in line:
            if unit not in line["inactive_units"]:
                since = None
            elif since is None:
                since = line["epoch"]
    return since


def trend(losses: Sequence[float]) -> Estimate | None:
    """The slope of the latest losses per epoch, with its standard error, by least squares.

    The latest are the last fifth, but at least ``RECENT``; None where there are fewer.
    """
    n = max(RECENT, len(losses) // 5)
    if len(losses) < n:
        return None
    y, t = np.array(losses[-n:]), np.arange(n) - (n - 1) / 2
    slope = float(t @ y / (t @ t))
    rest = y - y.mean() - slope * t
    return Estimate(slope, math.sqrt(float(rest @ rest) / (n - 2) / float(t @ t)))
