"""Estimators of the bound E2: a value for each image, and what it sends back to the encoder."""

import math

from scratchvae.backend import Array, HostArray, Number, Weight
from scratchvae.errors import ConfigError, MissingMethodError
from scratchvae.latent.buffers import LatentBuffers
from scratchvae.latent.flows import Flow
from scratchvae.latent.gaussian import (
    kl_grad,
    kl_per_unit,
    log_ratio,
    log_ratio_grad,
    monte_carlo_kl,
    reparameterize_grad,
)
from scratchvae.memory import Views, Workspace


class Estimator:
    """How the bound of log p(x) and its gradient are estimated from samples of z.

    Holds settings and nothing else: the arrays are those of a :class:`LatentBuffers`. A step calls
    ``value`` and ``sample_weight`` once nll is known, and ``grad_head`` once the decoder has
    computed dz. An estimator of your own needs the first and the last of these, and ``total`` if
    its objective is not a sum of nll and kl.
    """

    name = ""
    label = ""  # for protocols and captions
    is_test_loss = False  # its value is E2 with the analytic KL, as an evaluation's always is
    min_samples = 1  # of z per image that its gradient needs
    allows_beta = True  # a bound that is no sum of two parts has no β between them
    reference = "analytic"  # the estimator of the same bound whose mean gradient is the true one
    gradient_matches_value = True  # its gradient is that of its value: a complex step can check it
    sums_terms = True  # its value is E2 of nll and kl as they stand in their buffers
    kl_labels: tuple[str, ...] = ()  # the equation of its kl (B, Z)
    value_writes: tuple[str, ...] = ()  # the buffers of its work that value fills, by name
    whole_batch = False  # its value is no sum over images: the batch can't be split
    allows_flow = False  # q may be more than a Gaussian: log q and its gradient know log_det

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @classmethod
    def from_settings(cls, free_bits: float) -> "Estimator":
        """The estimator that the settings of a run describe.

        ``free_bits``: nats of KL per latent unit that cost nothing. Raises ``ConfigError`` if
        they are set for an estimator without them.
        """
        if free_bits:
            raise ConfigError(
                "free bits limit the KL of a latent unit in closed form: they need the estimator "
                f"'analytic', not {cls.name!r}"
            )
        return cls()

    def require(self, samples: int, beta: Number, flow: Flow | None = None) -> None:
        """``ConfigError`` unless the estimator works with these samples, this β and this flow."""
        if flow is not None and flow.length and not self.allows_flow:
            raise ConfigError(
                f"the estimator {self.name!r} is for a Gaussian q(z|x), not for one with the flow "
                f"{flow!r}: choose monte-carlo or iwae"
            )
        if samples < self.min_samples:
            raise ConfigError(
                f"the estimator {self.name!r} needs at least {self.min_samples} samples per "
                f"image, not {samples}: set samples to {self.min_samples} or more"
            )
        if not self.allows_beta and beta != 1:
            raise ConfigError(
                f"the estimator {self.name!r} is a bound of log p(x) and no sum of two parts: "
                f"beta must be 1, not {beta}"
            )

    def describe(self, samples: int) -> str:
        """A short phrase for the training loss, with ``samples`` samples per image."""
        label = self.label or type(self).__name__
        return f"{label}, {samples} sample{'s' if samples > 1 else ''} per image"

    def work(self, workspace: Workspace, samples: int, latent: int) -> Views:
        """The scratch buffers that it needs beside those of :class:`LatentBuffers`, by name."""
        return Views()

    def value(self, latent: LatentBuffers, beta: Number) -> None:
        """Write kl (B, Z) and objective (B,), in nats, from nll, z, eps and head."""
        raise MissingMethodError(
            f"{type(self).__name__} needs value(self, latent, beta), which writes latent.kl and "
            "latent.objective from latent.nll and the samples"
        )

    def sample_weight(self, latent: LatentBuffers, weight: float) -> Weight:
        """The weight of each sample's nll in weight · Σ objective: a number or (B, K, 1)."""
        return weight / latent.samples

    def grad_head(self, latent: LatentBuffers, weight: float, beta: Number) -> None:
        """Assign dhead, the gradient of weight · Σ objective with respect to [μ | log σ²].

        dz holds the gradient that came from the likelihood, and may be overwritten.
        """
        raise MissingMethodError(
            f"{type(self).__name__} needs grad_head(self, latent, weight, beta), which writes the "
            "gradient with respect to [μ | log σ²] into latent.dhead"
        )

    def total(self, nll: HostArray, kl: HostArray, objective: HostArray, beta: float) -> float:
        """The mean objective of N images, from host arrays (N, K), (N, Z) and (N,)."""
        reconstruction = float(nll.mean(dtype="float64"))
        return reconstruction + beta * float(kl.sum(axis=1, dtype="float64").mean())


def sum_terms(latent: LatentBuffers, beta: Number) -> None:
    """objective = 1/K Σ_k nll + β Σ_j kl  (E2): (B,)."""
    bk = latent.bk
    bk.xp.sum(latent.kl, axis=1, out=latent.objective)
    if (
        not isinstance(beta, float) or beta != 1
    ):  # reading a device scalar would wait for the device
        latent.objective *= latent.times(beta, 1.0)
    bk.xp.sum(latent.nll, axis=1, out=latent.row_tmp)
    if latent.samples > 1:
        latent.row_tmp *= 1.0 / latent.samples
    latent.objective += latent.row_tmp


def sampled_kl(latent: LatentBuffers) -> None:
    """Write kl (B, Z) by Monte Carlo (E45), with a flow less its log |det|  (E204).

    The maps of a flow mix the units: each unit's kl then has an equal share of it.
    """
    latent.bk.compute(
        monte_carlo_kl, latent.head, latent.z, latent.eps, latent.kl, (latent.tmp, latent.kl_tmp)
    )
    if latent.log_det is not None:
        latent.bk.xp.sum(latent.log_det, axis=1, out=latent.row_tmp)
        latent.row_tmp *= 1.0 / (latent.samples * latent.latent)
        latent.kl -= latent.row_tmp[:, None]


def sample_cost(latent: LatentBuffers, beta: Number, cost: Array, tmp: Array) -> None:
    """cost = nll + β (log q − log p) of every sample  (E45, E204): (B, K); tmp is like it."""
    latent.bk.compute(
        log_ratio, latent.head, latent.z, latent.eps, cost, (latent.tmp, tmp, latent.row_tmp)
    )
    if latent.log_det is not None:
        cost -= latent.log_det
    cost *= latent.times(beta, 1.0)
    cost += latent.nll


def grad_through_z(latent: LatentBuffers, weight: Weight) -> None:
    """Assign dhead from dz: back through the flow, if there is one, and through z0  (E204, E13).

    ``weight``, a number or (B, K, 1): that of each sample's log q in the objective.
    """
    latent.bk.perform(latent.flow.grad_inputs, weight)
    latent.bk.compute(
        reparameterize_grad, latent.std, latent.eps, latent.dz, latent.dhead, latent.tmp
    )


class AnalyticKL(Estimator):
    """E2: the mean of nll over the samples, and the KL in closed form."""

    name = "analytic"
    label = "ELBO with the analytic KL"
    kl_labels = ("E16",)
    is_test_loss = True

    @classmethod
    def from_settings(cls, free_bits: float) -> "Estimator":
        return FreeBits(free_bits) if free_bits else cls()

    def value(self, latent: LatentBuffers, beta: Number) -> None:
        """objective = 1/K Σ_k nll + β Σ_j KL_j  (E2, E16)."""
        latent.bk.compute(kl_per_unit, latent.head, latent.std, latent.kl, latent.kl_tmp)
        sum_terms(latent, beta)

    def grad_head(self, latent: LatentBuffers, weight: float, beta: Number) -> None:
        """[μ | log σ²] receives from two sides: the likelihood (E13) and the KL (E17)."""
        latent.bk.compute(
            reparameterize_grad, latent.std, latent.eps, latent.dz, latent.dhead, latent.tmp
        )
        latent.bk.compute(
            kl_grad,
            latent.head,
            latent.std,
            latent.times(beta, weight),
            latent.dhead,
            latent.kl_tmp,
        )


class MonteCarloKL(Estimator):
    """E2 with KL_j replaced by the mean of log q(z_j|x) − log p(z_j) over the K samples."""

    name = "monte-carlo"
    label = "ELBO with a Monte-Carlo KL"
    kl_labels = ("E45",)
    allows_flow = True

    def value(self, latent: LatentBuffers, beta: Number) -> None:
        """objective = 1/K Σ_k (nll + β (log q − log p))  (E45)."""
        sampled_kl(latent)
        sum_terms(latent, beta)

    def grad_head(self, latent: LatentBuffers, weight: float, beta: Number) -> None:
        """dz receives + z from −log p(z), log σ² receives −½ from log q  (E46)."""
        of_sample = latent.times(beta, weight / latent.samples)
        log_ratio_grad(latent.bk, latent.z, of_sample, latent.dz, latent.tmp)
        grad_through_z(latent, of_sample)
        dlogvar = latent.dhead[:, latent.latent :]
        dlogvar -= latent.times(beta, 0.5 * weight)


class FreeBits(AnalyticKL):
    """E2 in which latent unit j costs max(λ, the mean of KL_j over the batch), λ nats at least.

    Below λ its KL has no gradient, so the unit is not pulled to the prior. kl (B, Z) stays the KL
    itself. Since the mean is over the batch, workers cannot divide a batch.
    """

    name = "analytic"
    is_test_loss = False
    sums_terms = False
    whole_batch = True

    def __init__(self, nats: float) -> None:
        if not (math.isfinite(nats) and nats >= 0):
            raise ConfigError(f"free bits are a number of nats, not negative: {nats}")
        self.nats = float(nats)
        self.label = f"ELBO with the analytic KL and {self.nats:g} free nats per unit"

    def __repr__(self) -> str:
        return f"FreeBits({self.nats:g})"

    def work(self, workspace: Workspace, samples: int, latent: int) -> Views:
        """(Z,) each: the mean KL of a unit, 1 if it exceeds λ else 0, and the resulting weight."""
        names = ("kl_mean", "above_floor", "kl_weight")
        return Views(**{name: workspace.shared(f"latent.{name}", latent) for name in names})

    def value(self, latent: LatentBuffers, beta: Number) -> None:
        """objective = 1/K Σ_k nll + β Σ_j (KL_j where its mean exceeds λ, else λ)  (E55).

        Averaged over the batch this is 1/K Σ_k nll + β Σ_j max(λ, mean KL_j).
        """
        bk, xp, mean, above_floor = (
            latent.bk,
            latent.bk.xp,
            latent.work.kl_mean,
            latent.work.above_floor,
        )
        bk.compute(kl_per_unit, latent.head, latent.std, latent.kl, latent.kl_tmp)
        bk.sum_rows(latent.kl, mean)
        mean *= 1.0 / latent.kl.shape[0]
        xp.greater(mean.real, self.nats, out=above_floor)
        xp.multiply(latent.kl, above_floor, out=latent.kl_tmp)
        xp.subtract(1.0, above_floor, out=mean)
        mean *= self.nats
        latent.kl_tmp += mean
        xp.sum(latent.nll, axis=1, out=latent.objective)
        latent.objective *= 1.0 / latent.samples
        xp.sum(latent.kl_tmp, axis=1, out=latent.row_tmp)
        latent.row_tmp *= latent.times(beta, 1.0)
        latent.objective += latent.row_tmp

    def grad_head(self, latent: LatentBuffers, weight: float, beta: Number) -> None:
        """As E17 for the units whose mean KL exceeds λ, nothing for the others  (E55)."""
        latent.bk.compute(
            reparameterize_grad, latent.std, latent.eps, latent.dz, latent.dhead, latent.tmp
        )
        latent.bk.xp.multiply(
            latent.work.above_floor, latent.times(beta, weight), out=latent.work.kl_weight
        )
        latent.bk.compute(
            kl_grad, latent.head, latent.std, latent.work.kl_weight, latent.dhead, latent.kl_tmp
        )

    def total(self, nll: HostArray, kl: HostArray, objective: HostArray, beta: float) -> float:
        """The objective of all N images as one batch."""
        units = kl.mean(axis=0, dtype="float64").clip(min=self.nats)
        return float(nll.mean(dtype="float64")) + beta * float(units.sum())


def default_estimator(flow: Flow) -> Estimator:
    """E2, with the analytic KL where q is Gaussian, and by Monte Carlo where a flow is part of it.

    So is every model evaluated, too, whatever estimator trained it.
    """
    return MonteCarloKL() if flow.length else AnalyticKL()
