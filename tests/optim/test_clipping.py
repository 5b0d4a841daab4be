"""E44: a gradient longer than the limit is shortened to it, as a whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scratchvae.backend import get_backend
from scratchvae.backend.cpu_updates import BLOCK
from scratchvae.gradcheck.backends import PlainBackend
from scratchvae.memory import FlatBuffer, Layout
from scratchvae.optim import OPTIMIZERS, SGD

LAYOUT = Layout({"W": (3, 5), "b": (7,)})


def bound(bk, clip, parts=(slice(None),), layout=LAYOUT):
    params, grads = FlatBuffer(bk, layout), FlatBuffer(bk, layout)
    return grads, SGD(lr=1.0, momentum=0.0, clip=clip).bind(bk, params, grads, parts)


def test_e44_a_gradient_of_norm_five_is_shortened_to_two_and_keeps_its_direction(cpu64):
    grads, sgd = bound(cpu64, 2.0)
    grads["W"][0, 0], grads["b"][1] = 3.0, -4.0
    sgd.step(1)
    assert grads["W"][0, 0] == pytest.approx(1.2, rel=1e-15)
    assert grads["b"][1] == pytest.approx(-1.6, rel=1e-15)
    assert np.count_nonzero(grads.flat) == 2


def test_e44_a_short_gradient_keeps_every_bit_and_a_zero_one_stays_zero(cpu64):
    grads, sgd = bound(cpu64, 5.1)
    grads["W"][0, 0], grads["b"][1] = 3.0, -4.0
    before = grads.flat.copy()
    sgd.step(1)
    np.testing.assert_array_equal(grads.flat, before)
    grads.flat.fill(0)
    with cpu64.ignore_float_errors():
        sgd.step(2)
    assert not grads.flat.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_e44_a_norm_that_is_not_finite_stays_visible(cpu64, bad):
    grads, sgd = bound(cpu64, 1.0)
    grads["b"][...] = bad
    with cpu64.ignore_float_errors():
        sgd.step(1)
    assert np.isnan(grads["b"]).all()


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_e44_parts_that_measure_and_meet_are_clipped_by_the_norm_of_all(device):
    bk = get_backend(device, "float64")
    parts = (slice(0, 16), slice(16, None))
    whole, apart = bound(bk, 2.0), bound(bk, 2.0, parts)
    for grads, _ in (whole, apart):
        grads.load({"W": np.arange(15.0).reshape(3, 5), "b": -np.arange(7.0)})
    assert not whole[1].needs_barrier
    assert apart[1].needs_barrier
    whole[1].step(1)
    for part in (1, 0):
        apart[1].measure_norm(part)
    for part in (0, 1):
        apart[1].step(1, part)
    found = bk.to_host(apart[0].flat)
    np.testing.assert_allclose(found, bk.to_host(whole[0].flat), rtol=1e-15)
    assert np.linalg.norm(found) == pytest.approx(2.0, rel=1e-15)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_e44_every_optimizer_sees_the_clipped_gradient(name, cpu64):
    results = []
    for clip, g in ((0.5, 8.0), (None, 0.5 / 22**0.5)):
        params, grads = FlatBuffer(cpu64, LAYOUT), FlatBuffer(cpu64, LAYOUT)
        rule = OPTIMIZERS[name](clip=clip).bind(cpu64, params, grads)
        grads.load({"W": np.full((3, 5), g), "b": np.full(7, g)})
        rule.step(1)
        results.append(params.flat)
    np.testing.assert_allclose(results[0], results[1], rtol=1e-14)
    assert results[0].any()


@given(g=arrays("float64", 22, elements=st.integers(-4096, 4096).map(lambda k: k / 512)),
       limit=st.floats(0.01, 100))  # fmt: skip
def test_e44_the_fast_verbs_are_the_plain_ones(g, limit):
    found = []
    for bk in (get_backend("cpu", "float64"), PlainBackend()):
        grads, sgd = bound(bk, limit)
        grads.load({"W": g[:15].reshape(3, 5), "b": g[15:]})
        with bk.ignore_float_errors():
            sgd.clip()
        found.append(bk.to_host(grads.flat))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-15, atol=0)
    assert np.linalg.norm(found[0]) <= limit * (1 + 1e-14)


def test_e44_in_float32_a_long_gradient_has_the_right_norm_to_single_precision(cpu32):
    layout = Layout({"W": (3 * BLOCK + 5,)})
    grads, sgd = bound(cpu32, 1.0, layout=layout)
    grads["W"][...] = 0.1
    sgd.clip()
    assert np.linalg.norm(grads.flat.astype(np.float64)) == pytest.approx(1.0, rel=1e-6)
