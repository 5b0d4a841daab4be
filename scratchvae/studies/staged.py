"""A study in stages: a table of a paper, whose models train longer and longer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from scratchvae.config import TrainConfig
from scratchvae.errors import ConfigError
from scratchvae.studies.study import Tutorial

OBJECTIVES = {"vae": "monte-carlo", "iwae": "iwae"}  # and their estimators
Changes = Mapping[str, Any]  # of settings


@dataclass(frozen=True)
class Variant:
    """One reading of what a paper trains: settings, and the learning rate of each stage."""

    config: TrainConfig
    rates: tuple[float, ...]


@dataclass(frozen=True)
class Point:
    """A point in which two readings differ, and what the settings become if it alone changes."""

    name: str
    words: str
    changes: Changes


@dataclass(frozen=True)
class StagedStudy:
    """Readings of a paper's settings, its schedule and its table.

    Stage i (from 1) passes ``passes[i - 1]`` times over the training images. Each of the ``points``
    is changed alone, in the first variant with k = 1.
    """

    name: str
    title: str
    source: Tutorial
    variants: Mapping[str, Variant]
    passes: tuple[int, ...]
    published: Mapping[tuple[str, int], float]  # −log p(x) after all stages, by objective and k
    points: tuple[Point, ...]
    small: Changes  # of a version that takes seconds
    ks: tuple[int, ...] = (1, 5, 50)
    samples: int = 5_000  # z per test image
    draws: int = 3  # of the test pixels, to see how log p(x) differs among them
    images: int = 10_000  # training images whose log p(x) is measured

    @property
    def ends(self) -> tuple[int, ...]:
        """The epochs after which the stages end."""
        return tuple(accumulate(self.passes))

    def schedule(self, variant: str, steps_per_epoch: int) -> str:
        """The learning rate as text: that of each stage, whichever stage a run ends with."""
        rates = self.variants[variant].rates
        steps = [steps_per_epoch * end for end in self.ends[:-1]]
        pairs = [f"{rate!r}:{until}" for rate, until in zip(rates, steps, strict=False)]
        return ":".join(["piecewise", *pairs, repr(rates[-1])])

    def find_point(self, name: str) -> Point:
        """The point of this name; ``ConfigError`` lists those that there are."""
        for point in self.points:
            if point.name == name:
                return point
        known = ", ".join(point.name for point in self.points)
        raise ConfigError(f"the study {self.name} changes no point {name!r}. There are: {known}")

    def settings(self, variant: str, small: bool) -> TrainConfig:
        """The settings that all runs of a variant share, of MNIST or of the small version."""
        config = self.variants[variant].config
        return replace(config, **self.small) if small else config


@dataclass(frozen=True)
class StagedRun:
    """One training of a staged study."""

    variant: str
    objective: str  # "vae" with k = 1, where both are the same
    k: int
    seed: int
    point: str = ""  # that is changed alone

    @property
    def name(self) -> str:
        """What its folder is called."""
        return f"{self.point or f'{self.objective}-k{self.k}'}-seed{self.seed}"

    def config(self, study: StagedStudy, images: int, stage: int, small: bool) -> TrainConfig:
        """The settings to the end of a stage, for ``images`` training images."""
        config = study.settings(self.variant, small)
        if self.point:
            config = replace(config, **study.find_point(self.point).changes)
        steps = -(-images // config.batch_size)
        return replace(
            config,
            lr=study.schedule(self.variant, steps),
            estimator=OBJECTIVES[self.objective],
            samples=self.k,
            seed=self.seed,
            epochs=study.ends[stage - 1],
            evaluate_at=study.ends,
        )


def runs_of(
    variant: str, ks: Sequence[int], objective: str, seeds: int, points: Sequence[str] | None
) -> list[StagedRun]:
    """The trainings that are asked for, seed by seed: each k; or k = 1 as it is and each point."""
    if points is not None:
        changed = ("", *points)
        return [StagedRun(variant, "vae", 1, seed, p) for seed in range(seeds) for p in changed]
    return [
        StagedRun(variant, objective if k > 1 else "vae", k, seed)
        for seed in range(seeds)
        for k in ks
    ]
