"""Binarization: each protocol does what its phrase says, bit for bit."""

import sys
from pathlib import Path

import numpy as np
import pytest

from scratchvae.backend.noise import Purpose, Stream, uniform
from scratchvae.data import PROTOCOLS, Split, binarize, describe, hold_out
from scratchvae.data.binarize import bernoulli
from scratchvae.data.mapped import FileRows, MappedRows, read_file
from scratchvae.errors import ConfigError, DataError


def levels(values: list[int], of: int) -> Split:
    return Split(np.array([values], dtype=np.uint8), np.array([7]), of)


def floats(values: list[float]) -> Split:
    return Split(np.array([values], dtype=np.float32), None, None)


GREYS = Split(np.arange(256, dtype=np.uint8).repeat(40).reshape(256, 40).T, None, 255)


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        (levels([0, 7, 8, 9, 16], of=16), [0, 0, 0, 1, 1]),
        (levels([0, 127, 128, 255], of=255), [0, 0, 1, 1]),
        (levels([0, 1], of=1), [0, 1]),
        (floats([0.0, 0.5, np.nextafter(np.float32(0.5), np.float32(1)), 1.0]), [0, 0, 1, 1]),
    ],
)
def test_threshold_is_strictly_above_one_half(split: Split, expected: list[int]) -> None:
    result = binarize(split, "threshold")
    assert (str(result.images.dtype), result.max_level) == ("uint8", 1)
    np.testing.assert_array_equal(result.images[0], expected)


@pytest.mark.parametrize("protocol", ["none", "dynamic"])
def test_none_and_dynamic_leave_the_grey_pixels(protocol: str) -> None:
    result = binarize(GREYS, protocol)
    assert (result.max_level, result.binarized) == (255, protocol)
    np.testing.assert_array_equal(result.images, GREYS.images)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_split_and_its_parts_carry_the_protocol(protocol: str) -> None:
    result = binarize(GREYS, protocol, seed=3)
    for split in (result, result.take(slice(2, 5)), *hold_out(result, 2, seed=0)):
        assert split.binarized == protocol
        assert split.static_seed == (3 if protocol == "static" else None)
    assert binarize(result, protocol, seed=3) is result


@pytest.mark.parametrize(
    ("first", "second", "seed"),
    [("threshold", "none", 0), ("static", "dynamic", 0), ("static", "static", 1),
     ("dynamic", "threshold", 0)],
)  # fmt: skip
def test_images_that_are_binarized_already_are_not_binarized_otherwise(first, second, seed) -> None:
    split = binarize(GREYS, first)
    with pytest.raises(ConfigError, match=r"binarized already .* begin with the grey images"):
        binarize(split, second, seed=seed)


def test_a_split_refuses_a_protocol_that_its_images_cannot_have() -> None:
    with pytest.raises(DataError, match="'static' have max_level=1, not 255"):
        Split(GREYS.images, None, 255, "static")
    with pytest.raises(DataError, match=r"outside \[0, 1\]"):
        Split(np.full((2, 3), 1.5, np.float32), None, None, "dynamic")
    with pytest.raises(DataError, match="have no static_seed, but it is 4"):
        Split(GREYS.images, None, 255, static_seed=4)
    with pytest.raises(ConfigError, match="Did you mean 'static'"):
        Split(GREYS.images, None, 255, "statics")


def test_labels_survive() -> None:
    for protocol in PROTOCOLS:
        assert binarize(levels([1, 12], of=16), protocol).labels == [7]


def test_static_pixels_are_lit_as_often_as_they_are_grey() -> None:
    split = Split(np.tile(GREYS.images, (25, 1)), None, 255)
    x = GREYS.values(0).astype(float)
    lit = binarize(split, "static").images.mean(axis=0)
    sigma = np.sqrt(x * (1 - x) / len(split))
    assert np.all(np.abs(lit - x) <= 5 * sigma)  # black and white have sigma 0: exact


def test_static_element_e_uses_word_e_of_the_stream() -> None:
    stream = Stream(11, Purpose.STATIC, 0, 2)
    expected = uniform(GREYS.images.shape, stream) < GREYS.values()
    np.testing.assert_array_equal(binarize(GREYS, "static", seed=11, lane=2).images, expected)


def test_a_black_pixel_stays_black_even_when_u_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["scratchvae.data.binarize"]  # by its name, the package has the function
    monkeypatch.setattr(module, "fill_uniform", lambda out, *_, **__: out.fill(0.0))
    result = binarize(levels([0, 1, 16], of=16), "static")
    np.testing.assert_array_equal(result.images[0], [0, 1, 1])


@pytest.mark.parametrize("block", [1, 3, 5, 7, 1000, 10**6])
def test_static_bits_do_not_depend_on_the_size_of_a_block(block: int) -> None:
    some = GREYS.take(slice(0, 3))
    stream = Stream(5, Purpose.STATIC)
    expected = uniform(some.images.shape, stream) < some.values()
    np.testing.assert_array_equal(bernoulli(some, stream, block), expected)


def test_static_bits_are_a_function_of_seed_and_lane() -> None:
    def bits(seed: int, lane: int) -> bytes:
        return binarize(GREYS, "static", seed=seed, lane=lane).images.tobytes()

    assert bits(1, 0) == bits(1, 0)
    assert len({bits(1, 0), bits(1, 1), bits(2, 0)}) == 3


def test_the_same_greys_give_the_same_bits_however_they_are_stored() -> None:
    stored_as_floats = Split(GREYS.values(), None, None)
    for protocol in ("threshold", "static"):
        np.testing.assert_array_equal(
            binarize(GREYS, protocol, seed=3).images,
            binarize(stored_as_floats, protocol, seed=3).images,
        )


@pytest.mark.parametrize("protocol", ["threshold", "static", "dynamic"])
def test_draws_need_grey_values_between_0_and_1(protocol: str) -> None:
    with pytest.raises(DataError, match="pixel 1 "):
        binarize(floats([0.5, 1.5]), protocol)


def test_no_binarization_asks_nothing_of_the_values() -> None:
    assert len(binarize(floats([0.5, 1.5]), "none")) == 1


def test_an_unknown_protocol_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'dynamic'.*none, threshold"):
        binarize(GREYS, "dynamc")


def test_an_unknown_protocol_is_refused_before_the_images_are_looked_at() -> None:
    with pytest.raises(ConfigError, match="binarization"):
        binarize(Split(np.array([[-3.0, 7.0]], np.float32), None, None), "grey")


def test_every_protocol_has_its_own_phrase_and_static_names_its_seed() -> None:
    assert len({describe(protocol) for protocol in PROTOCOLS}) == len(PROTOCOLS)
    assert describe("static", seed=4) == "one Bernoulli draw, seed 4"
    assert describe("static") == "one Bernoulli draw"
    with pytest.raises(ConfigError):
        describe("grey")


@pytest.mark.parametrize(
    ("split", "left"),
    [
        (levels([0, 7, 16], of=255), "black: the grey values lie from 0 to 0.0627451"),
        (levels([200, 255], of=255), "white"),
        (Split(np.array([[0.1, 0.3]], np.float32), None, None), "black: .* from 0.1 to 0.3"),
    ],
)
def test_a_threshold_that_leaves_nothing_is_refused(split: Split, left: str) -> None:
    with pytest.raises(DataError, match=f"leaves every pixel {left}.*--full-scale"):
        binarize(split, "threshold")


def test_images_that_are_black_already_may_be_thresholded() -> None:
    assert binarize(levels([0, 0], of=255), "threshold").images.max() == 0


@pytest.mark.parametrize("protocol", ["threshold", "static"])
def test_images_in_a_file_are_binarized_whenever_they_are_read(
    tmp_path: Path, protocol: str
) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (30, 7), dtype=np.uint8)
    np.save(tmp_path / "grey.npy", grey)
    mapped = FileRows([read_file(tmp_path / "grey.npy")])
    there, here = (binarize(Split(x, None, 255), protocol, seed=5) for x in (mapped, grey))
    assert isinstance(there.images, MappedRows)
    assert (there.images.bounds, there.images.dtype) == ((0, 1), np.uint8)
    for rows in (slice(None), np.array([4, 5, 6, 29, 28, 3, 3, 0])):
        np.testing.assert_array_equal(there.images[rows], here.images[rows])


def test_a_split_without_images_has_nothing_to_binarize() -> None:
    empty = Split(np.empty((0, 7), np.uint8), None, 255)
    for protocol in ("threshold", "static"):
        assert binarize(empty, protocol).images.shape == (0, 7)
