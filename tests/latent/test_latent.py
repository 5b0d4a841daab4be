"""Between encoder and decoder: z, its moments, the KL divergence, and a head of log σ."""

import numpy as np
import pytest

from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.errors import ConfigError
from scratchvae.latent import (
    LogStdHead,
    kl_grad,
    kl_per_unit,
    reparameterize,
    reparameterize_grad,
    standard_deviation,
)

# One image, two latent units: μ = (1, −2), σ = (2, ½), so log σ² = (2 ln 2, −2 ln 2).
MU, STD = np.array([1.0, -2.0]), np.array([2.0, 0.5])
HEAD = np.concatenate([MU, 2 * np.log(STD)])[None, :]


def empty(*shape):
    return np.full(shape, np.nan)


def draw(bk, head, samples):
    """z for the head (B, 2Z), (B, K, Z), and the ε it came from."""
    rows, latent = head.shape[0], head.shape[1] // 2
    eps = normal((rows, samples, latent), Stream(9, Purpose.LATENT))
    std, z = empty(rows, latent), empty(rows, samples, latent)
    reparameterize(bk, head, std, eps, z)
    return z, eps


def test_e12_z_is_mu_plus_sigma_times_the_noise_it_is_given(cpu64):
    eps = np.array([[[0.5, -1.0], [0.0, 0.0], [-1.5, 4.0]]])
    std, z = empty(1, 2), empty(1, 3, 2)
    reparameterize(cpu64, HEAD, std, eps, z)
    np.testing.assert_allclose(std, [STD], rtol=1e-15)
    np.testing.assert_allclose(z, [[[2, -2.5], [1, -2], [-2, 0]]], rtol=0, atol=1e-15)


def test_e12_the_standard_deviation_is_the_root_of_exp_logvar_and_not_exp_logvar(cpu64):
    std = empty(1, 2)
    standard_deviation(cpu64, np.log(np.array([[7.0, 7.0, 9.0, 0.25]])), std)
    np.testing.assert_allclose(std, [[3, 0.5]], rtol=1e-15)


def test_e12_samples_have_mean_mu_and_variance_sigma_squared_of_their_own_image(cpu64):
    mu = np.array([[1.0, -2.0, 0.3], [-4.0, 0.0, 5.0]])
    std = np.array([[2.0, 0.5, 1.0], [0.1, 3.0, 0.7]])
    n = 100_000
    z, _ = draw(cpu64, np.hstack([mu, 2 * np.log(std)]), n)
    assert z.shape == (2, n, 3)
    assert (np.abs(z.mean(axis=1) - mu) < 5 * std / np.sqrt(n)).all()
    assert (np.abs(z.var(axis=1) - std**2) < 5 * std**2 * np.sqrt(2 / n)).all()
    for image in z:
        correlation = np.corrcoef(image.T)[np.triu_indices(3, 1)]
        assert (np.abs(correlation) < 5 / np.sqrt(n)).all()


def test_e13_the_gradient_by_mu_is_the_sum_over_samples_and_by_logvar_half_sigma_eps(cpu64):
    eps = np.array([[[0.5, -1.0], [0.0, 2.0], [-1.5, 4.0]]])
    dz = np.array([[[4.0, 1.0], [8.0, 3.0], [-2.0, 0.5]]])
    dhead = empty(1, 4)
    reparameterize_grad(cpu64, STD[None, :], eps, dz, dhead, empty(1, 3, 2))
    # dμ = (4 + 8 − 2, 1 + 3 + ½);  Σ dz ε = (2 + 0 + 3, −1 + 6 + 2) = (5, 7), times ½ σ.
    np.testing.assert_array_equal(dhead, [[10, 4.5, 5, 1.75]])


def test_e14_a_head_of_log_sigma_becomes_log_sigma_squared_and_mu_stays(cpu64):
    head = LogStdHead()
    assert head.infer_shape((6,)) == (6,)
    x, y = np.array([[1.0, -2, 3, 0.5, -0.25, 0]]), empty(1, 6)
    head.forward(cpu64, None, x, y)
    np.testing.assert_array_equal(y, [[1, -2, 3, 1, -0.5, 0]])
    head.forward(cpu64, None, x, x)  # in place
    np.testing.assert_array_equal(x, y)


def test_e15_a_log_sigma_head_doubles_its_half_of_the_gradient_and_leaves_the_cotangent(
    cpu64,
):
    head = LogStdHead()
    dy, dx = np.array([[1.0, 2, 3, 4]]), empty(1, 4)
    head.grad_input(cpu64, None, empty(1, 4), empty(1, 4), dy, dx, None)
    np.testing.assert_array_equal(dx, [[1, 2, 6, 8]])
    np.testing.assert_array_equal(dy, [[1, 2, 3, 4]])
    head.grad_input(cpu64, None, empty(1, 4), empty(1, 4), dy, dy, None)
    np.testing.assert_array_equal(dy, dx)


@pytest.mark.parametrize("shape", [(5,), (4, 2), ()])
def test_a_log_sigma_head_needs_an_even_number_of_columns(shape):
    with pytest.raises(ConfigError, match="even number of columns"):
        LogStdHead().infer_shape(shape)


def kl(bk, head):
    std = empty(len(head), head.shape[1] // 2)
    out, tmp = np.empty_like(std), np.empty_like(std)
    standard_deviation(bk, head, std)
    kl_per_unit(bk, head, std, out, tmp)
    return out


def test_e16_the_kl_divergence_by_hand(cpu64):
    # ½ (1 + 4 − 1 − 2 ln 2) = 2 − ln 2;  ½ (4 + ¼ − 1 + 2 ln 2) = 13/8 + ln 2.
    expected = [[2 - np.log(2), 13 / 8 + np.log(2)]]
    np.testing.assert_allclose(kl(cpu64, HEAD), expected, rtol=1e-15)


def test_e16_the_kl_divergence_of_the_prior_from_itself_is_zero_and_any_other_is_positive(cpu64):
    np.testing.assert_array_equal(kl(cpu64, np.zeros((3, 4))), np.zeros((3, 2)))
    heads = normal((500, 6), Stream(1, Purpose.DIRECTION))
    assert (kl(cpu64, heads) > 0).all()


def test_e16_the_analytic_kl_agrees_with_monte_carlo(cpu64):
    mu = np.array([[0.7, -1.3, 0.0], [2.0, 0.1, -0.4]])
    std = np.array([[1.5, 0.4, 1.0], [0.9, 2.5, 0.05]])
    head, n = np.hstack([mu, 2 * np.log(std)]), 50_000
    z, eps = draw(cpu64, head, n)
    # log q(z) − log p(z), a latent unit at a time; the two ½ log 2π cancel.
    ratio = -0.5 * eps**2 - np.log(std)[:, None, :] + 0.5 * z**2
    error = ratio.std(axis=1, ddof=1) / np.sqrt(n)
    assert (np.abs(ratio.mean(axis=1) - kl(cpu64, head)) <= 5 * error).all()
    assert error.max() < 0.02  # five of them would see a wrong ½ or a σ for a σ²


def test_e17_the_gradient_of_the_kl_by_hand_is_added_to_what_is_there(cpu64):
    dhead = np.array([[100.0, 200, 300, 400]])
    kl_grad(cpu64, HEAD, STD[None, :], 0.5, dhead, empty(1, 2))
    # ½ μ = (½, −1);  ½ · ½ (σ² − 1) = (¾, −3/16)
    np.testing.assert_array_equal(dhead, [[100.5, 199, 300.75, 400 - 3 / 16]])


def test_e17_every_image_may_have_a_weight_of_its_own(cpu64):
    head, std = np.vstack([HEAD, HEAD]), np.vstack([STD, STD])
    dhead = np.zeros((2, 4))
    kl_grad(cpu64, head, std, np.array([[1.0], [4.0]]), dhead, empty(2, 2))
    np.testing.assert_array_equal(dhead[1], 4 * dhead[0])
    np.testing.assert_array_equal(dhead[0], [1, -2, 1.5, -3 / 8])


def test_the_latent_node_leaves_its_inputs_alone():
    bk = get_backend("strict", "float64")
    head, eps, dz = bk.array(HEAD), bk.array([[[0.5, -1.0]]]), bk.array([[[4.0, 1.0]]])
    std, z, dhead = bk.empty((1, 2)), bk.empty((1, 1, 2)), bk.empty((1, 4))
    kl_out, tmp, dz_tmp = bk.empty((1, 2)), bk.empty((1, 2)), bk.empty((1, 1, 2))
    reparameterize(bk, head, std, eps, z)
    kl_per_unit(bk, head, std, kl_out, tmp)
    reparameterize_grad(bk, std, eps, dz, dhead, dz_tmp)
    kl_grad(bk, head, std, 1.0, dhead, tmp)
    np.testing.assert_array_equal(bk.to_host(head), HEAD)
    np.testing.assert_array_equal(bk.to_host(eps), [[[0.5, -1.0]]])
    np.testing.assert_array_equal(bk.to_host(dz), [[[4.0, 1.0]]])
    assert np.isfinite(bk.to_host(dhead)).all()
