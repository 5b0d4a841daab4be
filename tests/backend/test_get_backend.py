"""Choosing a backend: names, dtypes and the sentences of its errors."""

import numpy as np
import pytest

from scratchvae.backend import DEVICES, float_type, get_backend, why_no_gpu
from scratchvae.errors import ConfigError, DeviceError


@pytest.mark.parametrize("device", ["cpu", "strict"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_a_backend_knows_its_name_and_float_type_and_makes_arrays_of_it(device, dtype):
    bk = get_backend(device, dtype)
    assert (bk.name, bk.dtype, bk.is_complex) == (device, np.dtype(dtype), dtype == "complex128")
    assert bk.empty((2, 3)).dtype == bk.zeros((2, 3)).dtype == bk.array([1.0]).dtype == bk.dtype


def test_the_default_float_type_is_float32():
    assert get_backend("cpu").dtype == np.float32


def test_another_float_type_leaves_the_device_the_same():
    strict = get_backend("strict", "float32")
    wide = strict.with_dtype("complex128")
    assert type(wide) is type(strict)
    assert wide.device is strict.device
    assert (strict.dtype, wide.dtype) == (np.float32, np.complex128)


def test_auto_is_the_gpu_exactly_where_one_can_be_used():
    assert get_backend("auto").name == ("cpu" if why_no_gpu() else "cuda")


def test_cuda_without_a_gpu_says_why_and_what_to_do():
    reason = why_no_gpu()
    if reason is None:
        pytest.skip("this machine has a GPU")
    with pytest.raises(DeviceError) as error:
        get_backend("cuda")
    assert reason in str(error.value)
    assert "--device cpu" in str(error.value)


def test_an_unknown_device_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="'tpu' is not one of auto, cpu, cuda, strict"):
        get_backend("tpu")
    assert DEVICES == ("auto", "cpu", "cuda", "strict")


@pytest.mark.parametrize("dtype", ["float16", "int64", "complex64", "float33", object])
@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_an_unknown_dtype_is_answered_with_the_known_ones(device, dtype):
    with pytest.raises(ConfigError, match="is not one of float32, float64, complex128"):
        get_backend(device, dtype)


def test_a_foreign_byte_order_becomes_the_machines_own():
    assert float_type(">f8") == np.dtype(np.float64)
    assert float_type(">f8").isnative


def test_numbers_survive_the_way_to_the_device_and_back():
    host = np.arange(6.0).reshape(2, 3)
    for device in ("cpu", "strict"):
        bk = get_backend(device, "float64")
        there = bk.array(host)
        back = bk.to_host(there)
        np.testing.assert_array_equal(back, host)
        back[0, 0] = 99.0  # a copy, not the device's memory
        assert bk.to_host(there)[0, 0] == 0.0


def test_numbers_that_would_lose_their_imaginary_part_are_not_loaded():
    bk = get_backend("cpu", "float64")
    with pytest.raises(TypeError):
        bk.load(np.array([1.0 + 2.0j]), bk.empty((1,)))
