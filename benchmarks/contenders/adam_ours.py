"""scratchvae's Adam on a model's flat buffers, without the model."""

import time
from itertools import pairwise

import numpy as np

from benchmarks.contenders.common import ADAM_EPS, BETA1, BETA2, LEARNING_RATE, Job
from scratchvae.backend import get_backend
from scratchvae.memory import FlatBuffer
from scratchvae.optim import Adam, BoundOptimizer
from scratchvae.training.workers import Job as TeamJob
from scratchvae.training.workers import Team


class Contender:
    """The update as workers share it in training, or by one process: whichever is faster."""

    granularity = 1

    def __init__(self, job: Job) -> None:
        bk, layout = get_backend("cpu").for_workers(job.threads), job.spec.vae().layout
        params, grads = FlatBuffer(bk, layout), FlatBuffer(bk, layout)
        rng = np.random.default_rng(job.seed)
        for name in grads:
            params[name][...] = rng.normal(0, 0.05, params[name].shape)
            grads[name][...] = rng.normal(0, 0.01, grads[name].shape)
        rule = Adam(LEARNING_RATE, BETA1, BETA2, ADAM_EPS)
        choices = {}
        for workers in {1, job.threads}:
            cuts = [layout.padded_size * k // workers for k in range(workers + 1)]
            parts = [slice(*cut) for cut in pairwise(cuts)]
            adam = rule.bind(bk, params, grads, parts)
            choices[f"{workers} worker{'s' * (workers > 1)}"] = Team(workers, update(adam))
        self.t = 0
        self.tried: dict[str, list[float]] = {name: [] for name in choices}
        for _ in range(4):
            for name, self.team in choices.items():
                self.run(3)
                started = time.perf_counter()
                self.run(20)
                self.tried[name].append((time.perf_counter() - started) / 20)
        self.variant = min(choices, key=lambda name: min(self.tried[name]))
        self.team = choices[self.variant]

    def run(self, n: int) -> float:
        """n updates."""
        for _ in range(n):
            self.t += 1
            self.team.run(self.t)
        return 0.0


def update(adam: BoundOptimizer) -> TeamJob:
    """A worker's part of the update number t."""
    return lambda worker, t: adam.step(t, worker)
