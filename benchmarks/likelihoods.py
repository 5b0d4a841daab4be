"""Which likelihood describes grey levels best, in nats that can be compared. Takes three minutes.

    python -m benchmarks.likelihoods [--data digits] [--seeds 3] [--samples 1000] [--json FILE]
    python -m benchmarks.likelihoods --data mnist --seeds 1 --samples 200

The 8 × 8 digits have 17 grey levels. The same network, 64-200-200-8 with ReLU, is trained with a
categorical over the levels, with Gaussians (one learned σ, and one per pixel), with a continuous
Bernoulli, and with a Bernoulli's cross-entropy, as many programs do; each at the epoch that is best
on held-out images. A density has another unit than a probability: to be compared, it is integrated
over the level of each pixel (half a level to both sides; a Gaussian's end levels are open). The
cross-entropy is no density, so its model is scored by the density that is proportional to it, the
continuous Bernoulli at the same logits. Beside them a histogram per pixel, which knows nothing of
images. All on the test images: −ELBO with one sample per image, and −log p(x) by importance
sampling; last the same by the model's own formula, which cannot be compared.

On MNIST (784-200-200-20, 256 levels, the first 1,000 test images) there is no categorical: its
decoder would end with 200,704 logits.
"""

import argparse
import math
import tempfile
from collections.abc import Sequence
from copy import copy
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
from scratchvae.likelihoods import ContinuousBernoulli
from scratchvae.models import Model
from scratchvae.runs import RunFolder
from scratchvae.training import prepare, train

DENSITIES = ("gaussian-learned", "gaussian-per-pixel", "continuous-bernoulli", "bernoulli")
SETTINGS = {
    "digits": TrainConfig(hidden=(200, 200), latent_dim=8, epochs=300, validation=200, patience=30),
    "mnist": TrainConfig(
        data="mnist", hidden=(200, 200), latent_dim=20, batch_size=100, epochs=20, validation=5000
    ),
}
LIKELIHOODS = {"digits": ("categorical", *DENSITIES), "mnist": DENSITIES}
TEST_IMAGES = 1000  # at most


def score(data: str, likelihood: str, seed: int, samples: int) -> dict[str, float]:
    """Train one model and score its best epoch on the test images, in nats per image."""
    dataset = load_dataset(data)
    max_level = dataset.train.max_level
    assert max_level is not None
    config = replace(SETTINGS[data], likelihood=likelihood, seed=seed)
    resolved = resolve_max_level(config, max_level)
    bk = get_backend("cpu", config.dtype)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder.create(Path(folder) / "run", {"config": resolved.to_json()})
        training = train(resolved, dataset, backend=bk, run=run)
        model, _ = run.load(bk)
    test = prepare(resolved, dataset).test.take(slice(0, TEST_IMAGES))
    own = log_likelihood(model, test, samples=samples, seed=seed)
    by_mass = None if likelihood == "categorical" else mass_of_levels(max_level)
    if likelihood == "bernoulli":
        model = normalized(model)
    elbo = log_likelihood(model, test, samples=1, seed=seed, score=by_mass)
    log_p = log_likelihood(model, test, samples=samples, seed=seed, score=by_mass)
    return {
        "negative_elbo": -elbo.log_p,
        "nll": -log_p.log_p,
        "own_nll": -own.log_p,
        "epoch": training.best_epoch or 0,
    }


def normalized(model: Model) -> Model:
    """The same logits as those of a density: a Bernoulli's, as a continuous Bernoulli's."""
    vae = copy(model.vae)
    vae.likelihood = ContinuousBernoulli()
    return Model(vae, model.bk, params=model.params)


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean and standard error over the seeds."""
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return {"mean": fmean(values), "standard_error": error, "values": list(values)}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure as the arguments say; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", choices=SETTINGS, default="digits")
    parser.add_argument("--seeds", type=at_least_one, default=3)
    parser.add_argument("--samples", type=at_least_one, default=1000, help="for −log p(x)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    dataset = load_dataset(args.data)
    test = dataset.test.take(slice(0, TEST_IMAGES))
    histogram = float(histogram_nll(dataset.train, test).mean())
    rows: dict[str, Any] = {"histogram": {"nll": summary([histogram])}}
    print(f"{'nats per image':<22}{'−ELBO':>16}{'−log p(x)':>16}{'by its formula':>18}")
    print(f"{'histogram':<22}{'':>16}{histogram:>16.2f}")
    for likelihood in LIKELIHOODS[args.data]:
        scores = [score(args.data, likelihood, seed, args.samples) for seed in range(args.seeds)]
        rows[likelihood] = {key: summary([s[key] for s in scores]) for key in scores[0]}
        cells = ""
        for key, width in (("negative_elbo", 16), ("nll", 16), ("own_nll", 18)):
            found = rows[likelihood][key]
            error = "" if found["standard_error"] is None else f" ± {found['standard_error']:.2f}"
            cells += f"{found['mean']:.2f}{error}".rjust(width)
        print(f"{likelihood:<22}{cells}", flush=True)
    about = {
        "data": args.data,
        "images": len(test),
        "samples": args.samples,
        "settings": SETTINGS[args.data].to_json(),
    }
    write_json(args.json, own_conditions() | about | {"rows": rows})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
