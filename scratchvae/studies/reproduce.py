"""Run a study over several seeds and set its numbers beside the published ones."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

from scratchvae.studies.study import Figure, Study
from scratchvae.training import TrainConfig, Training


@dataclass(frozen=True)
class Row:
    """One published figure and ours: mean and standard error over the seeds."""

    metric: str
    epoch: int
    published: float | None
    mean: float
    standard_error: float | None  # None for a single seed


@dataclass(frozen=True)
class Reproduction:
    """What a study came to."""

    study: str
    seeds: int
    epochs: int
    rows: tuple[Row, ...]
    seconds: float  # mean over the seeds, evaluation after every epoch included
    published_seconds: float | None
    verdict: str
    protocol: str


def reproduce(
    study: Study,
    seeds: int,
    epochs: int | None,
    run_one: Callable[[TrainConfig], Training],
    protocol: str,
) -> Reproduction:
    """Train the study's model with the seeds 0 … seeds − 1 through ``run_one`` and compare.

    ``epochs`` lengthens it or cuts it short; the verdict says so where the published epoch was
    not reached. Raises ``KeyboardInterrupt``, with the signal's name, if a training was stopped.
    """
    config = replace(study.config, epochs=epochs or study.config.epochs)
    trainings: list[Training] = []
    for seed in range(seeds):
        training = run_one(replace(config, seed=seed))
        if training.stopped not in ("completed", "early"):
            raise KeyboardInterrupt(training.stopped)
        trainings.append(training)
    metrics = [training.metrics for training in trainings]
    figures = [f for f in (*study.published, study.target) if f.epoch <= config.epochs]
    last = Figure("test_loss", config.epochs, math.nan)
    if all((f.metric, f.epoch) != (last.metric, last.epoch) for f in figures):
        figures.append(last)
    rows = tuple(_row(figure, metrics) for figure in figures)
    return Reproduction(
        study=study.name,
        seeds=seeds,
        epochs=config.epochs,
        rows=rows,
        seconds=fmean(training.seconds for training in trainings),
        published_seconds=study.published_seconds,
        verdict=_verdict(study, config.epochs, rows),
        protocol=protocol,
    )


def _row(figure: Figure, metrics: Sequence[Sequence[dict[str, Any]]]) -> Row:
    values = [run[figure.epoch - 1][figure.metric] for run in metrics]
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    published = None if math.isnan(figure.value) else figure.value
    return Row(figure.metric, figure.epoch, published, fmean(values), error)


def _verdict(study: Study, epochs: int, rows: Sequence[Row]) -> str:
    target = study.target
    if epochs < target.epoch:
        return f"cut short at {epochs} epochs: the published figure is that of epoch {target.epoch}"
    ours = next(r.mean for r in rows if (r.metric, r.epoch) == (target.metric, target.epoch))
    return study.verdict(ours)


def table(result: Reproduction) -> str:
    """The comparison as text: one line a figure, nats an image."""
    lines = [f"{'nats an image':<22}{'published':>10}  {'scratchvae':>10}"]
    for row in result.rows:
        name = f"{row.metric.replace('_', ' ')}, epoch {row.epoch}"
        published = "" if row.published is None else f"{row.published:.2f}"
        ours = f"{row.mean:.2f}"
        if row.standard_error is not None:
            ours += f" ± {row.standard_error:.2f}"
        lines.append(f"{name:<22}{published:>10}  {ours:>10}")
    seconds = "" if result.published_seconds is None else f"{result.published_seconds:.0f}"
    lines.append(f"{f'seconds, {result.epochs} epochs':<22}{seconds:>10}  {result.seconds:>10.0f}")
    lines.append(f"seeds: {result.seeds}; protocol: {result.protocol}")
    lines.append(f"{result.study}: {result.verdict}")
    return "\n".join(lines)
