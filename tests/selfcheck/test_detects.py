"""Bugs planted in a user's own backward pass: how many does the user's test catch?"""

import numpy as np
import pytest

from scratchvae.errors import ConfigError
from scratchvae.gradcheck import assert_gradient
from scratchvae.gradcheck.points import point
from scratchvae.selfcheck.detects import detects

X, W = point((5, 4), 0, "x"), point((4, 3), 0, "w")


def dense(x, w):
    return np.tanh(x @ w)


def dense_gradient(x, w, dy):
    da = dy * (1 - np.tanh(x @ w) ** 2)
    return da @ w.T, x.T @ da


def test_the_checker_catches_every_bug():
    found = detects(dense_gradient, lambda: assert_gradient(dense, X, W, vjp=dense_gradient))
    assert found.planted > 30
    assert found.survivors == (), str(found)


def test_a_weak_test_lets_bugs_pass_and_they_are_shown_with_their_line():
    def weak():
        dx, dw = dense_gradient(X, W, np.ones((5, 3)))
        assert dx.shape == X.shape
        assert dw.shape == W.shape

    found = detects(dense_gradient, weak)
    assert 0 < found.caught < found.planted
    line = dense_gradient.__code__.co_firstlineno
    assert any(s.startswith(f"test_detects.py:{line + 1}: ") for s in found.survivors)
    assert any(s.startswith(f"test_detects.py:{line + 2}: ") for s in found.survivors)
    assert str(found).startswith(f"{found.caught} of {found.planted} bugs planted in dense_gradi")
    assert dense_gradient(X, W, np.ones((5, 3)))[0].shape == X.shape


def test_what_cannot_be_judged_gets_a_sentence():
    with pytest.raises(ConfigError, match="written with def, not in"):
        detects(lambda x: x, lambda: None)

    def fails():
        raise AssertionError

    with pytest.raises(ConfigError, match="fails before any bug is planted"):
        detects(dense_gradient, fails)
