"""The workspace: one name, one piece of memory, in rows that can be cut."""

import numpy as np
import pytest

from scratchvae.errors import ConfigError
from scratchvae.memory import Workspace


@pytest.fixture
def workspace(cpu64):
    return Workspace(cpu64, 7)


def test_asking_twice_for_a_name_gives_the_same_memory(workspace):
    first, second = workspace.buffer("y", 3), workspace.buffer("y", 3)
    assert first.shape == (7, 3)
    first[...] = 5.0
    np.testing.assert_array_equal(second, 5.0)
    assert np.shares_memory(first, second)
    assert workspace.names == ("y",)


def test_two_names_share_no_memory(workspace):
    first, second = workspace.buffer("y", 3), workspace.buffer("dy", 3)
    assert not np.shares_memory(first, second)
    assert workspace.names == ("y", "dy")


def test_a_buffer_may_have_several_rows_an_image_and_another_dtype(workspace):
    assert workspace.buffer("z", 2, per=4).shape == (28, 2)
    assert workspace.buffer("nll", per=4).shape == (28,)
    assert workspace.buffer("raw", 5, dtype=np.uint8).dtype == np.uint8
    assert workspace.buffer("x", 5).dtype == np.float64


def test_a_sub_tape_has_the_rows_of_its_images_in_the_same_memory(workspace):
    whole, samples = workspace.buffer("y", 3), workspace.buffer("z", 2, per=4)
    whole[...] = np.arange(21).reshape(7, 3)
    samples[...] = np.arange(56).reshape(28, 2)
    part = workspace.rows(2, 5)
    assert part.n_rows == 3
    np.testing.assert_array_equal(part.buffer("y", 3), whole[2:5])
    np.testing.assert_array_equal(part.buffer("z", 2, per=4), samples[8:20])
    part.buffer("y", 3)[...] = -1.0
    np.testing.assert_array_equal(whole[:, 0], [0, 3, -1, -1, -1, 15, 18])


def test_a_sub_tape_of_a_sub_tape_counts_from_its_own_first_row(workspace):
    whole = workspace.buffer("y", 3)
    whole[...] = np.arange(21).reshape(7, 3)
    np.testing.assert_array_equal(workspace.rows(2, 6).rows(1, 3).buffer("y", 3), whole[3:5])


@pytest.mark.parametrize(("start", "stop"), [(0, 3), (3, 5)])
def test_a_buffer_that_a_sub_tape_asks_for_first_is_made_for_all_rows(workspace, start, stop):
    part = workspace.rows(start, stop).buffer("late", 2)
    whole = workspace.buffer("late", 2)
    assert whole.shape == (7, 2)
    whole[...] = np.arange(14).reshape(7, 2)
    np.testing.assert_array_equal(part, whole[start:stop])


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (0, 8), (4, 4), (5, 3)])
def test_rows_outside_the_tape_are_refused(workspace, start, stop):
    with pytest.raises(
        ConfigError, match=f"rows {start}:{stop} are not within a workspace of 7 rows"
    ):
        workspace.rows(start, stop)


def test_a_name_asked_for_with_another_shape_is_refused(workspace):
    workspace.buffer("y", 3)
    with pytest.raises(ConfigError, match=r"'y' has shape \(7, 3\), not \(7, 4\)"):
        workspace.buffer("y", 4)
    with pytest.raises(ConfigError, match=r"'y' has shape \(7, 3\), not \(14, 3\)"):
        workspace.buffer("y", 3, per=2)
    workspace.shared("constant", 5)
    with pytest.raises(ConfigError, match=r"'constant' has shape \(5,\), not \(6,\)"):
        workspace.shared("constant", 6)


def test_a_shared_buffer_is_the_same_for_every_sub_tape(workspace):
    workspace.shared("constant", 5)[...] = 3.0
    part = workspace.rows(4, 6).shared("constant", 5)
    assert part.shape == (5,)
    np.testing.assert_array_equal(part, 3.0)


def test_a_buffer_of_ones_own_is_not_shared_with_other_rows(cpu64):
    workspace = Workspace(cpu64, 6)
    first, second = workspace.rows(0, 4), workspace.rows(4, 6)
    a, b = first.private("work", 2, 3), second.private("work", 2, 3)
    assert a.shape == (2, 3)
    assert not np.shares_memory(a, b)
    assert first.private("work", 2, 3) is a
    assert not np.shares_memory(first.private("work", 3, 2), a)  # another shape, another buffer
