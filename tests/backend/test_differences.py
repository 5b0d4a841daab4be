"""A failed comparison says what is needed to find its cause."""

import differences
import numpy as np
import pytest
from differences import assert_close, assert_near, assert_same, describe_launch
from emulation import EmulatedBackend

from scratchvae.layers.activations import relu


@pytest.fixture(autouse=True)
def some_launches(monkeypatch):
    monkeypatch.setattr(differences, "launches", ["relu<<<1>>>(33)", "sum_rows<<<2>>>(4)"])


def message(compare, *arguments, **limits):
    with pytest.raises(AssertionError) as failed:
        compare("dx", *arguments, **limits)
    return str(failed.value).splitlines()


def test_the_first_line_has_the_element_both_numbers_and_the_kernels():
    expected = np.arange(12.0).reshape(3, 4)
    found = expected.astype("float32")
    found[1, 2:] = 0.0, np.nan
    found[2, 3] = 11.5
    first, limits, worst, kinds, *axes = message(assert_close, found, expected, rtol=1e-3)
    assert first == (
        "dx[1, 2]: expected 6.0, found 0.0; 3 of 12 elements are wrong; kernels: relu, sum_rows"
    )
    assert limits == "allowed: rtol 0.001, atol 0; found float32[3, 4], expected float64"
    assert worst == "worst [1, 3]: expected 7.0, found nan"
    assert (
        kinds == "of the wrong ones found: 1 zero, 1 NaN, 0 infinite; in memory's order: 6, 7, 11"
    )
    assert axes == ["along axis 0: 1, 2", "along axis 1: 2, 3"]


def test_many_wrong_elements_are_told_by_the_first_and_the_last():
    found = np.zeros(600)
    found[256:512] = 1.0
    lines = message(assert_same, found, np.zeros(600))
    assert "in memory's order: 256, 257, 258, 259, 260, 261, 262, 263, … 511 (256)" in lines[3]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([1.0, np.nan], [1.0, np.nan]),
        ([np.inf, -np.inf], [np.inf, -np.inf]),
        ([1.0 + 1e-9, 0.0], [1.0, 1e-13]),
    ],
)
def test_what_is_close_passes(found, expected):
    assert_close("dx", found, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (1.0, np.inf),
        (np.inf, 1.0),
        (np.nan, 1.0),
        (1.0, np.nan),
        (np.inf, -np.inf),
        (1 + 1e-7, 1.0),
    ],
)
def test_what_is_not_close_fails(found, expected):
    assert message(assert_close, [found], [expected], rtol=1e-8)[0].startswith("dx[0]: expected ")


def test_equal_means_every_bit_of_words_and_of_floats():
    words = np.array([2**64 - 1, 2**60 + 1], "uint64")
    assert_same("dx", words, words.copy())
    assert message(assert_same, words, words - np.uint64([0, 1]))[0].startswith("dx[1]: ")
    assert "found 1.0000000000000002" in message(assert_same, [1 + 2.0**-52], [1.0])[0]


def test_a_wrong_shape_is_told_with_the_kernels():
    (line,) = message(assert_same, np.zeros((2, 3), "float32"), np.zeros(6))
    assert line == "dx: found float32[2, 3], expected the shape [6]; kernels: relu, sum_rows"


def test_a_distance_names_what_is_far_off():
    expected = np.array([3.0, 0.0, 4.0])
    assert_near("dx", np.add(expected, [0, 4e-6, 0]), expected, 1e-6)
    lines = message(assert_near, np.add(expected, [0, 6e-6, 0]), expected, 1e-6)
    assert lines[0].startswith("dx[1]: expected 0.0, found 6e-06; 1 of 3 elements are wrong")
    assert lines[1].startswith("‖difference‖ / ‖expected‖ is 1.2e-06, allowed: 1e-06;")
    assert message(assert_near, [3.0, np.nan, 4.0], expected, 1e-6)[0].startswith("dx[1]: ")


def test_a_launch_is_told_without_reading_what_lies_on_the_device():
    class OnDevice:
        dtype, shape = np.dtype("float32"), (3, 4)

        def __str__(self):
            raise AssertionError("it was read")

    told = describe_launch("adam", 2, (OnDevice(), None, 7, np.float64(0.5), True))
    assert told == "adam<<<2>>>(float32[3, 4], None, 7, 0.5, True)"


@pytest.mark.gxx
def test_the_launches_of_a_test_are_remembered(monkeypatch):
    monkeypatch.setattr(differences, "launches", [])
    bk = EmulatedBackend(dtype="float64")
    bk.compute(relu, bk.array([1.0, -1.0]), bk.empty((2,)))
    assert differences.launches == ["relu<<<1>>>(float64[2], float64[2], 2)"]
