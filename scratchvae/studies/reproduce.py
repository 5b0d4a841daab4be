"""Run a study over several seeds and set its numbers beside the published ones."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from scratchvae.config import TrainConfig
from scratchvae.evaluation import Evaluation
from scratchvae.studies.completion import Completed, describe
from scratchvae.studies.study import Figure, Study
from scratchvae.training import Training
from scratchvae.types import Json, Over


@dataclass(frozen=True)
class Trial:
    """The results of one seed."""

    training: Training
    test: Evaluation  # after the last epoch
    completed: Completed | None = None  # where the study completes images


@dataclass(frozen=True)
class Row:
    """One figure of the tutorial and ours: mean and standard error over the seeds.

    ``in_tutorial_units`` is ours in the tutorial's own formula, to be compared with ``published``;
    ``mean`` is the loss as defined here.
    """

    metric: str
    epoch: int
    published: float | None  # None: nothing to compare with
    in_tutorial_units: float
    mean: float
    standard_error: float | None  # None for a single seed


@dataclass(frozen=True)
class Reproduction:
    """The results of a study, over all seeds, beside the published figures."""

    study: str
    seeds: int
    epochs: int
    rows: tuple[Row, ...]
    test: tuple[Evaluation, ...]  # after the last epoch, one per seed
    completed: tuple[Completed, ...]  # one per seed, if the study completes images
    seconds: float  # mean over the seeds, evaluation after every epoch included
    published_seconds: float | None  # of as many epochs; None: nothing to compare with
    verdict: str
    protocol: str
    train_protocol: str
    notes: tuple[str, ...]


def reproduce(
    study: Study,
    seeds: int,
    epochs: int | None,
    run_one: Callable[[TrainConfig], Trial],
    over: Over | None = None,
) -> Reproduction:
    """Train the study's model with the seeds 0 … seeds − 1 through ``run_one`` and compare.

    ``epochs`` lengthens it or cuts it short; the verdict says so where the published epoch was
    not reached. ``over``: a map that divides the seeds among processes, where ``run_one`` can be
    pickled.
    """
    config = replace(study.config, epochs=epochs or study.config.epochs)
    complete = config.epochs == study.config.epochs
    configs = [replace(config, seed=seed) for seed in range(seeds)]
    trials: list[Trial] = list((over or map)(run_one, configs))
    metrics = [trial.training.metrics for trial in trials]
    tests = [trial.test for trial in trials]
    completed = [trial.completed for trial in trials if trial.completed is not None]
    rows = tuple(_row(f, metrics, study.offset) for f in _figures(study, config.epochs))
    return Reproduction(
        study=study.name,
        seeds=seeds,
        epochs=config.epochs,
        rows=rows,
        test=tuple(tests),
        completed=tuple(completed),
        seconds=fmean(trial.training.seconds for trial in trials),
        published_seconds=study.published_seconds if complete else None,
        verdict=_verdict(study, config.epochs, rows),
        protocol=tests[0].protocol,
        train_protocol=config.describe_train_loss(),
        notes=_notes(study, config.epochs, tests, completed),
    )


def _figures(study: Study, epochs: int) -> list[Figure]:
    """The published figures within reach, and the last epoch's losses."""
    target = () if study.target is None else (study.target,)
    figures = [f for f in (*study.published, *target) if f.epoch <= epochs]
    known = {(f.metric, f.epoch) for f in figures}
    last = [Figure(metric, epochs, math.nan) for metric in ("train_loss", "test_loss")]
    return figures + [f for f in last if (f.metric, f.epoch) not in known]


def _row(figure: Figure, metrics: Sequence[Sequence[Json]], offset: float) -> Row:
    values = [run[figure.epoch - 1][figure.metric] for run in metrics]
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    published = None if math.isnan(figure.value) else figure.value
    mean = fmean(values)
    return Row(figure.metric, figure.epoch, published, mean - offset, mean, error)


def _verdict(study: Study, epochs: int, rows: Sequence[Row]) -> str:
    target = study.target
    if target is None:
        return study.verdict(math.nan)
    if epochs < target.epoch:
        return (
            f"cut short after {plural(epochs, 'epoch')}: the published figure is that of epoch "
            f"{target.epoch}"
        )
    ours = next(
        r.in_tutorial_units for r in rows if (r.metric, r.epoch) == (target.metric, target.epoch)
    )
    return study.verdict(ours)


def _notes(
    study: Study, epochs: int, tests: Sequence[Evaluation], completed: list[Completed]
) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    if study.published_seconds is not None:
        notes += (
            f"the tutorial states {study.published_seconds:.0f} seconds for its "
            f"{study.config.epochs} epochs, on a machine of its own",
        )
    if study.drawn_images:
        # The mean of n images drawn at random varies √(N/n) times as much as that of all N.
        spread = fmean(
            t.elbo_standard_error * math.sqrt(t.images / study.drawn_images) for t in tests
        )
        loss = fmean(t.loss for t in tests)
        notes += (
            f"on {study.drawn_images} images drawn at random, as the tutorial reports it, after "
            f"{plural(epochs, 'epoch')}: "
            f"{loss:.2f} ± {spread:.2f} (standard deviation from draw to draw)",
        )
    if study.completion is not None and completed:
        other = "" if epochs == study.config.epochs else f"after {study.config.epochs} epochs"
        notes += describe(study.completion, completed, other)
    return notes


def plural(count: int, noun: str) -> str:
    """1 epoch, 2 epochs."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def table(result: Reproduction) -> str:
    """The comparison as text: one line per figure, nats per image."""
    other_formula = any(row.in_tutorial_units != row.mean for row in result.rows)
    head = f"{'nats per image':<24}{'published':>10}"
    lines = [head + (f"{'its formula':>16}" if other_formula else "") + f"{'scratchvae':>16}"]
    for row in result.rows:
        name = f"{row.metric.replace('_', ' ')}, epoch {row.epoch}"
        text = f"{name:<24}{'' if row.published is None else f'{row.published:.2f}':>10}"
        error = "" if row.standard_error is None else f" ± {row.standard_error:.2f}"
        if other_formula:
            text += f"{f'{row.in_tutorial_units:.2f}{error}':>16}"
        lines.append(text + f"{f'{row.mean:.2f}{error}':>16}")
    seconds = "" if result.published_seconds is None else f"{result.published_seconds:.0f}"
    name = f"seconds, {plural(result.epochs, 'epoch')}"
    text = f"{name:<24}{seconds:>10}{' ' * 16 * other_formula}"
    lines.append(text + f"{result.seconds:>16.0f}")
    lines += result.notes
    lines.append(f"seeds: {result.seeds}; protocol: {result.protocol}")
    lines.append(f"training loss: {result.train_protocol}")
    lines.append(f"{result.study}: {result.verdict}")
    return "\n".join(lines)
