"""A training step of any model of dense layers in turn with its floor, both on one thread."""

import time
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.contenders.floor import Contender
from benchmarks.harness import ratio, summarize
from scratchvae.backend import get_backend
from scratchvae.config import TrainConfig
from scratchvae.models import VAE, Model
from scratchvae.optim import Adam
from scratchvae.training.step import Batches, TrainingStep

BATCH, ROUNDS = 100, 15


def floor_of(vae: VAE) -> Contender:
    """The floor of `benchmarks.step`: the products of a step and its pass over the parameters.

    With one sample per image; those of a flow's masked networks are among them.
    """
    names = [name for name in vae.layout.shapes if name.endswith(".W")]
    first = {name.partition(".")[0]: name for name in reversed(names)}  # of each network
    spec = SimpleNamespace(
        products=[(name, BATCH, *vae.layout.shapes[name]) for name in names],
        weighted=[SimpleNamespace(name=name, kind="dense") for name in names],
        of_data={first[network] for network in ("encoder", "prior") if network in first},
        flops=6 * BATCH * vae.layout.n_parameters,
    )
    job: Any = SimpleNamespace(spec=spec, threads=1, seed=0)
    return Contender(job)


def step_and_floor(
    config: TrainConfig, compiled: bool, steps: int, rounds: int = ROUNDS
) -> dict[str, float]:
    """Milliseconds of a step and of its floor, medians of ``rounds`` of so many, and their ratio.

    Nothing is learned from the made-up images.
    """
    bk = get_backend("cpu").with_compiled(compiled)
    vae = config.make_vae(784)
    rows = np.random.default_rng(0).random((10 * BATCH, vae.pixels)) < 0.5
    batches = Batches(bk.array(rows.astype(bk.dtype)), None, BATCH, 0)
    step = TrainingStep(Model(vae, bk), Adam(), batches, blas_threads=1)
    bk.load(np.arange(len(rows)), step.order)
    floor = floor_of(vae)
    times: dict[str, list[float]] = {"step": [], "floor": []}
    with step:
        for turn in range(rounds + 1):
            begun = time.perf_counter()
            for t in range(turn * steps, (turn + 1) * steps):
                step(t + 1, t % 10)
            between = time.perf_counter()
            floor.run(steps)
            if turn:  # the first warms caches up
                times["step"].append((between - begun) / steps)
                times["floor"].append((time.perf_counter() - between) / steps)
    return {
        "step_ms": 1e3 * summarize(times["step"]).median,
        "floor_ms": 1e3 * summarize(times["floor"]).median,
        "spread": summarize(times["step"]).spread,
        "ratio": ratio(times["step"], times["floor"]),
        "parameters": vae.layout.n_parameters,
    }
