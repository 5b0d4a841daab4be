"""A comparison of runs: their settings, their results, and whether the results are comparable.

Every number comes from where it always does: the curves from the runs' metrics.jsonl, the others
from `evaluation.evaluate`, as ``scratchvae evaluate`` prints them.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from scratchvae.errors import ConfigError
from scratchvae.evaluation import Evaluation, describe_protocol, evaluate
from scratchvae.evaluation.elbo import Protocol
from scratchvae.figures.captions import About
from scratchvae.models import Condition, Model
from scratchvae.pages.document import (
    Picture,
    Section,
    figures_of,
    page_of,
    table,
    text,
    tiles,
    widest,
)
from scratchvae.pages.run_report import command_of
from scratchvae.runs import Checkpoint, RunFolder
from scratchvae.storage.atomic import write_bytes
from scratchvae.training import Prepared
from scratchvae.types import Json

MAX_RUNS = 6  # runs that one figure can tell apart
CURVES, UNITS, IMAGES = "Curves", "KL of the latent units", "Images"
ABOUT = {
    "curves": About(
        "−ELBO and KL of the test images over the epochs, a line for each run.",
        "Which run is lower where both have levelled off, and what does it pay in KL?",
        CURVES,
    ),
    "kl": About(
        "KL of the test images over the epochs, a line for each run.",
        "How many nats of the image each run keeps in z.",
        CURVES,
    ),
    "kl_by_unit": About(
        "The KL of each latent unit, the largest first, run by run.",
        "A unit near 0 carries nothing: how many does each run use, and how evenly?",
        UNITS,
    ),
    "reconstructions": About(
        "The same test images, reconstructed by each run.",
        "A larger KL should buy sharper reconstructions: does it, and of which images?",
        IMAGES,
    ),
    "samples": About(
        "Means of the decoder of each run for the first draws of z from the prior.",
        "A smaller KL should buy samples that look like the data.",
        IMAGES,
    ),
}


@dataclass(frozen=True)
class ComparedRun:
    """A run with its model, its data, and its results on its test split."""

    run: RunFolder
    model: Model
    prepared: Prepared
    epoch: int
    metrics: Sequence[Json]
    test: Evaluation

    @property
    def name(self) -> str:
        """As it was typed."""
        return str(self.run.path)

    @cached_property
    def protocol(self) -> Protocol:
        """How its numbers were obtained."""
        config = self.prepared.config
        return describe_protocol(self.model, config.binarize, config.seed)


def evaluated(
    run: RunFolder, model: Model, checkpoint: Checkpoint, prepared: Prepared
) -> ComparedRun:
    """Evaluate a run's model on its test split, with the noise of its own last evaluation."""
    seed, threads = prepared.config.seed, checkpoint.environment.get("blas_threads")
    with model.bk.limit_blas(threads):
        test = evaluate(model, prepared.test, seed=seed, draw=checkpoint.epoch)
    metrics = run.metrics()[: checkpoint.epoch]
    return ComparedRun(run, model, prepared, checkpoint.epoch, metrics, test)


@dataclass(frozen=True)
class Comparison:
    """Two runs or more; ``ConfigError`` for fewer, for too many, and for a run named twice."""

    runs: tuple[ComparedRun, ...]

    def __post_init__(self) -> None:
        """Check the number of runs and their names."""
        require_runs([run.run.path for run in self.runs])

    @cached_property
    def differences(self) -> dict[str, list[object]]:
        """The settings in which the runs differ, as a value for each run; data by their name."""
        settings = [run.prepared.config.to_json() for run in self.runs]
        values = {name: [s.get(name) for s in settings] for name in settings[0]}
        return {name: them for name, them in values.items() if any(v != them[0] for v in them)}

    @cached_property
    def warnings(self) -> list[str]:
        """Reasons why the ELBO does not tell which of these runs is better; a sentence each."""
        found = []
        datasets = [run.prepared.dataset for run in self.runs]
        if len({d.fingerprint for d in datasets}) > 1:
            names = self._named([Path(d.name).name for d in datasets])
            found.append(f"the runs have other data ({names})")
        vaes = [run.model.vae for run in self.runs]
        for what, words in (
            ("the test pixels are binarized in other ways", [r.protocol.pixels for r in self.runs]),
            ("the likelihoods differ", [vae.likelihood.describe() for vae in vaes]),
            ("the models are given other things", [_given(vae.condition) for vae in vaes]),
        ):
            if len(set(words)) > 1:
                found.append(f"{what} ({self._named(words)})")
        return [f"the ELBOs cannot be compared: {why}" for why in found]

    @property
    def comparable(self) -> bool:
        """Whether a higher ELBO means a better model."""
        return not self.warnings

    def _named(self, words: Sequence[str]) -> str:
        return "; ".join(f"{run.name}: {word}" for run, word in zip(self.runs, words, strict=True))

    def rows(self) -> dict[str, list[str]]:
        """The table: what is compared, and a cell for each run."""
        tests = [run.test for run in self.runs]
        plain = "" if self.comparable else ", not to be compared"
        return {name: [_plain(v) for v in them] for name, them in self.differences.items()} | {
            "epoch": [str(run.epoch) for run in self.runs],
            f"−ELBO{plain}": [f"{-t.elbo:.2f} ± {t.elbo_standard_error:.2f}" for t in tests],
            f"reconstruction{plain}": [f"{t.reconstruction:.2f}" for t in tests],
            "KL": [f"{t.kl:.2f}" for t in tests],
            "active units": [f"{t.active_units} of {len(t.kl_per_unit)}" for t in tests],
        }

    def units(self) -> dict[str, list[float]]:
        """The KL of each latent unit of each run, the largest first."""
        return {run.name: sorted(run.test.kl_per_unit, reverse=True) for run in self.runs}

    def to_json(self) -> Json:
        """All of it, for programs."""
        return {
            "comparable": self.comparable,
            "warnings": self.warnings,
            "differences": self.differences,
            "runs": [
                {"run": run.name, "epoch": run.epoch, **run.test.to_json()} for run in self.runs
            ],
        }

    def to_text(self) -> str:
        """The table for a terminal."""
        names, rows = [run.name for run in self.runs], self.rows()
        first = max(map(len, rows))
        cells = [names, *rows.values()]
        widths = [max(len(row[k]) for row in cells) + 3 for k in range(len(names))]

        def line(name: str, row: Sequence[str]) -> str:
            return f"{name:<{first}}" + "".join(
                f"{c:>{w}}" for c, w in zip(row, widths, strict=True)
            )

        lines = [line("", names), *(line(name, row) for name, row in rows.items())]
        lines.append("KL of each unit, the largest first")
        for name, kl in self.units().items():
            lines.append(f"  {name}  {'  '.join(f'{value:.3f}' for value in kl)}")
        protocols = dict.fromkeys(str(run.protocol) for run in self.runs)
        lines += [f"protocol: {protocol}" for protocol in protocols]
        lines.append("nats per image of the test split; −ELBO is reconstruction + KL, whatever β")
        return "\n".join(lines)


def require_runs(paths: Sequence[Path]) -> None:
    """``ConfigError`` unless there are at least two runs, at most six, and none is named twice."""
    if len(paths) < 2:
        raise ConfigError("a comparison needs at least two runs: name another run folder")
    if len(paths) > MAX_RUNS:
        raise ConfigError(
            f"at most {MAX_RUNS} runs can be told apart in a figure, not {len(paths)}"
        )
    places = [os.path.realpath(path) for path in paths]  # of a link to itself, too
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise ConfigError(f"{path} is named twice: a run is compared with others")


def _given(condition: Condition) -> str:
    return condition.describe() or "given nothing"


def _plain(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "–"
    return str(value) if value != "" else "–"


def write_comparison(path: Path, comparison: Comparison) -> None:
    """Write the page of a comparison."""
    runs = comparison.runs
    drawn = _draw(comparison)
    names = [run.name for run in runs]
    numbers = {f"{run.name}: KL": f"{run.test.kl:.2f}" for run in runs}
    if comparison.comparable:
        numbers = {f"{run.name}: −ELBO": f"{-run.test.elbo:.2f}" for run in runs}
    protocols = dict.fromkeys(str(run.protocol) for run in runs)
    head = [
        f"<h1>{text(' beside '.join(Path(name).name for name in names))}</h1>",
        f'<p class="soft">{len(runs)} runs of scratchvae, compared on their test images'
        f"{'' if comparison.differences else '; all have the same settings'}.</p>",
        *(f'<p class="warn"><strong>{text(w[0].upper() + w[1:])}.</strong></p>'
          for w in comparison.warnings),
        f'<div class="result">{tiles(numbers)}<p class="small">Nats per image; −ELBO is '
        "reconstruction + KL, whatever β the run was trained with. Test protocol: "
        f"{text('; or '.join(protocols))}.</p></div>",
        table(["", *map(text, names)], ([text(name), *map(text, row)]
              for name, row in comparison.rows().items())),
    ]  # fmt: skip
    sections = [
        *figures_of(drawn, ()),
        Section("How they came about", _provenance(path.resolve(), runs)),
    ]
    content = page_of(" beside ".join(names), "\n".join(head), sections, widest(drawn))
    write_bytes(path, content.encode())


def _provenance(page: Path, runs: Sequence[ComparedRun]) -> str:
    items = []
    for run in runs:
        settings, config = run.run.settings(), run.prepared.config
        report = run.run.report_path
        name = text(run.name)
        if report.exists():
            place = Path(os.path.relpath(report.resolve(), page.parent)).as_posix()
            name = f'<a href="{quote(place)}">{name}</a>'
        begun = settings.get("begun")
        facts = [
            f"<code>{text(command_of(config))}</code>",
            text(f"seed {config.seed}"),
            *([text(f"begun {str(begun)[:10]}")] if begun else []),
            text(str(run.run.machine().get("processor", ""))),
            text(", ".join(f"{k} {v}" for k, v in settings.get("versions", {}).items())),
        ]
        items.append(f"<li>{name}: {'; '.join(fact for fact in facts if fact)}.</li>")
    return f"<ul>{''.join(items)}</ul>"


def _draw(comparison: Comparison) -> list[Picture]:
    """The figures, as far as the runs have what they show."""
    from scratchvae.figures.comparison import History, compared_curves, kl_by_unit
    from scratchvae.figures.saving import render

    runs, files = comparison.runs, {}
    caption = " · ".join(dict.fromkeys(str(run.protocol) for run in runs))
    histories: Mapping[str, History] = {
        run.name: History(
            [m["epoch"] for m in run.metrics if "test_loss" in m],
            [m["test_reconstruction"] + m["test_kl"] for m in run.metrics if "test_loss" in m],
            [m["test_kl"] for m in run.metrics if "test_loss" in m],
        )
        for run in runs
        if any("test_loss" in m for m in run.metrics)
    }
    if histories:
        name = "curves" if comparison.comparable else "kl"
        figure = compared_curves(histories, caption, comparable=comparison.comparable)
        files[name] = render(figure, name)
    files["kl_by_unit"] = render(kl_by_unit(comparison.units(), caption), "kl_by_unit")
    files |= _draw_images(comparison, caption)
    return [Picture(name, them[f"{name}.png"], ABOUT[name]) for name, them in files.items()]


def _draw_images(comparison: Comparison, caption: str) -> dict[str, dict[str, bytes]]:
    """The same images, where all runs have them and none is conditional."""
    from scratchvae.figures.comparison import compared_images
    from scratchvae.figures.run import drawing_scale, figure_originals
    from scratchvae.figures.saving import render

    runs, first = comparison.runs, comparison.runs[0].prepared
    dataset = first.dataset
    pixels = {(run.prepared.dataset.fingerprint, run.protocol.pixels) for run in runs}
    conditional = any(run.model.vae.condition.kind for run in runs)
    if dataset.image_shape is None or len(pixels) > 1 or conditional:
        return {}
    as_drawn, scale = drawing_scale(dataset)
    originals = figure_originals(first)
    rebuilt = {run.name: as_drawn(run.model.reconstruct(originals)) for run in runs}
    samples = {run.name: as_drawn(run.model.sample(10, seed=0)[0]) for run in runs}
    shape, look = dataset.row_shape, dataset.colormap
    drawn = {
        "reconstructions": compared_images(
            {"original": as_drawn(originals)} | rebuilt, shape, "Reconstructions",
            caption + scale, colormap=look,
        ),
        "samples": compared_images(
            samples, shape, "Decoder means, z ~ p(z)", caption + scale, colormap=look
        ),
    }  # fmt: skip
    return {name: render(figure, name) for name, figure in drawn.items()}
