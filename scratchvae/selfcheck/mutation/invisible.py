"""Bugs that no gradient check can see: forward and backward agree on the wrong function, or the
wrong number is one of an evaluation, which has no gradient.

Each comes with the oracle that does see it, a fact about the objective that needs no gradient.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import Array, Backend, get_backend
from scratchvae.evaluation import Disentanglement, information, measure_disentanglement
from scratchvae.gradcheck.measure import gradient_error
from scratchvae.gradcheck.points import point
from scratchvae.gradcheck.subjects import latent as latent_subjects
from scratchvae.gradcheck.subjects import likelihood_subject
from scratchvae.latent import estimators as estimators
from scratchvae.latent import kl_per_unit, reparameterize, reparameterize_grad
from scratchvae.latent.gaussian import monte_carlo_kl
from scratchvae.likelihoods import Bernoulli, ContinuousBernoulli, Gaussian
from scratchvae.memory import Views
from scratchvae.optim import BoundOptimizer
from scratchvae.selfcheck.mutation.historical import Replacement, everywhere
from scratchvae.selfcheck.optimizers import OPTIMIZER_ENTRIES, equation

ORACLE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Invisible:
    """A named bug, an entry whose gradient check passes all the same, and the oracle."""

    name: str
    entry: str | None
    make: Callable[[], list[Replacement]]
    oracle: Callable[[], float]  # the error of a fact; above 1e-9 it is not one

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The bug in place."""
        with ExitStack() as stack:
            for owner, attribute, instead in self.make():
                stack.enter_context(mock.patch.object(owner, attribute, instead))
            yield


def variance_as_std() -> list[Replacement]:
    """z = μ + exp(log σ²) ε, differentiated correctly."""
    half = reparameterize_grad

    def forward(bk: Backend, head: Array, std: Array, eps: Array, z: Array) -> None:
        latent = std.shape[1]
        std[...] = bk.xp.exp(0.5 * head[:, latent:])  # for the KL, which is right
        z[...] = eps * (std * std)[:, None, :] + head[:, None, :latent]

    def grad_input(
        bk: Backend, std: Array, eps: Array, dz: Array, dhead: Array, tmp: Array
    ) -> None:
        half(bk, std * std, eps, dz, dhead, tmp)
        dlogvar = dhead[:, std.shape[1] :]
        dlogvar *= 2.0

    return [*everywhere(reparameterize, forward), *everywhere(half, grad_input)]


def moments_of_z() -> float:
    """E (z − μ)² = exp(log σ²) for ε at the two points of Gauss–Hermite, ±1."""
    bk = get_backend("cpu", "float64")
    head = point((5, 4), 0, "moments")
    eps = np.ones((5, 2, 2)) * np.array([1.0, -1.0])[None, :, None]
    std, z = np.empty((5, 2)), np.empty((5, 2, 2))
    latent_subjects.reparameterize(bk, head, std, eps, z)
    variance = np.mean((z - head[:, None, :2]) ** 2, axis=1)
    return gradient_error(variance, np.exp(head[:, 2:]))


def prior_constant_once() -> list[Replacement]:
    """log p(z) with ½ log 2π once instead of once for each latent unit."""
    real = monte_carlo_kl

    def kl(bk: Backend, head: Array, z: Array, eps: Array, out: Array, tmp: Array) -> None:
        real(bk, head, z, eps, out, tmp)
        units = z.shape[2]
        out -= (units - 1) / units * 0.5 * math.log(2 * math.pi)

    return everywhere(real, kl)


def sampled_kl_is_the_kl() -> float:
    """The Monte-Carlo KL at ε = ±1, where a square has its mean, is the analytic KL."""
    bk, head = get_backend("cpu", "float64"), point((5, 6), 0, "prior")
    eps = np.ones((5, 2, 3)) * np.array([1.0, -1.0])[None, :, None]
    std, z, tmp = np.empty((5, 3)), np.empty((5, 2, 3)), np.empty((5, 2, 3))
    exact, sampled, work = np.empty((5, 3)), np.empty((5, 3)), np.empty((5, 3))
    reparameterize(bk, head, std, eps, z)
    kl_per_unit(bk, head, std, exact, work)
    estimators.monte_carlo_kl(bk, head, z, eps, sampled, (tmp, work))
    return gradient_error(sampled, exact)


def one_log_two_pi() -> list[Replacement]:
    """½ log 2πσ² once instead of once for each dimension."""

    def precision(
        self: Gaussian, bk: Backend, p: Views, pixels: int, work: Views
    ) -> tuple[float, float]:
        variance = self.fixed**2
        return 1.0 / variance, 0.5 * math.log(2 * math.pi * variance)

    return [(Gaussian, "precision", precision)]


def gaussian_normalizes() -> float:
    """∫ p(x|z) dx = 1 over two pixels, by the trapezoid rule (exact to rounding for a Gaussian)."""
    x1 = np.linspace(-6.0, 7.0, 131)
    grid = np.array(list(itertools.product(x1, x1)))
    logits = np.broadcast_to(np.array([0.3, -0.8]), (len(grid), 1, 2)).copy()
    subject = likelihood_subject(Gaussian(0.5), logits, grid[:, None, :])
    nll = subject.bind(get_backend("cpu", "float64")).value(subject.args)
    return abs(float(np.sum(np.exp(-nll))) * (x1[1] - x1[0]) ** 2 - 1.0)


def log_two_forgotten() -> list[Replacement]:
    """The series around a = 0 without its log 2: a step at |a| = ½, where no slope changes."""
    real = ContinuousBernoulli.pixel_nll

    def pixel_nll(
        self: ContinuousBernoulli, bk: Backend, p: Views, logits: Array, x: Array, out: Array,
        work: Views,
    ) -> None:  # fmt: skip
        real(self, bk, p, logits, x, out, work)
        out += math.log(2) * (1 - work.outside)

    return [(ContinuousBernoulli, "pixel_nll", pixel_nll)]


def continuous_bernoulli_normalizes() -> float:
    """∫ p(x|z) dx = 1 over two pixels, one with a small logit, by the rule of Gauss."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    grid = np.array(list(itertools.product((nodes + 1) / 2, repeat=2)))
    logits = np.broadcast_to(np.array([0.3, -4.0]), (len(grid), 1, 2)).copy()
    subject = likelihood_subject(ContinuousBernoulli(), logits, grid[:, None, :])
    nll = subject.bind(get_backend("cpu", "float64")).value(subject.args)
    return abs(float(np.exp(-nll[:, 0]) @ np.outer(weights, weights).ravel()) / 4 - 1.0)


def correction_by_epoch() -> list[Replacement]:
    """Adam's bias correction counts epochs (of two steps here), not steps."""
    real = BoundOptimizer.step

    def step(self: BoundOptimizer, t: int, part: int = 0, lr: float | None = None) -> None:
        real(self, (t + 1) // 2, part, lr)

    return [(BoundOptimizer, "step", step)]


def adam_equation() -> float:
    """Several steps of Adam are the published formula's."""
    return max(equation(entry).error for entry in OPTIMIZER_ENTRIES if entry.name == "Adam")


def softplus_mean() -> list[Replacement]:
    """Pixels are drawn with softplus(a) for a probability; training never looks at it."""

    def mean(self: Bernoulli, bk: Backend, logits: Array, out: Array) -> None:
        out[...] = bk.xp.log1p(bk.xp.exp(logits))

    return [(Bernoulli, "mean", mean)]


def bernoulli_mean() -> float:
    """E[x|z] = Σ_x x p(x|z) over all images of three pixels."""
    bk, a = get_backend("cpu", "float64"), np.array([0.7, -1.2, 2.0])
    images = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
    logits = np.broadcast_to(a, (len(images), 1, 3)).copy()
    subject = likelihood_subject(Bernoulli(), logits, images[:, None, :])
    p = np.exp(-subject.bind(bk).value(subject.args))
    mean = np.empty(3)
    Bernoulli().mean(bk, a, mean)
    return gradient_error(mean, np.sum(p * images, axis=0))


def sum_over_samples() -> list[Replacement]:
    """log Σ over the axis of the samples z, not over that of the images: the matrix transposed."""
    real = information.log_mean_exp

    def log_mean_exp(a: NDArray) -> tuple[NDArray, NDArray]:
        return real(np.swapaxes(a, 0, 1))

    return everywhere(real, log_mean_exp)


def no_log_n() -> list[Replacement]:
    """log Σ_m q(z|x_m) for the log of the mean: log N is left out."""
    real = information.log_mean_exp

    def log_mean_exp(a: NDArray) -> tuple[NDArray, NDArray]:
        value, shares = real(a)
        return value + math.log(a.shape[1]), shares

    return everywhere(real, log_mean_exp)


def moments_of_the_aggregate() -> float:
    """∫ q(z) dz = 1 and E z = mean of the μ, of as many images as there are points z."""
    z = np.linspace(-12.0, 12.0, 241)
    mu, logvar = point((241,), 0, "means"), 0.1 * point((241,), 0, "variances")
    logs, _ = information.log_mean_exp(information.log_normal(z[:, None], mu, logvar))
    weight = np.exp(logs) * (z[1] - z[0])
    return float(max(abs(weight.sum() - 1.0), abs(weight @ z - mu.mean())))


def units_before_images() -> list[Replacement]:
    """Σ_j inside the mean over images: the marginals' product is q(z), and all is uncorrelated."""
    real = information.log_mean_exp

    def log_mean_exp(a: NDArray) -> tuple[NDArray, NDArray]:
        if a.ndim == 2:
            return real(a)
        value, shares = real(a.sum(axis=2, keepdims=True))
        return value, np.broadcast_to(shares / a.shape[2], a.shape)

    return everywhere(real, log_mean_exp)


def two_units_alike() -> float:
    """Two certain units that repeat each other have a total correlation of log N."""
    codes = np.repeat(100.0 * np.arange(7.0)[:, None], 2, axis=1)
    found = information.decompose_kl(codes, np.zeros_like(codes))
    return abs(found.total_correlation.value - math.log(7))


def best_of_factors() -> list[Replacement]:
    """The best and the second best of a unit's factors, not of a factor's units."""

    def gaps(self: Disentanglement) -> NDArray:
        ordered = np.sort(self.information, axis=0)
        return np.asarray((ordered[-1] - ordered[-2]) / self.entropy)

    return [(Disentanglement, "gaps", property(gaps))]


def entropy_of_equal_values() -> list[Replacement]:
    """The gap over the largest entropy of any factor, not over the factor's own."""

    def gaps(self: Disentanglement) -> NDArray:
        ordered = np.sort(self.information, axis=1)
        return np.asarray((ordered[:, -1] - ordered[:, -2]) / self.entropy.max())

    return [(Disentanglement, "gaps", property(gaps))]


def one_unit_holds_all() -> float:
    """One certain unit that holds both factors, of unequal entropy, is a gap of 1 for each."""
    factors = np.array([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]])
    codes = np.stack([100.0 * np.arange(6.0), np.zeros(6)], axis=1)
    found = measure_disentanglement(codes, np.zeros_like(codes), factors)
    return float(np.max(np.abs(found.gaps - 1.0)))


INVISIBLE: tuple[Invisible, ...] = (
    Invisible(
        "exp(logvar) as the standard deviation, forward and backward",
        "reparameterize",
        variance_as_std,
        moments_of_z,
    ),
    Invisible(
        "the prior's ½ log 2π once instead of per dimension",
        "estimator monte-carlo",
        prior_constant_once,
        sampled_kl_is_the_kl,
    ),
    Invisible(
        "the Gaussian likelihood's ½ log 2π once instead of per dimension",
        "Gaussian sigmoid",
        one_log_two_pi,
        gaussian_normalizes,
    ),
    Invisible(
        "the continuous Bernoulli's log 2 forgotten in the series",
        "ContinuousBernoulli",
        log_two_forgotten,
        continuous_bernoulli_normalizes,
    ),
    Invisible("Adam's bias correction by epoch", None, correction_by_epoch, adam_equation),
    Invisible("softplus as the mean of a Bernoulli", "Bernoulli", softplus_mean, bernoulli_mean),
    Invisible(
        "the aggregate posterior over samples", None, sum_over_samples, moments_of_the_aggregate
    ),
    Invisible("the aggregate posterior without log N", None, no_log_n, moments_of_the_aggregate),
    Invisible(
        "units summed before the mean over images", None, units_before_images, two_units_alike
    ),
    Invisible("the gap between a unit's factors", None, best_of_factors, one_unit_holds_all),
    Invisible("the gap over another entropy", None, entropy_of_equal_values, one_unit_holds_all),
)
