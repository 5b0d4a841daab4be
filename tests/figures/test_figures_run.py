"""How the values of a data set become greys between 0 and 1."""

import numpy as np

from scratchvae.data import Dataset
from scratchvae.figures.run import drawing_scale

IMAGES = np.random.default_rng(0).random((20, 5, 6))


def test_grey_values_are_drawn_as_they_are():
    as_drawn, caption = drawing_scale(Dataset.from_arrays(IMAGES / 2))
    assert (as_drawn(IMAGES) is IMAGES, caption) == (True, "")


def test_values_on_another_scale_are_drawn_from_the_smallest_to_the_largest():
    data = Dataset.from_arrays(np.concatenate([IMAGES, 0 * IMAGES, 0 * IMAGES + 1]) * 4 - 3)
    as_drawn, caption = drawing_scale(data)
    shown = as_drawn(data.train.values())
    assert (shown.min(), shown.max()) == (0.0, 1.0)
    middle = sum(data.train.range) / 2
    np.testing.assert_allclose(as_drawn(np.array([middle])), [0.5], rtol=1e-6)
    assert caption == " · drawn from −3 to 1"
