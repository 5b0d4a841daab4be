"""PyTorch without compilation, with the fastest of its three Adams."""

import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch.nn import functional

from benchmarks.contenders.clocks import clock_of
from benchmarks.contenders.common import ADAM_EPS, BETA1, BETA2, LEARNING_RATE, Checked, Job, Order
from benchmarks.models import GAUSSIAN_STD, Spec

ADAMS: dict[str, dict[str, bool]] = {
    "plain": {"foreach": False, "fused": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}
ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


def elbo(spec: Spec, params: Sequence[Any], x: Any, eps: Any) -> Any:
    """The loss in nats an image, as a tensor; ``params`` are W (outputs, inputs), b in turn."""
    activation = ACTIVATIONS[spec.activation]
    encoder = 2 * (len(spec.hidden) + 1)

    def network(h: Any, params: Sequence[Any]) -> Any:
        for i in range(0, len(params), 2):
            h = functional.linear(h, params[i], params[i + 1])
            if i + 2 < len(params):
                h = activation(h)
        return h

    mu, logvar = network(x, params[:encoder]).chunk(2, dim=1)
    if spec.head == "logstd":
        logvar = 2 * logvar
    z = mu + eps * torch.exp(0.5 * logvar)
    logits = network(z, params[encoder:])
    if spec.likelihood == "bernoulli":
        nll = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    else:
        squares = functional.mse_loss(torch.sigmoid(logits), x, reduction="sum")
        constant = 0.5 * x.numel() * math.log(2 * math.pi * GAUSSIAN_STD**2)
        nll = squares * (0.5 / GAUSSIAN_STD**2) + constant
    kl = 0.5 * torch.sum(mu * mu + torch.exp(logvar) - 1 - logvar)
    return (nll + kl) / x.shape[0]


class Contender:
    """Eager steps on float32 images in memory; gradients are dropped, not zeroed."""

    granularity = 1

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(job.threads)
        self.device = torch.device(job.options.get("device", "cpu"))
        self.clock = clock_of(self.device.type, "torch")
        torch.set_float32_matmul_precision("high" if job.options.get("tf32") else "highest")
        torch.manual_seed(job.seed)
        self.job = job
        self.data = torch.from_numpy(job.load_values()).to(self.device)
        self.order = Order(len(self.data), job.spec.batch, job.seed)
        self.visits = torch.empty(0, dtype=torch.int64)
        self.loss_of = self.make_loss()
        self.adam = "fused"
        self.reset()
        self.choose_adam()

    def make_loss(self) -> Any:
        """(params, batch, noise) -> loss."""
        return lambda params, x, eps: elbo(self.job.spec, params, x, eps)

    def reset(self) -> None:
        """Initial weights, and an Adam that has seen nothing."""
        arrays = self.job.load_weights()
        self.params = []
        for name, _, _ in self.job.spec.layers:
            for array in (arrays[f"{name}.W"].T, arrays[f"{name}.b"]):
                tensor = torch.tensor(array, dtype=torch.float32, device=self.device).contiguous()
                self.params.append(tensor.requires_grad_())
        self.optimizer = torch.optim.Adam(
            self.params, LEARNING_RATE, (BETA1, BETA2), ADAM_EPS, **ADAMS[self.adam]
        )

    def choose_adam(self) -> None:
        """Keep the fastest of plain, foreach and fused."""
        self.tried: dict[str, list[float]] = {name: [] for name in ADAMS}
        for _ in range(4):
            for name, seconds in self.tried.items():
                self.adam = name
                self.reset()
                self.run(3)
                started = time.perf_counter()
                self.run(15)
                seconds.append((time.perf_counter() - started) / 15)
        self.adam = min(ADAMS, key=lambda name: min(self.tried[name]))
        self.reset()

    @property
    def variant(self) -> str:
        """The Adam in use."""
        return f"{self.adam} Adam"

    def step(self, x: Any, eps: Any) -> Any:
        """One step on a batch and its noise; the loss as a tensor."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss_of(self.params, x, eps)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def run(self, n: int) -> float:
        """n steps; the sum of their losses over all images, in nats."""
        batch, latent = self.job.spec.batch, self.job.spec.latent
        total = torch.zeros((), device=self.device)
        for start, stop, order in self.order.spans(n):
            if order is not None:
                self.visits = torch.from_numpy(order).to(self.device)
            for i in range(start, stop):
                x = self.data.index_select(0, self.visits[i * batch : (i + 1) * batch])
                total += self.step(x, torch.randn(batch, latent, device=self.device))
        return float(total) * batch

    def check(self, index: NDArray, eps: NDArray) -> Checked:
        """Steps on given batches (S, B) and their noise (S, B, Z)."""
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
        found = {}
        for i, (name, _, _) in enumerate(self.job.spec.layers):
            found[f"{name}.W"] = tensors[2 * i].detach().cpu().numpy().T.copy()
            found[f"{name}.b"] = tensors[2 * i + 1].detach().cpu().numpy().copy()
        return found
