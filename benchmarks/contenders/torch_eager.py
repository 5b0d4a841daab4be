"""PyTorch without compilation, with the fastest of its three Adams and two memory formats."""

import math
import time
from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from numpy.typing import NDArray
from torch.nn import functional

from benchmarks.contenders.clocks import clock_of
from benchmarks.contenders.common import ADAM_EPS, BETA1, BETA2, LEARNING_RATE, Checked, Job, Order
from benchmarks.contenders.torch_network import forward, load, to_host
from benchmarks.models import GAUSSIAN_STD, Spec

ADAMS: dict[str, dict[str, bool]] = {
    "plain": {"foreach": False, "fused": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}
FORMATS = {"contiguous": False, "channels last": True}  # for images


def elbo(spec: Spec, params: Sequence[Any], x: Any, eps: Any, channels_last: bool = False) -> Any:
    """The loss in nats per image, as a tensor; ``params`` as :func:`torch_network.load` has them.

    With several samples per image it is the importance-weighted bound.
    """
    encoder, decoder = spec.networks
    weights = 2 * sum(layer.weights is not None for layer in encoder)
    mu, logvar = forward(encoder, params[:weights], x, channels_last).chunk(2, dim=1)
    if spec.head == "logstd":
        logvar = 2 * logvar
    if spec.samples > 1:
        cost = costs(spec, params[weights:], x, mu, logvar, eps, channels_last)
        return (math.log(spec.samples) - torch.logsumexp(-cost, 1)).mean()
    z = mu + eps.view(mu.shape) * torch.exp(0.5 * logvar)
    logits = forward(decoder, params[weights:], z, channels_last)
    if spec.likelihood == "bernoulli":
        nll = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    else:
        squares = functional.mse_loss(torch.sigmoid(logits), x, reduction="sum")
        constant = 0.5 * x.numel() * math.log(2 * math.pi * GAUSSIAN_STD**2)
        nll = squares * (0.5 / GAUSSIAN_STD**2) + constant
    kl = 0.5 * torch.sum(mu * mu + torch.exp(logvar) - 1 - logvar)
    return (nll + kl) / x.shape[0]


def costs(
    spec: Spec, params: Sequence[Any], x: Any, mu: Any, logvar: Any, eps: Any,
    channels_last: bool = False,
) -> Any:  # fmt: skip
    """−log p(x, z) / q(z|x) of every sample of a Bernoulli model, (B, K), for noise (B, K, Z)."""
    z = mu[:, None] + eps * torch.exp(0.5 * logvar)[:, None]
    logits = forward(spec.networks[1], params, z.flatten(0, 1), channels_last)
    logits = logits.view(*eps.shape[:2], -1)
    each = x[:, None].expand_as(logits)
    nll = functional.binary_cross_entropy_with_logits(logits, each, reduction="none").sum(2)
    return nll + 0.5 * ((z * z - eps * eps).sum(2) - logvar.sum(1, keepdim=True))


class Contender:
    """Eager steps on float32 images in memory; gradients are dropped, not zeroed."""

    granularity = 1
    adams: Sequence[str] = tuple(ADAMS)

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(job.threads)
        self.device = torch.device(job.options.get("device", "cpu"))
        self.clock = clock_of(self.device.type, "torch")
        torch.set_float32_matmul_precision("high" if job.options.get("tf32") else "highest")
        torch.backends.cudnn.allow_tf32 = bool(job.options.get("tf32"))  # of convolutions: its own
        torch.manual_seed(job.seed)
        self.job = job
        self.data = torch.from_numpy(job.load_values()).to(self.device)
        self.order = Order(len(self.data), job.spec.batch, job.seed)
        self.visits = torch.empty(0, dtype=torch.int64)
        convolves = any(layer.kind.startswith("conv") for layer in job.spec.weighted)
        formats = FORMATS if convolves else ("contiguous",)
        self.choices = {
            " images, ".join([*[name] * convolves, f"{adam} Adam"]): (FORMATS[name], adam)
            for name, adam in product(formats, self.adams)
        }
        self.choose()

    def make_loss(self) -> Any:
        """(params, batch, noise) -> loss."""
        spec, channels_last = self.job.spec, self.channels_last
        return lambda params, x, eps: elbo(spec, params, x, eps, channels_last)

    def reset(self) -> None:
        """Initial weights, and an Adam that has seen nothing."""
        spec, weights = self.job.spec, self.job.load_weights()
        self.params = load(spec, weights, self.channels_last, self.device)
        self.optimizer = torch.optim.Adam(
            self.params, LEARNING_RATE, (BETA1, BETA2), ADAM_EPS, **ADAMS[self.adam]
        )

    def use(self, choice: str) -> None:
        """A memory format and an Adam."""
        self.variant = choice
        self.channels_last, self.adam = self.choices[choice]
        if self.channels_last not in self.losses:
            self.losses[self.channels_last] = self.make_loss()
        self.loss_of = self.losses[self.channels_last]
        self.reset()

    def choose(self) -> None:
        """Keep the fastest of all choices; ``variant`` names it."""
        self.losses: dict[bool, Any] = {}
        self.tried: dict[str, list[float]] = {name: [] for name in self.choices}
        n = min(max(1, round(2e10 / self.job.spec.flops)), 15)
        for _ in range(4):
            for name, seconds in self.tried.items():
                self.use(name)
                self.run(max(1, n // 5))
                started = time.perf_counter()
                self.run(n)
                seconds.append((time.perf_counter() - started) / n)
        self.use(min(self.choices, key=lambda name: min(self.tried[name])))

    def step(self, x: Any, eps: Any) -> Any:
        """One step on a batch and its noise; the loss as a tensor."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss_of(self.params, x, eps)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def run(self, n: int) -> float:
        """n steps; the sum of their losses over all images, in nats."""
        spec = self.job.spec
        total = torch.zeros((), device=self.device)
        for start, stop, order in self.order.spans(n):
            if order is not None:
                self.visits = torch.from_numpy(order).to(self.device)
            for i in range(start, stop):
                x = self.data.index_select(0, self.visits[i * spec.batch : (i + 1) * spec.batch])
                eps = torch.randn(spec.batch, spec.samples, spec.latent, device=self.device)
                total += self.step(x, eps)
        return float(total) * spec.batch

    def check(self, index: NDArray, eps: NDArray) -> Checked:
        """Steps on given batches (S, B) and their noise (S, B, K, Z)."""
        self.reset()
        for k in range(len(index)):
            x = self.data.index_select(0, torch.from_numpy(index[k]).to(self.device))
            noise = torch.tensor(eps[k], dtype=torch.float32, device=self.device)
            loss = self.step(x, noise)
            if k == 0:
                first = float(loss)
                grads = self.by_name([p.grad for p in self.params])
        updated = self.by_name(self.params)
        self.reset()
        return Checked(first, grads, updated)

    def by_name(self, tensors: Sequence[Any]) -> dict[str, NDArray]:
        """Copies in scratchvae's names and layout."""
        return to_host(self.job.spec, tensors, self.channels_last)
