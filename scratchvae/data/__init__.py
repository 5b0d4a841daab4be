"""Where images come from: files with their checks, downloads, splits and binarization.

Importing this package loads NumPy and the standard library; scikit-learn and pooch are
loaded by the one function that needs them.
"""

from scratchvae.data.binarize import bernoulli, binarize, describe
from scratchvae.data.dataset import PROTOCOLS, Dataset, Split, require_unit_interval
from scratchvae.data.download import cache_folder
from scratchvae.data.load import DATASETS, load_dataset
from scratchvae.data.reading import SPLITS, Reading
from scratchvae.data.sprites import draw_sprites, sprite_factors
from scratchvae.data.subset import SUBSETS, hold_out, is_subset, keep_labels, select

__all__ = [
    "DATASETS",
    "PROTOCOLS",
    "SPLITS",
    "SUBSETS",
    "Dataset",
    "Reading",
    "Split",
    "bernoulli",
    "binarize",
    "cache_folder",
    "describe",
    "draw_sprites",
    "hold_out",
    "is_subset",
    "keep_labels",
    "load_dataset",
    "require_unit_interval",
    "select",
    "sprite_factors",
]
