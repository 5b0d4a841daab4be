"""PyTorch's Adam on a model's tensors, or on one flat tensor: whichever is fastest."""

import time
from itertools import product

import torch

from benchmarks.contenders.common import ADAM_EPS, BETA1, BETA2, LEARNING_RATE, Job
from benchmarks.contenders.torch_eager import ADAMS


class Contender:
    """Plain, foreach and fused were tried; ``variant`` is the one that is measured."""

    granularity = 1

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(job.threads)
        torch.manual_seed(job.seed)
        shapes: list[tuple[int, ...]] = []
        for layer in job.spec.weighted:
            shapes += [(layer.weights or ())[::-1], (layer.biases,)]
        layouts: dict[str, list[tuple[int, ...]]] = {
            "a tensor each": shapes,
            "one flat tensor": [(job.spec.parameters,)],
        }
        self.tried: dict[str, list[float]] = {}
        optimizers = {}
        for adam, layout in product(ADAMS, layouts):
            tensors = [(0.05 * torch.randn(size)).requires_grad_() for size in layouts[layout]]
            for tensor in tensors:
                tensor.grad = 0.01 * torch.randn(tensor.shape)
            optimizers[f"{adam} Adam, {layout}"] = torch.optim.Adam(
                tensors, LEARNING_RATE, (BETA1, BETA2), ADAM_EPS, **ADAMS[adam]
            )
        for _ in range(4):
            for name, self.optimizer in optimizers.items():
                self.run(3)
                started = time.perf_counter()
                self.run(20)
                self.tried.setdefault(name, []).append((time.perf_counter() - started) / 20)
        self.variant = min(optimizers, key=lambda name: min(self.tried[name]))
        self.optimizer = optimizers[self.variant]

    def run(self, n: int) -> float:
        """n updates."""
        for _ in range(n):
            self.optimizer.step()
        return 0.0
