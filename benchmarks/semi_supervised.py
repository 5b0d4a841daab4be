"""How well few labels suffice: M2, which sums out the others, and a classifier. Takes hours.

    python -m benchmarks.semi_supervised [--labels 100] [--draws 5] [--images 60000] [--epochs 30]
                                         [--json FILE]

MNIST, binarized at every visit, 784-500-50 with a classifier of 500 units. As many labels of each
digit are kept, another draw of them for each seed; the classifier alone is trained by the same code
on the labelled images and no others, as many steps. The accuracy is that on all test images, after
the last epoch: nothing is chosen by them. About a minute and a half for each epoch of 20,000 images
on one core; ``--images`` takes the first so many of the training images.

Published: 0.88 and 0.96 with 100 and 1,000 labels (M2 in table 1 of Kingma et al. 2014).
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.harness import own_conditions, write_json
from benchmarks.likelihoods import summary
from benchmarks.step import at_least_one
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset, keep_labels, load_dataset
from scratchvae.data.subset import select
from scratchvae.evaluation import accuracy, evaluate
from scratchvae.training import train

SETTINGS = TrainConfig(
    data="mnist", binarize="dynamic", condition="some-labels:10", classifier_weight=10.0,
    hidden=(500,), latent_dim=50, batch_size=100, lr=5e-4, workers=1,
)  # fmt: skip
CLASSES = 10


def one_draw(dataset: Dataset, config: TrainConfig) -> dict[str, float]:
    """The accuracies with the labels that the seed draws, and M2's bound given the label."""
    model = train(config, dataset, verbose=False).model
    labelled = keep_labels(dataset.train, config.labels, config.seed, CLASSES)
    alone = labelled.take(labelled.labels >= 0) if labelled.labels is not None else labelled
    epochs = max(1, round(config.epochs * len(labelled) / len(alone)))
    few = replace(config, labels=0, epochs=epochs, evaluate_at=(epochs,),
                  batch_size=min(config.batch_size, len(alone)))  # fmt: skip
    classifier = train(few, replace(dataset, train=alone), verbose=False).model
    return {
        "accuracy": accuracy(model, dataset.test),
        "alone": accuracy(classifier, dataset.test),
        "loss": evaluate(model, dataset.test).loss,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure as the arguments say; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--labels", type=at_least_one, default=100)
    parser.add_argument("--draws", type=at_least_one, default=5)
    parser.add_argument("--images", type=at_least_one, default=60_000)
    parser.add_argument("--epochs", type=at_least_one, default=30)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    dataset = select(load_dataset("mnist"), f"first:{args.images}")
    config = replace(SETTINGS, labels=args.labels, epochs=args.epochs, evaluate_at=(args.epochs,))
    found = []
    for seed in range(args.draws):
        found.append(one_draw(dataset, replace(config, seed=seed)))
        numbers = ", ".join(f"{name} {value:.4f}" for name, value in found[-1].items())
        print(f"draw {seed}: {numbers}", flush=True)
    rows: dict[str, Any] = {key: summary([f[key] for f in found]) for key in found[0]}
    for key, title in (("accuracy", "M2"), ("alone", "the classifier alone")):
        print(f"{title}: accuracy {rows[key]['mean']:.4f} with {args.labels} labels")
    about = {"labels": args.labels, "draws": args.draws, "images": args.images}
    write_json(args.json, own_conditions() | about | {"settings": config.to_json(), "rows": rows})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
