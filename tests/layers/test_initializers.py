"""E25: what initial weights are drawn from, and what their numbers depend on."""

import numpy as np
import pytest
from scipy import stats

from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal, uniform
from scratchvae.layers import (
    HEAD_STARTS,
    INITIALIZATIONS,
    Constant,
    Conv2D,
    ConvTranspose2D,
    Dense,
    FanInUniform,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    Initialization,
    TruncatedNormal,
    initializers,
)
from scratchvae.models import VAE

FAN_IN, FAN_OUT = 317, 211
SHAPE = (FAN_IN, FAN_OUT)
STREAM = Stream.named(7, Purpose.INITIAL_WEIGHTS, "encoder.0.W")
GLOROT = np.sqrt(6 / (FAN_IN + FAN_OUT))

DISTRIBUTIONS = {
    "glorot uniform": (GlorotUniform(), stats.uniform(-GLOROT, 2 * GLOROT)),
    "glorot normal": (GlorotNormal(), stats.norm(0, np.sqrt(2 / (FAN_IN + FAN_OUT)))),
    "he": (HeNormal(), stats.norm(0, np.sqrt(2 / FAN_IN))),
    "fan-in uniform": (FanInUniform(), stats.uniform(-(FAN_IN**-0.5), 2 * FAN_IN**-0.5)),
    "truncated normal": (TruncatedNormal(0.1), stats.truncnorm(-2, 2, scale=0.1)),
    "narrow truncated normal": (TruncatedNormal(0.02), stats.truncnorm(-2, 2, scale=0.02)),
}
each_distribution = pytest.mark.parametrize(
    ("init", "law"), DISTRIBUTIONS.values(), ids=DISTRIBUTIONS
)


@each_distribution
def test_e25_an_initializer_has_the_moments_of_its_distribution(init, law):
    w = init(SHAPE, FAN_IN, FAN_OUT, STREAM)
    assert w.shape == SHAPE
    assert w.dtype == np.float64
    mean, variance, _, excess = law.stats("mvsk")
    assert abs(w.mean() - mean) < 5 * np.sqrt(variance / w.size)
    assert abs(w.var() - variance) < 5 * variance * np.sqrt((excess + 2) / w.size)


@each_distribution
def test_e25_an_initializer_has_the_shape_of_its_distribution(init, law):
    w = init(SHAPE, FAN_IN, FAN_OUT, STREAM)
    assert stats.kstest(w.ravel(), law.cdf).pvalue > 0.01
    low, high = law.support()
    assert w.min() >= low
    assert w.max() <= high


def test_e25_an_initializer_is_its_formula_of_the_streams_numbers():
    u, z = uniform(SHAPE, STREAM), normal(SHAPE, STREAM)
    for init, expected in (
        (GlorotUniform(), GLOROT * (2 * u - 1)),
        (GlorotNormal(), np.sqrt(2 / (FAN_IN + FAN_OUT)) * z),
        (HeNormal(), np.sqrt(2 / FAN_IN) * z),
        (FanInUniform(), FAN_IN**-0.5 * (2 * u - 1)),
    ):
        np.testing.assert_allclose(init(SHAPE, FAN_IN, FAN_OUT, STREAM), expected, rtol=1e-14)


def test_e25_a_truncated_normal_is_drawn_again_from_the_next_step_of_its_stream(monkeypatch):
    steps = {
        0: [0.5, 2.00005, -1.0, -3.0, 2.00005],
        1: [9.0, -2.00005, 9.0, 1.5, 0.25],
        2: [9.0, 1.25, 9.0, 9.0, 9.0],
    }
    monkeypatch.setattr(initializers, "normal", lambda shape, stream: np.array(steps[stream.step]))
    found = TruncatedNormal(0.5)((5,), 5, 1, STREAM._replace(step=0))
    np.testing.assert_array_equal(found, [0.25, 0.625, -0.5, 0.75, 0.125])


def test_e25_no_truncated_normal_lies_beyond_two_deviations_however_few_are_drawn():
    draws = [
        TruncatedNormal(0.1)((3, 2), 3, 2, Stream.named(7, Purpose.INITIAL_WEIGHTS, f"{i}.W"))
        for i in range(300)
    ]
    assert 0.19 < np.abs(draws).max() <= 0.2
    assert len(np.unique(draws)) == 1800


def test_e25_a_constant_is_constant():
    np.testing.assert_array_equal(Constant(0.25)((3, 2), 3, 2, STREAM), np.full((3, 2), 0.25))
    np.testing.assert_array_equal(Constant()((2,), 3, 2, STREAM), [0, 0])
    assert Constant(0.25)((3, 2), 3, 2, STREAM).shape == (3, 2)


def test_e25_the_named_initializations_are_those_of_the_papers_and_of_pytorch():
    named = {name: (i.weights, i.bias) for name, i in INITIALIZATIONS.items()}
    assert named == {
        "glorot-uniform": (GlorotUniform(), Constant(0.0)),
        "glorot-normal": (GlorotNormal(), Constant(0.0)),
        "he": (HeNormal(), Constant(0.0)),
        "truncated-normal": (TruncatedNormal(0.1), Constant(0.1)),
        "torch": (FanInUniform(), FanInUniform()),
    }


def wide_vae(init):
    return VAE.mlp(301, (200, 53), latent_dim=3, init=init)


def test_e25_a_model_hands_each_layer_its_own_fan_in(cpu64):
    params = wide_vae("he").initial_parameters(cpu64, seed=5)
    for name, fan_in in (("encoder.0.W", 301), ("encoder.2.W", 200), ("decoder.2.W", 53)):
        w = params[name]
        assert w.shape[0] == fan_in
        assert abs(w.var() - 2 / fan_in) < 5 * (2 / fan_in) * np.sqrt(2 / w.size)


def test_e25_pytorchs_biases_are_bounded_by_the_fan_in_of_their_layer(cpu64):
    params = wide_vae("torch").initial_parameters(cpu64, seed=5)
    for name, bound in (("encoder.0.b", 301**-0.5), ("decoder.4.b", 200**-0.5)):
        assert 0.95 * bound < np.abs(params[name]).max() <= bound


LAYERS = {  # ours and PyTorch's, of 11 channels in and 37 out
    "dense": (Dense(37), (11,), lambda nn: nn.Linear(11, 37)),
    "convolution": (Conv2D(37, 5), (9, 9, 11), lambda nn: nn.Conv2d(11, 37, 5)),
    "transposed": (ConvTranspose2D(37, 5), (9, 9, 11), lambda nn: nn.ConvTranspose2d(11, 37, 5)),
}


@pytest.mark.parametrize(
    ("kind", "fans"),
    [("dense", (11, 37)), ("convolution", (275, 925)), ("transposed", (925, 275))],
)
def test_e25_the_fans_of_every_kind_of_layer_are_keras_and_pytorchs(kind, fans):
    torch = pytest.importorskip("torch")
    layer, shape, theirs = LAYERS[kind]
    assert layer.fans(shape) == fans  # Keras: the kernel's size times shape[-2] and times shape[-1]
    weight = theirs(torch.nn).weight
    assert torch.nn.init._calculate_fan_in_and_fan_out(weight) == fans


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("name", ["glorot-uniform", "glorot-normal", "he", "torch"])
def test_e25_every_initialization_of_every_kind_of_layer_has_pytorchs_spread(name, kind):
    torch = pytest.importorskip("torch")
    layer, rows, theirs = LAYERS[kind]
    torch.manual_seed(0)
    module = theirs(torch.nn)  # which has drawn PyTorch's own weights and biases
    spread = {
        "glorot-uniform": lambda w: torch.nn.init.xavier_uniform_(w).std(),
        "glorot-normal": lambda w: torch.nn.init.xavier_normal_(w).std(),
        "he": lambda w: torch.nn.init.kaiming_normal_(w).std(),
        "torch": lambda w: w.std(),
    }[name](module.weight.data)
    shape, _ = layer.parameters(rows)["W"]
    w = INITIALIZATIONS[name].weights(shape, *layer.fans(rows), STREAM)
    # Two samples of n numbers: their standard deviations differ by 1/√n of it, or less.
    assert w.std() == pytest.approx(spread.item(), rel=5 / np.sqrt(w.size))
    if name == "torch":
        b = INITIALIZATIONS[name].bias((100_000,), *layer.fans(rows), STREAM)
        bound = module.weight.abs().max().item()  # of n uniform numbers the largest is 1/n short
        assert np.abs(b).max() == pytest.approx(bound, rel=10 / w.size)
        assert module.bias.abs().max() <= np.abs(b).max() * 1.0001


def test_e25_biases_start_at_zero_or_at_a_tenth(cpu64):
    for init, value in (("glorot-uniform", 0.0), ("truncated-normal", 0.1)):
        np.testing.assert_array_equal(
            wide_vae(init).initial_parameters(cpu64)["encoder.2.b"], np.full(53, value)
        )


def test_e25_adding_a_layer_does_not_change_anothers_weights(cpu64):
    small = VAE.mlp(13, (7, 5), latent_dim=3).initial_parameters(cpu64, seed=2)
    large = VAE.mlp(13, (7, 5, 4), latent_dim=3).initial_parameters(cpu64, seed=2)
    for name in ("encoder.0.W", "encoder.2.W", "encoder.2.b"):
        np.testing.assert_array_equal(small[name], large[name])
    assert "encoder.6.W" in set(large) - set(small)


def test_e25_no_two_parameters_and_no_two_seeds_share_numbers(cpu64):
    vae = VAE.mlp(13, (7, 5), latent_dim=3, init="torch")
    first, second = (vae.initial_parameters(cpu64, seed).to_host() for seed in (2, 3))
    numbers = np.concatenate([a.ravel() for p in (first, second) for a in p.values()])
    # Biases and weights of one layer have one bound; so do the layers of one fan-in.
    assert len(np.unique(np.abs(numbers))) == 2 * vae.layout.n_parameters


@pytest.mark.parametrize("init", INITIALIZATIONS)
def test_e25_every_backend_and_dtype_starts_from_the_same_numbers(init):
    vae = VAE.mlp(13, (7, 5), latent_dim=3, init=init)
    exact = vae.initial_parameters(get_backend("cpu", "float64"), seed=2).to_host()
    for device in ("cpu", "strict"):
        for dtype in ("float32", "complex128"):
            found = vae.initial_parameters(get_backend(device, dtype), seed=2).to_host()
            for name, value in exact.items():
                np.testing.assert_array_equal(found[name], value.astype(dtype), err_msg=name)


@pytest.mark.parametrize("how", ["independent", "equal"])
def test_e25_each_half_of_a_head_starts_as_a_layer_of_its_own(how):
    start = HEAD_STARTS[how](Initialization(GlorotUniform(), FanInUniform()))
    W = np.sqrt(6 / (5 + 3)) * (2 * uniform((5, 6), STREAM) - 1)
    b = 5**-0.5 * (2 * uniform((6,), STREAM) - 1)
    if how == "equal":
        W, b = np.hstack([W[:, :3], W[:, :3]]), np.hstack([b[:3], b[:3]])
    np.testing.assert_allclose(start.weights((5, 6), 5, 6, STREAM), W, rtol=1e-14)
    np.testing.assert_allclose(start.bias((6,), 5, 6, STREAM), b, rtol=1e-14)


def test_e25_a_layer_may_be_given_another_initialization():
    layer = Dense(4, INITIALIZATIONS["he"])
    assert layer.parameters((3,))["W"][1] == HeNormal()
    assert layer.parameters((3,))["b"][1] == Constant(0.0)
