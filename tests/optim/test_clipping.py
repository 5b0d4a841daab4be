"""E44: a gradient longer than the limit is shortened to it, as a whole."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scratchvae.backend import get_backend
from scratchvae.backend.cpu_updates import NORM_BLOCK
from scratchvae.config import TrainConfig
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


SIZES = st.sampled_from([1e-300, 1e-160, 1.0, 1e160, 1e300])


@given(g=arrays("float64", 22, elements=st.integers(-4096, 4096).map(lambda k: k / 512)),
       limit=st.floats(0.01, 100), size=SIZES)  # fmt: skip
def test_e44_the_fused_forms_are_the_plain_ones(g, limit, size):
    found = []
    for bk in (get_backend("cpu", "float64"), PlainBackend()):
        grads, sgd = bound(bk, limit * size)
        grads.load({"W": size * g[:15].reshape(3, 5), "b": size * g[15:]})
        with bk.ignore_float_errors():
            sgd.clip()
        found.append(bk.to_host(grads.flat))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-14, atol=0)
    assert np.linalg.norm(found[0] / size) <= limit * (1 + 1e-14)


FORMS = pytest.mark.parametrize(
    "make",
    [
        partial(get_backend, "cpu"),
        partial(get_backend, "strict"),
        lambda dtype: PlainBackend(dtype=dtype),
    ],
    ids=["cpu", "strict", "plain"],
)


@FORMS
@pytest.mark.parametrize(
    ("g", "limit", "expected"),
    [
        ([1e20, 1.0, 2.0], 1.0, [1.0, 1e-20, 2e-20]),
        ([3e30, 0.0, -4e30], 5.0, [3.0, 0.0, -4.0]),
        ([3e38, -3e38, 3e38], 3.0, [3**0.5, -(3**0.5), 3**0.5]),  # a norm above the range
        ([3e-30, 0.0, -4e-30], 1.0, [3e-30, 0.0, -4e-30]),
        ([3e-30, 0.0, -4e-30], 5e-31, [3e-31, 0.0, -4e-31]),
    ],
)
@pytest.mark.parametrize("parts", [(slice(None),), (slice(0, 16), slice(16, None))])
def test_e44_a_float32_norm_whose_squares_leave_the_range_clips_right(
    make, g, limit, expected, parts
):
    bk = make("float32")
    grads, sgd = bound(bk, limit, parts)
    grads.load({"W": np.zeros((3, 5)), "b": np.array([*g, 0, 0, 0, 0])})
    with bk.ignore_float_errors():
        for part in range(len(parts)):
            sgd.measure_norm(part)
        for part in range(len(parts)):
            sgd.clip(part)
    np.testing.assert_allclose(bk.to_host(grads["b"])[:3], expected, rtol=3e-7)


@FORMS
def test_e44_two_parts_of_different_size_are_clipped_by_the_norm_of_both(make):
    bk = make("float32")
    grads, sgd = bound(bk, 1.0, (slice(0, 16), slice(16, None)))
    grads.load({"W": np.full((3, 5), 4e19), "b": np.array([3e24, 4e24, 0, 0, 0, 0, 0])})
    with bk.ignore_float_errors():
        for part in (0, 1):
            sgd.measure_norm(part)
        for part in (0, 1):
            sgd.clip(part)
    np.testing.assert_allclose(bk.to_host(grads["W"]), 8e-6, rtol=3e-7)
    np.testing.assert_allclose(bk.to_host(grads["b"])[:2], [0.6, 0.8], rtol=3e-7)


@FORMS
def test_e44_one_infinity_makes_the_whole_gradient_nan(make):
    bk = make("float32")
    grads, sgd = bound(bk, 1.0)
    grads.load({"W": np.ones((3, 5)), "b": np.array([np.inf, 1, 0, 0, 0, 0, 0])})
    with bk.ignore_float_errors():
        sgd.clip()
    assert np.isnan(bk.to_host(grads["W"])).all()
    assert np.isnan(bk.to_host(grads["b"])).all()


@pytest.mark.parametrize("none", [None, 0, 0.0])
def test_e44_a_limit_of_zero_is_none(none, cpu64):
    grads, sgd = bound(cpu64, none)
    grads["b"][...] = 1e6
    sgd.step(1)
    assert (grads["b"] == 1e6).all()
    assert sgd.rule.clip is None
    assert TrainConfig(clip=0).make_optimizer().clip is None


def test_e44_in_float32_a_long_gradient_has_the_right_norm_to_single_precision(cpu32):
    layout = Layout({"W": (3 * NORM_BLOCK + 5,)})
    grads, sgd = bound(cpu32, 1.0, layout=layout)
    grads["W"][...] = 0.1
    sgd.clip()
    assert np.linalg.norm(grads.flat.astype(np.float64)) == pytest.approx(1.0, rel=1e-6)
