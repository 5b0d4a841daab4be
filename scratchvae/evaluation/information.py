"""The mean KL in three parts: mutual information, total correlation, and the KL of each unit.

All follow from q(z) = E_x q(z|x), the aggregate posterior. It is the mean over all images that are
given, not over a batch of them, so that only their number N limits the estimates.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.data.reading import is_whole
from scratchvae.errors import ConfigError, DataError
from scratchvae.evaluation.nll import reparameterized

Float64 = NDArray[np.float64]

TERMS = 2**20  # log densities in memory at a time; no result depends on it
TINY = np.finfo(np.float64).tiny
LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Estimate:
    """A mean over images, in nats per image, and its standard error."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.error:.3f}"

    def __neg__(self) -> "Estimate":
        return Estimate(-self.value, self.error)

    def __sub__(self, other: "Estimate") -> "Estimate":
        """The difference of two means over different images."""
        return Estimate(self.value - other.value, math.hypot(self.error, other.error))


def mean_of(values: NDArray) -> Estimate:
    """The mean of independent values (N,), with its standard error; NaN for that of one value."""
    n = len(values)
    error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Estimate(float(values.mean(dtype=np.float64)), error)


@dataclass(frozen=True)
class Information:
    """The mean KL of N images in three parts (E250), in nats per image.

    ``mutual_information``, ``total_correlation`` and ``dimensionwise_kl`` add up to ``kl``, the
    mean of log q(z|x) − log p(z) over the same samples. The first is too low on average, and never
    above log N; ``leave_one_out``, in which no image's own q(z|x) counts in q(z), is too high.
    """

    mutual_information: Estimate  # I(x; z) of image and code
    total_correlation: Estimate  # KL(q(z) ‖ Π_j q(z_j))
    dimensionwise_kl: Estimate  # Σ_j KL(q(z_j) ‖ p(z_j))
    kl: Estimate
    leave_one_out: Estimate  # I(x; z) from above
    images: int
    samples: int  # z per image

    @property
    def upper(self) -> Estimate:
        """The lower of two upper bounds of I(x; z): ``leave_one_out`` and the KL itself."""
        return min(self.leave_one_out, self.kl, key=lambda bound: bound.value)

    @property
    def limit(self) -> float:
        """log N: no estimate of I(x; z) from N images exceeds it."""
        return math.log(self.images)


def decompose_kl(mu: NDArray, logvar: NDArray, *, samples: int = 1, seed: int = 0) -> Information:
    """The mean KL of N images in three parts  (E250), with jackknife errors over the images.

    ``mu``, ``logvar``: q(z|x) of every image, (N, Z) each, as ``Model.encode`` gives them. The
    expectation over q is the mean over ``samples`` z per image, a function of ``seed``. The time
    grows like N² Z.

    Raises ``DataError`` for fewer than two images and for arrays that are not finite or of unlike
    shapes; ``ConfigError`` for less than one sample.
    """
    mu, logvar = require_codes(mu, logvar, samples)
    n, units = mu.shape
    eps = normal((n, samples, units), Stream.named(seed, Purpose.TEST_LATENT, "information"))
    z = reparameterized(np.hstack([mu, logvar]), eps).reshape(-1, units)
    images, sums = np.repeat(np.arange(n), samples), _Sums(n)
    rows = max(1, TERMS // (n * units))
    for start in range(0, len(z), rows):
        here = slice(start, start + rows)
        sums.add(images[here], z[here], mu, logvar)
    return sums.result(samples)


def require_codes(mu: NDArray, logvar: NDArray, samples: int) -> tuple[Float64, Float64]:
    """q(z|x) of at least two images in float64; else raises as :func:`decompose_kl` says."""
    mu, logvar = (np.asarray(a, dtype=np.float64) for a in (mu, logvar))
    if mu.ndim != 2 or mu.shape != logvar.shape:
        raise DataError(
            f"q(z|x) of N images is mu and logvar, (N, Z) each, not {mu.shape} and {logvar.shape}"
        )
    if len(mu) < 2:
        raise DataError(f"mutual information is that of at least two images, not of {len(mu)}")
    if not (np.isfinite(mu).all() and np.isfinite(logvar).all()):
        raise DataError("the encoder's mu or logvar is not finite: the model has diverged")
    if not is_whole(samples, 1):
        raise ConfigError(f"samples is {samples!r}, but it must be a whole number of at least 1")
    return mu, logvar


class _Sums:
    """The log densities of every image's samples, summed, and the sums that the jackknife needs."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.conditional, self.prior = np.zeros(n), np.zeros(n)  # log q(z|x), log p(z)
        self.joint, self.marginals = np.zeros(n), np.zeros(n)  # log q(z), Σ_j log q(z_j)
        self.joint_of_others = np.zeros(n)  # log q(z) without the image's own q(z|x)
        # By image m: Σ over the others' samples of the change of the two when m is left out.
        self.joint_change, self.marginals_change = np.zeros(n), np.zeros(n)

    def add(self, images: NDArray, z: Float64, mu: Float64, logvar: Float64) -> None:
        """Add samples z (R, Z), each with the number of its image."""

        def add(sums: Float64, values: Float64) -> None:
            np.add.at(sums, images, values)  # an image may come several times

        own = np.arange(len(images)), images
        by_unit = log_normal(z[:, None], mu, logvar)  # (R, N, Z): log q(z_j | x_m)
        joint = by_unit.sum(axis=2)
        add(self.conditional, joint[own])
        add(self.prior, log_normal(z, 0.0, 0.0).sum(axis=1))

        value, shares = log_mean_exp(joint)
        add(self.joint, value)
        self.joint_change += change_without(shares, own).sum(axis=0)
        value, shares = log_mean_exp(by_unit)
        add(self.marginals, value.sum(axis=1))
        self.marginals_change += change_without(shares, own).sum(axis=(0, 2))

        joint[own] = -np.inf
        value, _ = log_mean_exp(joint)
        add(self.joint_of_others, value + math.log(self.n / (self.n - 1)))

    def result(self, samples: int) -> Information:
        """The means over images and samples, with their errors."""
        n, s = self.n, samples
        # That 1/N becomes 1/(N − 1) adds the same number to all: the jackknife does not see it.
        joint_change, marginals_change = self.joint_change / s, self.marginals_change / s

        def jackknifed(values: Float64, change: Float64 | float = 0.0) -> Estimate:
            left_out = (values.sum() - values + change) / (n - 1)
            return Estimate(float(values.mean()), math.sqrt((n - 1) * float(left_out.var())))

        return Information(
            jackknifed((self.conditional - self.joint) / s, -joint_change),
            jackknifed((self.joint - self.marginals) / s, joint_change - marginals_change),
            jackknifed((self.marginals - self.prior) / s, marginals_change),
            jackknifed((self.conditional - self.prior) / s),
            jackknifed((self.conditional - self.joint_of_others) / s),
            images=n,
            samples=s,
        )


def log_normal(z: NDArray, mu: NDArray | float, logvar: NDArray | float) -> Float64:
    """log N(z; μ, σ²) of every element, from log σ², in nats."""
    return np.asarray(-0.5 * ((z - mu) ** 2 * np.exp(-logvar) + logvar + LOG_2PI))


def log_mean_exp(a: NDArray) -> tuple[Float64, Float64]:
    """log(1/N Σ_m e^(a_m)) over axis 1 of a (R, N, …), and the share of every term in the sum.

    These are log q(z) and q(z|x_m) / Σ_m q(z|x_m) for a = log q(z|x_m)  (E251).
    """
    largest = a.max(axis=1, keepdims=True)
    with np.errstate(under="ignore"):
        shares = np.exp(a - largest)
    total = shares.sum(axis=1, keepdims=True)
    shares /= total
    return (largest + np.log(total)).squeeze(1) - math.log(a.shape[1]), shares


def change_without(shares: Float64, own: tuple[NDArray, NDArray]) -> Float64:
    """log(1 − share): how log Σ_m changes when a term is left out; 0 for an image's own term.

    What remains is at least the image's own share, also where 1 − share has lost its digits.
    """
    rest = np.maximum(1.0 - shares, np.maximum(shares[own], TINY)[:, None])
    rest[own] = 1.0
    return np.asarray(np.log(rest))
