"""What an estimator is: a value for each image, and what it sends back to the encoder."""

from typing import Any

from scratchvae.backend import Array, HostArray, Number
from scratchvae.errors import ConfigError
from scratchvae.latent.buffers import LatentNode
from scratchvae.latent.log_ratio import log_ratio, monte_carlo_kl
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
