"""scratchvae's own training step, through the class that the program trains with."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.contenders.clocks import clock_of
from benchmarks.contenders.common import (
    ADAM_EPS,
    BETA1,
    BETA2,
    LEARNING_RATE,
    Checked,
    Job,
    Order,
    with_loops_if_asked,
)
from scratchvae.backend import get_backend
from scratchvae.memory import FlatBuffer
from scratchvae.models import Model
from scratchvae.optim import Adam
from scratchvae.training import resolve_workers
from scratchvae.training import step as training_step
from scratchvae.training.step import Batches, TrainingStep

# With these settings Adam is p ← p − 2¹⁰ g, to within a rounding: g is what the step applied.
REVEALING: dict[str, Any] = {"lr": 2.0**50, "eps": 2.0**40}
REVEALED = 2.0**10


class Contender:
    """The step on images that stay uint8, as the program keeps them.

    Options: ``workers``, where the program's own rule shall not choose them; ``mmap``, to leave the
    images in their file; ``dtype``; ``compiled``; and on a GPU ``device``, ``tf32``, ``captured``
    and ``launch``, the most steps a graph may have.
    """

    granularity = 1  # steps; run(n) takes multiples of it

    def __init__(self, job: Job) -> None:
        self.job = job
        device = job.options.get("device", "cpu")
        bk = get_backend(
            device, job.options.get("dtype", "float32"), job.options.get("tf32", False)
        )
        self.bk = with_loops_if_asked(bk, job)
        self.clock = clock_of(device, "cupy")
        if "launch" in job.options:
            training_step.MAX_STEPS_PER_LAUNCH = job.options["launch"]
        self.images = np.load(job.data, mmap_mode="r" if job.options.get("mmap") else None)
        self.images = np.asarray(self.images)  # a plain array, also where it lies in a file
        self.workers = self.choose_workers()
        self.bk = self.bk.for_workers(self.workers)
        self.order = Order(len(self.images), job.spec.batch, job.seed)
        self.step = self.make_step(Adam(LEARNING_RATE, BETA1, BETA2, ADAM_EPS))
        self.t = 0

    def choose_workers(self) -> int:
        """As many as the program would train this model with."""
        wanted, spec = self.job.options.get("workers", 0), self.job.spec
        return resolve_workers(wanted, spec.batch, self.bk, spec.vae())

    def make_step(self, optimizer: Adam) -> TrainingStep:
        """A training step from the initial weights."""
        job, vae = self.job, self.job.spec.vae()
        params = FlatBuffer(self.bk, vae.layout)
        params.load(job.load_weights())
        n = len(self.images) // job.spec.batch * job.spec.batch
        images = self.images[:n]
        if self.bk.name != "cpu" or self.workers > 1:
            images = self.bk.array(images, dtype=images.dtype)
        step = TrainingStep(
            Model(vae, self.bk, params=params), optimizer,
            Batches(images, job.max_level, job.spec.batch, job.seed),
            workers=self.workers, captured=job.options.get("captured", True),
        )  # fmt: skip
        step.start_workers()
        if step.trouble is not None:
            raise RuntimeError(step.trouble)
        return step

    @property
    def variant(self) -> str:
        """How the step is shared, or launched."""
        if self.bk.name != "cpu":
            return f"{self.step.steps_per_launch} steps per graph" if self.step.clock else "eager"
        return f"{self.workers} worker{'s' * (self.workers > 1)}"

    def run(self, n: int) -> float:
        """n steps; the sum of their losses over all images, in nats."""
        total = 0.0
        for start, stop, order in self.order.spans(n):
            if order is not None:
                self.bk.load(order[: len(self.step.order)], self.step.order)
            with self.step:
                self.step(self.t + 1, start, stop - start)
            self.t += stop - start
            losses = self.bk.to_host(self.step.losses[start:stop])
            total += float(losses.sum(dtype="float64"))
        return total

    def workers_memory(self) -> int:
        """The bytes that no one but the step's other processes has, seen after a step of theirs."""
        private = 0
        self.run(self.granularity)
        for process in self.step.pool.pids if self.step.pool else ():
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith("Private_"):
                    private += 1024 * int(line.split()[1])
        return private

    def check(self, index: NDArray, eps: NDArray) -> Checked:
        """Steps on given batches (S, B). ``eps`` is the noise that the step draws by itself."""
        revealing = self.make_step(Adam(**REVEALING))
        before = revealing.params.to_host()
        self.visit(revealing, index[:1])
        after = revealing.params.to_host()
        # float64, so that the difference itself rounds nothing
        grads = {k: (before[k].astype(float) - after[k]) / REVEALED for k in before}
        losses = self.bk.to_host(revealing.losses[:1])
        loss = float(losses.sum(dtype="float64")) / self.job.spec.batch
        if not math.isfinite(loss):
            raise ArithmeticError(f"the loss of the check is {loss}")
        step = self.make_step(Adam(LEARNING_RATE, BETA1, BETA2, ADAM_EPS))
        self.visit(step, index)
        return Checked(loss, grads, step.params.to_host())

    def visit(self, step: TrainingStep, index: NDArray) -> None:
        """The first steps of a run, on the images of ``index`` (S, B)."""
        self.bk.load(index.reshape(-1), step.order[: index.size])
        with step:
            for i in range(len(index)):
                step(i + 1, i)
        step.close()

    # ---- for benchmarks.late_steps -----------------------------------------------------------

    def buffers(self) -> dict[str, FlatBuffer]:
        """Parameters and moments."""
        return {"p": self.step.params, **self.step.optimizer.state}

    def subnormal(self, options: dict[str, Any]) -> dict[str, int]:
        """How many parameters and moments are subnormal numbers."""
        found = {}
        for name, buffer in self.buffers().items():
            size = np.abs(buffer.flat)
            found[name] = int(((size > 0) & (size < np.finfo(size.dtype).tiny)).sum())
        return found

    def kill_units(self, options: dict[str, Any]) -> dict[str, Any]:
        """Bias −100 for a share of the units of every hidden layer: ReLUs that are never lit."""
        for layers in self.job.spec.networks:
            for layer in [layer for layer in layers if layer.weights][:-1]:
                bias = self.step.params[f"{layer.name}.b"]
                bias[: int(options["share"] * bias.size)] = -100.0
        return {}

    def keep(self, options: dict[str, Any]) -> dict[str, Any]:
        """Remember the state of the run."""
        self.kept = {name: buffer.flat.copy() for name, buffer in self.buffers().items()}
        self.kept_at = self.t, self.order.i
        return {}

    def bring_back(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return to the state that was kept."""
        for name, buffer in self.buffers().items():
            buffer.flat[...] = self.kept[name]
        self.t, self.order.i = self.kept_at
        return {}
