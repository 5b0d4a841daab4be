"""E26: all randomness, from published words of Philox to the distribution of the normals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scratchvae.backend import get_backend
from scratchvae.backend.noise import (
    Purpose,
    Stream,
    fill_normal,
    fill_uniform,
    generator,
    normal,
    normal_scratch_size,
    permutation,
    uniform,
)
from scratchvae.errors import ConfigError

MASK = 2**64 - 1
STREAM = Stream(20_131_220, Purpose.LATENT, step=17, lane=3)


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x64-10 (Salmon et al. 2011, section 3) in integers of Python: four words."""
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * c[0], 2**64)
        high1, low1 = divmod(0xCA5A826395121157 * c[2], 2**64)
        c = [high1 ^ c[1] ^ k0, low1, high0 ^ c[3] ^ k1, low0]
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return c


# Random123 1.14, tests/kat_vectors, "philox4x64 10": counter, key, words.
PUBLISHED = [
    (
        [0, 0, 0, 0],
        [0, 0],
        [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B],
    ),
    (
        [MASK] * 4,
        [MASK] * 2,
        [0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0],
    ),
    (  # the digits of pi
        [0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89],
        [0x452821E638D01377, 0xBE5466CF34E90C6C],
        [0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6],
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), PUBLISHED, ids=["zeros", "ones", "pi"])
def test_e26_the_bit_generator_of_a_stream_gives_the_published_words(counter, key, words):
    assert philox(counter, key) == words
    # NumPy adds one to the 256-bit counter before the first block: start one below.
    number = (sum(word << (64 * i) for i, word in enumerate(counter)) - 1) % 2**256
    before = [(number >> (64 * i)) & MASK for i in range(4)]
    kind = type(generator(STREAM).bit_generator)
    bits = kind(key=np.array(key, np.uint64), counter=np.array(before, np.uint64))
    assert [int(word) for word in bits.random_raw(4)] == words


def test_e26_word_i_of_a_stream_is_philox_of_its_key_and_counter():
    raw = generator(STREAM).bit_generator.random_raw(11)
    key = [STREAM.seed, int(STREAM.purpose)]
    expected = [w for block in (1, 2, 3) for w in philox([block, STREAM.step, STREAM.lane, 0], key)]
    assert [int(word) for word in raw] == expected[:11]


def test_e26_a_uniform_is_the_upper_53_bits_of_its_word():
    raw = generator(STREAM).bit_generator.random_raw(9)
    expected = [(int(word) >> 11) * 2.0**-53 for word in raw]
    np.testing.assert_array_equal(uniform((9,), STREAM), expected)


@pytest.mark.parametrize("size", [1, 2, 7, 10])
def test_e26_normals_are_box_muller_of_consecutive_uniforms(size):
    u = uniform((size + 1,), STREAM)
    expected = []
    for k in range((size + 1) // 2):
        radius = np.sqrt(-2 * np.log(1 - u[2 * k]))
        expected += [radius * np.cos(2 * np.pi * u[2 * k + 1])]
        expected += [radius * np.sin(2 * np.pi * u[2 * k + 1])]
    np.testing.assert_allclose(normal((size,), STREAM), expected[:size], rtol=0, atol=4e-15)


@given(position=st.integers(0, 50), size=st.integers(1, 20))
def test_e26_a_uniform_depends_on_its_position_and_not_on_where_drawing_began(position, size):
    part = np.empty(size)
    fill_uniform(part, STREAM, position)
    np.testing.assert_array_equal(part, uniform((position + size,), STREAM)[position:])


@given(size=st.integers(1, 40), more=st.integers(0, 9))
def test_e26_a_normal_depends_on_its_position_and_not_on_how_many_are_drawn(size, more):
    np.testing.assert_array_equal(normal((size,), STREAM), normal((size + more,), STREAM)[:size])


@pytest.mark.parametrize("position", [0, 2, 8, 14])
def test_e26_a_normal_may_be_drawn_from_any_even_position_on(position):
    whole, part = normal((20,), STREAM), np.empty(20 - position)
    fill_normal(part, STREAM, np.empty(normal_scratch_size(20)), position)
    np.testing.assert_array_equal(part, whole[position:])


def test_e26_the_shape_of_a_draw_does_not_change_its_numbers():
    flat = normal((3 * 5 * 2,), STREAM)
    np.testing.assert_array_equal(normal((3, 5, 2), STREAM).ravel(), flat)
    np.testing.assert_array_equal(uniform((5, 6), STREAM).ravel(), uniform((30,), STREAM))


@pytest.mark.parametrize("device", ["cpu", "strict"])
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_e26_every_backend_and_dtype_gets_the_float64_numbers_rounded(device, kind):
    exact = {"uniform": uniform, "normal": normal}[kind]((5, 7), STREAM)
    for dtype in ("float32", "float64", "complex128"):
        bk = get_backend(device, dtype)
        out = bk.empty((5, 7))
        getattr(bk, kind)(out, STREAM, bk.noise_scratch(35))
        np.testing.assert_array_equal(bk.to_host(out), exact.astype(dtype))


def test_e26_drawing_normals_needs_no_more_scratch_than_it_says():
    out, room = np.empty(7), np.full(normal_scratch_size(7) + 3, 42.0)
    fill_normal(out, STREAM, room[:-3])
    np.testing.assert_array_equal(room[-3:], 42.0)
    np.testing.assert_array_equal(out, normal((7,), STREAM))
    assert [normal_scratch_size(n) for n in (1, 2, 7, 8)] == [4, 4, 16, 16]


@pytest.mark.parametrize("name", ["seed", "step", "lane"])
@pytest.mark.parametrize("value", [-1, 2**64])
def test_a_stream_without_64_bits_of_its_own_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"the {name} of a stream is {value}, but it must be"):
        uniform((1,), STREAM._replace(**{name: value}))
    uniform((1,), STREAM._replace(**{name: 2**64 - 1}))


def test_the_numbers_of_a_stream_are_whole_and_may_be_numpys():
    with pytest.raises(ConfigError, match="must be a whole number"):
        uniform((1,), STREAM._replace(seed=2.0))
    np.testing.assert_array_equal(
        uniform((3,), STREAM._replace(step=np.int64(5))), uniform((3,), STREAM._replace(step=5))
    )


@pytest.mark.parametrize("draw", [uniform, normal])
def test_more_noise_than_any_memory_holds_is_refused_in_a_sentence(draw):
    with pytest.raises(MemoryError, match="is larger than any memory"):
        draw((2**40, 2**40), STREAM)


STREAMS = [
    STREAM,
    STREAM._replace(seed=STREAM.seed + 1),
    STREAM._replace(purpose=Purpose.TEST_LATENT),
    STREAM._replace(step=STREAM.step + 1),
    STREAM._replace(lane=STREAM.lane + 1),
    STREAM._replace(step=STREAM.lane, lane=STREAM.step),
    Stream(int(STREAM.purpose), Purpose.LATENT, STREAM.step, STREAM.lane),
]


def test_e26_another_seed_purpose_step_or_lane_shares_not_one_number():
    draws = [uniform((500,), stream) for stream in STREAMS]
    assert len(np.unique(np.concatenate(draws))) == 500 * len(STREAMS)
    for other in draws[1:]:  # nor do they go together: |r| below five standard errors
        assert abs(np.corrcoef(draws[0], other)[0, 1]) < 5 / np.sqrt(500)


def test_e26_no_two_purposes_have_the_same_number():
    assert len({int(purpose) for purpose in Purpose}) == len(Purpose.__members__)


def test_e26_a_named_stream_is_a_function_of_the_name():
    named = Stream.named(4, Purpose.INITIAL_WEIGHTS, "encoder.0.W")
    assert named == Stream.named(4, Purpose.INITIAL_WEIGHTS, "encoder.0.W")
    # The first eight bytes of SHA-256("encoder.0.W"), little end first: fixed for ever.
    lane = int.from_bytes(bytes.fromhex("824d6d42d4fe1779"), "little")
    assert named == Stream(4, Purpose.INITIAL_WEIGHTS, 0, lane)
    assert named.lane != Stream.named(4, Purpose.INITIAL_WEIGHTS, "encoder.0.b").lane


def test_e26_uniforms_are_uniform():
    u = uniform((200_000,), STREAM)
    assert u.min() >= 0.0
    assert u.max() < 1.0
    assert abs(u.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / u.size)
    assert abs(u.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / u.size)
    assert stats.kstest(u, "uniform").pvalue > 0.01


def test_e26_normals_are_normal_and_independent_of_their_neighbours():
    z = normal((200_001,), STREAM)
    standard_error = 1 / np.sqrt(z.size)
    assert abs(z.mean()) < 5 * standard_error
    assert abs(z.var() - 1) < 5 * np.sqrt(2) * standard_error
    assert abs((z**3).mean()) < 5 * np.sqrt(15) * standard_error
    assert abs((z**4).mean() - 3) < 5 * np.sqrt(96) * standard_error
    assert stats.kstest(z, "norm").pvalue > 0.01
    for lag in (1, 2):  # the two of a Box–Muller pair, and neighbouring pairs
        assert abs((z[lag:] * z[:-lag]).mean()) < 5 * standard_error


@pytest.mark.parametrize("n", [1, 2, 101])
def test_e26_a_permutation_holds_every_index_once(n):
    order = permutation(n, Stream(1, Purpose.ORDER, 2))
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


def test_e26_a_permutation_sorts_the_uniforms_of_its_stream_and_differs_by_epoch():
    first, second = (permutation(101, Stream(1, Purpose.ORDER, epoch)) for epoch in (1, 2))
    assert (np.diff(uniform((101,), Stream(1, Purpose.ORDER, 1))[first]) > 0).all()
    assert (first != second).sum() > 90
    assert (first != np.arange(101)).sum() > 90
