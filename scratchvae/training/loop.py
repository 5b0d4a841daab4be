"""The training loop: epochs of steps, an evaluation after each, checkpoints, early stopping."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np

from scratchvae.backend import Backend, get_backend
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset, Split
from scratchvae.errors import ConfigError, NonFiniteError, RunError, require_instance
from scratchvae.evaluation import Evaluation, evaluate
from scratchvae.gradcheck.live import LiveCheck, live_rows
from scratchvae.models import VAE, Model
from scratchvae.optim import Optimizer
from scratchvae.runs.checkpoint import Checkpoint
from scratchvae.runs.folder import RunFolder
from scratchvae.runs.metrics import best_of, first_lines, how_it_ended, keep_lines
from scratchvae.training.interrupt import SIGNALS, Interruption, interrupt
from scratchvae.training.nonfinite.locate import locate_first_nonfinite, locate_in_evaluation
from scratchvae.training.nonfinite.replay import leave_replay
from scratchvae.training.partition import resolve_workers
from scratchvae.training.pieces import ALONE, Exchange, make_piece_step
from scratchvae.training.prepared import Prepared, epoch_order, make_batches, prepare
from scratchvae.training.progress import Progress, choose_progress
from scratchvae.training.state import (
    State,
    changed_settings,
    differences,
    possible_blas_threads,
    used_compiled,
)
from scratchvae.training.step import TrainingStep, Weighting
from scratchvae.types import Json
from scratchvae.versions import machine

STEPS_UNSEEN = 100  # the loop reads the losses at least every 100 steps


@dataclass
class Training:
    """The result of a training: the model after the last epoch, and the metrics of every epoch.

    ``state`` and ``best`` are for a training without a run folder, which has them as files: all
    that :func:`train_prepared` needs to continue, after the last step and after ``best_epoch``.
    """

    model: Model
    metrics: list[Json] = field(default_factory=list)
    stopped: str = "completed"  # or "early", or the name of the signal that interrupted it
    best_epoch: int | None = None  # where a validation split chose one
    seconds: float = 0.0
    state: Checkpoint | None = field(default=None, repr=False)
    best: Checkpoint | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        """One line, as a notebook shows it: the numbers themselves are in ``metrics``."""
        text = self.stopped
        if self.metrics:
            last = self.metrics[-1]
            part = "test" if "test_loss" in last else "train"
            loss = last[f"{part}_loss"]
            text += f" after epoch {last['epoch']}, {part} loss {loss:.3f} nats per image"
        return f"<Training: {text}, {self.seconds:.1f} s>"


class Loop:
    """A run in progress: its training step, its state and its results so far.

    As a context manager it starts the workers, and ends them. A signal then ends the run after the
    step that it meets, and a loss that is not finite leaves its step in the run folder.
    """

    def __init__(
        self,
        prepared: Prepared,
        step: TrainingStep,
        run: RunFolder | None,
        progress: Progress,
        on_epoch: Callable[[int, Model], None] | None,
        checkpoint_every: int,
    ) -> None:
        self.prepared, self.config = prepared, prepared.config
        self.step, self.model, self.bk = step, step.model, step.bk
        self.run, self.progress, self.on_epoch = run, progress, on_epoch
        self.checkpoint_every, self.interruption = checkpoint_every, Interruption()
        own = prepared.optimizer
        name = self.config.optimizer if own is None else own.name or type(own).__name__
        self.state = State(prepared.given, prepared.dataset, step, name)
        self.live: LiveCheck | None = None
        self.steps_done = 0
        self.best = math.inf
        self.result = Training(self.model)

    def resume(self, run: RunFolder, saved: Checkpoint | None) -> None:
        """Continue from the folder's checkpoint, to the same bytes as without the interruption.

        Raises ``RunError`` if data, model or metrics are not the run's.
        """
        step = 0
        if saved is not None:
            metrics, _, _ = first_lines(run.metrics_path, saved.epoch)
            run.require_own(run.checkpoint_path, saved)
            self.state.restore(run.checkpoint_path, saved, metrics)
            self.step.share()
            self.steps_done = step = saved.step
            self.result.metrics = metrics
            self.say_differences(run, saved)
        keep_lines(run.metrics_path, self.state.epoch)
        run.commit_settings(step, self.state.epoch)
        since = run.objective_since(run.config(), self.state.epoch)
        self.best, self.result.best_epoch = best_of(self.result.metrics, since)

    def start_from(self, earlier: Checkpoint) -> None:
        """Go on where another training ended; ``CheckpointError`` for one of another model."""
        self.state.start_from(earlier)
        self.step.share()
        self.steps_done = earlier.step

    def say_differences(self, run: RunFolder, saved: Checkpoint) -> None:
        """Note what has changed about machine and software and may change the last bits."""
        before, now = saved.environment | run.machine(), self.state.environment | machine()
        if "blas_threads" in before:  # else only the cores tell how many there may have been
            before.pop("cores", None)
        words = differences(before, now)
        if words:
            self.progress.note(
                "the last bits may differ from those of an uninterrupted run: " + "; ".join(words)
            )

    def __enter__(self) -> "Loop":
        self.started = time.perf_counter()
        self.step.start_workers(wait=False)
        self.note_trouble()
        begun = self.state.epoch * self.step.steps_per_epoch + self.state.position
        self.progress.start(self.config.epochs, self.step.steps_per_epoch, begun)
        self.interruption.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.interruption.__exit__(kind, error, trace)
        self.step.close()
        self.progress.stop()
        self.result.seconds = time.perf_counter() - self.started
        run, own = self.run, self.prepared.made_by_hand or self.prepared.optimizer is not None
        if isinstance(error, NonFiniteError) and run is not None and not own:
            raise leave_replay(error, run.path) from error
        if error is None and run is None:
            self.result.state = self.checkpoint()

    def has_ended(self) -> bool:
        """Whether a signal came, all epochs are completed, or early stopping has triggered."""
        if self.interruption.requested is not None:
            self.result.stopped = self.interruption.requested.name
            return True
        ended = how_it_ended(self.config, self.state.epoch, self.result.best_epoch)
        if ended is not None:
            self.result.stopped = ended
        return ended is not None

    def note_trouble(self) -> None:
        """Say why fewer processes than workers compute, once."""
        trouble, self.step.trouble = self.step.trouble, None
        if trouble is not None:
            self.progress.note(trouble)

    # ---- an epoch ----------------------------------------------------------------------------

    def run_epoch(self) -> None:
        """Run the remaining steps of the epoch, then its evaluation, unless interrupted."""
        step, state = self.step, self.state
        before, epoch = time.perf_counter(), state.epoch + 1
        order = epoch_order(len(step.order), self.config.seed, epoch, self.config.shuffle)
        step.start_epoch(order)
        step.gather()
        state.keep()
        first, seen = self.steps_done + 1 - state.position, state.position
        with step:
            i, every = state.position, self.config.verify_every
            while i < step.steps_per_epoch:
                most = (step.steps_per_launch, self.until(every), self.until(self.checkpoint_every))
                count = min(*most, step.steps_per_epoch - i)
                step(first + i, i, count)
                i += count
                self.steps_done += count
                state.position = i
                if self.is_due(every):
                    self.verify()
                stop, last = self.interruption.requested is not None, i == step.steps_per_epoch
                save = stop or (self.is_due(self.checkpoint_every) and not last)
                if save or last or i - seen >= STEPS_UNSEEN:
                    self.look(epoch, first, seen, i)
                    seen = i
                if save:
                    self.save_within(epoch, first)
                if stop:
                    return
        self.close_epoch(epoch, before)

    def until(self, every: int) -> int:
        """Steps until an action with the period ``every`` is due; those of an epoch if it is 0."""
        return every - self.steps_done % every if every else self.step.steps_per_epoch

    def is_due(self, every: int) -> bool:
        """Whether an action with the period ``every`` is due after this step; never if it is 0."""
        return bool(every) and self.steps_done % every == 0

    def verify(self) -> None:
        """Check the gradient in one direction, on images and noise of the latest step.

        Raises ``GradientError`` if it is wrong.
        """
        part = self.step.full.parts[0].bound
        rows = min(live_rows(self.config.batch_size), part.rows)
        if self.live is None:
            self.live = LiveCheck(self.model.vae, self.bk, rows)
        x, eps = (self.bk.to_host(a[:rows]) for a in (part.x, part.eps))
        beta, number = self.step.beta(self.steps_done), self.steps_done
        report = self.live(
            self.model.params, x, eps, seed=self.config.seed, number=number, beta=beta
        )
        if math.isfinite(report.worst):  # else training diverges, and the next look will tell
            report.raise_if_failed()

    def look(self, epoch: int, first: int, start: int, stop: int) -> None:
        """Read the losses of steps start … stop − 1; ``NonFiniteError`` if one is not finite."""
        self.step.gather()
        losses = self.bk.to_host(self.step.losses[start:stop])
        bad = np.flatnonzero(~np.isfinite(losses).all(axis=1))
        if bad.size:
            self.state.rewind()
            self.step.leave_ranks()
            raise locate_first_nonfinite(
                self.step, self.config, first, epoch, start + int(bad[0]), self.state.kept_at
            )
        images = min(stop * self.config.batch_size, self.step.batches.images.shape[0])
        images -= start * self.config.batch_size
        self.progress.advance(stop - start, self.mean_loss(losses, images))

    def mean_loss(self, losses: np.ndarray, images: int) -> float:
        """The mean objective in nats per image, from sums over batches with ``images`` in all."""
        return float(losses.sum(dtype=np.float64) / images)

    def close_epoch(self, epoch: int, before: float) -> None:
        """Evaluate the model, append the epoch's metrics and save the checkpoint."""
        self.note_trouble()
        losses = self.bk.to_host(self.step.losses)
        metrics: Json = {
            "epoch": epoch,
            "train_loss": self.mean_loss(losses, self.step.batches.images.shape[0]),
        }
        improved, evaluated = False, self.config.evaluates_after(epoch)
        if evaluated and self.prepared.tested:
            test = self.evaluate(self.prepared.test, "test", epoch)
            metrics |= {
                "test_loss": test.loss,
                "test_reconstruction": test.reconstruction,
                "test_kl": test.kl,
                "inactive_units": test.inactive_units,
            }
        if evaluated and self.prepared.validation is not None:
            held_out = self.evaluate(self.prepared.validation, "validation", epoch)
            metrics["validation_loss"] = held_out.loss
            metrics.setdefault("inactive_units", held_out.inactive_units)
            improved = held_out.loss < self.best
            if improved:
                self.best, self.result.best_epoch = held_out.loss, epoch
        metrics["seconds"] = time.perf_counter() - before
        self.result.metrics.append(metrics)
        # A process killed in between has written too much, never too little: the epoch's line,
        # its frame and its best.npz are there before the checkpoint that says it is completed.
        if self.run is not None:
            self.run.append_metrics(metrics)
        if self.on_epoch is not None:
            self.on_epoch(epoch, self.model)
        self.state.epoch, self.state.position = epoch, 0
        self.save(improved)
        self.progress.epoch(metrics)

    def evaluate(self, split: Split, part: str, epoch: int) -> Evaluation:
        """Evaluate the ``part`` "test" or "validation"; ``NonFiniteError`` if not finite."""
        config = self.config
        with self.bk.limit_blas(self.step.blas_threads):
            over = self.step.over
            result = evaluate(self.model, split, seed=config.seed, draw=epoch, over=over)
            if not math.isfinite(result.loss):
                raise locate_in_evaluation(self.model, split, config, epoch, part, self.steps_done)
        return result

    # ---- state -------------------------------------------------------------------------------

    def save(self, improved: bool = False) -> None:
        """Write the checkpoint, with ``improved`` also as the best one.

        Without a run folder, the result keeps the best one.
        """
        if self.run is None:
            if improved:
                self.result.best = self.checkpoint()
            return
        checkpoint = self.checkpoint()
        if improved:
            self.run.save(checkpoint, best=True)
        self.run.save(checkpoint)

    def checkpoint(self) -> Checkpoint:
        """The state after the latest step."""
        self.step.gather()
        return self.state.checkpoint(self.steps_done, self.result.metrics)

    def save_within(self, epoch: int, first: int) -> None:
        """Save in the middle of an epoch; ``NonFiniteError`` if a parameter is not finite."""
        if not self.state.parameters_are_finite():
            position = self.state.position
            self.state.rewind()
            self.step.leave_ranks()
            raise locate_first_nonfinite(
                self.step, self.config, first, epoch, position - 1, self.state.kept_at
            )
        self.save()


def train(
    config: TrainConfig,
    dataset: Dataset,
    *,
    vae: VAE | None = None,
    optimizer: Optimizer | None = None,
    backend: Backend | None = None,
    run: RunFolder | None = None,
    progress: Progress | None = None,
    on_epoch: Callable[[int, Model], None] | None = None,
    checkpoint_every: int = 0,
    resume: bool = False,
    return_on_signal: bool = False,
    verbose: bool | None = None,
) -> Training:
    """Train a VAE as ``config`` says, on ``backend`` (default: a GPU if available, else the CPU).

    Parameters
    ----------
    config : TrainConfig
        The settings of model and training.
    dataset : Dataset
        Its training images are trained on, its test images evaluated after every epoch.
    vae : VAE, optional
        A model of your own layers, likelihood or estimator, instead of the one that ``config``
        describes. Loading such a run later takes the same ``vae`` again.
    optimizer : Optimizer, optional
        An optimizer of your own, with its learning rate and clipping, instead of the one that
        ``config`` describes. Resuming such a run takes the same ``optimizer`` again.
    backend : Backend, optional
    run : RunFolder, optional
        Where the files of the run are written: metrics and a checkpoint after every epoch, and a
        checkpoint after every ``checkpoint_every`` steps (0: none within an epoch).
    progress : Progress, optional
        By default a bar in a terminal or a notebook and nothing elsewhere; ``verbose=True`` prints
        lines elsewhere, ``verbose=False`` shows nothing.
    on_epoch : callable, optional
        Called with the number of each epoch and the model after it, before the checkpoint is
        written; if the process is killed in between, it is called again after a resume.
    resume : bool
        Continue from the latest checkpoint of ``run``, or start if there is none. The result has
        the same bytes as that of an uninterrupted run; the settings must be those of the folder.
    return_on_signal : bool
        Return at Ctrl-C or SIGTERM, with the name of the signal in ``stopped``, instead of raising.

    Returns
    -------
    Training
        ``model`` after the last epoch, ``metrics`` of every epoch (nats per image), ``stopped``:
        why it ended, ``best_epoch`` by the validation split and ``seconds``.

    Raises
    ------
    NonFiniteError
        If a loss is not finite. The step that failed is left in the run folder, for
        ``scratchvae replay``, and the last good checkpoint stays.
    CheckpointError
        If a state cannot be written.
    ConfigError, DataError
        For settings, data and model that do not fit each other.
    RunError
        For a run that cannot be resumed.
    KeyboardInterrupt
        At Ctrl-C, after the step has ended and the state has been saved; a second Ctrl-C does not
        wait. SIGTERM saves the state, too, then ends the process or calls the program's handler.
    """
    if run is not None:
        example = f'scratchvae.runs.RunFolder.create({str(run)!r}, {{"config": config.to_json()}})'
        require_instance(run, RunFolder, "run", example)
    prepared = prepare(config, dataset, vae=vae, optimizer=optimizer)
    progress = progress or choose_progress(verbose=verbose)
    if not resume:
        training = train_prepared(
            prepared, backend=backend, run=run, progress=progress, on_epoch=on_epoch,
            checkpoint_every=checkpoint_every,
        )  # fmt: skip
    elif run is not None:
        training = resume_prepared(
            prepared, run, backend=backend, progress=progress, on_epoch=on_epoch,
            checkpoint_every=checkpoint_every,
        )  # fmt: skip
    else:
        raise RunError("only a run with a folder can be resumed")
    if not return_on_signal:
        pass_on_signal(
            training,
            "nothing is saved, because this training has no run folder"
            if run is None
            else f"the state is saved in {run.checkpoint_path}, and resume=True continues from it",
        )
    return training


def pass_on_signal(training: Training, kept: str) -> None:
    """Do what the signal that stopped a training would have done; without one, nothing.

    ``kept``: what is kept of the training, for the message of ``KeyboardInterrupt``.
    """
    if training.stopped in SIGNALS:
        interrupt(training.stopped, f"{training.stopped} ended the training: {kept}")


def train_prepared(
    prepared: Prepared,
    *,
    backend: Backend | None = None,
    run: RunFolder | None = None,
    progress: Progress | None = None,
    on_epoch: Callable[[int, Model], None] | None = None,
    checkpoint_every: int = 0,
    exchange: Exchange = ALONE,
) -> Training:
    """:func:`train` for settings, model and data that :func:`prepare` has already checked.

    It returns at Ctrl-C or SIGTERM, with the name of the signal in ``stopped``. ``exchange``: the
    way to the ranks that share the pieces of each step, of which this one is number 0.
    """
    require_period(checkpoint_every)
    progress = progress or Progress()
    bk = choose_backend(prepared, backend, progress)
    with nullcontext() if run is None else run.locked():
        if run is not None:
            if run.has_begun():
                raise RunError(f"{run.path} holds a run already: resume=True continues it")
            record_parts(run, prepared)
        step = make_step(prepared, bk, exchange, progress)
        loop = Loop(prepared, step, run, progress, on_epoch, checkpoint_every)
        if prepared.start is not None:
            loop.start_from(prepared.start)
        with loop:
            while not loop.has_ended():
                loop.run_epoch()
        return loop.result


def resume_prepared(
    prepared: Prepared,
    run: RunFolder,
    *,
    backend: Backend | None = None,
    progress: Progress | None = None,
    on_epoch: Callable[[int, Model], None] | None = None,
    checkpoint_every: int = 0,
    exchange: Exchange = ALONE,
) -> Training:
    """:func:`train_prepared` from the latest checkpoint of ``run``, or from the start without one.

    Raises ``RunError`` for a run that has other settings, data, or parts made by hand.
    """
    require_period(checkpoint_every)
    progress = progress or Progress()
    bk = choose_backend(prepared, backend, progress)
    with run.locked():
        run.remove_temporary_files()
        run.require_parts(model=prepared.made_by_hand, optimizer=prepared.optimizer is not None)
        other = changed_settings(run.config(), prepared.given)
        if other:
            raise RunError(f"{run.path} has other settings: {'; '.join(other)}")
        saved = run.latest(progress.note)
        if saved is not None and backend is None:  # as before, whatever is installed by now
            bk = bk.with_compiled(used_compiled(saved.environment), progress.note)
        record_parts(run, prepared)
        step = make_step(prepared, bk, exchange, progress, saved)
        loop = Loop(prepared, step, run, progress, on_epoch, checkpoint_every)
        loop.resume(run, saved)
        with loop:
            while not loop.has_ended():
                loop.run_epoch()
        return loop.result


def require_period(checkpoint_every: object) -> None:
    """``ConfigError`` unless it is a number of steps, or 0 for no checkpoint within an epoch."""
    if not isinstance(checkpoint_every, int) or checkpoint_every < 0:
        raise ConfigError(f"checkpoint_every is {checkpoint_every!r}, but it must be 0, 1, 2, …")


def choose_backend(prepared: Prepared, own: Backend | None, progress: Progress) -> Backend:
    """The caller's ``own`` backend, or that of the settings; ``ConfigError`` for another dtype."""
    config = prepared.given
    bk = own or get_backend("auto", config.dtype, compiled=config.compiled, note=progress.note)
    if bk.dtype.name != config.dtype:
        raise ConfigError(f"the settings say {config.dtype}, but the backend has {bk.dtype}")
    return bk


def record_parts(run: RunFolder, prepared: Prepared) -> None:
    """Write into the folder which parts of the training its settings do not describe."""
    if prepared.made_by_hand:
        run.record_part("model", repr(prepared.vae))
    if prepared.optimizer is not None:
        run.record_part("optimizer", repr(prepared.optimizer))


def make_step(
    prepared: Prepared,
    bk: Backend,
    exchange: Exchange,
    progress: Progress,
    saved: Checkpoint | None = None,
) -> TrainingStep:
    """The training step that the settings describe, with the workers of a ``saved`` state."""
    config = prepared.config
    if config.pieces:
        return make_piece_step(prepared, bk, exchange)
    wanted = config.workers
    if saved is not None and not wanted:  # as many as before, whatever the rule says
        wanted = int(saved.environment.get("workers", 0))
    workers = resolve_workers(wanted, config.batch_size, bk, prepared.vae, progress.note)
    bk = bk.for_workers(workers)
    return TrainingStep(
        Model(prepared.vae, bk, seed=config.seed),
        prepared.optimizer or config.make_optimizer(),
        make_batches(prepared, bk),
        weighting=Weighting(config.reduction, config.kl_warmup),
        workers=workers,
        blas_threads=possible_blas_threads(bk, saved),
    )
