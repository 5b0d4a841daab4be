"""The training loop: epochs of steps, an evaluation after each, checkpoints, early stopping."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scratchvae.backend import Backend, get_backend
from scratchvae.data import Dataset, Split, binarize, hold_out, require_unit_interval
from scratchvae.errors import ConfigError
from scratchvae.evaluation import Evaluation, evaluate
from scratchvae.gradcheck.live import LiveCheck, live_rows
from scratchvae.models import Model
from scratchvae.training.checkpoint import Checkpoint
from scratchvae.training.config import TrainConfig, resolve_levels
from scratchvae.training.interrupt import Interruption
from scratchvae.training.nonfinite import explain, explain_evaluation
from scratchvae.training.order import epoch_order
from scratchvae.training.progress import Progress
from scratchvae.training.run import RunFolder
from scratchvae.training.shares import resolve_workers
from scratchvae.training.step import TrainingStep

STEPS_UNSEEN = 100  # the loop looks at the losses once so many steps are unseen
TRAIN_LANE, TEST_LANE = 0, 1  # the draws of static binarization


@dataclass
class Training:
    """What a training leaves: the model of the last epoch and the numbers of all."""

    model: Model
    metrics: list[dict[str, Any]] = field(default_factory=list)
    stopped: str = "completed"  # or "early", or the name of the signal that interrupted it
    best_epoch: int | None = None  # where a validation split chose one
    seconds: float = 0.0


@dataclass(frozen=True)
class Views:
    """The splits as the model sees them, binarized where the protocol is a fixed one."""

    train: Split
    test: Split
    validation: Split | None


def prepare(config: TrainConfig, dataset: Dataset) -> Views:
    """Check data against settings, binarize, hold out; raises ``DataError``, ``ConfigError``."""
    if config.make_likelihood().unit_interval:
        for split, part in ((dataset.train, "training"), (dataset.test, "test")):
            require_unit_interval(split, f"{dataset.name}, {part} images")
    train = binarize(dataset.train, config.binarize, config.seed, TRAIN_LANE)
    test = binarize(dataset.test, config.binarize, config.seed, TEST_LANE)
    validation = None
    if config.validation:
        train, validation = hold_out(train, config.validation, config.seed)
    if config.batch_size > len(train):
        raise ConfigError(
            f"batch_size is {config.batch_size}, but there are only {len(train)} training images"
        )
    return Views(train, test, validation)


def train(
    config: TrainConfig,
    dataset: Dataset,
    bk: Backend | None = None,
    run: RunFolder | None = None,
    progress: Progress | None = None,
    on_epoch: Callable[[int, Model], None] | None = None,
) -> Training:
    """Train as the settings say, on ``bk`` or on the best device there is.

    With a run folder, its files are written as training goes. ``on_epoch`` is called with the
    number of each epoch and the model after it.

    Raises ``NonFiniteError`` when a loss stops being finite: the last good checkpoint stays.
    Ctrl-C (or SIGTERM) ends it between two steps: the state is saved, and ``stopped`` says so.
    """
    if bk is None:
        bk = get_backend("auto", config.dtype)
    return _Loop(config, dataset, bk, run, progress or Progress(), on_epoch).run_all()


class _Loop:
    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        bk: Backend,
        run: RunFolder | None,
        progress: Progress,
        on_epoch: Callable[[int, Model], None] | None,
    ) -> None:
        self.given, self.config = config, resolve_levels(config, dataset.train.levels)
        config = self.config
        self.bk, self.run, self.progress, self.on_epoch = bk, run, progress, on_epoch
        self.views = prepare(config, dataset)
        vae = config.make_vae(dataset.train.images.shape[1])
        self.model = Model(vae, bk, seed=config.seed)
        images, levels = self.views.train.images, self.views.train.levels
        self.step = TrainingStep(
            bk,
            vae,
            self.model.params,
            config.make_optimizer(),
            bk.array(images, dtype=images.dtype),
            levels,
            config.batch_size,
            config.seed,
            dynamic=config.binarize == "dynamic",
            workers=resolve_workers(config, bk, vae.pixels).workers,
            kl_warmup=config.kl_warmup,
        )
        self.buffers = {"params": self.model.params} | {
            f"{config.optimizer}.{name}": buffer
            for name, buffer in self.step.optimizer.state.items()
        }
        self.kept = {name: bk.zeros(b.flat.shape) for name, b in self.buffers.items()}
        self.live: LiveCheck | None = None
        self.steps_done = 0
        self.best = math.inf
        self.result = Training(self.model)

    def run_all(self) -> Training:
        config, started = self.config, time.perf_counter()
        self.progress.start(config.epochs, self.step.steps_per_epoch)
        try:
            with Interruption() as interruption:
                for epoch in range(1, config.epochs + 1):
                    before = time.perf_counter()
                    if self.run_epoch(epoch, interruption):
                        self.close_epoch(epoch, before)
                    else:
                        self.save(epoch - 1)
                    if interruption.requested is not None:
                        self.result.stopped = interruption.requested.name
                        break
                    if self.out_of_patience(epoch):
                        self.result.stopped = "early"
                        break
        finally:
            self.progress.stop()
        self.result.seconds = time.perf_counter() - started
        return self.result

    # ---- an epoch ----------------------------------------------------------------------------

    def run_epoch(self, epoch: int, interruption: Interruption) -> bool:
        """All steps of an epoch; False if somebody interrupted it."""
        step, bk = self.step, self.bk
        order = epoch_order(step.images.shape[0], self.config.seed, epoch, self.config.shuffle)
        bk.load(order, step.order)
        self.keep()
        first, seen = self.steps_done + 1, 0
        with step:
            i = 0
            while i < step.steps_per_epoch:
                count = min(step.at_once, self.unwatched(), step.steps_per_epoch - i)
                step(first + i, i, count)
                i += count
                self.steps_done += count
                if self.unwatched() == self.config.verify_every:
                    self.verify()
                stop = interruption.requested is not None
                if stop or i - seen >= STEPS_UNSEEN or i == step.steps_per_epoch:
                    self.look(epoch, first, seen, i)
                    seen = i
                if stop:
                    return False
        return True

    def unwatched(self) -> int:
        """How many steps may follow before the gradient is checked live."""
        every = self.config.verify_every
        return every - self.steps_done % every if every else self.step.steps_per_epoch

    def verify(self) -> None:
        """Check the gradient along one direction, on images and noise of the latest step."""
        part = self.step.full.parts[0]
        rows = min(live_rows(self.config.batch_size), part.rows)
        if self.live is None:
            self.live = LiveCheck(self.model.vae, self.bk, rows)
        x, eps = (self.bk.to_host(a[:rows]) for a in (part.x, part.eps))
        beta, number = self.step.beta(self.steps_done), self.steps_done
        report = self.live(
            self.model.params, x, eps, seed=self.config.seed, number=number, beta=beta
        )
        report.raise_if_failed()

    def look(self, epoch: int, first: int, start: int, stop: int) -> None:
        """Read the losses of the steps start … stop − 1; stop the run if one is not finite."""
        losses = self.bk.to_host(self.step.losses[start:stop])
        bad = np.flatnonzero(~np.isfinite(losses).all(axis=1))
        if bad.size:
            self.bring_back()
            raise explain(self.step, first, epoch, start + int(bad[0]))
        images = min(stop * self.config.batch_size, self.step.images.shape[0])
        images -= start * self.config.batch_size
        self.progress.advance(stop - start, self.mean_loss(losses, images))

    def mean_loss(self, losses: np.ndarray, images: int) -> float:
        """The estimator's objective averaged over the images whose sums these are."""
        return float(losses.sum(dtype=np.float64) / images)

    def close_epoch(self, epoch: int, before: float) -> None:
        """Evaluate, record, save."""
        losses = self.bk.to_host(self.step.losses)
        test = self.evaluate(self.views.test, "test", epoch)
        metrics: dict[str, Any] = {
            "epoch": epoch,
            "train_loss": self.mean_loss(losses, self.step.images.shape[0]),
            "test_loss": test.loss,
            "test_reconstruction": test.reconstruction,
            "test_kl": test.kl,
        }
        improved = False
        if self.views.validation is not None:
            held_out = self.evaluate(self.views.validation, "validation", epoch)
            metrics["validation_loss"] = held_out.loss
            improved = held_out.loss < self.best
            if improved:
                self.best, self.result.best_epoch = held_out.loss, epoch
        metrics["seconds"] = time.perf_counter() - before
        self.result.metrics.append(metrics)
        if self.run is not None:
            self.run.append_metrics(metrics)
        self.save(epoch, improved)
        self.progress.epoch(metrics)
        if self.on_epoch is not None:
            self.on_epoch(epoch, self.model)

    def evaluate(self, split: Split, part: str, epoch: int) -> Evaluation:
        """The numbers after an epoch; stops the run if they are not finite."""
        config = self.config
        result = evaluate(self.model, split, config.binarize, config.seed, epoch)
        if not math.isfinite(result.loss):
            where = f"the {part} images after epoch {epoch} (step {self.steps_done} of the run)"
            raise explain_evaluation(self.model, split, config, epoch, where)
        return result

    def out_of_patience(self, epoch: int) -> bool:
        best, patience = self.result.best_epoch, self.config.patience
        return bool(patience) and best is not None and epoch - best >= patience

    # ---- state -------------------------------------------------------------------------------

    def save(self, epoch: int, improved: bool = False) -> None:
        if self.run is None:
            return
        checkpoint = Checkpoint(
            self.given.to_json(),
            self.model.vae.pixels,
            epoch,
            self.steps_done,
            {name: buffer.to_host() for name, buffer in self.buffers.items()},
        )
        self.run.save(checkpoint)
        if improved:
            self.run.save(checkpoint, best=True)

    def keep(self) -> None:
        """Remember the state at the beginning of an epoch."""
        self._copy({name: b.flat for name, b in self.buffers.items()}, self.kept)

    def bring_back(self) -> None:
        """Return to the state at the beginning of the epoch."""
        self._copy(self.kept, {name: b.flat for name, b in self.buffers.items()})

    @staticmethod
    def _copy(source: dict[str, Any], target: dict[str, Any]) -> None:
        for name, a in source.items():
            target[name][...] = a
