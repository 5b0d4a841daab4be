"""E26 and E33 on the device: the kernels' words, uniforms and normals are NumPy's."""

import numpy as np
import pytest
from differences import assert_close, assert_same
from emulation import EmulatedBackend
from emulation.compare import each_dtype, each_size
from test_noise import PUBLISHED

from scratchvae.backend import get_backend
from scratchvae.backend.base import below_one
from scratchvae.backend.noise import Purpose, Stream, generator, normal, uniform

STREAM = Stream(2**63 + 5, Purpose.LATENT, 3, 2**64 - 2)


@pytest.mark.gxx
@pytest.mark.parametrize(("counter", "key", "words"), PUBLISHED)
def test_e26_the_kernels_philox_gives_the_published_answers(counter, key, words):
    bk = EmulatedBackend()
    out = bk.empty((4,), "uint64")
    bk.kernels.launch("words_of", 1, out, *map(np.uint64, counter), *map(np.uint64, key))
    assert_same("words", bk.to_host(out), np.array(words, "uint64"))


@pytest.mark.gxx
@each_size
def test_e26_the_words_of_a_stream_are_numpys(n):
    bk = EmulatedBackend()
    out = bk.empty((n,), "uint64")
    key = map(np.uint64, (STREAM.seed, STREAM.purpose))
    lane = np.uint64(STREAM.lane)
    bk.kernels.each("words_of_stream", n, out, n, *key, STREAM.step, lane)
    assert_same("words", bk.to_host(out), generator(STREAM).bit_generator.random_raw(n))


@each_size
@each_dtype
def test_e26_uniforms_are_numpys_to_the_bit(make, n, dtype):
    bk, cpu = make(dtype), get_backend("cpu", dtype)
    out, reference = bk.empty((n,)), cpu.empty((n,))
    bk.uniform(out, STREAM, bk.noise_scratch(n))
    cpu.uniform(reference, STREAM, cpu.noise_scratch(n))
    assert_same("uniforms", bk.to_host(out), reference)


@pytest.mark.gxx
@each_dtype
def test_e26_a_uniform_that_is_rounded_stays_below_1(dtype):
    # One of 2²⁵ would be rounded to 1 in float32: too rare for the tests above.
    bk, cpu = EmulatedBackend(dtype=dtype), get_backend("cpu", dtype)
    u = np.array([1 - 2.0**-53, 1 - 2.0**-26, 0.0, 0.25])
    out = bk.empty((4,))
    bk.kernels.each("stored_uniforms", 4, out, bk.array(u, "float64"), 4, below_one(cpu.dtype))
    assert bk.to_host(out).max() < 1
    assert_same("uniforms", bk.to_host(out), np.minimum(u, below_one(cpu.dtype)).astype(dtype))


@each_size
@each_dtype
def test_e26_normals_are_numpys_to_a_few_ulp_and_rounded_once(make, n, dtype):
    bk = make(dtype)
    out = bk.empty((n,))
    bk.normal(out, STREAM, bk.noise_scratch(n))
    expected = normal((n,), STREAM)
    limit = 8 * np.finfo("float64").eps + (np.finfo(dtype).eps / 2 if dtype == "float32" else 0)
    assert_close("normals", bk.to_host(out), expected, rtol=limit, atol=1e-15)


def test_e26_a_step_that_lies_on_the_device_names_the_same_noise(make):
    bk = make()
    step, found, expected = bk.array(np.int64(3), "int64"), bk.empty((9,)), bk.empty((9,))
    bk.normal(found, STREAM._replace(step=step), None)
    bk.normal(expected, STREAM, None)
    assert_same("normals", bk.to_host(found), bk.to_host(expected))


@each_size
@each_dtype
def test_e33_binarized_pixels_are_the_cpus(make, n, dtype):
    grey = uniform((n,), Stream(1, Purpose.FIGURE))
    grey[: n // 3] = uniform((n,), STREAM)[: n // 3]  # equal to the draw: not below it
    bk, cpu = make(dtype), get_backend("cpu", dtype)
    found, expected = bk.array(grey), cpu.array(grey)
    bk.binarize(found, STREAM, None, None)
    cpu.binarize(expected, STREAM, cpu.empty((n,)), cpu.noise_scratch(n))
    assert_same("pixels", bk.to_host(found), expected)
