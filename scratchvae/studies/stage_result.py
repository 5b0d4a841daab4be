"""What a model is worth at the end of a stage, and the table of all stages."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import NamedTuple

from scratchvae.evaluation import LogLikelihood, is_active, log_likelihood, without_units
from scratchvae.evaluation.elbo import as_seen_by_model
from scratchvae.evaluation.nll import part_of
from scratchvae.evaluation.units import layer_means
from scratchvae.models import Model
from scratchvae.studies.staged import StagedStudy
from scratchvae.training import Prepared
from scratchvae.types import Json, JsonView

DRAW = 0  # of the pixels, the same after every stage


@dataclass(frozen=True)
class StageResult:
    """log p(x) in nats per image, and the latent units at work, after a stage."""

    test: LogLikelihood
    cut: LogLikelihood | None  # the same without the inactive units; not of two layers
    few: float  # of the test images, from as many samples as the two below
    train: LogLikelihood  # of the first training images
    draws: tuple[float, ...]  # of the test images, for one draw of the pixels after the other
    active_units: tuple[int, ...]  # of each layer, by the means of the first training images

    def to_json(self) -> Json:
        """The numbers as a row; log-likelihoods with a minus, as the paper prints them."""
        spread = stdev(self.draws) if len(self.draws) > 1 else None
        return {
            "test_nll": -self.test.log_p,
            "standard_error": self.test.standard_error,
            "sample_error": self.test.sample_error,
            "half_nll": -self.test.half,
            "half_gives_the_same": self.test.is_settled,
            "samples": self.test.samples,
            "effective_samples": self.test.effective_samples,
            "cut_nll": None if self.cut is None else -self.cut.log_p,
            "few_samples": self.train.samples,
            "test_nll_few": -self.few,
            "train_nll_few": -self.train.log_p,
            "train_standard_error": self.train.standard_error,
            "train_images": self.train.images,
            "draws_nll_few": [-log_p for log_p in self.draws],
            "spread_over_draws": spread,
            "active_units": sum(self.active_units),
            "active_units_by_layer": list(self.active_units),
            "protocol": self.test.protocol,
        }


def measure_stage(
    study: StagedStudy, model: Model, prepared: Prepared, samples: int
) -> StageResult:
    """Measure a model with ``samples`` z per test image.

    −log p(x) of the test images, and with the inactive units of a single layer cut out; with a
    tenth of the samples of the first training images, and of other draws of the test pixels.
    """
    few = part_of(samples, 10)
    seed, test = prepared.config.seed, prepared.test
    train = prepared.train.take(slice(0, study.images))
    whole = log_likelihood(model, test, samples=samples, seed=seed, draw=DRAW)
    others = range(DRAW + 1, DRAW + study.draws)
    draws = [
        log_likelihood(model, test, samples=few, seed=seed, draw=draw).log_p for draw in others
    ]
    means = layer_means(model, as_seen_by_model(train, seed=seed, draw=DRAW))
    active = [is_active(mu) for mu in means]
    cut = None
    if len(active) == 1:
        without = without_units(model, ~active[0])
        cut = log_likelihood(without, test, samples=samples, seed=seed, draw=DRAW)
    return StageResult(
        test=whole,
        cut=cut,
        few=whole.tenth,
        train=log_likelihood(model, train, samples=few, seed=seed, draw=DRAW),
        draws=(whole.tenth, *draws),
        active_units=tuple(int(layer.sum()) for layer in active),
    )


def sorted_rows(rows: Iterable[JsonView]) -> list[JsonView]:
    """By objective, k, point, seed and stage."""
    return sorted(rows, key=lambda r: (r["objective"], r["k"], r["point"], r["seed"], r["stage"]))


def curves(rows: Sequence[JsonView]) -> dict[str, list[JsonView]]:
    """The rows of each training by its name, in the order of the stages."""
    found: dict[str, list[JsonView]] = {}
    for row in sorted_rows(rows):
        found.setdefault(str(row["run"]), []).append(row)
    return found


def stage_table(study: StagedStudy, rows: Sequence[JsonView]) -> str:
    """The stages as text: a line each, in nats per image."""
    lines = [
        f"{'run':<26}{'stage':>6}{'passes':>8}{'−log p(x)':>17}{'published':>11}"
        f"{'half':>8}{'training':>10}{'cut':>9}{'active':>8}"
    ]
    for row in sorted_rows(rows):
        value = f"{row['test_nll']:.2f} ± {row['standard_error']:.2f}"
        lines.append(
            f"{row['run']:<26}{row['stage']:>6}{row['passes']:>8}{value:>17}"
            f"{published_of(study, row):>11}{row['half_nll'] - row['test_nll']:>+8.2f}"
            f"{row['train_nll_few'] - row['test_nll_few']:>+10.2f}"
            f"{change_by_cut(row):>9}{active_units(row):>8}"
        )
    return "\n".join(lines)


def change_by_cut(row: JsonView) -> str:
    """What −log p(x) changes by without the inactive units; empty where none were cut out."""
    cut = row["cut_nll"]
    return "" if cut is None else f"{cut - row['test_nll']:+.3f}"


def active_units(row: JsonView) -> str:
    """How many units are active: "19"; of two layers those of each, "16+5"."""
    by_layer: Sequence[int] = row.get("active_units_by_layer", [row["active_units"]])
    return "+".join(map(str, by_layer))


class Change(NamedTuple):
    """What a point changed alone does: −log p(x) with it and without, averaged over the seeds."""

    words: str
    stage: int  # the last that both have been measured after
    seeds: int  # that both have
    nll: float
    without: float


def ablation(study: StagedStudy, rows: Sequence[JsonView]) -> list[Change]:
    """Every point that was changed alone, beside the settings as they are."""
    nll = {
        (str(r["point"]), int(r["stage"]), int(r["seed"])): float(r["test_nll"])
        for r in rows
        if r["k"] == 1
    }
    found = []
    for point in study.points:
        both = [(s, seed) for name, s, seed in nll if name == point.name and ("", s, seed) in nll]
        if not both:
            continue
        last = max(stage for stage, _ in both)
        seeds = [seed for stage, seed in both if stage == last]
        changed, plain = (fmean(nll[name, last, s] for s in seeds) for name in (point.name, ""))
        found.append(Change(point.words, last, len(seeds), changed, plain))
    return found


def published_of(study: StagedStudy, row: JsonView) -> str:
    """The paper's figure beside a row of the last stage, as it is or with one point changed."""
    known: Mapping[tuple[str, int], float] = study.published
    if row["stage"] < len(study.passes) or row["small"]:
        return ""
    return f"{known[row['objective'], row['k']]:.2f}"
