"""The 1,797 real handwritten digits of 8 x 8 pixels that scikit-learn carries: no network."""

import numpy as np

from scratchvae.data.dataset import Dataset, Split

LEVELS = 16  # each pixel counts the dark dots among 4 x 4
TRAIN_IMAGES = 1437  # the last 360, a fifth, are the test split


def load_digits() -> Dataset:
    """The digits, the first 1,437 to train and the last 360 to test; 64 pixels of 0..16 / 16.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, 1998.
    """
    from sklearn.datasets import load_digits as bundled

    bunch = bundled()
    whole = Split(bunch.data.astype(np.uint8), bunch.target.astype(np.int64), LEVELS)
    train, test = whole.take(slice(None, TRAIN_IMAGES)), whole.take(slice(TRAIN_IMAGES, None))
    return Dataset("digits", train, test, (8, 8))
