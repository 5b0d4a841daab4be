"""What a training works with, prepared once and handed on: settings, model, splits, order."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import Backend, get_backend
from scratchvae.backend.allocation import checked_nbytes, require_memory
from scratchvae.backend.noise import Purpose, Stream, permutation
from scratchvae.config import (
    TrainConfig,
    resolve_condition,
    resolve_gaussian,
    resolve_max_level,
)
from scratchvae.data import (
    Dataset,
    Split,
    binarize,
    hold_out,
    keep_labels,
    require_unit_interval,
)
from scratchvae.data.arrays import range_of
from scratchvae.data.mapped import Images, Index, MappedRows, blocks
from scratchvae.errors import ConfigError, DataError, require_instance
from scratchvae.likelihoods import GaussianLikelihood
from scratchvae.models import VAE, Condition
from scratchvae.optim import Optimizer
from scratchvae.runs.checkpoint import Checkpoint
from scratchvae.training.partition import require_pieces
from scratchvae.training.step import Batches

TRAIN_LANE, TEST_LANE = 0, 1  # the draws of static binarization


@dataclass(frozen=True)
class Prepared:
    """Settings, model and data that fit each other, as checked by :func:`prepare`.

    ``train``, ``test`` and ``validation`` are the splits as the model sees them: binarized, unless
    the protocol is "none" or "dynamic". ``start`` is the state of another training of the model,
    perhaps on other data: training continues from its parameters, moments, epoch and step, so
    ``epochs`` counts the earlier epochs, too.
    """

    given: TrainConfig  # as the caller has them
    config: TrainConfig  # with what they leave to the data
    dataset: Dataset
    vae: VAE
    made_by_hand: bool  # the caller has put the model together; the settings of it do not count
    train: Split
    test: Split
    validation: Split | None
    optimizer: Optimizer | None = None  # the caller's own, whose settings then count alone
    tested: bool = True  # whether epochs end with an evaluation on ``test``
    start: Checkpoint | None = None


def prepare(
    config: TrainConfig,
    dataset: Dataset,
    *,
    vae: VAE | None = None,
    optimizer: Optimizer | None = None,
) -> Prepared:
    """Check settings against data, build the model, binarize, and hold out a validation split.

    ``vae``, ``optimizer``: the caller's own, instead of those that the settings describe. Raises
    ``DataError`` and ``ConfigError`` if they do not fit each other, and ``MemoryError`` for a
    model, or a step of it, that is too large for any machine.
    """
    require_instance(config, TrainConfig, "config", "scratchvae.TrainConfig(epochs=5)")
    require_instance(dataset, Dataset, "dataset", "scratchvae.Dataset.from_arrays(images)")
    if vae is not None:
        require_instance(vae, VAE, "vae", f"scratchvae.VAE.mlp({dataset.train.images.shape[1]})")
    if optimizer is not None:
        example = "scratchvae.optim.Adam(lr=1e-3); the settings take a name"
        require_instance(optimizer, Optimizer, "optimizer", example)
    given, made_by_hand = config, vae is not None
    pixels = dataset.train.images.shape[1]
    if vae is None:
        config = resolve(config, dataset)
        vae = config.make_vae(pixels)
    if vae.condition.pixels(vae.pixels) != pixels:
        raise DataError(
            f"the model takes {vae.condition.pixels(vae.pixels)} numbers per image, but those of "
            f"{dataset.name} have {pixels}"
        )
    vae.condition.require_data(dataset.image_shape, (dataset.train.labels, dataset.test.labels))
    parameters = checked_nbytes((vae.layout.padded_size,), config.dtype)
    require_memory(2 * parameters, f"a model of {vae.layout.padded_size:,} parameters")
    batch = (config.batch_size, vae.samples, vae.pixels + vae.latent_dim)
    require_memory(checked_nbytes(batch, config.dtype), "a batch")
    if vae.likelihood.unit_interval:
        for split, part in ((dataset.train, "training"), (dataset.test, "test")):
            require_unit_interval(split, f"{dataset.name}, {part} images")
    train = binarize(dataset.train, config.binarize, seed=config.seed, lane=TRAIN_LANE)
    test = binarize(dataset.test, config.binarize, seed=config.seed, lane=TEST_LANE)
    validation = None
    if config.validation:
        train, validation = hold_out(train, config.validation, config.seed)
    if config.labels:
        train = keep_labels(train, config.labels, config.seed, vae.samples)
    if config.batch_size > len(train):
        raise ConfigError(
            f"batch_size is {config.batch_size}, but there are only {len(train)} training images"
        )
    if config.pieces:
        require_pieces(config.pieces, config.batch_size, vae)
    if config.output_bias == "mean":
        vae = vae.with_first_logits(logits_of_mean(vae, train))
    return Prepared(given, config, dataset, vae, made_by_hand, train, test, validation, optimizer)


def resolve(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """The settings with what follows from the data.

    That is a condition's sizes, grey levels, a Gaussian's mean and spread.
    """
    train = dataset.train
    config = resolve_condition(config, dataset)
    config = resolve_max_level(config, train.max_level)
    if not issubclass(config.likelihood_class, GaussianLikelihood):
        return config
    scale = 1.0 if train.max_level is None else 1.0 / train.max_level
    with np.errstate(all="ignore"):
        numbers = (*range_of([train.images]), standard_deviation(train.images))
    return resolve_gaussian(config, *(float(scale * n) for n in numbers))


def standard_deviation(images: Images) -> float:
    """The standard deviation of all values, float64.

    Of images in files it is summed in blocks, so that its last bits may differ.
    """
    if not isinstance(images, MappedRows):
        return float(images.std(dtype=np.float64))
    count = len(images) * images.shape[1]
    mean = sum(float(block.sum(dtype=np.float64)) for _, block in blocks(images)) / count
    square = sum(float(((block - mean) ** 2).sum()) for _, block in blocks(images))
    return float(np.sqrt(square / count))


def mean_row(images: Images) -> NDArray[np.float64]:
    """The mean image (D,), float64, added up image by image."""
    total = np.zeros(images.shape[1])
    for _, block in blocks(images):
        rows = block.astype(np.float64)
        rows[0] += total
        total = rows.sum(axis=0)
    return total / len(images)


def logits_of_mean(vae: VAE, train: Split) -> NDArray[np.float64]:
    """The logits (D,), float64, whose mean E[x|z] is the mean training image.

    Raises ``ConfigError`` for a likelihood that does not define them.
    """
    scale = 1.0 if train.max_level is None else 1.0 / train.max_level
    mean = vae.condition.modelled_of(scale * mean_row(train.images))
    logits = np.empty_like(mean)
    vae.likelihood.logits(get_backend("cpu", "float64"), mean, logits)
    return logits


def epoch_order(n: int, seed: int, epoch: int, shuffle: bool) -> NDArray[np.int64]:
    """The order in which an epoch (from 1) visits its n images: (n,) int64.

    A permutation that depends on (seed, epoch) alone; without ``shuffle``, 0 to n − 1.
    """
    if not shuffle:
        return np.arange(n, dtype=np.int64)
    return permutation(n, Stream(seed, Purpose.ORDER, epoch))


def make_batches(prepared: Prepared, bk: Backend) -> Batches:
    """The training images on the device, or in their files, and how batches are made of them."""
    config, split, condition = prepared.config, prepared.train, prepared.vae.condition
    one = split.max_level or 1
    if isinstance(split.images, MappedRows):
        rows = split.images
        if condition.kind:
            low, high = rows.bounds
            labelled = partial(_with_condition, condition, split.labels, one)
            rows = rows.made(labelled, rows.dtype, (min(low, 0), max(high, one)))
    else:
        values = condition.rows(split.images, split.labels, one)
        rows = bk.array(values, dtype=values.dtype)
    return Batches(
        rows,
        split.max_level,
        config.batch_size,
        config.seed,
        dynamic=config.binarize == "dynamic",
    )


def _with_condition(
    condition: Condition, labels: NDArray | None, one: int, images: NDArray, numbers: Index
) -> NDArray:
    """The rows of a conditional model, of images that have these numbers."""
    return condition.rows(images, None if labels is None else labels[numbers], one)
