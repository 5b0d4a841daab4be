"""A part of a data set is named by a text, and the text names the same images every time."""

from dataclasses import replace

import numpy as np
import pytest

from scratchvae.backend.noise import Purpose, Stream, permutation
from scratchvae.data import Split, is_subset, keep_labels, load_dataset, select
from scratchvae.errors import ConfigError

DIGITS = load_dataset("digits")


def test_no_text_names_all_of_it():
    assert select(DIGITS, "") is DIGITS


def test_first_and_last_are_in_file_order():
    images, labels = DIGITS.train.images, DIGITS.train.labels
    first, last = select(DIGITS, "first:7").train, select(DIGITS, "last:5").train
    np.testing.assert_array_equal(first.images, images[:7])
    np.testing.assert_array_equal(last.images, images[-5:])
    np.testing.assert_array_equal(last.labels, labels[-5:])


def test_the_test_images_stay_unless_they_are_drawn():
    assert len(select(DIGITS, "first:7").test) == len(DIGITS.test)
    assert len(select(DIGITS, "draw:1:30:20").test) == 20


def test_a_draw_is_the_legacy_generators_with_train_before_test():
    draw = np.random.RandomState(300)
    part = select(DIGITS, "draw:300:50:10")
    np.testing.assert_array_equal(part.train.images, DIGITS.train.images[draw.choice(1437, 50)])
    np.testing.assert_array_equal(part.test.images, DIGITS.test.images[draw.choice(360, 10)])


def test_a_part_keeps_the_notes_of_its_data_set():
    noted = replace(DIGITS, notes=("scanned twice",))
    assert select(noted, "first:7").notes == ("scanned twice",)


def test_parts_have_fingerprints_of_their_own():
    names = ("", "first:7", "first:8", "last:7", "draw:1:7:7", "draw:2:7:7")
    assert len({select(DIGITS, name).fingerprint for name in names}) == len(names)


@pytest.mark.parametrize("text", ["first:1438", "last:2000", f"draw:{2**32}:1:1", "frist:3"])
def test_parts_that_cannot_be_are_refused(text):
    with pytest.raises(ConfigError, match="subset"):
        select(DIGITS, text)


@pytest.mark.parametrize("text", ["first", "first:", "first:0", "draw:1:0:1", "first:٣", "last:-1"])
def test_texts_that_name_nothing_are_no_subsets(text):
    assert not is_subset(text)


def labelled(n: int) -> Split:
    """Images of one number that tells them apart, with the labels 0, 1, 2, 0, …, some unknown."""
    labels = np.arange(n) % 3
    labels[5::50] = -1
    return Split(np.arange(n, dtype=np.uint8)[:, None], labels, 255)


def test_as_many_labels_are_kept_of_each_class_and_their_images_are_repeated():
    train = labelled(200)
    kept = keep_labels(train, 7, 0, 3)
    own = kept.labels[:200]
    chosen = np.flatnonzero(own >= 0)
    np.testing.assert_array_equal(own[chosen], train.labels[chosen])
    assert np.bincount(own[chosen]).tolist() == [3, 2, 2]
    np.testing.assert_array_equal(kept.images[:200], train.images)
    # 193 without a label: 22 with one are a tenth of all, so 28 in four copies of the seven
    np.testing.assert_array_equal(kept.images[200:, 0], np.tile(chosen, 3))
    np.testing.assert_array_equal(kept.labels[200:], np.tile(own[chosen], 3))


@pytest.mark.parametrize("count", [4, 7, 10, 62])
def test_the_labels_that_are_kept_are_the_first_of_each_class_in_an_order_of_their_own(count):
    train = labelled(200)
    order = permutation(200, Stream(5, Purpose.SPLIT, 0, 1))
    expected = []
    for k in range(3):  # the classes take turns, the first one first
        of_class = [row for row in order if train.labels[row] == k]
        expected += of_class[: -(-(count - k) // 3)]
    kept = keep_labels(train, count, 5, 3).labels[:200]
    np.testing.assert_array_equal(np.flatnonzero(kept >= 0), np.sort(expected))


def test_labels_that_are_a_tenth_already_are_not_repeated():
    assert len(keep_labels(labelled(70), 7, 0, 3)) == 70


def test_where_many_labels_are_known_no_image_is_repeated():
    kept = keep_labels(labelled(200), 60, 0, 3)
    assert len(kept) == 200
    assert np.bincount(kept.labels[kept.labels >= 0]).tolist() == [20, 20, 20]


def test_another_seed_keeps_other_labels():
    kept, same, other = (keep_labels(labelled(200), 7, seed, 3).labels for seed in (0, 0, 1))
    np.testing.assert_array_equal(kept, same)
    assert not np.array_equal(kept, other)


@pytest.mark.parametrize(("labels", "have"), [(None, 0), (np.array([0, -1, -1]), 1)])
def test_no_more_labels_are_kept_than_there_are(labels, have):
    train = Split(np.zeros((3, 1), np.uint8), labels, 255)
    with pytest.raises(
        ConfigError, match=f"2 labels cannot be kept: the training images have {have}"
    ):
        keep_labels(train, 2, 0, 3)


def test_all_labels_that_there_are_may_be_kept():
    train = Split(np.zeros((3, 1), np.uint8), np.array([0, -1, -1]), 255)
    np.testing.assert_array_equal(keep_labels(train, 1, 0, 3).labels, [0, -1, -1])
