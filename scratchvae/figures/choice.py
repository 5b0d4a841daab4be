"""Which images the figures of a run show: a choice that the seed makes."""

from typing import Any

from scratchvae.backend.noise import Purpose, Stream, permutation
from scratchvae.config import TrainConfig
from scratchvae.data import Split
from scratchvae.evaluation import visible
from scratchvae.training import Views


def figure_originals(views: Views, config: TrainConfig) -> Any:
    """The ten test images that are shown beside their reconstructions: (10, D), as seen."""
    return visible_of(pick(views.test, 10, config.seed), config)


def pick(split: Split, count: int, seed: int) -> Split:
    """So many images of a split (or all), chosen by the seed."""
    return split.take(permutation(len(split), Stream(seed, Purpose.FIGURE))[:count])


def visible_of(split: Split, config: TrainConfig) -> Any:
    """The images as the model sees them."""
    return visible(split, config.binarize, config.seed, visit=0)
