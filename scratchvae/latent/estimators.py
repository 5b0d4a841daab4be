"""Estimators of the bound E2: a value for each image, and what it sends back to the encoder."""

import math
from types import SimpleNamespace
from typing import Any

from scratchvae.backend import Array, HostArray, Number
from scratchvae.errors import ConfigError
from scratchvae.latent.buffers import LatentNode
from scratchvae.latent.gaussian import (
    kl_chain,
    kl_per_unit,
    log_ratio,
    log_ratio_chain,
    monte_carlo_kl,
    reparameterize_chain,
)
from scratchvae.memory import Tape


class Estimator:
    """How the bound of log p(x), and its gradient, are estimated from samples of z.

    Holds settings and nothing else: buffers are those of a :class:`LatentNode`. A step calls
    ``value`` once nll is known, ``chain`` once the decoder has handed over dz.
    """

    name = ""
    words = ""  # for protocols and captions
    least_samples = 1  # z an image that its gradient needs
    any_beta = True  # a bound that is no sum of two parts has no β between them
    differentiates = True  # its gradient is that of its value: a complex step can check it
    sums_terms = True  # its value is E2 of nll and kl as they stand in their buffers
    weighs_samples = False  # the decoder's weight of a sample depends on the values
    whole_batch = False  # its value is no sum over images: the batch can't be split

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def require(self, samples: int, beta: Number) -> None:
        """``ConfigError`` unless it can be trained with so many samples and this β."""
        if samples < self.least_samples:
            raise ConfigError(
                f"the estimator {self.name!r} needs at least {self.least_samples} samples an "
                f"image, not {samples}: set samples to {self.least_samples} or more"
            )
        if not self.any_beta and beta != 1:
            raise ConfigError(
                f"the estimator {self.name!r} is a bound of log p(x) and no sum of two parts: "
                f"beta must be 1, not {beta}"
            )

    def describe(self, samples: int) -> str:
        """A short phrase that names what the training loss is."""
        return f"{self.words}, {samples} sample{'s' if samples > 1 else ''} an image"

    def work(self, tape: Tape, samples: int, latent: int) -> Any:
        """The buffers that it needs beside the node's."""
        return None

    def value(self, n: LatentNode, beta: Number) -> None:
        """Write kl (B, Z) and objective (B,), from nll, z, eps and head."""
        raise NotImplementedError

    def sample_weights(self, n: LatentNode, weight: float) -> Array:
        """The decoder's weight of every sample, (B, K, 1); for those who weigh samples."""
        raise NotImplementedError

    def chain(self, n: LatentNode, weight: float, beta: Number) -> None:
        """Assign dhead: the gradient of weight · Σ objective by [μ | log σ²].

        dz holds what came from the likelihood; it may be overwritten.
        """
        raise NotImplementedError

    def total(self, nll: HostArray, kl: HostArray, objective: HostArray, beta: float) -> float:
        """The objective averaged over all images, from host arrays of every image."""
        reconstruction = float(nll.mean(dtype="float64"))
        return reconstruction + beta * float(kl.sum(axis=1, dtype="float64").mean())


def sum_terms(n: LatentNode, beta: Number) -> None:
    """objective = 1/K Σ_k nll + β Σ_j kl  (E2): (B,)."""
    bk = n.bk
    bk.xp.sum(n.kl, axis=1, out=n.objective)
    if not isinstance(beta, float) or beta != 1:  # the clock's number can't be looked at
        n.objective *= n.times(beta, 1.0)
    bk.xp.sum(n.nll, axis=1, out=n.row_tmp)
    if n.samples > 1:
        n.row_tmp *= 1.0 / n.samples
    n.objective += n.row_tmp


def sampled_kl(n: LatentNode) -> None:
    """kl (B, Z) by Monte Carlo (E45)."""
    monte_carlo_kl(n.bk, n.head, n.z, n.eps, n.kl, (n.tmp, n.kl_tmp))


def sample_cost(n: LatentNode, beta: Number, cost: Array, tmp: Array) -> None:
    """cost = nll + β (log q − log p) of every sample  (E45): (B, K); tmp is like it."""
    log_ratio(n.bk, n.head, n.z, n.eps, cost, (n.tmp, tmp, n.row_tmp))
    cost *= n.times(beta, 1.0)
    cost += n.nll


class AnalyticKL(Estimator):
    """E2: the mean of nll over the samples, and the KL in closed form."""

    name = "analytic"
    words = "ELBO with the analytic KL"

    def value(self, n: LatentNode, beta: Number) -> None:
        """objective = 1/K Σ_k nll + β Σ_j KL_j  (E2, E16)."""
        kl_per_unit(n.bk, n.head, n.std, n.kl, n.kl_tmp)
        sum_terms(n, beta)

    def chain(self, n: LatentNode, weight: float, beta: Number) -> None:
        """[μ | log σ²] receives from two sides: the likelihood (E13) and the KL (E17)."""
        reparameterize_chain(n.bk, n.std, n.eps, n.dz, n.dhead, n.tmp)
        kl_chain(n.bk, n.head, n.std, n.times(beta, weight), n.dhead, n.kl_tmp)


class MonteCarloKL(Estimator):
    """E2 with KL_j replaced by the mean of log q(z_j|x) − log p(z_j) over the K samples."""

    name = "monte-carlo"
    words = "ELBO with a Monte-Carlo KL"

    def value(self, n: LatentNode, beta: Number) -> None:
        """objective = 1/K Σ_k (nll + β (log q − log p))  (E45)."""
        sampled_kl(n)
        sum_terms(n, beta)

    def chain(self, n: LatentNode, weight: float, beta: Number) -> None:
        """dz receives + z from −log p(z), log σ² receives −½ from log q  (E46)."""
        log_ratio_chain(n.bk, n.z, n.times(beta, weight / n.samples), n.dz, n.tmp)
        reparameterize_chain(n.bk, n.std, n.eps, n.dz, n.dhead, n.tmp)
        dlogvar = n.dhead[:, n.latent :]
        dlogvar -= n.times(beta, 0.5 * weight)


class FreeBits(AnalyticKL):
    """E2 in which the first λ nats of every latent unit cost nothing more than λ.

    A unit counts as Σ_j max(λ, mean of KL_j over the batch): below λ it has no reason to shrink
    to the prior. kl (B, Z) stays the KL itself. The mean is over the batch, so that a batch can't
    be split among workers.
    """

    name = "analytic"
    sums_terms = False
    whole_batch = True

    def __init__(self, nats: float) -> None:
        if not (math.isfinite(nats) and nats >= 0):
            raise ConfigError(f"free bits are a number of nats, not negative: {nats}")
        self.nats = float(nats)
        self.words = f"ELBO with the analytic KL and {self.nats:g} free nats a unit"

    def __repr__(self) -> str:
        return f"FreeBits({self.nats:g})"

    def work(self, tape: Tape, samples: int, latent: int) -> Any:
        """The mean KL of a unit, 1 where it exceeds λ, and the weight that follows: (Z,) each."""
        names = ("kl_mean", "pays", "kl_weight")
        return SimpleNamespace(**{name: tape.shared(f"latent.{name}", latent) for name in names})

    def value(self, n: LatentNode, beta: Number) -> None:
        """objective = 1/K Σ_k nll + β Σ_j (KL_j where its mean exceeds λ, else λ)  (E55).

        Averaged over the batch this is 1/K Σ_k nll + β Σ_j max(λ, mean KL_j).
        """
        bk, xp, mean, pays = n.bk, n.bk.xp, n.work.kl_mean, n.work.pays
        kl_per_unit(bk, n.head, n.std, n.kl, n.kl_tmp)
        bk.sum_rows(n.kl, mean)
        mean *= 1.0 / n.kl.shape[0]
        xp.greater(mean.real, self.nats, out=pays)
        xp.multiply(n.kl, pays, out=n.kl_tmp)
        xp.subtract(1.0, pays, out=mean)
        mean *= self.nats
        n.kl_tmp += mean
        xp.sum(n.nll, axis=1, out=n.objective)
        n.objective *= 1.0 / n.samples
        xp.sum(n.kl_tmp, axis=1, out=n.row_tmp)
        n.row_tmp *= n.times(beta, 1.0)
        n.objective += n.row_tmp

    def chain(self, n: LatentNode, weight: float, beta: Number) -> None:
        """As E17, where the unit's mean KL exceeds λ; nothing elsewhere  (E55)."""
        reparameterize_chain(n.bk, n.std, n.eps, n.dz, n.dhead, n.tmp)
        n.bk.xp.multiply(n.work.pays, n.times(beta, weight), out=n.work.kl_weight)
        kl_chain(n.bk, n.head, n.std, n.work.kl_weight, n.dhead, n.kl_tmp)

    def total(self, nll: HostArray, kl: HostArray, objective: HostArray, beta: float) -> float:
        """The mean over all images as one batch."""
        units = kl.mean(axis=0, dtype="float64").clip(min=self.nats)
        return float(nll.mean(dtype="float64")) + beta * float(units.sum())
