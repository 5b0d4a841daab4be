"""A part of a data set is named by a text, and the text names the same images every time."""

from dataclasses import replace

import numpy as np
import pytest

from scratchvae.data import is_subset, load_dataset, select
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
