"""One training step: a batch, its noise, the gradient, the update."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scratchvae.backend import Array, Backend, HostArray
from scratchvae.backend.noise import Purpose, Stream
from scratchvae.data.mapped import MappedRows
from scratchvae.errors import ConfigError, WorkerError
from scratchvae.layers import Meetings, complete
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models import BoundVAE, Model
from scratchvae.optim import Optimizer
from scratchvae.optim.base import BoundOptimizer
from scratchvae.optim.schedules import kl_weight
from scratchvae.training.clock import Clock, StepInputs
from scratchvae.training.partition import (
    WORTH_BLAS_THREADS,
    Partition,
    divide_units,
    multiplications,
    partition_parameters,
    row_ranges,
    stretches_of_equal_work,
)
from scratchvae.training.workers import WorkerPool, can_share
from scratchvae.types import Over
from scratchvae.versions import cores

MAX_STEPS_PER_LAUNCH = 50  # launching takes no time beside this many recorded steps


@dataclass(frozen=True)
class Batches:
    """Where the batches of a run come from.

    ``images`` (N, D) lie on the device or in files: uint8 levels 0 … ``max_level`` or, if that is
    None, the values themselves as floats. ``seed`` determines the noise of every batch.
    ``dynamic``: each pixel is drawn at every visit, 1 with its grey value as probability.
    """

    images: Array | MappedRows
    max_level: int | None
    batch_size: int
    seed: int
    dynamic: bool = False


@dataclass(frozen=True)
class Weighting:
    """How much each image, and its KL, weighs in what a step minimizes.

    ``reduction``: the "mean" of the objective over the batch, or its "sum". Over the first
    ``kl_warmup`` steps of a run the weight of the KL grows from 0 to the model's beta.
    """

    reduction: str = "mean"
    kl_warmup: int = 0

    def of_image(self, rows: int) -> float:
        """The weight of each image in the gradient of a batch: 1/B for the mean, 1 for the sum."""
        return 1.0 / rows if self.reduction == "mean" else 1.0

    def of_kl(self, beta: float, t: int) -> float:
        """The weight of the KL at step t of the run  (E54)."""
        return kl_weight(beta, t, self.kl_warmup)


class TrainingStep:
    """A model, an optimizer and a data set on their buffers, bound once.

    ``order`` (N,) int64 holds the images of an epoch in the order of their visits and is loaded by
    the caller. Step t (from 1) of a run draws the noise number t, whichever epoch it belongs to.
    After binding, a step allocates nothing and does not wait for the device; losses[i] receives the
    sum over the batch of the estimator's objective, in nats, at step i of the epoch. The gradient
    is that of the objective as ``weighting`` says: unless given, of its mean over the batch.

    Several ``workers`` divide a step and wait for each other after each of its parts: each loads
    the images and the noise of its rows, and runs them forward and back to every layer's output;
    then each computes the gradient of its partition of the parameters, from all images, and
    updates it. The number of workers decides about the last bits; the processes that compute
    them do not. There is one process until :meth:`start_workers`, which needs a backend
    ``for_workers``; :meth:`close` ends the others.

    As a context manager, the step limits BLAS to one thread if there are several workers or too
    little work for several threads, else to ``blas_threads`` (None: as it is).

    On a device that records, unless ``captured`` is False or the optimizer is not ``recordable``,
    a step reads its inputs from a clock in the device's memory. It is recorded once, alone and
    ``steps_per_launch`` of it in a row, and repeated from then on.

    ``ConfigError`` if the model's parameters lie on another backend than its own.
    """

    over: Over | None = None  # how evaluations are divided among the ranks of a job

    def __init__(
        self,
        model: Model,
        optimizer: Optimizer,
        batches: Batches,
        *,
        weighting: Weighting | None = None,
        workers: int = 1,
        blas_threads: int | None = None,
        captured: bool = True,
    ) -> None:
        bk, vae, params = model.bk, model.vae, model.params
        if params.bk is not bk:
            raise ConfigError(
                "the parameters lie on another backend than the model: make both on one backend"
            )
        self.model, self.batches = model, batches
        self.bk, self.vae, self.params = bk, vae, params
        self.weighting = weighting or Weighting()
        self.workers, self.blas_threads = workers, blas_threads
        n, batch_size = batches.images.shape[0], batches.batch_size
        self.steps_per_epoch = -(-n // batch_size)
        order = bk.zeros((self.steps_per_epoch, batch_size), "int64")
        self.order = order.reshape(-1)[:n]
        self.losses = bk.zeros((self.steps_per_epoch, 1))
        self.grads = FlatBuffer(bk, vae.layout)

        workspace = Workspace(bk, batch_size)
        self._private = [Workspace(bk, batch_size) for _ in range(workers)]
        self.full = self._bind(workspace)
        rest = n % batch_size
        self.last = self._bind(workspace.rows(0, rest), self.full) if rest else self.full
        self.optimizer = self._bind_optimizer(optimizer, self.full.partitions)

        in_files = isinstance(batches.images, MappedRows)  # what is recorded cannot read them
        captured = captured and bk.records_steps and self.optimizer.recordable and not in_files
        whole = max(n // batch_size, 1)  # batches, in launches of the same length
        self.steps_per_launch = whole // -(-whole // MAX_STEPS_PER_LAUNCH) if captured else 1
        self.clock = Clock(bk, order, self.losses) if captured else None
        self._recorded: dict[tuple[bool, int], Callable[[], None]] = {}
        self.pool: WorkerPool | None = None
        self.trouble: str | None = None  # why there are fewer processes than workers: slower

    def _bind(self, workspace: Workspace, whole: "BoundBatch | None" = None) -> "BoundBatch":
        """A batch on these rows; a short one is partitioned like a ``whole`` one."""
        bound = self.vae.bind(workspace, self.params, self.grads)
        parts = [
            BatchRows(self, start, workspace.rows(start, stop), self.grads)
            for start, stop in row_ranges(workspace.n_rows, self.workers, even=True)
            if start < stop  # a short batch may leave a worker without an image
        ]
        if len(parts) == self.workers > 1:  # all meet as often
            for worker, part in enumerate(parts):
                for own, of_all in zip(part.bound.networks, bound.networks, strict=True):
                    divide_units(own, of_all, worker, self.workers)
        layout = self.vae.layout
        if whole is None:
            stretches = stretches_of_equal_work(bound, layout, self.workers)
        else:
            stretches = [partition.flat for partition in whole.partitions]
        partitions = partition_parameters(bound, layout, stretches)
        return BoundBatch(
            bound,
            bound.objective.reshape(1, -1),
            parts,
            [partition.on(own) for partition, own in zip(partitions, self._private, strict=True)],
        )

    def _bind_optimizer(
        self, optimizer: Optimizer, partitions: Sequence[Partition]
    ) -> BoundOptimizer:
        parts = [partition.flat for partition in partitions]
        return optimizer.bind(self.bk, self.params, self.grads, parts)

    def start_epoch(self, order: HostArray) -> None:
        """Take the images of an epoch in this order, (N,) int64."""
        self.bk.load(order, self.order)

    def gather(self) -> None:
        """Bring losses and moments here from where other ranks hold them; here are all."""

    def share(self) -> None:
        """Give parameters, moments and losses to the ranks that need them; there are none."""

    def leave_ranks(self) -> None:
        """Compute alone from now on, without other ranks; there are none."""

    def start_workers(self, wait: bool = True) -> None:
        """Start the processes of several workers, one per worker if there are enough cores.

        With ``wait`` they are ready afterwards. Without it, the steps that come before they are
        ready are computed by this process alone: the same bits.
        """
        processes, memory = min(self.workers, cores()), self.bk.shared_memory
        if processes < self.workers:
            few = f"there are {processes} cores" if processes > 1 else "there is one core"
            self._compute_by(processes, few)
        if processes > 1 and (memory is None or not can_share()):
            self._compute_by(1, "this system has no memory that processes can share")
        elif processes > 1 and memory is not None:
            pool = WorkerPool(
                memory, self.workers, processes, self._part, self.bk.ignore_float_errors
            )
            try:
                (pool.start if wait else pool.begin)()
                self.pool = pool
            except WorkerError as error:
                self._compute_by(1, str(error))

    def _compute_by(self, processes: int, why: str) -> None:
        """Note that there are fewer processes than workers, and why."""
        if processes == 1:
            self.pool = None
        together = f"{processes} processes compute" if processes > 1 else "one process computes"
        self.trouble = f"{together} the parts of {self.workers} workers, because {why}"

    def _ready_pool(self) -> WorkerPool | None:
        """The processes that share the next step; None if this one computes it alone."""
        try:
            if self.pool is not None and self.pool.is_ready():
                return self.pool
        except WorkerError as error:
            self._compute_by(1, str(error))
        return None

    def close(self) -> None:
        """End the processes that :meth:`start_workers` has started; this one computes alone."""
        if self.pool is not None:
            self.pool.close()
            self.pool = None

    def __enter__(self) -> "TrainingStep":
        work = multiplications(self.vae, self.batches.batch_size)
        alone = self.workers > 1 or work < WORTH_BLAS_THREADS
        self._limit = self.bk.limit_blas(1 if alone else self.blas_threads)
        self._limit.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._limit.__exit__(None, None, None)

    def __call__(self, t: int, i: int, count: int = 1) -> None:
        """``count`` steps in a row, of which the first is number t of the run and i of its epoch.

        No more than the epoch has left; a recording device is fastest with ``steps_per_launch``.
        ``WorkerError`` if a process that shares the step ends.
        """
        if self.clock is not None:
            self._replay_steps(self.clock, t, i, count)
            return
        for k in range(count):
            pool = self._ready_pool()
            # The loop finds losses that are not finite; here a sum of finite values may overflow.
            with self.bk.ignore_float_errors():
                if pool is not None:
                    pool.run(t + k, i + k, True)
                    continue
                for _ in self._parts(t + k, i + k, True):
                    pass

    def _replay_steps(self, clock: Clock, t: int, i: int, count: int) -> None:
        """``count`` steps by the clock."""
        self._set_clock(clock, t, i)
        clock.next = None  # unknown if a step raises
        stop, short = i + count, self.last is not self.full
        whole = min(stop, self.steps_per_epoch - short)  # where the whole batches end
        while i < stop:
            times = self.steps_per_launch if whole - i >= self.steps_per_launch else 1
            self._replay(clock, i >= whole, times)
            i += times
        clock.next = t + count, stop

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
            inputs = clock.inputs(
                batch.bound.rows, None if self.weighting.kl_warmup else self.vae.beta
            )

            def step() -> None:
                clock.begin()
                with self.bk.ignore_float_errors():
                    complete(self._step(batch, inputs))
                clock.end()

            self._recorded[short, times] = self.bk.capture(step, times)
        self._recorded[short, times]()

    def inputs(self, t: int, i: int) -> StepInputs:
        """The inputs of step t of the run, step i of its epoch, as Python numbers."""
        size = self.batches.batch_size
        start = i * size  # at the end of an epoch the rest of the order is short
        index, lr = self.order[start : start + size], self.optimizer.rule.schedule(t)
        return StepInputs(t, index, lr, self.beta(t), self.losses[i])

    def _batch(self, i: int) -> "BoundBatch":
        return self.last if i + 1 == self.steps_per_epoch else self.full

    def _parts(self, t: int, i: int, update: bool) -> Iterator[object]:
        """All workers' parts of a step, one after the other up to where they meet."""
        parts = (self._part(worker, t, i, update) for worker in range(self.workers))
        return zip(*parts, strict=True)

    def _part(self, worker: int, t: int, i: int, update: int) -> Meetings:
        """A worker's part of step number t of the run, which is step i of its epoch."""
        return self._step(self._batch(i), self.inputs(t, i), worker, bool(update))

    def gradient(self, t: int, i: int) -> "BoundBatch":
        """Compute the loss of a step, and its gradient as :attr:`weighting` says.

        This process computes them alone; the parameters stay unchanged.
        """
        with self.bk.ignore_float_errors():
            for _ in self._parts(t, i, False):
                pass
        return self._batch(i)

    def fill(self, t: int, i: int) -> "BoundBatch":
        """Load the images and the noise of a step, and compute nothing from them."""
        batch, now = self._batch(i), self.inputs(t, i)
        for part in batch.parts:
            part.load(now, part.bound.x, part.bound.eps)
        return batch

    def _step(
        self, batch: "BoundBatch", now: StepInputs, worker: int = 0, update: bool = True
    ) -> Meetings:
        """A worker's part of a step; after each ``yield``, what all have computed is there."""
        bk, optimizer = self.bk, self.optimizer
        if worker < len(batch.parts):
            part, weight = batch.parts[worker], self.weighting.of_image(batch.bound.rows)
            part.load(now, part.bound.x, part.bound.eps)
            yield from part.bound.loss_and_input_grads(weight, now.beta)
        yield
        for s, rows in batch.partitions[worker].layers:
            s.layer.grad_params(bk, s.x, s.dy, s.g, rows)
        if update and optimizer.needs_barrier:
            optimizer.measure_norm(worker)
            yield  # the norm of the gradient is known when all have measured
        if update:
            optimizer.step(now.t, worker, now.lr)
            if worker == 0:
                bk.xp.sum(batch.objective, axis=1, out=now.loss)
        yield

    def beta(self, t: int) -> float:
        """The weight of the KL at step t of the run."""
        return self.weighting.of_kl(self.vae.beta, t)


class BatchRows:
    """Some rows of a batch, from ``start`` on: the model on their buffers, and what loads them.

    They are computed by one worker, from noise of their own: the rows from ``first`` on of what
    lane ``lane`` of a step's streams holds.
    """

    def __init__(
        self,
        step: TrainingStep,
        start: int,
        workspace: Workspace,
        grads: FlatBuffer,
        lane: int | None = None,
    ) -> None:
        bk, vae, dynamic = step.bk, step.vae, step.batches.dynamic
        self.bk, self.batches = bk, step.batches
        self.start, self.stop = start, start + workspace.n_rows
        self.first, self.lane = (start, 0) if lane is None else (0, lane)
        self.bound = vae.bind(workspace, step.params, grads)
        self.gather = Gather(bk, step.batches, workspace)
        self.uniform = workspace.buffer("uniform", vae.pixels) if dynamic else None
        numbers = max(self.bound.eps.size, self.bound.x.size if dynamic else 0)
        self.scratch = bk.noise_scratch(numbers)

    def load(self, now: StepInputs, x: Array, eps: Array) -> None:
        """Write the images and the noise of these rows into ``x`` and ``eps``.

        Dynamic binarization (E33): a pixel is 1 where u < its grey value, with u drawn afresh at
        each visit.
        """
        seed, lane, first = self.batches.seed, self.lane, self.first
        self.gather(now.index[self.start : self.stop], x)
        if self.uniform is not None:
            stream = Stream(seed, Purpose.BINARIZE, now.t, lane)
            self.bk.binarize(x, stream, self.uniform, self.scratch, first * x[0].size)
        stream = Stream(seed, Purpose.LATENT, now.t, lane)
        self.bk.normal(eps, stream, self.scratch, first * eps[0].size)


@dataclass(frozen=True)
class BoundBatch:
    """The buffers of a batch: the whole (``bound``), each worker's rows (``parts``) and parameters.

    There is one of ``partitions`` per worker, and one of ``parts`` per worker that has rows.
    """

    bound: BoundVAE
    objective: Array  # (1, B): the estimator's objective of each image, in a row, to be summed
    parts: list[BatchRows]
    partitions: list[Partition]


class Gather:
    """Brings the images of a batch together: from the device's memory, or from their files."""

    def __init__(self, bk: Backend, batches: Batches, workspace: Workspace) -> None:
        self.bk, self.images, self.max_level = bk, batches.images, batches.max_level
        pixels, dtype = self.images.shape[1], self.images.dtype
        self.raw = workspace.buffer("raw", pixels, dtype=dtype)
        if isinstance(self.images, MappedRows):
            self.read = workspace.buffer("read", pixels, dtype=dtype)
            self.all = bk.array(list(range(workspace.n_rows)), dtype="int64")

    def __call__(self, index: Array, x: Array) -> None:
        """Write the images of these numbers, (B,) int64, as grey values into ``x`` (B, D)."""
        if isinstance(self.images, MappedRows):
            self.bk.load(self.images[self.bk.to_host(index)], self.read)
            self.bk.gather(self.read, self.all, self.max_level, x, self.raw)
        else:
            self.bk.gather(self.images, index, self.max_level, x, self.raw)
