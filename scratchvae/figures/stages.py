"""A study in stages: −log p(x) and active units by the passes over the training images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from scratchvae.errors import ConfigError
from scratchvae.figures.checks import Float64, as_float64
from scratchvae.figures.curves import spread
from scratchvae.figures.page import (
    MARGIN,
    OFFSET,
    TITLE_ROOM,
    name_end,
    new_page,
    pixels,
    place,
    text_width,
)
from scratchvae.figures.saving import save
from scratchvae.figures.style import GREY, TEN, TICK, house_style
from scratchvae.studies.stage_result import curves
from scratchvae.studies.staged import StagedStudy
from scratchvae.types import JsonView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEIGHT, WIDE, LEFT, BELOW = 640, 900, 130, 84


class Curve(NamedTuple):
    """One training: passes (S,) that ascend, and the value at each, with its standard error."""

    passes: ArrayLike
    values: ArrayLike
    errors: ArrayLike = ()


@house_style()
def by_pass(
    named: Mapping[str, Sequence[Curve]],
    title: str,
    label: str,
    caption: str = "",
    *,
    published: Mapping[str, float] | None = None,
    digits: int = 2,
) -> "Figure":
    """Values over the passes, on a logarithmic axis: a colour for each name, a line for each curve.

    ``named`` holds the curves of each name, one per seed; ``published`` values that others
    reported, drawn as dashed lines. ``label`` names the values; labels at the right have as many
    ``digits``.
    """
    known = {name: [_checked(name, curve) for curve in them] for name, them in named.items()}
    others = {name: as_float64(name, value).item() for name, value in (published or {}).items()}
    if not any(known.values()):
        raise ConfigError("there must be a curve to draw")
    ends = {name: float(np.mean([v[-1] for _, v, _ in them])) for name, them in known.items()}
    texts = {n: f"{n}: {value:.{digits}f}" for n, value in (ends | others).items()}
    every = np.concatenate([v for them in known.values() for _, v, _ in them])
    every = np.append(every, [*others.values()])
    margin = 0.06 * float(np.ptp(every)) or 1.0
    low, high = float(every.min()) - margin, float(every.max()) + margin
    last = max(float(x[-1]) for them in known.values() for x, _, _ in them)

    room = OFFSET + round(max(text_width(text, TICK) for text in texts.values()))
    figure = new_page(LEFT + WIDE + room + MARGIN, TITLE_ROOM + HEIGHT + BELOW, caption)
    axes = place(figure, LEFT, TITLE_ROOM, WIDE, HEIGHT, title)
    axes.set(xscale="log", xlim=(0.9, max(last, 2.0)), ylim=(low, high))
    axes.set(xlabel="passes over the training images", ylabel=label)
    ticks = sorted({float(p) for them in known.values() for x, _, _ in them for p in x})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    if not digits:
        axes.locator_params(axis="y", integer=True)
    colours = dict(zip(known, np.resize([*TEN[3:], *TEN[:3]], len(known)).tolist(), strict=True))
    for name, them in known.items():
        for x, values, errors in them:
            axes.plot(x, values, "o-", color=colours[name], ms=3, clip_on=False)
            if len(errors):
                axes.vlines(x, values - errors, values + errors, color=colours[name])
    for value in others.values():
        axes.axhline(value, color=GREY, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
    heights = np.array([(y - low) / (high - low) * HEIGHT for y in (ends | others).values()])
    placed = spread(heights, pixels(1.25 * TICK)) / HEIGHT
    for (name, text), y in zip(texts.items(), placed, strict=True):
        name_end(axes, text, y, colours.get(name, GREY))
    return figure


def _checked(name: str, curve: Curve) -> tuple[Float64, Float64, Float64]:
    x, values, errors = (as_float64(name, part) for part in curve)
    fits = x.ndim == 1 and x.shape == values.shape and errors.shape in (x.shape, (0,))
    if not fits or not len(x) or not (np.diff(x) > 0).all() or x[0] <= 0:
        raise ConfigError(f"{name} must have a value for each of its passes, which ascend from 1")
    if not np.isfinite(np.concatenate([x, values, errors])).all():
        raise ConfigError(f"{name} must hold finite numbers")
    return x, values, errors


def draw_stages(folder: Path, study: StagedStudy, rows: Sequence[JsonView]) -> list[Path]:
    """Draw what the rows of a study in stages say; the PNG files."""
    whole = [row for row in rows if not row["point"]]
    changed = {str(row["point"]) for row in rows} - {""}
    files: list[Path] = []
    if whole:
        published = {
            f"published, {name_of(objective, k)}": value
            for (objective, k), value in study.published.items()
            if any((row["objective"], row["k"]) == (objective, k) for row in whole)
            and not whole[0]["small"]
        }
        files += _draw(folder, "nll", whole, study, published)
    if changed:
        of_points = [row for row in rows if row["point"] or (row["k"] == 1)]
        files += _draw(folder, "ablation", of_points, study, {})
    return files


def _draw(
    folder: Path, name: str, rows: Sequence[JsonView], study: StagedStudy,
    published: Mapping[str, float],
) -> list[Path]:  # fmt: skip
    """−log p(x) and, for the trainings of the table, active units."""
    nll: dict[str, list[Curve]] = {}
    active: dict[str, list[Curve]] = {}
    for them in curves(rows).values():
        first = them[0]
        who = str(first["point"]) or name_of(str(first["objective"]), int(first["k"]))
        passes = [row["passes"] for row in them]
        errors = [row["sample_error"] for row in them]
        nll.setdefault(who, []).append(Curve(passes, [row["test_nll"] for row in them], errors))
        units = [row["active_units"] for row in them]
        active.setdefault(who, []).append(Curve(passes, units))
    samples, images = rows[0]["samples"], rows[0]["protocol"]
    caption = (
        f"{study.source.cite()} · {images} · bars: the standard error by the {samples} samples"
    )
    title = "−log p(x) of the test images"
    figure = by_pass(nll, title, "nats per image", caption, published=published)
    files = [save(figure, folder, name)[0]]
    if name == "nll":
        figure = by_pass(active, "Active latent units", "units", study.source.cite(), digits=0)
        files.append(save(figure, folder, "active")[0])
    return files


def name_of(objective: str, k: int) -> str:
    """k = 1, where the objectives are the same; else with the objective."""
    return "k = 1" if k == 1 else f"{objective.upper()}, k = {k}"
