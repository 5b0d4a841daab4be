"""What a training visits: the splits as the model sees them, and the order of an epoch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend.allocation import checked_nbytes
from scratchvae.backend.noise import Purpose, Stream, permutation
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset, Split, binarize, hold_out, require_unit_interval
from scratchvae.errors import ConfigError

TRAIN_LANE, TEST_LANE = 0, 1  # the draws of static binarization


@dataclass(frozen=True)
class Views:
    """The splits as the model sees them, binarized where the protocol is a fixed one."""

    train: Split
    test: Split
    validation: Split | None


def prepare(config: TrainConfig, dataset: Dataset) -> Views:
    """Check data against settings, binarize, hold out; raises ``DataError``, ``ConfigError``.

    ``MemoryError`` for a model, or a step of it, that no machine has room for.
    """
    vae = config.make_vae(dataset.train.images.shape[1])
    checked_nbytes((vae.layout.padded_size,), config.dtype)
    checked_nbytes((config.batch_size, vae.samples, vae.pixels + vae.latent_dim), config.dtype)
    if vae.likelihood.unit_interval:
        for split, part in ((dataset.train, "training"), (dataset.test, "test")):
            require_unit_interval(split, f"{dataset.name}, {part} images")
    train = binarize(dataset.train, config.binarize, seed=config.seed, lane=TRAIN_LANE)
    test = binarize(dataset.test, config.binarize, seed=config.seed, lane=TEST_LANE)
    validation = None
    if config.validation:
        train, validation = hold_out(train, config.validation, config.seed)
    if config.batch_size > len(train):
        raise ConfigError(
            f"batch_size is {config.batch_size}, but there are only {len(train)} training images"
        )
    return Views(train, test, validation)


def epoch_order(n: int, seed: int, epoch: int, shuffle: bool) -> NDArray[np.int64]:
    """The images of an epoch (from 1) in visiting order: a function of (seed, epoch) alone.

    Without ``shuffle``: the order of the file.
    """
    if not shuffle:
        return np.arange(n, dtype=np.int64)
    return permutation(n, Stream(seed, Purpose.ORDER, epoch))
