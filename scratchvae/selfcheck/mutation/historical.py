"""Bugs that really happened in variational autoencoders, each planted as it was once written.

Those here are inconsistent: forward and backward disagree, so a gradient check must see them.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest import mock

import numpy as np

from scratchvae.backend import Array, Backend
from scratchvae.backend.base import Weight
from scratchvae.latent import (
    AnalyticKL,
    LatentBuffers,
    kl_grad,
    kl_per_unit,
    reparameterize_grad,
)
from scratchvae.layers import Dense, Tanh
from scratchvae.layers.sequential import BoundSequential
from scratchvae.likelihoods.bernoulli import bernoulli_nll, bernoulli_nll_and_grad
from scratchvae.memory import Views
from scratchvae.selfcheck.mutation.targets import SIGMOID, TANH
from scratchvae.types import Function

Replacement = tuple[object, str, object]  # owner, attribute, what stands there instead


@dataclass(frozen=True)
class Historical:
    """A named bug: the entry that must notice it, the model to train, and its replacements."""

    name: str
    entry: str
    make: Callable[[], list[Replacement]]

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The bug in place."""
        with ExitStack() as stack:
            for owner, attribute, instead in self.make():
                stack.enter_context(mock.patch.object(owner, attribute, instead))
            yield


def everywhere(real: Function, instead: object) -> list[Replacement]:
    """A function by every name that a module of this package knows it by."""
    modules = [m for name, m in sys.modules.items() if name.startswith("scratchvae.")]
    name = real.__name__
    return [(m, name, instead) for m in modules if getattr(m, name, None) is real]


def second_noise() -> list[Replacement]:
    """Backward draws ε again instead of using forward's."""
    generator = np.random.default_rng(1)
    real = reparameterize_grad

    def grad_input(
        bk: Backend, std: Array, eps: Array, dz: Array, dhead: Array, tmp: Array
    ) -> None:
        real(bk, std, generator.standard_normal(eps.shape), dz, dhead, tmp)

    return everywhere(real, grad_input)


def pre_activation() -> list[Replacement]:
    """The next layer is fed the pre-activation; backward goes through the activation."""

    def forward(self: BoundSequential) -> None:
        for i, s in enumerate(self.layers):
            if i == 1:
                s.y[...] = s.x  # tanh was forgotten here
            else:
                s.layer.forward(self.bk, s.p, s.x, s.y)

    return [(BoundSequential, "forward", forward)]


def kl_without_half() -> list[Replacement]:
    """KL = μ² + σ² − 1 − log σ², with the right gradient of half of it."""
    return _scaled_kl(lambda latent: 2.0)


def kl_mean_over_latents() -> list[Replacement]:
    """The KL averaged over the latent units, its gradient summed."""
    return _scaled_kl(lambda latent: 1.0 / latent)


def kl_mean_over_pixels() -> list[Replacement]:
    """The KL divided by the number of pixels, its gradient not."""
    return _scaled_kl(lambda latent: 1.0 / 784)


def _scaled_kl(factor: Callable[[int], float]) -> list[Replacement]:
    real = kl_per_unit

    def kl(bk: Backend, head: Array, std: Array, out: Array, tmp: Array) -> None:
        real(bk, head, std, out, tmp)
        out *= factor(std.shape[1])

    return everywhere(real, kl)


def dlogvar_without_half() -> list[Replacement]:
    """d log σ² += w (σ² − 1): ∂/∂σ² taken for ∂/∂ log σ²."""

    def grad_input(
        bk: Backend, head: Array, std: Array, weight: Weight, dhead: Array, tmp: Array
    ) -> None:
        latent = std.shape[1]
        dhead[:, :latent] += head[:, :latent] * weight
        dhead[:, latent:] += (std * std - 1.0) * weight

    return everywhere(kl_grad, grad_input)


def softplus_as_probability() -> list[Replacement]:
    """da = softplus(a) − x: the normalizer of the density taken for the mean."""

    def nll_and_grad(
        bk: Backend, a: Array, x: Array, nll: Array, da: Array, tmp: Array, tmp2: Array
    ) -> None:
        bernoulli_nll(bk, a, x, nll, tmp, tmp2)
        da[...] = np.log1p(np.exp(a)) - x

    return everywhere(bernoulli_nll_and_grad, nll_and_grad)


def gradient_of_the_mean() -> list[Replacement]:
    """The loss is reported as a sum over pixels and differentiated as a mean."""
    real = bernoulli_nll_and_grad

    def nll_and_grad(
        bk: Backend, a: Array, x: Array, nll: Array, da: Array, tmp: Array, tmp2: Array
    ) -> None:
        real(bk, a, x, nll, da, tmp, tmp2)
        da /= a.shape[-1]

    return everywhere(real, nll_and_grad)


def stale_activation() -> list[Replacement]:
    """Backward reads the activations that the step before left in the buffer."""
    real = Tanh.grad_input
    remembered: dict[tuple[int, ...], Array] = {}

    def grad_input(
        self: Tanh, bk: Backend, p: Views, x: Array, y: Array, dy: Array, dx: Array, tmp: Array
    ) -> None:
        before = remembered.get(y.shape, np.zeros(y.shape))
        remembered[y.shape] = y.copy()
        real(self, bk, p, x, before, dy, dx, tmp)

    return [(Tanh, "grad_input", grad_input)]


def beta_dropped() -> list[Replacement]:
    """β multiplies the KL that is reported and not its gradient."""
    real = AnalyticKL.grad_head

    def grad_head(self: AnalyticKL, latent: LatentBuffers, weight: float, beta: float) -> None:
        real(self, latent, weight, 1.0)

    return [(AnalyticKL, "grad_head", grad_head)]


def wrong_axis() -> list[Replacement]:
    """db = Σ over the columns, cut to length: what a square batch hides."""
    real = Dense.grad_params

    def grad_params(self: Dense, bk: Backend, x: Array, dy: Array, g: Views, *share: slice) -> None:
        real(self, bk, x, dy, g, *share)
        g.b[...] = np.resize(np.sum(dy, axis=1), g.b.shape)

    return [(Dense, "grad_params", grad_params)]


HISTORICAL: tuple[Historical, ...] = (
    Historical("second noise draw in backward", SIGMOID, second_noise),
    Historical("pre-activation fed forward but not back", TANH, pre_activation),
    Historical("½ missing in the KL", SIGMOID, kl_without_half),
    Historical("½ missing in dlogvar", SIGMOID, dlogvar_without_half),
    Historical("KL averaged over latents", SIGMOID, kl_mean_over_latents),
    Historical("KL averaged over pixels", SIGMOID, kl_mean_over_pixels),
    Historical("softplus used as a probability", SIGMOID, softplus_as_probability),
    Historical("gradient of the mean for a reported sum", SIGMOID, gradient_of_the_mean),
    Historical("stale activation buffer", TANH, stale_activation),
    Historical("β dropped", SIGMOID, beta_dropped),
    Historical("wrong axis in the bias gradient", SIGMOID, wrong_axis),
)
