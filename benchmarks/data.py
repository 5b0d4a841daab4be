"""The images that the contenders train on: MNIST where it is at hand, else something like it."""

import os

import numpy as np
from numpy.typing import NDArray

from scratchvae.data import load_dataset

SIDE, LARGE = 28, 24


def images(n: int, seed: int = 0, test: bool = False) -> tuple[NDArray[np.uint8], str]:
    """n grey images (n, 784) of levels 0 … 255, and where they come from.

    The first n of MNIST's training images, or ``test`` images, if SCRATCHVAE_DATA names the folder
    that holds them, over and over if n is more than there are.
    """
    if os.environ.get("SCRATCHVAE_DATA"):
        mnist = load_dataset("mnist", download=False, quiet=True)
        found = mnist.test.images if test else mnist.train.images
        return found[np.arange(n) % len(found)], "MNIST"
    return enlarged_digits(n, seed, test), "scikit-learn's digits, enlarged to 28 × 28 and shifted"


def enlarged_digits(n: int, seed: int = 0, test: bool = False) -> NDArray[np.uint8]:
    """Real 8 × 8 digits, interpolated to 24 × 24 and placed at random within 28 × 28.

    Like MNIST's: about a fifth of the pixels are lit, those at the border hardly ever or never.
    """
    digits = load_dataset("digits")
    small = (digits.test if test else digits.train).values().reshape(-1, 8, 8)
    at = np.linspace(0, 7, LARGE)  # where the pixels of the enlarged image lie in the small one
    weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(8)))  # linear interpolation
    large = np.rint(255 * (weights @ small @ weights.T)).astype(np.uint8)
    large[large < 64] = 0

    rng = np.random.default_rng(seed)
    out = np.zeros((n, SIDE, SIDE), dtype=np.uint8)
    which = rng.integers(len(large), size=n)
    rows, columns = rng.binomial(SIDE - LARGE, 0.5, size=(2, n))  # the middle is the likeliest
    for image, i, row, column in zip(out, which, rows, columns, strict=True):
        image[row : row + LARGE, column : column + LARGE] = large[i]
    return out.reshape(n, SIDE * SIDE)


def binarized(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 where the grey value exceeds one half."""
    return (grey > 127).astype(np.uint8)
