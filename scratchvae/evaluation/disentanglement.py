"""The mutual information gap: whether one unit of the code carries each factor of the images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.errors import DataError
from scratchvae.evaluation.information import TERMS, log_mean_exp, log_normal, require_codes
from scratchvae.evaluation.nll import reparameterized

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Disentanglement:
    """What every unit tells about every factor of the images, in nats, and the gap (E254)."""

    information: Float64  # (F, Z): I(z_j; v_k) of factor k and unit j
    entropy: Float64  # (F,): H(v_k), the most that I(z_j; v_k) can be

    @property
    def gaps(self) -> Float64:
        """By factor, (F,): by how much the best unit is ahead of the second, over H(v_k)."""
        ordered = np.sort(self.information, axis=1)
        second = ordered[:, -2] if ordered.shape[1] > 1 else 0.0
        return np.asarray((ordered[:, -1] - second) / self.entropy)

    @property
    def mig(self) -> float:
        """The mutual information gap, the mean of ``gaps`` over factors: 0 to 1  (E254)."""
        return float(self.gaps.mean())


def measure_disentanglement(
    mu: NDArray, logvar: NDArray, factors: NDArray, *, samples: int = 1, seed: int = 0
) -> Disentanglement:
    """The information of every unit about every factor, and the mutual information gap  (E254).

    ``mu``, ``logvar``: q(z|x) of N images, (N, Z) each. ``factors``: whole numbers (N, F), the
    values of what the images were made from. The images are taken to be all there are; if they
    are a sample, the information is too high, more so the fewer images a value has.

    Raises ``DataError`` for arrays of unlike shapes, for factors that are not whole numbers, and
    for one that is the same for all images; and what :func:`decompose_kl` raises.
    """
    mu, logvar = require_codes(mu, logvar, samples)
    factors = np.asarray(factors)
    if factors.ndim != 2 or len(factors) != len(mu) or factors.dtype.kind not in "iub":
        raise DataError(
            f"the factors of {len(mu)} images are whole numbers (N, F), not {factors.dtype} of "
            f"shape {factors.shape}"
        )
    if factors.shape[1] == 0:
        raise DataError("factors has no columns: at least one factor is needed")
    constant = np.flatnonzero((factors == factors[:1]).all(axis=0))
    if constant.size:
        raise DataError(
            f"factor {constant[0]} is the same for all images, so that no code can tell it: leave "
            "it out"
        )
    n, units = mu.shape
    eps = normal((n, samples, units), Stream.named(seed, Purpose.TEST_LATENT, "disentanglement"))
    z = reparameterized(np.hstack([mu, logvar]), eps).reshape(-1, units)
    images = np.repeat(np.arange(n), samples)
    total = np.zeros((factors.shape[1], units))
    rows = max(1, TERMS // (n * units))
    for start in range(0, len(z), rows):
        here = slice(start, start + rows)
        by_unit = log_normal(z[here, None], mu, logvar)  # (R, N, Z): log q(z_j | x_m)
        of_all, _ = log_mean_exp(by_unit)
        for k, factor in enumerate(factors.T):
            same = factor[images[here], None] == factor  # (R, N)
            alike, _ = log_mean_exp(np.where(same[:, :, None], by_unit, -np.inf))
            alike += np.log(n / same.sum(axis=1))[:, None]  # the mean is over those alone
            total[k] += (alike - of_all).sum(axis=0)
    shares = [np.unique(factor, return_counts=True)[1] / n for factor in factors.T]
    entropy = np.array([-(p * np.log(p)).sum() for p in shares])
    return Disentanglement(total / len(z), entropy)
