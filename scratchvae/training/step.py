"""One training step: a batch, its noise, the gradient, the update."""

from collections.abc import Callable
from typing import Any

from scratchvae.backend import Array, Backend
from scratchvae.backend.noise import Purpose, Stream
from scratchvae.errors import ConfigError
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models import VAE, BoundVAE
from scratchvae.optim import Optimizer
from scratchvae.optim.schedules import kl_weight
from scratchvae.training.clock import Clock, StepInputs
from scratchvae.training.partition import (
    WORTH_BLAS_THREADS,
    Share,
    multiplications,
    parameter_shares,
    row_shares,
)
from scratchvae.training.workers import Team

MAX_STEPS_PER_LAUNCH = (
    50  # at most so many recorded steps a launch: launching takes no time beside them
)


class TrainingStep:
    """A model, an optimizer and a data set on their buffers, bound once.

    ``images`` (N, D) live on the device, as levels (uint8) or grey values. ``order`` (N,) holds
    the images of an epoch in the order of their visits; whoever runs the epoch loads it. Step t
    (from 1) of a run draws the noise number t, whichever epoch it belongs to. After binding, a
    step allocates nothing and does not wait for the device; losses[i] receives the sum over the
    batch of the estimator's objective at step i of the epoch. Over the first ``kl_warmup`` steps
    of a run the weight of the KL grows from 0 to the model's beta.

    Several ``workers`` (processes, on a backend ``for_workers``) meet after each of a step's
    parts: one gathers the images and another draws the noise; each runs its images forward and
    back to every layer's output; then each computes the gradient of its share of the parameters,
    from all images, and updates that share. Used as a context, the step keeps BLAS to one thread
    where there are several workers, or too little work for several threads. Whoever needs it no
    more calls :meth:`close`.

    On a device that records, unless ``captured`` is False or the optimizer is not ``recordable``,
    a step reads its moment from a clock in the device's memory. It is recorded once, alone and
    ``steps_per_launch`` of it in a row, and repeated from then on.
    """

    def __init__(
        self,
        bk: Backend,
        vae: VAE,
        params: FlatBuffer,
        optimizer: Optimizer,
        images: Array,
        max_level: int | None,
        batch_size: int,
        seed: int,
        dynamic: bool = False,
        workers: int = 1,
        kl_warmup: int = 0,
        captured: bool = True,
    ) -> None:
        if bk.for_workers(workers) is not bk:
            raise ConfigError(
                f"{workers} workers need parameters that they share: make them, and this step, on "
                "the backend that for_workers gives"
            )
        self.bk, self.vae, self.params = bk, vae, params
        self.images, self.max_level = images, max_level
        self.batch_size, self.seed, self.dynamic = batch_size, seed, dynamic
        self.kl_warmup = kl_warmup
        n = images.shape[0]
        self.steps_per_epoch = -(-n // batch_size)
        order = bk.zeros((self.steps_per_epoch, batch_size), "int64")
        self.order = order.reshape(-1)[:n]
        self.losses = bk.zeros((self.steps_per_epoch, 1))
        self.grads = FlatBuffer(bk, vae.layout)
        self.team = Team(workers, self._work)

        workspace = Workspace(bk, batch_size)
        self.desks = [Workspace(bk, batch_size) for _ in range(workers)]
        self.full = self._bind(workspace)
        rest = n % batch_size
        self.last = self._bind(workspace.rows(0, rest)) if rest else self.full
        parts = [share.flat for share in self.full.shares]
        self.optimizer = optimizer.bind(bk, params, self.grads, parts)

        captured = captured and bk.records_steps and self.optimizer.recordable
        whole = max(n // batch_size, 1)  # batches, in launches of the same length
        self.steps_per_launch = whole // -(-whole // MAX_STEPS_PER_LAUNCH) if captured else 1
        self.clock = Clock(bk, order, self.losses) if captured else None
        self._recorded: dict[tuple[bool, int], Callable[[], None]] = {}

    def _bind(self, workspace: Workspace) -> "Batch":
        bk, vae = self.bk, self.vae
        bound = vae.bind(workspace, self.params, self.grads)
        parts = [
            vae.bind(workspace.rows(start, stop), self.params, self.grads)
            for start, stop in row_shares(workspace.n_rows, self.team.size)
            if start < stop  # a short batch may leave a worker without an image
        ]
        shares = parameter_shares(bound, vae.layout, self.team.size)
        return Batch(
            bound,
            parts,
            [share.on(buffers) for share, buffers in zip(shares, self.desks, strict=True)],
            raw=workspace.buffer("raw", vae.pixels, dtype=self.images.dtype),
            uniform=workspace.buffer("uniform", vae.pixels) if self.dynamic else None,
            pixel_scratch=bk.noise_scratch(workspace.n_rows * vae.pixels) if self.dynamic else None,
            scratch=bk.noise_scratch(bound.eps.size),
        )

    def __enter__(self) -> "TrainingStep":
        work = multiplications(self.vae, self.batch_size)
        alone = self.team.size > 1 or work < WORTH_BLAS_THREADS
        self._limit = self.bk.blas_threads(1 if alone else None)
        self._limit.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._limit.__exit__(None, None, None)

    def close(self) -> None:
        """End the workers' processes, which otherwise wait for the next step."""
        self.team.close()

    def __call__(self, t: int, i: int, count: int = 1) -> None:
        """``count`` steps in a row, of which the first is number t of the run and i of its epoch.

        No more than the epoch has left; a recording device is fastest with ``steps_per_launch``.
        """
        if self.clock is None:
            self.team.run(t, i, count, True)
            return
        self._set_clock(self.clock, t, i)
        self.clock.next = None  # nobody knows, should one of them fail
        stop, short = i + count, self.last is not self.full
        whole = min(stop, self.steps_per_epoch - short)  # where the whole batches end
        while i < stop:
            times = self.steps_per_launch if whole - i >= self.steps_per_launch else 1
            self._replay(self.clock, i >= whole, times)
            i += times
        self.clock.next = t + count, stop

    def _set_clock(self, clock: Clock, t: int, i: int) -> None:
        """Load the clock unless it shows this step already."""
        if clock.next != (t, i):
            steps = range(t - i, t - i + self.steps_per_epoch)
            schedule = self.optimizer.rule.schedule
            clock.set(t, i, [schedule(n) for n in steps], [self.beta(n) for n in steps])

    def _replay(self, clock: Clock, short: bool, times: int) -> None:
        """Steps of one kind by the clock, recorded when they are first asked for."""
        if (short, times) not in self._recorded:
            batch = self.last if short else self.full
            moment = clock.moment(batch.bound.rows, None if self.kl_warmup else self.vae.beta)

            def step() -> None:
                clock.begin()
                self._step(batch, moment)
                clock.end()

            self._recorded[short, times] = self.bk.capture(step, times)
        self._recorded[short, times]()

    def moment(self, t: int, i: int) -> StepInputs:
        """Step number t of the run, which is step i of its epoch, in numbers of the host."""
        start = i * self.batch_size  # at the end of an epoch the rest of the order is short
        index, lr = self.order[start : start + self.batch_size], self.optimizer.rule.schedule(t)
        return StepInputs(t, index, lr, self.beta(t), self.losses[i])

    def _batch(self, i: int) -> "Batch":
        return self.last if i + 1 == self.steps_per_epoch else self.full

    def _work(self, worker: int, t: int, i: int, count: int, update: int) -> None:
        """A worker's part of ``count`` steps."""
        for k in range(count):
            if k:
                self.team.meet(worker)
            self._step(self._batch(i + k), self.moment(t + k, i + k), worker, bool(update))

    def gradient(self, t: int, i: int) -> "Batch":
        """The terms of the loss at a step, and the gradient of its mean over the batch.

        The parameters stay as they are.
        """
        self.team.run(t, i, 1, False)
        return self._batch(i)

    def fill(self, t: int, i: int) -> "Batch":
        """The images and the noise of a step, and nothing computed from them yet."""
        batch, now = self._batch(i), self.moment(t, i)
        self._gather(batch, now)
        self._draw(batch, now)
        return batch

    def _step(self, batch: "Batch", now: StepInputs, worker: int = 0, update: bool = True) -> None:
        """A worker's part of a step; after each ``meet``, what all have computed is there."""
        meet, optimizer = self.team.meet, self.optimizer
        if worker == 0:
            self._gather(batch, now)
        if worker == self.team.size - 1:
            self._draw(batch, now)
        meet(worker)
        with (
            self.bk.ignore_float_errors()
        ):  # infinities are found by their losses; finite ones may sum to one
            if worker < len(batch.parts):
                batch.parts[worker].loss_and_input_grads(1.0 / batch.bound.rows, now.beta)
            meet(worker)
            for s, share in batch.shares[worker].layers:
                s.layer.grad_params(self.bk, s.x, s.dy, s.g, share)
            if not update:
                return
            if optimizer.needs_barrier:
                optimizer.measure_norm(worker)
                meet(worker)  # the norm of the gradient is known when all have measured
            optimizer.step(now.t, worker, now.lr)
            if worker == 0:
                self.bk.xp.sum(batch.objective, axis=1, out=now.loss)

    def beta(self, t: int) -> float:
        """The weight of the KL at step t of the run  (E54)."""
        return kl_weight(self.vae.beta, t, self.kl_warmup)

    def _gather(self, batch: "Batch", now: StepInputs) -> None:
        """The images of a batch.

        Dynamic binarization (E33): a pixel is 1 where u < its grey value, with u drawn afresh at
        each visit.
        """
        bk, x = self.bk, batch.bound.x
        bk.gather(self.images, now.index, self.max_level, x, batch.raw)
        if batch.uniform is not None:
            stream = Stream(self.seed, Purpose.BINARIZE, now.t)
            bk.binarize(x, stream, batch.uniform, batch.pixel_scratch)

    def _draw(self, batch: "Batch", now: StepInputs) -> None:
        """The noise of a batch."""
        stream = Stream(self.seed, Purpose.LATENT, now.t)
        self.bk.normal(batch.bound.eps, stream, batch.scratch)


class Batch:
    """A batch as a whole (``bound``), in its workers' parts, and the parameters in shares.

    ``raw``, ``uniform`` and the two scratches are what its images and noise are made in.
    """

    def __init__(
        self,
        bound: BoundVAE,
        parts: list[BoundVAE],
        shares: list[Share],
        raw: Array,
        uniform: Array | None,
        pixel_scratch: Any,
        scratch: Any,
    ) -> None:
        self.bound, self.parts, self.shares = bound, parts, shares
        self.raw, self.uniform = raw, uniform
        self.pixel_scratch, self.scratch = pixel_scratch, scratch
        self.objective = bound.objective.reshape(1, -1)  # all of the batch in a row, to be summed
