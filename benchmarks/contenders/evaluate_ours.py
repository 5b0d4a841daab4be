"""scratchvae's importance-sampled log p(x), through the functions that the program calls."""

import time
from typing import Any

import numpy as np

from benchmarks.contenders.common import Job, with_loops_if_asked
from scratchvae.backend import get_backend
from scratchvae.data import Split
from scratchvae.evaluation import importance_sampled, log_likelihood
from scratchvae.memory import FlatBuffer
from scratchvae.models import Model


class Contender:
    """The images stay uint8, as the program keeps them."""

    granularity = 1
    variant = "blocks of images and samples"

    def __init__(self, job: Job) -> None:
        bk, vae = get_backend("cpu", job.options.get("dtype", "float32")), job.spec.vae()
        bk = with_loops_if_asked(bk, job)
        self.job = job
        self.model = Model(vae, bk, params=FlatBuffer(bk, vae.layout))
        self.model.params.load(job.load_weights())
        self.images = Split(np.load(job.data), None, job.max_level)

    def estimate(self, options: dict[str, Any]) -> dict[str, Any]:
        """log p of all images: seconds, and the mean in nats per image with its standard error."""
        started = time.perf_counter()
        found = log_likelihood(
            self.model, self.images, samples=options["samples"], seed=self.job.seed
        )
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "mean": found.log_p, "standard_error": found.standard_error}

    def values(self, options: dict[str, Any]) -> dict[str, Any]:
        """log p of the first few images; the noise in the file is what it draws by itself."""
        x = self.images.values(slice(options["images"])).astype(self.model.bk.dtype)
        samples, seed = options["samples"], self.job.seed
        log_p = importance_sampled(self.model, x, samples=samples, seed=seed).log_p
        return {"log_p": log_p.tolist()}
