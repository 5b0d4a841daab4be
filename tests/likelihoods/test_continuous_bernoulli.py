"""The continuous Bernoulli: a density on [0, 1], its gradient, its mean and its sampler."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from scipy import integrate

from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream
from scratchvae.data import load_dataset
from scratchvae.likelihoods import Bernoulli, ContinuousBernoulli
from scratchvae.memory import Workspace
from scratchvae.training import train

H = 2.0**-80
NEAR_ZERO = np.array([0.0, 1e-300, -1e-30, 1e-16, -1e-9, 1e-5, -0.01, 0.3, 0.5, -0.5, 0.51])
FAR = np.array([-800.0, -80.0, -5.0, 2.0, 80.0, 800.0])


def pixels(bk, a, x, grad=False):
    """−log p(x_d|z) (N,) of one pixel per row, or its gradient with respect to the logits."""
    a, x = (bk.array(np.broadcast_to(v, np.shape(a)).reshape(-1, 1, 1)) for v in (a, x))
    out, nll = bk.empty(a.shape), bk.empty((len(a), 1))
    likelihood = ContinuousBernoulli()
    work = likelihood.work(Workspace(bk, len(a)), 1, 1)
    if grad:
        likelihood.nll_and_grad(bk, None, a, x, nll, out, work)
    else:
        likelihood.pixel_nll(bk, None, a, x, out, work)
    return bk.to_host(out)[:, 0, 0]


def exact_mean(a):
    """By the definition, with so many digits that its cancellation leaves enough."""
    with localcontext(prec=700):
        exact = Decimal(float(a))
        return float(1 / (1 - (-exact).exp()) - 1 / exact) if a else 0.5


def test_e200_the_density_integrates_to_one_for_200_logits(cpu64):
    nodes, weights = np.polynomial.legendre.leggauss(200)
    x = (nodes + 1) / 2
    for a in np.concatenate([np.linspace(-80, 80, 100), np.geomspace(1e-12, 80, 50),
                             -np.geomspace(1e-12, 80, 50)]):  # fmt: skip
        p = np.exp(-pixels(cpu64, np.full(200, a), x))
        assert weights @ p / 2 == pytest.approx(1, rel=2e-14)


def test_e200_by_hand_and_as_the_bernoulli_divided_by_its_integral(cpu64):
    # a = log 3, x = ½: log(2 / log 3) − ½ log 3.
    by_hand = np.log(2 / np.log(3)) - np.log(3) / 2
    assert pixels(cpu64, np.log([3.0]), 0.5)[0] == pytest.approx(by_hand, rel=1e-15)
    a, x = np.linspace(-7, 9, 20), np.linspace(0, 1, 20)  # a = 0 is not among them
    integral = np.tanh(a / 2) / a
    expected = np.logaddexp(0, a) - x * a + np.log(integral)
    np.testing.assert_allclose(pixels(cpu64, a, x), expected, rtol=0, atol=4e-15)


def test_e200_at_zero_the_density_is_uniform_and_at_huge_logits_finite(cpu64):
    assert pixels(cpu64, np.zeros(1), 0.3)[0] == 0
    found = pixels(cpu64, np.array([-1e300, 1e300]), np.array([0.0, 1.0]))
    np.testing.assert_allclose(found, -np.log(1e300), rtol=1e-15)


def test_e201_the_gradient_is_that_of_the_value_by_complex_step_also_around_zero(cpu64, cpu128):
    a = np.concatenate([NEAR_ZERO, FAR])
    for sign in (1, -1):  # at 0 from both sides
        slope = sign * pixels(cpu128, a + sign * 1j * H, 0.3).imag / H
        np.testing.assert_allclose(slope, pixels(cpu64, a, 0.3, True), rtol=0, atol=4e-16)


@pytest.mark.parametrize(("dtype", "error"), [("float64", 4e-16), ("float32", 3e-7)])
def test_e201_the_mean_is_exact_where_its_formula_cancels(dtype, error):
    bk = get_backend("cpu", dtype)
    a = np.concatenate([NEAR_ZERO, FAR]).astype(dtype)
    mean = a.copy()
    ContinuousBernoulli().mean(bk, mean, mean)
    np.testing.assert_allclose(mean, [exact_mean(v) for v in a], rtol=0, atol=error)


def test_e201_the_logits_of_a_mean_have_that_mean(cpu64):
    means = np.array([0.0, 0.001, 0.2, 0.5, 0.7, 0.999, 1.0])
    a, again = np.empty(7), np.empty(7)
    ContinuousBernoulli().logits(cpu64, means, a)
    ContinuousBernoulli().mean(cpu64, a, again)
    np.testing.assert_allclose(again, np.clip(means, 0.001, 0.999), rtol=1e-12)


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_e202_the_sampler_has_the_mean_of_the_density(device):
    bk, n = get_backend(device, "float64"), 40_000
    a = np.array([-80.0, -3.0, 0.0, 1e-9, 0.4, 6.0, 80.0])
    noise, x = bk.empty((n, 7)), bk.empty((n, 7))
    bk.uniform(noise, Stream(3, Purpose.PIXELS), bk.noise_scratch(n * 7))
    assert ContinuousBernoulli.noise == "uniform"
    ContinuousBernoulli().sample(bk, None, bk.array(np.broadcast_to(a, (n, 7))), noise, x)
    x = bk.to_host(x)
    assert 0 <= x.min() <= x.max() <= 1
    error = x.std(axis=0) / np.sqrt(n)
    assert (np.abs(x.mean(axis=0) - [exact_mean(v) for v in a]) < 5 * error).all()


def test_e202_the_sampler_inverts_the_distribution_function_and_keeps_its_order(cpu64):
    u = np.linspace(0, 1 - 2.0**-53, 400)
    for a in (-80.0, -2.0, -1e-20, 0.7, 80.0):
        x = np.empty(400)
        ContinuousBernoulli().sample(cpu64, None, np.full(400, a), u, x)
        assert (np.diff(x) > 0).all()
        grid = [0.0, *x[40::80]]
        for low, high, probability in zip(grid, grid[1:], np.diff([0.0, *u[40::80]]), strict=False):
            density = lambda t, a=a: np.exp(-pixels(cpu64, np.array([a]), t)[0])  # noqa: E731
            found, _ = integrate.quad(density, low, high, epsabs=1e-12)
            assert found == pytest.approx(probability, rel=1e-8)


def test_a_continuous_bernoulli_is_a_density_of_values_between_zero_and_one():
    likelihood = ContinuousBernoulli()
    assert likelihood.unit_interval
    assert not likelihood.binary  # of grey values it is no cross-entropy
    assert Bernoulli.binary
    assert likelihood.describe() == "continuous Bernoulli"


def test_training_on_grey_digits_says_that_it_is_a_density(cpu32):
    from scratchvae.config import TrainConfig
    from scratchvae.evaluation import log_likelihood

    config = TrainConfig(likelihood="continuous-bernoulli", hidden=(32,), epochs=2)
    digits = load_dataset("digits")
    result = train(config, digits, backend=cpu32)
    assert result.metrics[-1]["test_loss"] < 0 < result.metrics[0]["test_loss"] + 40
    found = log_likelihood(result.model, digits.test.take(slice(0, 50)), samples=20)
    assert found.log_p > 0  # of a density; a uniform one has 0
    assert "continuous Bernoulli likelihood" in found.protocol
    assert "not a density" not in found.protocol
