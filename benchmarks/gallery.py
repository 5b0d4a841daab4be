"""The figures of docs/sklearn.md: the VAE beside scikit-learn's own estimators. Takes three
minutes.

    python -m benchmarks.gallery [--seeds 3] [--json FILE]

Five small tasks on data that come with scikit-learn; nothing is tuned to them but the learning
rate, 3e-3. A ± is a standard error: over the test rows where a log-likelihood is of one split, of
a share of right answers by its binomial, else over splits. The page holds these very tables.
"""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import EllipticEnvelope
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.ensemble import IsolationForest
from sklearn.impute import KNNImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.harness import own_conditions, table, write_json
from benchmarks.step import at_least_one
from scratchvae.evaluation import CompletionSettings, complete
from scratchvae.sklearn import VAE, VAEOutlierDetector

TRAIN = 1437  # digits to train on; the last 360 are the test part
BETAS = (0.1, 0.3, 1.0, 3.0)
Number = dict[str, float | None]  # mean and standard_error, None for one that is not known
Rows = dict[str, dict[str, Number]]
Make = Callable[[int], Any]  # an estimator from a seed


def digits_as_densities() -> tuple[NDArray, NDArray]:
    """Digits between 0 and 1, each level spread evenly over its seventeenth; and their labels.

    A density of bare levels could be made as large as one likes.
    """
    images, labels = load_digits(return_X_y=True)
    return (images + np.random.default_rng(0).uniform(size=images.shape)) / 17, labels


def over(values: Sequence[float]) -> Number:
    """Mean and standard error of independent values."""
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return {"mean": fmean(values), "standard_error": error}


def digits(seeds: int) -> Rows:
    """Logistic regression on the latent numbers; and log p(x), in nats per image."""
    X, y = digits_as_densities()
    kinds: dict[str, Callable[[int, int], Any]] = {
        "PCA": lambda size, seed: PCA(size),
        "factor analysis": lambda size, seed: FactorAnalysis(size, random_state=seed),
        "VAE": lambda size, seed: VAE(
            size, hidden=(200,), likelihood="gaussian-per-pixel", lr=3e-3, max_iter=100,
            random_state=seed,
        ),
    }  # fmt: skip
    rows: Rows = {}
    for size in (2, 10):
        for name, make in kinds.items():
            right, log_p = [], []
            for seed in range(seeds):
                model = make(size, seed)
                classifier = make_pipeline(model, LogisticRegression(C=10, max_iter=2000))
                classifier.fit(X[:TRAIN], y[:TRAIN])
                right.append(classifier.score(X[TRAIN:], y[TRAIN:]))
                log_p.append(model.score_samples(X[TRAIN:]))
            share, count = fmean(right), len(X) - TRAIN
            each = np.mean(log_p, axis=0)
            rows[f"{name}, {size} numbers"] = {
                "right": {
                    "mean": share,
                    "standard_error": math.sqrt(share * (1 - share) / count),
                },
                "log p": {
                    "mean": float(each.mean()),
                    "standard_error": float(each.std() / math.sqrt(count)),
                },
            }
    return rows


def beta(seeds: int) -> Rows:
    """Cross-validation on the digits to train on, for each weight of the KL."""
    X, y = digits_as_densities()
    rows: Rows = {f"β = {beta:g}": {} for beta in BETAS}
    vae = VAE(10, hidden=(200,), likelihood="gaussian-learned", lr=3e-3, max_iter=30)
    pipeline = make_pipeline(vae, LogisticRegression(C=10, max_iter=2000))
    for column, model, name in (("right", pipeline, "vae__"), ("log p", vae, "")):
        found = []
        for seed in range(seeds):
            model.set_params(**{f"{name}random_state": seed})
            search = GridSearchCV(
                model, {f"{name}beta": BETAS}, cv=KFold(5, shuffle=True, random_state=seed)
            ).fit(X[:TRAIN], y[:TRAIN])
            found += [search.cv_results_[f"split{k}_test_score"] for k in range(5)]
        for row, values in zip(rows.values(), np.transpose(found), strict=True):
            row[column] = over(values.tolist())
    return rows


def outliers(seeds: int) -> Rows:
    """Benign tumours to train on, and malignant ones to find: the area under the ROC curve."""
    X, y = load_breast_cancer(return_X_y=True)
    good, bad = X[y == 1], X[y == 0]
    kinds: dict[str, Make] = {
        "isolation forest": lambda seed: IsolationForest(random_state=seed),
        "elliptic envelope": lambda seed: EllipticEnvelope(random_state=seed),
        "local outlier factor": lambda seed: make_pipeline(
            StandardScaler(), LocalOutlierFactor(novelty=True)
        ),
        "VAE, 5 numbers": lambda seed: VAEOutlierDetector(5, lr=3e-3, random_state=seed),
    }
    rows: Rows = {}
    for name, make in kinds.items():
        areas = []
        for seed in range(2 * seeds):
            order = np.random.default_rng(seed).permutation(len(good))
            model = make(seed).fit(good[order[:200]])
            rest = np.vstack([good[order[200:]], bad])
            wrong = np.arange(len(rest)) >= len(good) - 200
            areas.append(float(roc_auc_score(wrong, -model.decision_function(rest))))
        rows[name] = {"area": over(areas)}
    return rows


def missing_pixels(seeds: int) -> Rows:
    """The lower halves of 100 test digits from the upper ones: the root mean square error."""
    X = load_digits().data / 16
    train, test = X[:TRAIN], X[TRAIN : TRAIN + 100]
    seen = np.arange(64) < 32

    def error(filled: NDArray) -> list[float]:
        return [float(np.sqrt(((filled - test)[:, ~seen] ** 2).mean()))]

    neighbours = KNNImputer(n_neighbors=10).fit(train)
    by_vae: list[float] = []
    for seed in range(seeds):
        vae = VAE(10, hidden=(200,), lr=3e-3, max_iter=100, random_state=seed).fit(train)
        settings = CompletionSettings(steps=200, final_samples=200, seed=seed)
        by_vae += error(complete(vae.model_, test, seen, settings=settings).filled)
    means = np.broadcast_to(train.mean(axis=0), test.shape)
    return {
        "mean of each pixel": {"error": over(error(means))},
        "10 nearest neighbours": {
            "error": over(error(neighbours.transform(np.where(seen, test, np.nan))))
        },
        "VAE, 10 numbers": {"error": over(by_vae)},
    }  # fmt: skip


def floats(seeds: int) -> Rows:
    """log p(x) of held-out wines, 13 standardized columns, in nats: 5 folds for each seed."""
    X = load_wine().data
    kinds: dict[str, Make] = {
        "factor analysis, 2 numbers": lambda seed: FactorAnalysis(2, random_state=seed),
        "factor analysis, 5 numbers": lambda seed: FactorAnalysis(5, random_state=seed),
        "mixture of 3 diagonal Gaussians": lambda seed: GaussianMixture(
            3, covariance_type="diag", random_state=seed
        ),
        "VAE, 2 numbers": lambda seed: VAE(2, lr=3e-3, random_state=seed),
        "VAE, 5 numbers": lambda seed: VAE(5, lr=3e-3, random_state=seed),
    }
    rows: Rows = {}
    for name, make in kinds.items():
        scores: list[float] = []
        for seed in range(seeds):
            folds = KFold(5, shuffle=True, random_state=seed)
            model = make_pipeline(StandardScaler(), make(seed))
            scores += cross_val_score(model, X, cv=folds).tolist()
        rows[name] = {"log p": over(scores)}
    return rows


TASKS: dict[str, Callable[[int], Rows]] = {
    "digits": digits,
    "beta": beta,
    "outliers": outliers,
    "missing pixels": missing_pixels,
    "floats": floats,
}
# How a column is headed, and its number of decimals.
COLUMNS = {
    "right": ("right answers", 3),
    "log p": ("log p(x), nats", 2),
    "area": ("area under the ROC curve", 3),
    "error": ("root mean square error", 3),
}


def show(number: Number, decimals: int) -> str:
    """The mean, with its error where there is one."""
    text = f"{number['mean']:.{decimals}f}"
    error = number["standard_error"]
    return text if error is None else f"{text} ± {error:.{decimals}f}"


def as_table(rows: Mapping[str, Mapping[str, Number]]) -> str:
    """A task's rows as a table of text, as the page has it."""
    columns = list(next(iter(rows.values())))
    cells = [[name, *(show(row[c], COLUMNS[c][1]) for c in columns)] for name, row in rows.items()]
    return table(["", *(COLUMNS[c][0] for c in columns)], cells)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure as the arguments say; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=at_least_one, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    found: dict[str, Rows] = {}
    for name, task in TASKS.items():
        found[name] = task(args.seeds)
        print(f"{name}\n\n{as_table(found[name])}\n", flush=True)
    write_json(args.json, own_conditions() | {"seeds": args.seeds, "tasks": found})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
