"""Part of a data set, named so that a configuration can hold it.

``first:N`` and ``last:N``: the first or the last N training images. ``draw:SEED:N:M``: N training
and then M test images, drawn with replacement by NumPy's legacy generator, as tutorials do:
``RandomState(SEED).choice(len(train), N)``, then ``.choice(len(test), M)``. An empty text: all.
"""

import numpy as np

from scratchvae.data.dataset import Dataset, make_dataset
from scratchvae.errors import ConfigError

FORMS = "first:N, last:N or draw:SEED:N:M"


def parse_subset(text: str) -> tuple[str, tuple[int, ...]] | None:
    """The kind and its numbers, None for all images; ``ConfigError`` for anything else."""
    if not text:
        return None
    kind, *rest = text.split(":")
    wanted = {"first": 1, "last": 1, "draw": 3}.get(kind)
    if wanted != len(rest) or not all(part.isdecimal() for part in rest):
        raise ConfigError(f"the subset {text!r} is not of the form {FORMS}")
    numbers = tuple(int(part) for part in rest)
    if not all(n >= 1 for n in numbers[-2 if kind == "draw" else 0 :]):
        raise ConfigError(f"the subset {text!r} holds no image")
    if kind == "draw" and numbers[0] >= 2**32:
        raise ConfigError(f"the subset {text!r}: the seed of a draw is below 2³²")
    return kind, numbers


def select(dataset: Dataset, text: str) -> Dataset:
    """The part of a data set that ``text`` names; ``ConfigError`` if it has too few images."""
    parsed = parse_subset(text)
    if parsed is None:
        return dataset
    kind, numbers = parsed
    train, test = dataset.train, dataset.test
    if kind == "draw":
        seed, n, m = numbers
        draw = np.random.RandomState(seed)  # the tutorials' generator
        train = train.take(draw.choice(len(train), n))
        test = test.take(draw.choice(len(test), m))
    else:
        (n,) = numbers
        if n > len(train):
            raise ConfigError(f"the subset {text!r} asks for more than {len(train)} images")
        train = train.take(slice(0, n) if kind == "first" else slice(len(train) - n, None))
    return make_dataset(dataset.name, train, test, dataset.image_shape, dataset.notes)
