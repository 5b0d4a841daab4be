"""log p(x) itself, by importance sampling: as many samples as one likes, in bounded memory."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import Backend, get_backend
from scratchvae.backend.noise import Purpose, Stream
from scratchvae.data import Split
from scratchvae.data.reading import is_whole
from scratchvae.errors import ConfigError
from scratchvae.evaluation.elbo import (
    CHUNK,
    as_seen_by_model,
    describe_protocol,
    per_image,
    require_images,
)
from scratchvae.latent import LatentBuffers, reparameterize
from scratchvae.latent.gaussian import log_ratio
from scratchvae.memory import Workspace
from scratchvae.models import Model
from scratchvae.models.inputs import grey_values
from scratchvae.types import Json, Over, Values

Float64 = NDArray[np.float64]
# −log p(x|z) in nats, (n, S), of images x (n, D) and noise ε (n, S, Z)
Score = Callable[[Model, NDArray, NDArray], NDArray]

HOST = get_backend("cpu", "float64")  # numbers about samples are float64, whatever the model's type
IMAGES = 20  # images at a time, and
ROWS = 4_000  # decoded z at a time; neither changes a number beyond rounding
PART_OF_SAMPLED = 5 * IMAGES  # that a thread or process takes at a time


@dataclass(frozen=True)
class LogLikelihood:
    """The importance-sampled log p(x), averaged over a split, in nats per image, with protocol.

    Three things make it inexact: the images are a sample of those that there could be; the z of an
    image are a sample of q(z|x); and their finite number lowers the estimate, about as much as
    half of them lie below all of them.
    """

    log_p: float
    standard_error: float  # of the mean over images
    sample_error: float  # of the same, by the samples of z
    by_samples: dict[int, float]  # log_p from the first k samples, by k: a tenth and half of all
    effective_samples: float  # (Σ w)² / Σ w², averaged over images; near 1: too few samples
    samples: int  # z per image
    images: int
    protocol: str

    def to_json(self) -> Json:
        """A dictionary that JSON can hold."""
        return asdict(self)

    @property
    def half(self) -> float:
        """The estimate from the first half of the samples (of one sample: from that one)."""
        return self.by_samples[part_of(self.samples, 2)]

    @property
    def tenth(self) -> float:
        """The estimate from the first tenth of the samples (of less than ten: from one)."""
        return self.by_samples[part_of(self.samples, 10)]

    @property
    def is_settled(self) -> bool:
        """Whether :attr:`half` equals ``log_p`` within the standard error."""
        return abs(self.log_p - self.half) <= self.standard_error


def log_likelihood(
    model: Model,
    split: Split,
    *,
    samples: int,
    seed: int = 0,
    draw: int = 0,
    score: Score | None = None,
    over: Over | None = None,
) -> LogLikelihood:
    """The mean importance-sampled log p(x) (E59) over a split, in nats, with its standard error.

    ``split``, ``seed`` and ``draw`` as in :func:`~scratchvae.evaluation.evaluate`; both draw the
    same pixels of a "dynamic" split. ``samples``: K, the draws of z per image. ``score`` replaces
    the model's −log p(x|z). ``over`` as in ``evaluate``, for a ``score`` that can be pickled;
    without it, NumPy's backend computes images in as many threads as BLAS has. Raises what
    ``evaluate`` raises, and ``ConfigError`` for samples that are not a whole number from 1 to
    2⁶³ − 1.
    """
    require_images(split)
    prefixes = sorted({part_of(samples, 10), part_of(samples, 2)})
    parts: list[ImportanceSampled] = []
    for start in range(0, len(split), CHUNK):
        chunk = split.take(slice(start, start + CHUNK))
        images = as_seen_by_model(
            chunk, seed=seed, draw=draw, start=start, condition=model.vae.evaluated.condition
        )
        ready = [
            (start + k, images[k : k + PART_OF_SAMPLED])
            for k in range(0, len(images), PART_OF_SAMPLED)
        ]
        estimate_part = partial(_sampled_part, model, samples, seed, score, prefixes)
        if over is None:
            parts += model.bk.map(estimate_part, ready)
        else:
            with model.bk.limit_blas(1):  # as in ``map``, for the same bits
                parts += over(estimate_part, ready)
    log_p, effective, fewer, error = (np.concatenate(part) for part in zip(*parts, strict=True))
    n = len(log_p)
    by_samples = dict(zip(prefixes, map(float, fewer.mean(axis=0)), strict=True))
    estimate = f"importance sampling with {per_image(samples)}"
    protocol = describe_protocol(model, split.binarized, split.static_seed)
    return LogLikelihood(
        log_p=float(log_p.mean()),
        standard_error=float(log_p.std() / math.sqrt(n)),
        sample_error=float(np.linalg.norm(error)) / n,
        by_samples=by_samples,
        effective_samples=float(effective.mean()),
        samples=samples,
        images=n,
        protocol=str(protocol._replace(estimate=estimate)),
    )


def part_of(samples: int, divisor: int) -> int:
    """The number of samples in a half or a tenth of all, at least one."""
    return max(samples // divisor, 1)


def _sampled_part(
    model: Model,
    samples: int,
    seed: int,
    score: Score | None,
    prefixes: Sequence[int],
    part: tuple[int, NDArray],
) -> "ImportanceSampled":
    first, images = part
    return importance_sampled(
        model, images, samples=samples, seed=seed, first=first, score=score, prefixes=prefixes
    )


class ImportanceSampled(NamedTuple):
    """Per image, (N,) each: the estimate of log p(x) in nats, and its effective sample size."""

    log_p: Float64
    effective_samples: Float64  # from 1 to the number of samples
    prefixes: Float64  # (N, P): the estimates from the first k samples, for each k asked for
    error: Float64  # the standard error of the estimate, by the samples, in nats


def importance_sampled(
    model: Model,
    images: Values,
    *,
    samples: int,
    seed: int = 0,
    first: int = 0,
    score: Score | None = None,
    prefixes: Sequence[int] = (),
) -> ImportanceSampled:
    """log p(x) of every image (N, D) in nats, with its effective sample size  (E59).

    log p(x) ≈ log 1/K Σ_k p(x|z_k) p(z_k) / q(z_k|x) with z_k ~ q(z|x), a lower bound in
    expectation that rises to log p(x) with K (Burda et al. 2016). The noise of sample k of an
    image is a function of (seed, the image's number, k); ``first`` is the number of the first
    image. ``prefixes``: numbers of samples, from 1 to K, of which the result has the estimate, too.

    Raises ``ConfigError`` as :func:`log_likelihood` does, ``DataError`` for images as in
    :class:`~scratchvae.models.Model`.
    """
    if not is_whole(samples, 1) or samples >= 2**63:
        raise ConfigError(
            f"the samples of importance sampling are {samples!r}, but they must be a whole number "
            "of at least 1, at most 2⁶³ − 1"
        )
    if not all(1 <= count <= samples for count in prefixes):
        raise ConfigError(f"prefixes lie between 1 and {samples}, the samples, not {prefixes}")
    x = grey_values(images, model.vae)
    host, parts, score = HOST.with_compiled(model.bk.compiled), [], score or OwnScore()
    for start in range(0, len(x), IMAGES):
        block = x[start : start + IMAGES]
        mean, fewer = LogMeanExp(len(block)), np.empty((len(block), len(prefixes)))
        each = max(2, ROWS // len(block) // 2 * 2)  # even: a pair of normals is not split
        for k in range(0, samples, each):
            shape = (len(block), min(each, samples - k), model.vae.latent_dim)
            eps = noise(shape, seed, first + start, k, host)
            log_weights = _log_weights(model, block, eps, score)
            for i, count in enumerate(prefixes):
                if k < count <= k + shape[1]:
                    fewer[:, i] = mean.with_block(log_weights[:, : count - k]).value()
            mean.add(log_weights)
        parts.append((mean.value(), mean.effective_samples(), fewer, mean.standard_error()))
    return ImportanceSampled(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _log_weights(model: Model, x: NDArray, eps: Float64, score: Score) -> Float64:
    """log p(x|z) p(z) / q(z|x) of images x (n, D) and noise (n, S, Z): (n, S)."""
    # Rounded to the model's float type, so that the densities are those of the z it decodes.
    eps = eps.astype(model.bk.dtype)
    with model.bk.ignore_float_errors():
        nll = score(model, x, eps)
    if model.vae.flow.length:
        return _log_weights_with_flow(draw_z(model, x, eps), nll)
    head = np.hstack(model.encode(x)).astype(np.float64)
    return log_weights(head, eps, nll)


def log_weights(head: Float64, eps: NDArray, nll: NDArray) -> Float64:
    """log w_k = log p(x|z_k) + log p(z_k) − log q(z_k|x) in nats, z_k = μ + σ ε_k  (E59).

    head = [μ | log σ²] (n, 2Z), eps (n, S, Z), nll = −log p(x|z_k) (n, S) -> (n, S).
    """
    z, ratio = reparameterized(head, eps), np.empty(nll.shape)
    tmp = (np.empty(eps.shape), np.empty(nll.shape), np.empty(len(head)))
    log_ratio(HOST, head, z, eps, ratio, tmp)
    return -ratio - nll


def reparameterized(head: Float64, eps: NDArray) -> Float64:
    """z = μ + σ ε in float64  (E12): head = [μ | log σ²] (n, 2Z), eps (n, S, Z) -> (n, S, Z)."""
    z, std = np.empty(eps.shape), np.empty((len(head), eps.shape[2]))
    reparameterize(HOST, head, std, eps, z)
    return z


def _log_weights_with_flow(drawn: LatentBuffers, nll: NDArray) -> Float64:
    """:func:`log_weights` with a flow from z_0 to z_k: log q is less by log |det|  (E203)."""
    ratio, tmp = np.empty(nll.shape), (drawn.tmp, np.empty(nll.shape), drawn.row_tmp)
    log_ratio(HOST, drawn.head, drawn.z, drawn.eps, ratio, tmp)
    return np.asarray(drawn.log_det - ratio - nll)


def draw_z(model: Model, x: NDArray, eps: NDArray) -> LatentBuffers:
    """z ~ q(z|x) in float64, of images x (n, D) and noise (n, S, Z)  (E12, E203)."""
    flow, (n, samples, latent) = model.vae.flow, eps.shape
    output = model.encoder_output(x).astype(np.float64)
    workspace = Workspace(HOST, n)
    drawn = LatentBuffers(workspace, samples, latent, output, None, has_flow=flow.length > 0)
    drawn.eps[...] = eps
    params = model.params if flow.length == 0 else model.params.to(HOST)
    carried = flow.bind(workspace, drawn, params, None)
    reparameterize(HOST, drawn.head, drawn.std, drawn.eps, drawn.z0)
    HOST.with_compiled(model.bk.compiled).perform(carried.forward)
    return drawn


class OwnScore:
    """−log p(x|z) by the model itself, in buffers that are used again for blocks of one size.

    Fresh ones would cost a page fault for every 4 kB, a tenth of the time.
    """

    def __init__(self) -> None:
        self.workspaces: dict[tuple[int, ...], Workspace] = {}

    def __call__(self, model: Model, x: NDArray, eps: NDArray) -> NDArray:
        workspace = self.workspaces.setdefault(eps.shape[:2], Workspace(model.bk, len(x)))
        return model.with_samples(eps.shape[1]).terms(x, eps, workspace=workspace).nll


def noise(
    shape: tuple[int, int, int], seed: int, first: int, k: int, bk: Backend = HOST
) -> Float64:
    """ε (n, S, Z): samples k … k + S − 1, k even, of the images ``first`` … ``first`` + n − 1."""
    eps, scratch = np.empty(shape), bk.noise_scratch(shape[1] * shape[2])
    for i in range(shape[0]):
        stream = Stream(seed, Purpose.IMPORTANCE, 0, first + i)
        bk.normal(eps[i], stream, scratch, k * shape[2])
    return eps


class LogMeanExp:
    """log(1/K Σ_k e^(a_k)) for n rows, from samples that arrive in blocks.

    The largest a so far is factored out of the sum, which is rescaled when a larger one arrives,
    so that nothing overflows.
    """

    def __init__(self, n: int) -> None:
        self.largest = np.full(n, -np.inf)
        self.total, self.squares, self.count = np.zeros(n), np.zeros(n), 0

    def add(self, a: NDArray) -> None:
        """Add a block of samples a (n, S)."""
        largest = np.maximum(self.largest, a.max(axis=1))
        finite = np.where(np.isneginf(largest), 0.0, largest)  # −∞ − (−∞) would be NaN
        with np.errstate(under="ignore"):
            shrink = np.exp(self.largest - finite)
            terms = np.exp(a - finite[:, None])
        self.total = self.total * shrink + terms.sum(axis=1)
        self.squares = self.squares * shrink**2 + (terms**2).sum(axis=1)
        self.largest, self.count = largest, self.count + a.shape[1]

    def with_block(self, a: NDArray) -> "LogMeanExp":
        """A copy to which the block ``a`` (n, S) has been added; this object stays as it is."""
        other = copy.copy(self)  # which assigns its arrays anew
        other.add(a)
        return other

    def value(self) -> Float64:
        """log(1/K Σ_k e^(a_k)): (n,)."""
        with np.errstate(divide="ignore"):
            return self.largest + np.log(self.total) - math.log(self.count)

    def effective_samples(self) -> Float64:
        """The effective sample size (Σ w)² / Σ w² with w = e^a, between 1 and K: (n,)."""
        with np.errstate(invalid="ignore"):
            return self.total**2 / self.squares

    def standard_error(self) -> Float64:
        """The standard error of :meth:`value`, by the delta method: (n,).

        √((1/E − 1/K) K/(K − 1)) with E effective samples, the standard error of the mean of w
        relative to that mean. It is unreliable if E is near 1: the largest weights have then not
        been drawn.
        """
        spread = np.maximum(1.0 / self.effective_samples() - 1.0 / self.count, 0.0)
        return np.sqrt(spread * (self.count / max(self.count - 1, 1)))
