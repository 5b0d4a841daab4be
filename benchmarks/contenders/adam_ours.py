"""scratchvae's Adam on a model's flat buffers, without the model."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from benchmarks.contenders.common import (
    ADAM_EPS,
    BETA1,
    BETA2,
    LEARNING_RATE,
    Job,
    with_loops_if_asked,
)
from scratchvae.backend import get_backend
from scratchvae.memory import FlatBuffer
from scratchvae.optim import Adam, BoundOptimizer
from scratchvae.training.workers import WorkerPool


class Contender:
    """The update as workers share it in training, or by one process: whichever is faster."""

    granularity = 1

    def __init__(self, job: Job) -> None:
        bk, layout = with_loops_if_asked(get_backend("cpu"), job), job.spec.vae().layout
        bk = bk.for_workers(job.threads)
        params, grads = FlatBuffer(bk, layout), FlatBuffer(bk, layout)
        rng = np.random.default_rng(job.seed)
        for name in grads:
            params[name][...] = rng.normal(0, 0.05, params[name].shape)
            grads[name][...] = rng.normal(0, 0.01, grads[name].shape)
        rule = Adam(LEARNING_RATE, BETA1, BETA2, ADAM_EPS)
        choices: dict[str, Callable[[int], None]] = {}
        for workers in {1, job.threads}:
            cuts = [layout.padded_size * k // workers for k in range(workers + 1)]
            parts = [slice(*cut) for cut in pairwise(cuts)]
            adam = rule.bind(bk, params, grads, parts)
            if workers == 1:
                choices["1 worker"] = adam.step
            elif bk.shared_memory is not None:
                pool = WorkerPool(bk.shared_memory, workers, workers, Update(adam))
                pool.start()
                choices[f"{workers} workers"] = pool.run
        self.t = 0
        self.tried: dict[str, list[float]] = {name: [] for name in choices}
        for _ in range(4):
            for name, self.update in choices.items():
                self.run(3)
                started = time.perf_counter()
                self.run(20)
                self.tried[name].append((time.perf_counter() - started) / 20)
        self.variant = min(choices, key=lambda name: min(self.tried[name]))
        self.update = choices[self.variant]

    def run(self, n: int) -> float:
        """n updates."""
        for _ in range(n):
            self.t += 1
            self.update(self.t)
        return 0.0


class Update:
    """A worker's part of the update number t, as a task of a pool."""

    def __init__(self, adam: BoundOptimizer) -> None:
        self.adam = adam

    def __call__(self, worker: int, t: int) -> Iterator[None]:
        self.adam.step(t, worker)
        yield
