"""Sprites: small black and white images of one shape each, drawn from factors that are known.

All combinations of shape, size and place are there once, so that the factors are independent, and
what a code says about one of them can be computed exactly. The idea is that of dSprites (Matthey
et al. 2017), which has larger images, and more.
"""

import math

import numpy as np
from numpy.typing import NDArray

from scratchvae.data.dataset import Dataset, Split

SIDE = 16  # pixels
SHAPES = ("disc", "square", "triangle")
RADII = (2, 3, 4)  # in pixels, of the disc
PLACES = 8  # along either axis, a pixel apart
FACTORS = {"shape": len(SHAPES), "size": len(RADII), "x": PLACES, "y": PLACES}
TEST_EVERY = 5  # the fifth image of every five is a test image


def sprite_factors() -> NDArray[np.int64]:
    """The factors of all 576 sprites, (576, 4): shape, size, x and y, counted from 0.

    The last one runs fastest; ``tuple(FACTORS)`` are their names.
    """
    return np.indices(tuple(FACTORS.values())).reshape(len(FACTORS), -1).T.copy()


def draw_sprites(factors: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The images of some factors (N, 4): (N, 256) uint8 of 0 and 1.

    A pixel is 1 where its centre lies within the shape: a disc of radius r, a square of the same
    area, or a triangle as tall and as wide as the disc.
    """
    shape, size, x, y = (column[:, None, None] for column in factors.T)
    radius = np.array(RADII)[size]
    first = (SIDE - PLACES) / 2
    across = np.arange(SIDE) - (first + x)
    down = np.arange(SIDE)[:, None] - (first + y)
    half = radius * math.sqrt(math.pi) / 2  # of a square's side
    inside = [
        across**2 + down**2 <= radius**2,
        np.maximum(abs(across), abs(down)) <= half,
        (abs(down) <= radius) & (abs(across) <= (down + radius) / 2),
    ]
    images = np.select([shape == k for k in range(len(SHAPES))], inside)
    return images.reshape(-1, SIDE**2).astype(np.uint8)


def load_sprites() -> Dataset:
    """The sprites: 461 to train, every fifth of all, 115, to test; the labels are the shapes.

    Row i of the two parts together, test images at 4, 9, 14, …, has the factors
    ``sprite_factors()[i]``.
    """
    factors = sprite_factors()
    whole = Split(draw_sprites(factors), factors[:, 0].copy(), 1)
    test = np.arange(len(factors)) % TEST_EVERY == TEST_EVERY - 1
    return Dataset("sprites", whole.take(~test), whole.take(test), (SIDE, SIDE), class_names=SHAPES)
