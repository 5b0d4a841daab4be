"""What a larger β buys and costs: independent units, and worse images. Takes some minutes.

    python -m benchmarks.beta_sweep [--seeds 3] [--epochs 1000] [--json FILE] [--figure FILE]

The same small network is trained on the sprites, of which all combinations of factors are there,
with the KL weighted by β = 1, 2, 4 and 8. Then, over all 576 images: the mutual information gap
(E254), the parts of the KL (E250), and the reconstruction. What a code says about factors is exact
but for its samples of z, because there are no other images.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness import own_conditions, table, write_json
from benchmarks.step import at_least_one
from scratchvae.backend import get_backend
from scratchvae.config import TrainConfig
from scratchvae.data import Split, draw_sprites, load_dataset, sprite_factors
from scratchvae.evaluation import decompose_kl, evaluate, measure_disentanglement
from scratchvae.figures import beta_sweep, save
from scratchvae.training import train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BETAS = (1.0, 2.0, 4.0, 8.0)
SAMPLES = 10  # z per image
SETTINGS = TrainConfig(data="sprites", hidden=(128, 128), latent_dim=6, epochs=1000)
COLUMNS = {
    "mig": "MIG", "total_correlation": "total correlation",
    "mutual_information": "I(x; z)", "dimensionwise_kl": "dimension-wise KL",
    "reconstruction": "−E log p(x|z)", "active_units": "active units",
}  # fmt: skip


def measure(beta: float, seed: int, epochs: int) -> dict[str, Any]:
    """Train one model; its numbers over all sprites, in nats per image."""
    config = replace(SETTINGS, beta=beta, seed=seed, epochs=epochs, evaluate_at=(epochs,))
    bk = get_backend("cpu", config.dtype)
    model = train(config, load_dataset("sprites"), backend=bk, verbose=False).model
    factors = sprite_factors()
    whole = Split(draw_sprites(factors), None, 1)
    q = model.encode(whole.values())
    parts = decompose_kl(*q, samples=SAMPLES, seed=seed)
    found = measure_disentanglement(*q, factors, samples=SAMPLES, seed=seed)
    bound = evaluate(model.with_samples(SAMPLES), whole, seed=seed)
    return {
        "mig": found.mig,
        "gaps": found.gaps.tolist(),
        **{name: getattr(parts, name).value for name in COLUMNS if hasattr(parts, name)},
        "reconstruction": bound.reconstruction,
        "active_units": bound.active_units,
    }


def summary(rows: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """Mean and standard error over the seeds."""
    values = [row[name] for row in rows]
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return {"mean": fmean(values), "standard_error": error, "values": values}


def cell(found: dict[str, Any]) -> str:
    """A mean with its error, as text."""
    error = found["standard_error"]
    return f"{found['mean']:.3f}" + ("" if error is None else f" ± {error:.3f}")


def draw(rows: dict[str, Any], caption: str) -> "Figure":
    """Reconstruction, total correlation and MIG over β."""
    names = ("reconstruction", "total_correlation", "mig")
    panels = {COLUMNS[name]: [row[name]["values"] for row in rows.values()] for name in names}
    return beta_sweep([float(beta) for beta in rows], panels, caption)


def main(argv: Sequence[str] | None = None) -> int:
    """Train and measure as the arguments say; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=at_least_one, default=3)
    parser.add_argument("--epochs", type=at_least_one, default=SETTINGS.epochs)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="without its suffix")
    args = parser.parse_args(argv)
    rows = {}
    for beta in BETAS:
        each = [measure(beta, seed, args.epochs) for seed in range(args.seeds)]
        rows[f"{beta:g}"] = {name: summary(each, name) for name in COLUMNS} | {
            "gaps": np.mean([row["gaps"] for row in each], axis=0).tolist()
        }
        print(f"beta {beta:g}: MIG {cell(rows[f'{beta:g}']['mig'])}", flush=True)
    cells = [[beta, *(cell(row[name]) for name in COLUMNS)] for beta, row in rows.items()]
    print(table(["β", *COLUMNS.values()], cells))
    settings = replace(SETTINGS, epochs=args.epochs).to_json()
    write_json(args.json, own_conditions() | {"settings": settings, "rows": rows})
    if args.figure:
        caption = (
            f"Sprites, {args.seeds} seeds, {args.epochs} epochs; all but MIG in nats per image"
        )
        save(draw(rows, caption), args.figure.parent, args.figure.name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
