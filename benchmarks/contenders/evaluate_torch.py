"""The importance-sampled log p(x) in PyTorch: the same blocks of images and samples as ours."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.contenders.common import Job
from benchmarks.contenders.torch_eager import costs
from benchmarks.contenders.torch_network import forward, load
from scratchvae.evaluation.nll import IMAGES, ROWS


class Contender:
    """Eager, in inference mode, on float32 images in memory."""

    granularity = 1
    variant = "inference mode"

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(job.threads)
        torch.manual_seed(job.seed)
        self.spec = job.spec
        self.data = torch.from_numpy(job.load_values())
        self.params = load(job.spec, job.load_weights())

    @torch.inference_mode()
    def log_p(self, x: Any, samples: int, draw: Callable[[int, int], Any]) -> Any:
        """log 1/K Σ_k p(x, z_k) / q(z_k|x) of a block of images; ``draw(k, n)``: their noise."""
        encoder, _ = self.spec.networks
        weights = 2 * sum(layer.weights is not None for layer in encoder)
        mu, logvar = forward(encoder, self.params[:weights], x).chunk(2, dim=1)
        block, sums = max(2, ROWS // len(x) // 2 * 2), []
        for k in range(0, samples, block):
            eps = draw(k, min(block, samples - k))
            cost = costs(self.spec, self.params[weights:], x, mu, logvar, eps)
            sums.append(torch.logsumexp(-cost, 1))
        return torch.logsumexp(torch.stack(sums), 0) - math.log(samples)

    def estimate(self, options: dict[str, Any]) -> dict[str, Any]:
        """log p of all images: seconds, and the mean in nats per image with its standard error."""
        latent = self.spec.latent
        started = time.perf_counter()
        parts = []
        for x in self.data.split(IMAGES):
            rows = len(x)

            def noise(k: int, n: int, rows: int = rows) -> torch.Tensor:
                return torch.randn(rows, n, latent)

            parts.append(self.log_p(x, options["samples"], noise))
        log_p = torch.cat(parts).double()
        mean, error = float(log_p.mean()), float(log_p.std(correction=0)) / math.sqrt(len(log_p))
        return {"seconds": time.perf_counter() - started, "mean": mean, "standard_error": error}

    def values(self, options: dict[str, Any]) -> dict[str, Any]:
        """log p of the first few images with the noise (n, K, Z) in a file."""
        eps = torch.tensor(np.load(options["noise"]), dtype=torch.float32)
        x = self.data[: options["images"]]
        return {"log_p": self.log_p(x, options["samples"], lambda k, n: eps[:, k : k + n]).tolist()}
