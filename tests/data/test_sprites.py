"""The sprites: every combination of factors once, and images that are what the factors say."""

import hashlib

import numpy as np
import pytest

from scratchvae.data import draw_sprites, load_dataset, sprite_factors
from scratchvae.data.sprites import FACTORS, SHAPES


def test_every_combination_of_factors_is_there_once_and_has_an_image_of_its_own() -> None:
    factors = sprite_factors()
    assert list(FACTORS.values()) == [3, 3, 8, 8]
    assert len(np.unique(factors, axis=0)) == len(factors) == 576
    assert len(np.unique(draw_sprites(factors), axis=0)) == 576


def drawn(*factors: int) -> list[str]:
    rows = draw_sprites(np.array([factors])).reshape(16, 16)
    return ["".join(".#"[pixel] for pixel in row) for row in rows]


@pytest.mark.parametrize(
    ("shape", "picture"),
    [
        ("disc", [".....", "..#..", ".###.", "#####", ".###.", "..#..", "....."]),
        ("square", [".....", ".....", ".###.", ".###.", ".###.", ".....", "....."]),
        ("triangle", [".....", "..#..", "..#..", ".###.", ".###.", "#####", "....."]),
    ],
)
def test_the_smallest_of_each_shape_at_its_place(shape, picture) -> None:
    x, y = 3, 6  # so that the centre is the pixel at column 7, row 10
    image = drawn(SHAPES.index(shape), 0, x, y)
    assert [row[5:10] for row in image[7:14]] == picture
    assert sum(row.count("#") for row in image) == sum(row.count("#") for row in picture)


@pytest.mark.parametrize("shape", range(3))
def test_a_place_moves_the_image_and_a_size_makes_it_larger(shape) -> None:
    here = draw_sprites(np.array([[shape, 1, 2, 3]])).reshape(16, 16)
    there = draw_sprites(np.array([[shape, 1, 6, 4]])).reshape(16, 16)
    np.testing.assert_array_equal(np.roll(here, (1, 4), axis=(0, 1)), there)
    inks = [draw_sprites(np.array([[shape, size, 4, 4]])).sum() for size in range(3)]
    assert inks[0] < inks[1] < inks[2]


def test_the_largest_are_whole_at_every_place() -> None:
    factors = sprite_factors()
    ink = draw_sprites(factors).sum(axis=1)
    for shape in range(3):
        for size in range(3):
            assert len(set(ink[(factors[:, :2] == [shape, size]).all(axis=1)])) == 1


def test_the_data_set_is_the_same_everywhere_and_its_rows_have_the_factors_of_the_list() -> None:
    sprites = load_dataset("sprites")
    assert (len(sprites.train), len(sprites.test)) == (461, 115)
    assert sprites.image_shape == (16, 16)
    assert sprites.class_names == SHAPES
    factors = sprite_factors()
    images = np.empty((576, 256), dtype=np.uint8)
    test = np.arange(576) % 5 == 4
    images[~test], images[test] = sprites.train.images, sprites.test.images
    np.testing.assert_array_equal(images, draw_sprites(factors))
    np.testing.assert_array_equal(sprites.test.labels, factors[test, 0])
    assert hashlib.sha256(images.tobytes()).hexdigest().startswith("3f940f279e2b4260")
