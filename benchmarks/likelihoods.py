"""Which likelihood describes grey levels best, in nats that can be compared. Takes two minutes.

    python -m benchmarks.likelihoods [--seeds 3] [--samples 1000] [--json FILE]

The 8 × 8 digits have 17 grey levels. The same network, 64-200-200-8 with ReLU, is trained with a
categorical over the levels and with Gaussians (one learned σ, and one per pixel), each at the epoch
that is best on 200 held-out images. A Gaussian is a density; to be compared with a probability it
is scored by the mass that it gives to each pixel's level (differences of Φ, the end levels open).
Beside them a histogram per pixel, which knows nothing of images. All on the test images: −ELBO with
one sample per image, and −log p(x) by importance sampling.
"""

import argparse
import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.harness import own_conditions, write_json
from benchmarks.step import at_least_one
from scratchvae.backend import get_backend
from scratchvae.config import TrainConfig, resolve_max_level
from scratchvae.data import load_dataset
from scratchvae.evaluation import histogram_nll, log_likelihood, mass_of_levels
from scratchvae.runs import RunFolder
from scratchvae.training import prepare, train

LIKELIHOODS = ("categorical", "gaussian-learned", "gaussian-per-pixel")
SETTINGS = TrainConfig(hidden=(200, 200), latent_dim=8, epochs=300, validation=200, patience=30)


def score(likelihood: str, seed: int, samples: int) -> dict[str, float]:
    """Train one model and score its best epoch on the test images, in nats per image."""
    dataset = load_dataset("digits")
    max_level = dataset.train.max_level
    assert max_level is not None
    config = replace(SETTINGS, likelihood=likelihood, seed=seed)
    resolved = resolve_max_level(config, max_level)
    bk = get_backend("cpu", config.dtype)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder.create(Path(folder) / "run", {"config": resolved.to_json()})
        training = train(resolved, dataset, backend=bk, run=run)
        model, _ = run.load(bk)
    test = prepare(resolved, dataset).test
    by_mass = None if likelihood == "categorical" else mass_of_levels(max_level)
    elbo = log_likelihood(model, test, samples=1, seed=seed, score=by_mass)
    log_p = log_likelihood(model, test, samples=samples, seed=seed, score=by_mass)
    return {"negative_elbo": -elbo.log_p, "nll": -log_p.log_p, "epoch": training.best_epoch or 0}


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean and standard error over the seeds."""
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return {"mean": fmean(values), "standard_error": error, "values": list(values)}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure as the arguments say; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=at_least_one, default=3)
    parser.add_argument("--samples", type=at_least_one, default=1000, help="for −log p(x)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    dataset = load_dataset("digits")
    histogram = float(histogram_nll(dataset.train, dataset.test).mean())
    rows: dict[str, Any] = {"histogram": {"nll": summary([histogram])}}
    print(f"{'nats per image':<22}{'−ELBO':>16}{'−log p(x)':>16}")
    print(f"{'histogram':<22}{'':>16}{histogram:>16.2f}")
    for likelihood in LIKELIHOODS:
        scores = [score(likelihood, seed, args.samples) for seed in range(args.seeds)]
        rows[likelihood] = {key: summary([s[key] for s in scores]) for key in scores[0]}
        cells = ""
        for key in ("negative_elbo", "nll"):
            found = rows[likelihood][key]
            error = "" if found["standard_error"] is None else f" ± {found['standard_error']:.2f}"
            cells += f"{found['mean']:.2f}{error}".rjust(16)
        print(f"{likelihood:<22}{cells}", flush=True)
    write_json(args.json, own_conditions() | {"settings": SETTINGS.to_json(), "rows": rows})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
