"""Grids along one axis: sizes counted pixel by pixel, and what makes no pair."""

from itertools import chain, product

import pytest

from scratchvae.errors import ConfigError
from scratchvae.layers.grid import PADDINGS, contracting, expanding, pair

AXES = [
    make(size, kernel, stride, padding)
    for make, padding, size, kernel, stride in product(
        (contracting, expanding), PADDINGS, range(1, 9), range(1, 6), range(1, 5)
    )
    if make is expanding or padding == "same" or kernel <= size
]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "same", "valid"),
    [(4, 3, 1, 4, 6), (4, 3, 2, 8, 9), (4, 2, 3, 12, 12), (1, 5, 2, 2, 5), (3, 1, 4, 12, 12)],
)
def test_a_transposed_grid_is_as_large_as_keras_makes_it(size, kernel, stride, same, valid):
    """size · stride; where it is "valid", as much more as the kernel exceeds the stride."""
    found = [expanding(size, kernel, stride, padding).big for padding in ("same", "valid")]
    assert found == [same, valid]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "same", "valid"),
    [(5, 3, 1, 5, 3), (5, 3, 2, 3, 2), (6, 3, 2, 3, 2), (7, 2, 3, 3, 2), (4, 4, 5, 1, 1)],
)
def test_a_grid_is_as_small_as_keras_makes_it(size, kernel, stride, same, valid):
    """The size, or what the kernel leaves of it and one more, over the stride, rounded up."""
    found = [contracting(size, kernel, stride, padding).small for padding in ("same", "valid")]
    assert found == [same, valid]


def test_the_larger_grid_is_padded_as_far_as_the_last_window_reaches():
    for axis in AXES:
        windows = [q * axis.stride + i for q in range(axis.small) for i in range(axis.kernel)]
        pixels = [axis.before + p for p in range(axis.big)]
        assert axis.padded == max(windows + pixels) + 1


def test_the_smaller_grid_is_padded_by_the_outputs_whose_windows_touch_a_pixel():
    for axis in AXES:
        touching = [
            q
            for q in range(-axis.kernel, axis.big + axis.kernel)
            if any(0 <= q * axis.stride - axis.before + i < axis.big for i in range(axis.kernel))
        ]
        assert axis.lead == max(0, -min(touching))
        assert axis.small_padded == axis.lead + max(axis.small, max(touching) + 1)


def test_every_pixel_of_the_larger_grid_is_in_one_phase_and_no_phase_is_empty():
    for axis in AXES:
        phases = list(axis.phases())
        pixels = [range(p.start, axis.big, axis.stride) for p in phases]
        assert sorted(chain(*pixels)) == list(range(axis.big))
        assert [p.pixels for p in phases] == [len(part) for part in pixels]
        assert all(pixels)


@pytest.mark.parametrize("value", [0, -1, 2.0, True, (3,), (1, 2, 3), (3, 0), (3, True), "3"])
def test_what_is_no_pair_of_sizes_is_refused(value):
    with pytest.raises(ConfigError, match="the kernel must be a whole number of at least 1, or"):
        pair(value, "kernel")


def test_one_size_is_both_and_two_are_height_and_width():
    assert (pair(3, "kernel"), pair((3, 2), "kernel"), pair([2, 3], "kernel")) == (
        (3, 3), (3, 2), (2, 3)
    )  # fmt: skip
