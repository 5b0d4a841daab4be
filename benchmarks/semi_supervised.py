"""How well few labels suffice: M1 + M2, and the classifier alone. Takes half an hour.

    python -m benchmarks.semi_supervised [--labels 100 1000] [--draws 5] [--epochs 10]
                                         [--codes FILE] [--json FILE]
    python -m benchmarks.semi_supervised --pixels

MNIST. M1 is a VAE, 784-500-50, that learns from all training images and sees no label, once for all
draws. M2 models its codes: the means of its active units, as Gaussians whose standard deviations
are learned. As many labels of each digit are kept, another draw of them for each seed; M2 also
learns from the codes of the images without one. Beside it stands the classifier alone, of as many
units, trained by the same code on the labelled images and no others, of codes and of binarized
pixels. The accuracy is that on all test images, after the last epoch: nothing is chosen by them.

``--pixels``: M2 of the pixels, 784-500-50, instead of codes. What is in ``--json FILE`` is not
measured again, so that a call that was stopped can be repeated; ``--codes`` keeps M1 in a file.

Published (table 1 of Kingma et al. 2014), 100 and 1,000 labels: M1 + M2 0.967 and 0.976, M2 0.880
and 0.964, a network of the labelled images alone 0.742 and 0.893.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import own_conditions, write_json
from benchmarks.likelihoods import summary
from benchmarks.step import at_least_one
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset, Split, keep_labels, load_dataset
from scratchvae.evaluation import accuracy, evaluate, is_active
from scratchvae.layers import Dense, ReLU, Sequential
from scratchvae.models import M2, Model
from scratchvae.training import prepare, train

CLASSES = 10
M1 = TrainConfig(
    data="mnist", binarize="dynamic", hidden=(500,), latent_dim=50, batch_size=100, lr=1e-3,
    epochs=15, evaluate_at=(15,), workers=1,
)  # fmt: skip
CODES = TrainConfig(
    data="codes of MNIST", condition="some-labels:10", classifier_weight=20.0, hidden=(600,),
    latent_dim=10, likelihood="gaussian-learned", mean="identity", start_std=1.0, batch_size=100,
    workers=1,
)  # fmt: skip
PIXELS = replace(
    CODES, data="mnist", binarize="dynamic", likelihood="bernoulli", mean="auto", start_std=0.0,
    hidden=(500,), latent_dim=50, lr=5e-4,
)  # fmt: skip
ALONE = 2_000  # steps of the classifier alone


def codes_of(model: Model, dataset: Dataset) -> Dataset:
    """The means of the active units of M1, of every image, with the images' labels."""
    train_mu, test_mu = (model.encode(s.values()).mu for s in (dataset.train, dataset.test))
    active = is_active(train_mu)

    def of(mu: NDArray, split: Split) -> Split:
        return Split(np.ascontiguousarray(mu[:, active], np.float32), split.labels, None)

    return Dataset(CODES.data, of(train_mu, dataset.train), of(test_mu, dataset.test), None)


def settings_of(base: TrainConfig, images: int, labels: int, epochs: int, seed: int) -> TrainConfig:
    """Of M2; of codes its learning rate falls along a cosine."""
    config = replace(base, labels=labels, epochs=epochs, evaluate_at=(epochs,), seed=seed)
    steps = epochs * -(-images // base.batch_size)
    return replace(config, lr=f"cosine:2e-3:1e-5:{steps}") if base is CODES else config


def one_draw(dataset: Dataset, config: TrainConfig) -> dict[str, float]:
    """The accuracy of M2 with the labels that the seed draws, and its bound given the label."""
    model, test = train(config, dataset, verbose=False).model, prepare(config, dataset).test
    return {"accuracy": accuracy(model, test), "loss": evaluate(model, test).loss}


def classifier_alone(dataset: Dataset, config: TrainConfig, steps: int = ALONE) -> float:
    """The accuracy of the classifier that learns from the labelled images alone.

    It is that of M2, whose other networks have a single unit here: nothing of theirs reaches the
    classifier of an image whose label is known.
    """
    labelled = keep_labels(dataset.train, config.labels, config.seed, CLASSES)
    assert labelled.labels is not None
    known = np.flatnonzero(labelled.labels >= 0)[: config.labels]
    few = labelled.take(known)
    pixels = few.images.shape[1]
    small = replace(
        config, condition="", labels=0, classifier_weight=1.0, hidden=(1,), latent_dim=1
    )
    layers = [layer for units in config.hidden for layer in (Dense(units), ReLU())]
    classifier = Sequential(*layers, Dense(CLASSES))
    vae = M2(
        small.make_vae(pixels),
        pixels,
        classifier,
        CLASSES,
        classifier_weight=config.classifier_weight,
    )
    epochs = -(-steps // -(-len(few) // config.batch_size))
    alone = replace(
        config, labels=0, hidden=(1,), latent_dim=1, lr=1e-3, epochs=epochs, evaluate_at=(epochs,),
        batch_size=min(config.batch_size, len(few)),
    )  # fmt: skip
    dataset = replace(dataset, train=few)
    trained = train(alone, dataset, vae=vae, verbose=False)
    return accuracy(trained.model, prepare(alone, dataset, vae=vae).test)


def earlier_draws(path: Path | None, settings: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What a result file holds, if it was measured with the same settings."""
    if path is None or not path.exists():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return dict(content["draws"]) if content["settings"] == settings else {}


def first_model(dataset: Dataset, path: Path | None) -> Model:
    """M1: trained, or from the file that keeps it."""
    if path is not None and path.exists():
        return Model.load(path)
    model = train(M1, dataset, verbose=False).model
    if path is not None:
        model.save(path)
    return model


def main(argv: Sequence[str] | None = None) -> int:
    """Measure as the arguments say; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--labels", type=at_least_one, nargs="+", default=[100, 1000])
    parser.add_argument("--draws", type=at_least_one, default=5)
    parser.add_argument("--epochs", type=at_least_one, default=10)
    parser.add_argument("--pixels", action="store_true", help="M2 of pixels, without M1")
    parser.add_argument("--codes", type=Path, metavar="FILE", help="where M1 is kept")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    pixels = load_dataset("mnist")
    base = PIXELS if args.pixels else CODES
    settings = {"m1": None if args.pixels else M1.to_json(), "m2": base.to_json()}
    settings = json.loads(json.dumps(settings | {"epochs": args.epochs}))
    draws = earlier_draws(args.json, settings)
    dataset = pixels if args.pixels else codes_of(first_model(pixels, args.codes), pixels)
    for labels in args.labels:
        found = draws.setdefault(str(labels), [])
        for seed in range(len(found), args.draws):
            config = settings_of(base, len(dataset.train), labels, args.epochs, seed)
            number = one_draw(dataset, config)
            if not args.pixels:
                number["alone_on_codes"] = classifier_alone(dataset, config)
            of_pixels = replace(PIXELS, labels=labels, seed=seed)
            number["alone_on_pixels"] = classifier_alone(pixels, of_pixels)
            found.append(number)
            words = ", ".join(f"{name} {value:.4f}" for name, value in number.items())
            print(f"{labels} labels, draw {seed}: {words}", flush=True)
            rows = {
                count: {name: summary([each[name] for each in them]) for name in them[0]}
                for count, them in draws.items()
                if them
            }
            content = {"settings": settings, "draws": draws, "rows": rows}
            write_json(args.json, own_conditions() | content)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
