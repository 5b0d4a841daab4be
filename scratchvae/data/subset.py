"""Parts of a data set: a subset that a configuration can name, and a validation split.

``first:N`` and ``last:N``: the first or the last N training images. ``draw:SEED:N:M``: N training
and then M test images, drawn with replacement by NumPy's legacy generator, as tutorials do:
``RandomState(SEED).choice(len(train), N)``, then ``.choice(len(test), M)``. An empty text: all.
"""

import re
from dataclasses import replace

import numpy as np

from scratchvae.backend.noise import Purpose, permutation
from scratchvae.data.dataset import Dataset, Split, stream_of
from scratchvae.errors import ConfigError

SUBSETS = "first:N, last:N or draw:SEED:N:M, with numbers of at least 1"
FORM = re.compile(r"(first|last):([1-9]\d*)|(draw):(\d+):([1-9]\d*):([1-9]\d*)|", re.ASCII)


def is_subset(text: str) -> bool:
    """Whether ``text`` has the form of a subset (SUBSETS) or is empty, for all images."""
    return FORM.fullmatch(text) is not None


def select(dataset: Dataset, text: str) -> Dataset:
    """The part of a data set that ``text`` names, empty for all of it.

    "first:N" and "last:N": N training images. "draw:SEED:N:M": N training and M test images, drawn
    with replacement by NumPy's ``RandomState``. Raises ConfigError for other texts and for more
    images than there are.
    """
    match = FORM.fullmatch(text)
    if match is None:
        raise ConfigError(f"the subset {text!r} is not of the form {SUBSETS}")
    train, test = dataset.train, dataset.test
    if not text:
        return dataset
    if match[3]:
        seed, n, m = (int(number) for number in match.group(4, 5, 6))
        if seed >= 2**32:
            raise ConfigError(f"the subset {text!r}: the seed of a draw is below 2³²")
        draw = np.random.RandomState(seed)  # the tutorials' generator
        train = train.take(draw.choice(len(train), n))
        test = test.take(draw.choice(len(test), m))
    else:
        n = int(match[2])
        if n > len(train):
            raise ConfigError(f"the subset {text!r} asks for more than {len(train)} images")
        train = train.take(slice(0, n) if match[1] == "first" else slice(len(train) - n, None))
    return replace(dataset, train=train, test=test)


def keep_labels(train: Split, count: int, seed: int, classes: int) -> Split:
    """``train`` with ``count`` of its labels, as many of each class, and −1 in place of the others.

    The choice is drawn by ``seed``. Images whose label is known are repeated, so that they are at
    least a tenth of those that are returned. Raises ConfigError for more labels than there are.
    """
    known = train.labels
    if known is None or count > (known >= 0).sum():
        have = 0 if known is None else int((known >= 0).sum())
        raise ConfigError(f"{count} labels cannot be kept: the training images have {have}")
    order = permutation(len(train), stream_of(seed, Purpose.SPLIT, 1))
    of_class = [order[known[order] == k] for k in range(classes)]
    # in turn, the first of each class, the second of each, …
    ranks = np.concatenate([np.arange(len(rows)) for rows in of_class])
    chosen = np.concatenate(of_class)[np.argsort(ranks, kind="stable")][:count]
    labels = np.full(len(train), -1, np.int64)
    labels[chosen] = known[chosen]
    copies = max(0, -(-(len(train) - count) // (9 * count)) - 1)
    rows = np.concatenate([np.arange(len(train)), np.tile(np.sort(chosen), copies)])
    return replace(train, labels=labels).take(rows)


def hold_out(train: Split, count: int, seed: int) -> tuple[Split, Split]:
    """Hold ``count`` images out of ``train``: (rest, validation).

    The choice depends on (seed, len(train), count) alone, and a larger count holds out the same
    images and more. Both parts keep the order of ``train``.

    Raises ConfigError unless 1 <= count < len(train).
    """
    if not 1 <= count < len(train):
        raise ConfigError(
            f"{count} images cannot be held out of {len(train)}: "
            f"at least one must be held out and at least one must remain"
        )
    order = permutation(len(train), stream_of(seed, Purpose.SPLIT))
    return train.take(np.sort(order[count:])), train.take(np.sort(order[:count]))
