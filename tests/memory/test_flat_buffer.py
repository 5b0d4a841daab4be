"""Flat buffers: names, alignment, padding, and what happens to numbers that do not fit."""

import math

import numpy as np
import pytest

from scratchvae.backend import get_backend
from scratchvae.errors import ConfigError
from scratchvae.memory import FlatBuffer, Layout
from scratchvae.optim import Adam

SHAPES = {"encoder.0.W": (5, 3), "encoder.0.b": (3,), "encoder.10.b": (17,), "decoder.0.W": (2, 7)}


@pytest.fixture
def layout():
    return Layout(SHAPES)


def filled(bk, layout):
    buffer = FlatBuffer(bk, layout)
    values, start = {}, 1.0
    for name, shape in layout.shapes.items():
        values[name] = np.arange(start, start + math.prod(shape)).reshape(shape)
        start += 100
    buffer.load(values)
    return buffer, values


def test_a_layout_counts_the_numbers_without_the_padding(layout):
    assert layout.n_parameters == 15 + 3 + 17 + 14
    assert layout.offsets == {
        "encoder.0.W": 0,
        "encoder.0.b": 16,
        "encoder.10.b": 32,
        "decoder.0.W": 64,
    }
    assert layout.padded_size == 80
    assert math.prod(()) == 1


def test_layouts_are_equal_when_names_shapes_and_order_are(layout):
    assert layout == Layout(SHAPES)
    assert layout != Layout(dict(reversed(SHAPES.items())))
    assert layout != Layout({**SHAPES, "decoder.0.W": (7, 2)})
    assert layout != SHAPES


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_every_view_starts_on_a_cache_line(layout, dtype):
    buffer = FlatBuffer(get_backend("cpu", dtype), layout)
    for name in buffer:
        assert buffer[name].ctypes.data % 64 == 0, name
        assert buffer[name].flags.c_contiguous, name


def test_views_have_their_shapes_and_share_the_flat_memory(cpu64, layout):
    buffer = FlatBuffer(cpu64, layout)
    assert {name: buffer[name].shape for name in buffer} == SHAPES
    buffer["encoder.0.b"][...] = [7, 8, 9]
    np.testing.assert_array_equal(buffer.flat[16:19], [7, 8, 9])
    assert np.count_nonzero(buffer.flat) == 3


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_the_padding_is_zero_and_an_optimizer_leaves_it_so(device, layout):
    bk = get_backend(device, "float32")
    params, values = filled(bk, layout)
    grads, _ = filled(bk, layout)
    padding = np.ones(layout.padded_size, bool)
    for name, value in values.items():
        start = layout.offsets[name]
        padding[start : start + value.size] = False
    assert padding.sum() == layout.padded_size - layout.n_parameters
    assert not bk.to_host(params.flat)[padding].any()
    optimizer = Adam().bind(bk, params, grads)
    for t in (1, 2, 3):
        optimizer.step(t)
    for buffer in (params, *optimizer.state.values()):
        host = bk.to_host(buffer.flat)
        assert not host[padding].any()
        assert host[~padding].all()


def test_a_part_holds_the_views_below_its_name_as_attributes(cpu64, layout):
    buffer, values = filled(cpu64, layout)
    part = buffer.namespace("encoder.0")
    assert sorted(vars(part)) == ["W", "b"]
    assert part.W is buffer["encoder.0.W"]
    np.testing.assert_array_equal(part.b, values["encoder.0.b"])
    assert vars(buffer.namespace("encoder.1")) == {}  # encoder.10 is another layer


def test_what_is_loaded_comes_back(cpu64, layout):
    buffer, values = filled(cpu64, layout)
    back = buffer.to_host()
    assert list(back) == list(SHAPES)
    for name, value in values.items():
        np.testing.assert_array_equal(back[name], value)
        assert not np.shares_memory(back[name], buffer.flat)


def test_missing_and_unknown_names_are_listed(cpu64, layout):
    buffer, values = filled(cpu64, layout)
    values["encoder.1.b"] = values.pop("encoder.0.b")
    with pytest.raises(ConfigError) as error:
        buffer.load(values)
    assert "missing ['encoder.0.b']" in str(error.value)
    assert "unknown ['encoder.1.b']" in str(error.value)


def test_a_wrong_shape_is_named_with_the_one_expected(cpu64, layout):
    buffer, values = filled(cpu64, layout)
    values["encoder.0.W"] = values["encoder.0.W"].T
    with pytest.raises(ConfigError, match=r"encoder\.0\.W has shape \(3, 5\), expected \(5, 3\)"):
        buffer.load(values)


def test_a_copy_on_another_backend_has_the_same_numbers_and_its_own_memory(cpu64, layout):
    buffer, values = filled(cpu64, layout)
    for bk in (get_backend("strict", "float64"), get_backend("cpu", "complex128")):
        copy = buffer.to(bk)
        assert copy.layout == layout
        for name, value in copy.to_host().items():
            np.testing.assert_array_equal(value, values[name])
    twin = buffer.to(cpu64)
    twin.flat[...] = 0.0
    assert buffer["encoder.0.W"][0, 0] == 1.0
