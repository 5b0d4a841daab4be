"""E24: Adam is algorithm 1 of Kingma and Ba (2015), on whole buffers."""

import numpy as np
import pytest

from scratchvae.backend import FLUSH_EVERY, get_backend
from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.errors import ConfigError
from scratchvae.gradcheck.backends import PlainBackend
from scratchvae.memory import FlatBuffer, Layout
from scratchvae.optim import OPTIMIZERS, Adam

SHAPES = {"0.W": (5, 3), "0.b": (3,)}
LR, BETA1, BETA2, EPS = 0.02, 0.85, 0.98, 1e-6


def bound(bk, **settings):
    layout = Layout(SHAPES)
    params, grads = FlatBuffer(bk, layout), FlatBuffer(bk, layout)
    return params, grads, Adam(**settings).bind(bk, params, grads)


def gradient(theta, t):
    """A gradient that changes sign and size from parameter to parameter and from step to step."""
    scale = 10.0 ** np.arange(-3, 2)[np.arange(theta.size) % 5]
    return scale * (theta + normal((theta.size,), Stream(0, Purpose.DIRECTION, t)))


def algorithm_1(theta, steps):
    """The paper's pseudo-code, a line for a line, one scalar parameter after the other."""
    m, v, path = [0.0] * theta.size, [0.0] * theta.size, []
    theta = theta.copy()
    for t in range(1, steps + 1):
        g = gradient(theta, t)
        for i in range(theta.size):
            m[i] = BETA1 * m[i] + (1 - BETA1) * g[i]
            v[i] = BETA2 * v[i] + (1 - BETA2) * g[i] ** 2
            m_hat = m[i] / (1 - BETA1**t)
            v_hat = v[i] / (1 - BETA2**t)
            theta[i] = theta[i] - LR * m_hat / (v_hat**0.5 + EPS)
        path.append(theta.copy())
    return path, np.array(m), np.array(v)


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_e24_one_hundred_steps_follow_the_papers_algorithm(device):
    bk = get_backend(device, "float64")
    start = normal((18,), Stream(1, Purpose.DIRECTION))
    path, m, v = algorithm_1(start, 100)
    params, grads, adam = bound(bk, lr=LR, beta1=BETA1, beta2=BETA2, eps=EPS)
    params.load({"0.W": start[:15].reshape(5, 3), "0.b": start[15:]})

    def numbers(buffer):
        host = buffer.to_host()
        return np.concatenate([host["0.W"].ravel(), host["0.b"]])

    for t in range(1, 101):
        g = gradient(numbers(params), t)
        grads.load({"0.W": g[:15].reshape(5, 3), "0.b": g[15:]})
        adam.step(t)
        np.testing.assert_allclose(numbers(params), path[t - 1], rtol=0, atol=1e-13)
    assert np.abs(path[-1] - start).max() > 0.5  # it went somewhere
    # The buffers hold the paper's moments divided by 1 − β.
    np.testing.assert_allclose(numbers(adam.state["m"]) * (1 - BETA1), m, rtol=1e-12)
    np.testing.assert_allclose(numbers(adam.state["v"]) * (1 - BETA2), v, rtol=1e-12)


def test_e24_the_first_step_is_the_learning_rate_against_the_sign_of_the_gradient(cpu64):
    params, grads, adam = bound(cpu64, lr=0.5, eps=1e-8)
    grads["0.b"][...] = [3.0, -0.01, 1e-8]
    adam.step(1)
    # m̂ = g and v̂ = g²: the step is lr g/(|g| + ε), a half of lr where |g| = ε.
    expected = [-0.5 * 3 / (3 + 1e-8), 0.5 * 0.01 / (0.01 + 1e-8), -0.25]
    np.testing.assert_allclose(params["0.b"], expected, rtol=1e-14)
    np.testing.assert_array_equal(params["0.W"], 0.0)  # no gradient, no step


def test_e24_epsilon_stands_outside_the_bias_corrected_root(cpu64):
    params, grads, adam = bound(cpu64, lr=1.0, beta1=0.0, beta2=0.75, eps=1.0)
    grads["0.b"][...] = 2.0
    adam.step(1)
    # v = ¼ · 4 = 1, v̂ = 4: the step is 2/(2 + 1). Inside the root it would be 2/√5;
    # beside the uncorrected root (√v + ε) √(1 − β₂)⁻¹ it would be another again.
    np.testing.assert_allclose(params["0.b"], -2 / 3, rtol=1e-15)


def test_e24_the_bias_correction_counts_steps_from_the_number_it_is_given(cpu64):
    found = []
    for t in (1, 2, 50):
        params, grads, adam = bound(cpu64, lr=1.0, beta1=0.5, beta2=0.75)
        grads["0.b"][...] = 1.0
        adam.step(t)
        found.append(-params["0.b"][0])
    # From moments of zero: ½/(1 − ½ᵗ) over √(¼/(1 − ¾ᵗ)).
    expected = [0.5 / (1 - 0.5**t) / (0.25 / (1 - 0.75**t)) ** 0.5 for t in (1, 2, 50)]
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_e24_the_moments_start_at_zero_and_lie_beside_the_parameters():
    bk = get_backend("strict", "float32")
    params, _, adam = bound(bk)
    assert list(adam.state) == ["m", "v"]
    for moment in adam.state.values():
        assert moment.layout == params.layout
        assert not bk.to_host(moment.flat).any()


def test_e24_in_float32_a_step_stays_within_rounding_of_float64(cpu32, cpu64):
    results = []
    for bk in (cpu32, cpu64):
        params, grads, adam = bound(bk, lr=LR)
        for t in range(1, 21):
            grads.flat[:18] = normal((18,), Stream(2, Purpose.DIRECTION, t)).astype(np.float32)
            adam.step(t)
        assert params.flat.dtype == adam.state["m"].flat.dtype == bk.dtype
        results.append(params.flat.astype(np.float64))
    np.testing.assert_allclose(results[0], results[1], rtol=0, atol=20 * LR * 2**-22)


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_e24_moments_of_a_gradient_that_stays_zero_are_flushed_before_they_are_subnormal(device):
    bk = get_backend(device, "float32")
    _, grads, adam = bound(bk, beta2=0.9)
    first, living = np.array([1e-10, 1e-18, 0.0]), np.full((5, 3), 1e-10)
    for t in range(1, 5 * FLUSH_EVERY + 1):
        grads.load({"0.b": first if t == 1 else 0 * first, "0.W": living})
        adam.step(t)
        host = [moment.to_host() for moment in adam.state.values()]
        numbers = np.concatenate([a.ravel() for moment in host for a in moment.values()])
        assert (numbers[numbers != 0] >= np.finfo(np.float32).tiny).all() or t < FLUSH_EVERY
    for moment in host:
        np.testing.assert_array_equal(moment["0.b"], 0)
        assert (moment["0.W"] > 0).all()  # what a gradient still feeds is kept


def test_e24_flushing_changes_no_weight_in_the_plain_algorithm_to_double_precision(cpu64):
    # 128 steps with a gradient, 300 without: ε beside the root makes what is flushed nothing.
    params, grads, adam = bound(cpu64, lr=LR, beta1=BETA1, beta2=BETA2, eps=EPS)
    theta, m, v = np.zeros(3), np.zeros(3), np.zeros(3)
    for t in range(1, 429):
        g = np.array([1e-150, 3.0, -1e-3]) * (t <= 128)
        grads["0.b"][...] = g
        adam.step(t)
        m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g**2
        theta -= LR * m / (1 - BETA1**t) / (np.sqrt(v / (1 - BETA2**t)) + EPS)
    np.testing.assert_allclose(params["0.b"], theta, rtol=1e-12)


@pytest.mark.parametrize("fused", [True, False])
def test_e24_a_tiny_epsilon_keeps_tiny_moments_from_being_flushed(fused):
    # A constant gradient: every step is the learning rate times 1e-17 / (1e-17 + ε).
    bk = get_backend("cpu", "float32") if fused else PlainBackend(dtype="float32")
    params, grads, adam = bound(bk, lr=1e-3, eps=1e-20)
    grads.load({"0.W": np.full((5, 3), 1e-17), "0.b": np.full(3, -1e-17)})
    for t in range(1, 2 * FLUSH_EVERY + 2):
        before = params.to_host()
        adam.step(t)
        after = params.to_host()
        np.testing.assert_allclose(after["0.W"] - before["0.W"], -0.999e-3, rtol=1e-3)
        np.testing.assert_allclose(after["0.b"] - before["0.b"], 0.999e-3, rtol=1e-3)


def test_e24_moments_are_flushed_every_128_steps_and_only_then(cpu32):
    for t, kept in ((FLUSH_EVERY, [0, 0, 1]), (FLUSH_EVERY - 1, [1, 1, 1])):
        _, _, adam = bound(cpu32, beta1=0.5, beta2=0.5)
        for name, sign in (("m", -1), ("v", 1)):
            adam.state[name]["0.b"][...] = sign * np.array([1e-34, 1e-31, 1e-28])
        adam.step(t)
        for name in ("m", "v"):
            np.testing.assert_array_equal(adam.state[name]["0.b"] != 0, np.array(kept, bool))


def test_e24_v_starts_where_it_is_told_and_the_padding_at_zero(cpu64):
    params, _, adam = bound(cpu64, beta2=0.75, v0=0.5)
    np.testing.assert_array_equal(adam.state["v"]["0.b"], 0.5 / 0.25)
    assert np.count_nonzero(adam.state["v"].flat) == params.layout.n_parameters
    assert not adam.state["m"].flat.any()


def test_e24_without_bias_correction_the_first_step_is_that_of_the_raw_averages(cpu64):
    params, grads, adam = bound(cpu64, lr=1.0, beta1=0.5, beta2=0.75, bias_correction=False)
    grads["0.b"][...] = 2.0
    adam.step(1)
    np.testing.assert_allclose(params["0.b"], -1 / (1 + 1e-8), rtol=1e-15)  # m = 1, v = 1


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_e24_epsilon_hat_stands_beside_the_uncorrected_root(device):
    # The form that the authors of the importance-weighted autoencoder ran, in their own words:
    # lr_t = lr √(1 − β₂ᵗ) / (1 − β₁ᵗ), p ← p − lr_t m / (√v + 1e-4), with v₀ = 1.
    bk = get_backend(device, "float64")
    settings = {"beta1": 0.99, "beta2": 0.999, "eps": 1e-4, "v0": 1.0, "eps_hat": True}
    params, grads, adam = bound(bk, lr=LR, **settings)
    theta, m, v = np.zeros(3), np.zeros(3), np.ones(3)
    for t in range(1, 201):
        g = np.array([1e-5, 3.0, -40.0]) * np.cos(t)
        grads.load({"0.W": np.zeros((5, 3)), "0.b": g})
        adam.step(t)
        m, v = 0.99 * m + 0.01 * g, 0.999 * v + 0.001 * g**2
        theta -= LR * (1 - 0.999**t) ** 0.5 / (1 - 0.99**t) * m / (v**0.5 + 1e-4)
        np.testing.assert_allclose(params.to_host()["0.b"], theta, rtol=1e-12)


def test_e24_parts_of_the_buffers_updated_one_by_one_are_the_whole(cpu64):
    results = []
    for parts in ((slice(None),), (slice(0, 5), slice(5, 17), slice(17, None))):
        layout = Layout(SHAPES)
        params, grads = FlatBuffer(cpu64, layout), FlatBuffer(cpu64, layout)
        adam = Adam(lr=LR).bind(cpu64, params, grads, parts)
        for t in range(1, 4):
            grads.flat[:19] = normal((19,), Stream(2, Purpose.DIRECTION, t))
            for part in reversed(range(len(parts))):
                adam.step(t, part)
        results.append([params.flat, *(moment.flat for moment in adam.state.values())])
    for whole, parted in zip(*results, strict=True):
        np.testing.assert_array_equal(parted, whole)
        assert whole[:19].all()


def test_the_defaults_are_those_of_the_paper():
    adam = Adam()
    assert (adam.lr, adam.beta1, adam.beta2, adam.eps) == (1e-3, 0.9, 0.999, 1e-8)
    assert OPTIMIZERS["adam"] is Adam


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0.0}, "learning rate must be positive, not 0"),
        ({"lr": -1e-3}, "learning rate must be positive"),
        ({"lr": float("inf")}, "learning rate must be positive, not inf"),
        ({"lr": float("nan")}, "learning rate must be positive, not nan"),
        ({"beta1": 1.0}, r"betas lie in \[0, 1\), not 1.0 and 0.999"),
        ({"beta1": -0.1}, "betas lie in"),
        ({"beta2": 1.5}, r"betas lie in \[0, 1\), not 0.9 and 1.5"),
        ({"beta2": float("nan")}, "betas lie in"),
        ({"eps": 0.0}, "eps must be positive, not 0"),
        ({"eps": float("nan")}, "eps must be positive"),
        ({"eps_hat": True, "bias_correction": False}, "eps_hat needs the bias correction"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Adam(**settings)
