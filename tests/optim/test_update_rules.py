"""E24, E41, E42, E43: a hundred steps of each rule are its formula's, in either form."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scratchvae.backend import FLUSH_EVERY, get_backend
from scratchvae.backend.cpu import NumpyBackend
from scratchvae.backend.cpu_updates import BLOCK
from scratchvae.backend.cuda.operations import CudaOperations
from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.errors import ConfigError
from scratchvae.gradcheck.backends import PlainBackend
from scratchvae.memory import FlatBuffer, Layout
from scratchvae.optim import OPTIMIZERS, SGD, Adagrad, Adam, RMSprop

SHAPES = {"0.W": (5, 3), "0.b": (3,)}
SIZE = 18
RULES = {
    "adam": (Adam, {"lr": 0.02, "beta1": 0.85, "beta2": 0.98, "eps": 1e-6}),
    "adam from v0, uncorrected": (Adam, {"lr": 0.02, "v0": 0.5, "bias_correction": False}),
    "rmsprop": (RMSprop, {"lr": 0.02, "rho": 0.85, "eps": 1e-5}),
    "rmsprop, eps inside": (RMSprop, {"lr": 0.02, "rho": 0.85, "eps": 1e-5, "eps_inside": True}),
    "sgd": (SGD, {"lr": 0.02, "momentum": 0.0}),
    "momentum": (SGD, {"lr": 0.02, "momentum": 0.8}),
    "nesterov": (SGD, {"lr": 0.02, "momentum": 0.8, "nesterov": True}),
    "adagrad": (Adagrad, {"lr": 0.3, "eps": 1e-6}),
}
each_rule = pytest.mark.parametrize("name", RULES)


def make(name, **changes):
    rule, settings = RULES[name]
    return rule(**{**settings, **changes})


def gradient(theta, t):
    """A gradient that changes sign and size from parameter to parameter and from step to step."""
    scale = 10.0 ** np.arange(-3, 2)[np.arange(theta.size) % 5]
    return scale * (theta + normal((theta.size,), Stream(0, Purpose.DIRECTION, t)))


def formula(name, rule, theta, steps):
    """The update as its paper or Keras has it, one scalar parameter after the other."""
    theta, state, path = theta.copy(), [0.0] * theta.size, []
    for t in range(1, steps + 1):
        g = gradient(theta, t)
        for i in range(theta.size):
            if name.startswith("rmsprop"):
                state[i] = rule.rho * state[i] + (1 - rule.rho) * g[i] ** 2
                keras_3, pytorch = (state[i] + rule.eps) ** 0.5, state[i] ** 0.5 + rule.eps
                theta[i] -= rule.lr * g[i] / (keras_3 if rule.eps_inside else pytorch)
            elif name == "adagrad":
                state[i] += g[i] ** 2
                theta[i] -= rule.lr * g[i] / (state[i] ** 0.5 + rule.eps)
            else:
                state[i] = rule.momentum * state[i] + g[i]
                ahead = g[i] + rule.momentum * state[i] if rule.nesterov else state[i]
                theta[i] -= rule.lr * ahead
        path.append(theta.copy())
    return path, np.array(state)


class Bench:
    """A rule on two small arrays with a seeded start."""

    def __init__(self, rule, bk, parts=(slice(None),)):
        layout = Layout(SHAPES)
        self.bk, self.rule = bk, rule
        self.params, self.grads = FlatBuffer(bk, layout), FlatBuffer(bk, layout)
        self.start = normal((SIZE,), Stream(1, Purpose.DIRECTION))
        self.params.load(self.split(self.start))
        self.bound = rule.bind(bk, self.params, self.grads, parts)

    @staticmethod
    def split(flat):
        return {"0.W": flat[:15].reshape(5, 3), "0.b": flat[15:]}

    @staticmethod
    def numbers(buffer):
        host = buffer.to_host()
        return np.concatenate([host["0.W"].ravel(), host["0.b"]])

    def step(self, t, g=None):
        g = gradient(self.numbers(self.params), t) if g is None else g
        self.grads.load(self.split(g))
        for part in reversed(range(len(self.bound.parts))):
            self.bound.step(t, part)

    @property
    def theta(self):
        return self.numbers(self.params)


def follow(name, device):
    bench = Bench(make(name), get_backend(device, "float64"))
    path, state = formula(name, bench.rule, bench.start, 100)
    for t in range(1, 101):
        bench.step(t)
        np.testing.assert_allclose(bench.theta, path[t - 1], rtol=0, atol=1e-13)
    assert np.abs(path[-1] - bench.start).max() > 0.5  # it went somewhere
    return bench, state


@pytest.mark.parametrize("device", ["cpu", "strict"])
@pytest.mark.parametrize("name", ["rmsprop", "rmsprop, eps inside"])
def test_e41_one_hundred_steps_of_rmsprop_follow_keras(name, device):
    bench, r = follow(name, device)
    kept = bench.numbers(bench.bound.state["r"])
    np.testing.assert_allclose((1 - bench.rule.rho) * kept, r, rtol=1e-12)


@pytest.mark.parametrize("device", ["cpu", "strict"])
@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov"])
def test_e42_one_hundred_steps_of_gradient_descent_follow_their_formula(name, device):
    bench, v = follow(name, device)
    if name == "sgd":
        assert bench.bound.state == {}
    else:
        np.testing.assert_allclose(bench.numbers(bench.bound.state["v"]), v, rtol=1e-12)


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_e43_one_hundred_steps_of_adagrad_follow_duchi(device):
    bench, s = follow("adagrad", device)
    np.testing.assert_allclose(bench.numbers(bench.bound.state["s"]), s, rtol=1e-12)


def test_e41_the_first_step_is_the_root_of_ten_learning_rates_and_epsilon_stands_outside(cpu64):
    bench = Bench(RMSprop(lr=0.5, rho=0.9, eps=1e-7), cpu64)
    g = np.full(SIZE, -3.0)
    g[0] = 1e-7 / 0.1**0.5  # √r = ε there: half a step
    bench.step(1, g)
    moved = bench.theta - bench.start
    np.testing.assert_allclose(moved[1:], 0.5 * 3 / (0.9**0.5 + 1e-7), rtol=1e-13)
    np.testing.assert_allclose(moved[0], -0.25 / 0.1**0.5, rtol=1e-8)


@pytest.mark.parametrize(("eps_inside", "rates"), [(False, 3.1523), (True, 0.31466)])
def test_e41_a_small_gradient_shows_where_epsilon_stands(eps_inside, rates, cpu64):
    # g = 1e-4, r = 1e-9: g / (√r + 1e-7) as in PyTorch and Keras 2, g / √(r + 1e-7) as in Keras 3.
    bench = Bench(RMSprop(lr=1.0, eps_inside=eps_inside), cpu64)
    bench.step(1, np.full(SIZE, 1e-4))
    np.testing.assert_allclose(bench.start - bench.theta, rates, rtol=1e-4)


def test_e42_momentum_sums_a_constant_gradient_as_a_geometric_series(cpu64):
    # μ = ½, g = 1: v = 1, 3/2, 7/4; the way is lr times their sum, 17/4.
    plain, ahead = (
        Bench(SGD(lr=1.0, momentum=0.5, nesterov=nesterov), cpu64) for nesterov in (False, True)
    )
    for bench in (plain, ahead):
        for t in (1, 2, 3):
            bench.step(t, np.ones(SIZE))
    np.testing.assert_allclose(plain.start - plain.theta, 4.25, rtol=1e-13)
    np.testing.assert_allclose(ahead.start - ahead.theta, 3 + 0.5 * 4.25, rtol=1e-13)


def test_e43_steps_under_a_constant_gradient_shrink_as_one_over_the_root_of_their_number(cpu64):
    bench = Bench(Adagrad(lr=1.0), cpu64)
    for t in range(1, 5):
        before = bench.theta
        bench.step(t, np.full(SIZE, -7.0))
        np.testing.assert_allclose(bench.theta - before, t**-0.5, rtol=1e-9)


def pytorch_s(torch, rule, theta):
    """PyTorch's optimizer of the same settings."""
    optim = torch.optim
    match rule:
        case RMSprop():
            return optim.RMSprop([theta], rule.lr, alpha=rule.rho, eps=rule.eps)
        case Adagrad():
            return optim.Adagrad([theta], rule.lr, eps=rule.eps)
        case SGD():
            return optim.SGD([theta], rule.lr, momentum=rule.momentum, nesterov=rule.nesterov)
    adam = optim.Adam([theta], rule.lr, (rule.beta1, rule.beta2), rule.eps)
    adam.state[theta] = {
        "step": torch.tensor(0.0 if rule.bias_correction else 1e6),  # βᵗ is 0: no correction
        "exp_avg": torch.zeros_like(theta),
        "exp_avg_sq": torch.full_like(theta, rule.v0),
    }
    return adam


@pytest.mark.parametrize("name", sorted(RULES.keys() - {"rmsprop, eps inside"}))
def test_e24_e41_e42_e43_pytorch_takes_the_same_hundred_steps(name, cpu64):
    torch = pytest.importorskip("torch")
    bench = Bench(make(name), cpu64)
    theta = torch.tensor(bench.start, requires_grad=True)
    theirs = pytorch_s(torch, bench.rule, theta)
    for t in range(1, 101):
        g = gradient(bench.theta, t)
        theta.grad = torch.tensor(g)
        theirs.step()
        bench.step(t, g)
        np.testing.assert_allclose(bench.theta, theta.detach().numpy(), rtol=0, atol=1e-13)


@each_rule
def test_parts_of_the_buffers_updated_one_by_one_are_the_whole(name, cpu64):
    whole = Bench(make(name), cpu64)
    parts = Bench(make(name), cpu64, (slice(0, 5), slice(5, 17), slice(17, None)))
    for t in range(1, 4):
        whole.step(t)
        parts.step(t)
    np.testing.assert_array_equal(parts.theta, whole.theta)


@each_rule
def test_float32_stays_float32_and_close_to_float64(name, cpu32, cpu64):
    low, high = Bench(make(name), cpu32), Bench(make(name), cpu64)
    for t in range(1, 21):
        g = normal((SIZE,), Stream(2, Purpose.DIRECTION, t)).astype(np.float32)
        low.step(t, g)
        high.step(t, g)
    assert low.params.flat.dtype == np.float32
    assert all(moment.flat.dtype == np.float32 for moment in low.bound.state.values())
    np.testing.assert_allclose(low.theta, high.theta, rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", ["rmsprop", "rmsprop, eps inside", "momentum"])
def test_a_moment_without_a_gradient_is_flushed_before_it_is_subnormal(name):
    bench = Bench(make(name), get_backend("cpu", "float32"))
    (moment,) = bench.bound.state.values()
    for t in range(1, 10 * FLUSH_EVERY + 1):
        bench.step(t, np.full(SIZE, 1e-8) * (t == 1))
        found = np.abs(moment.flat[moment.flat != 0])
        assert (found >= np.finfo(np.float32).tiny).all()
    assert not moment.flat.any()


@each_rule
@given(data=st.data(), t=st.integers(1, 300) | st.just(FLUSH_EVERY))
def test_the_fused_update_is_the_plain_one_to_a_few_ulp(name, data, t):
    coarse = st.integers(-4096, 4096).map(lambda k: k / 512)
    numbers = data.draw(arrays("float64", (2, SIZE), elements=coarse))
    found = []
    for bk in (get_backend("cpu", "float64"), PlainBackend()):
        bench = Bench(make(name), bk)
        for moment in bench.bound.state.values():
            moment.load(bench.split(np.abs(numbers[0])))
        with bk.ignore_float_errors():
            bench.step(t, numbers[1])
        found.append([bench.theta, *(bench.numbers(m) for m in bench.bound.state.values())])
    for fast, plain in zip(*found, strict=True):
        np.testing.assert_allclose(fast, plain, rtol=1e-14, atol=1e-14)


@each_rule
@pytest.mark.parametrize("fused", [True, False])
def test_the_derivative_of_two_updates_by_complex_step_is_that_of_differences(name, fused):
    bk = get_backend("cpu", "complex128") if fused else PlainBackend(dtype="complex128")
    exact = get_backend("cpu", "float64")
    g, direction = (normal((SIZE,), Stream(3, Purpose.DIRECTION, k)) for k in (0, 1))

    def theta(bk, h):
        bench = Bench(make(name, clip=2.0), bk)
        for t in (1, FLUSH_EVERY):
            bench.step(t, g + h * direction)
        return bench.theta

    by_differences = (theta(exact, 1e-6) - theta(exact, -1e-6)) / 2e-6
    np.testing.assert_allclose(theta(bk, 1e-30j).imag / 1e-30, by_differences, atol=1e-7)
    assert np.abs(by_differences).max() > 1e-4


@each_rule
def test_several_blocks_are_updated_like_one(name, cpu64):
    layout = Layout({"W": (2 * BLOCK + 17,)})
    ramp = np.linspace(-1.0, 1.0, layout.n_parameters)
    found = []
    for bk in (cpu64, PlainBackend()):
        params, grads = FlatBuffer(bk, layout), FlatBuffer(bk, layout)
        params.load({"W": ramp})
        grads.load({"W": ramp[::-1] + 2})
        make(name).bind(bk, params, grads).step(1)
        found.append(bk.to_host(params["W"]))
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-15)


@each_rule
def test_a_step_on_the_strict_device_allocates_nothing_and_never_waits(name, strict32):
    bench = Bench(make(name, clip=1.0, lr="warmup:3:cosine:0.01:0.001:9"), strict32)
    bench.step(1)
    before = strict32.device.allocations, strict32.device.synchronizations
    for t in (2, FLUSH_EVERY):
        strict32.capture(partial(bench.bound.step, t))()
    assert (strict32.device.allocations, strict32.device.synchronizations) == before


def test_the_defaults_are_those_of_keras_pytorch_and_the_names_are_known():
    rms, sgd, ada = RMSprop(), SGD(), Adagrad()
    assert (rms.lr, rms.rho, rms.eps) == (1e-3, 0.9, 1e-7)
    assert (sgd.lr, sgd.momentum, sgd.nesterov) == (1e-2, 0.9, False)
    assert (ada.lr, ada.eps) == (1e-2, 1e-10)
    assert not rms.eps_inside
    assert list(OPTIMIZERS.values()) == [Adam, RMSprop, SGD, Adagrad]
    assert list(OPTIMIZERS) == ["adam", "rmsprop", "sgd", "adagrad"]


@pytest.mark.parametrize(
    ("rule", "settings", "message"),
    [
        (RMSprop, {"rho": 1.0}, r"rho lies in \[0, 1\), not 1.0"),
        (RMSprop, {"eps": 0.0}, "RMSprop's eps must be positive"),
        (RMSprop, {"lr": -1.0}, "learning rate must be positive, not -1"),
        (SGD, {"momentum": 1.0}, r"momentum lies in \[0, 1\), not 1.0"),
        (SGD, {"momentum": float("nan")}, "momentum lies in"),
        (SGD, {"momentum": 0.0, "nesterov": True}, "needs a momentum above 0"),
        (Adagrad, {"eps": -1e-8}, "Adagrad's eps must be positive"),
        (Adam, {"clip": -1.0}, "clip must be positive, or 0 for none, not -1"),
        (SGD, {"clip": float("inf")}, "clip must be positive, or 0 for none, not inf"),
        (Adam, {"v0": -1.0}, "v0 must not be negative: -1"),
    ],
)
def test_settings_that_cannot_be_are_refused(rule, settings, message):
    with pytest.raises(ConfigError, match=message):
        rule(**settings)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_rule_has_a_fused_form_on_every_device(name):
    update = OPTIMIZERS[name].update
    assert NumpyBackend().fused(update)
    assert CudaOperations(np).fused(update)
    assert get_backend("strict").fused(update)
    assert CudaOperations(np, "complex128").fused(update) is None


@pytest.mark.parametrize("number", [np.float32(0.25), np.float64(0.25), np.int64(2), 2])
def test_settings_may_be_numbers_of_numpy(number, cpu32):
    found = []
    for lr in (number, float(number)):
        bench = Bench(
            Adam(lr, beta1=np.float32(0.5), eps=np.float64(1e-8), clip=np.float64(1)), cpu32
        )
        bench.step(1, np.ones(SIZE))
        found.append(bench.theta)
    np.testing.assert_array_equal(*found)
    assert bench.params.flat.dtype == np.float32


def test_a_rule_says_what_it_is():
    assert repr(SGD(0.1, nesterov=True)) == "SGD(lr=0.1, clip=None, momentum=0.9, nesterov=True)"
