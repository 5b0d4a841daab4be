"""log p(x) and its bound against quadrature, their errors, their noise, and numbers too large."""

import threading

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

pytest.importorskip(
    "scratchvae.sklearn", reason="needs scikit-learn 1.6 or newer", exc_type=ImportError
)

from scratchvae.backend import get_backend
from scratchvae.sklearn import VAE, VAEOutlierDetector
from scratchvae.sklearn.base import one_blas_thread
from scratchvae.sklearn.density import LOWEST


@pytest.fixture(scope="module")
def vae(table) -> VAE:
    return VAE(hidden=(8,), max_iter=200, lr=5e-3, random_state=0).fit(table)


def log_p_given(vae: VAE, x, z):
    """log p(x|z) in the units of x: rows (N, 4), latent vectors (M, 2) -> (N, M), by SciPy."""
    p = {name: a.astype(float) for name, a in vae.model_.params.to_host().items()}
    hidden = np.tanh(z @ p["decoder.0.W"] + p["decoder.0.b"])
    mean = hidden @ p["decoder.2.W"] + p["decoder.2.b"]
    std = np.sqrt(np.exp(p["likelihood.logvar"]) + 0.01**2)
    scale, shift = vae.scaler_.scale_, vae.scaler_.mean_
    return stats.norm.logpdf(x[:, None], mean * scale + shift, std * scale).sum(axis=2)


def test_e59_log_p_equals_the_integral_over_a_plane_of_z(vae, table) -> None:
    rows, line = table[:25], np.arange(-6, 6, 0.05)
    z = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    prior = stats.norm.logpdf(z).sum(axis=1) + 2 * np.log(0.05)
    exact = np.array([logsumexp(log_p_given(vae, row[None], z)[0] + prior) for row in rows])
    found, error = vae.set_params(n_draws=2000).score_samples(rows, return_error=True)
    assert error.max() < 0.1
    assert (abs(found - exact) < 4 * error + 1e-6).all()
    assert abs((found - exact).mean()) < 4 * np.linalg.norm(error) / 25
    assert vae.score(rows) == pytest.approx(exact.mean(), abs=0.02)
    vae.set_params(n_draws=100)


def test_e1_the_bound_equals_the_integral_over_q(vae, table) -> None:
    rows = table[:25]
    p = {name: a.astype(float) for name, a in vae.model_.params.to_host().items()}
    scaled = (rows - vae.scaler_.mean_) / vae.scaler_.scale_
    head = np.tanh(scaled @ p["encoder.0.W"] + p["encoder.0.b"]) @ p["encoder.2.W"]
    mu, logvar = np.split(head + p["encoder.2.b"], 2, axis=1)
    kl = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1)
    node, weight = np.polynomial.hermite_e.hermegauss(40)
    eps = np.stack(np.meshgrid(node, node), axis=-1).reshape(-1, 2)
    weights = np.outer(weight, weight).ravel() / (2 * np.pi)
    inner = [
        weights @ log_p_given(vae, row[None], m + np.exp(v / 2) * eps)[0]
        for row, m, v in zip(rows, mu, logvar, strict=True)
    ]
    vae.set_params(log_likelihood="bound", n_draws=1000)
    found, error = vae.score_samples(rows, return_error=True)
    assert (abs(found - (inner - kl)) < 4.5 * error + 1e-5).all()
    vae.set_params(log_likelihood="importance", n_draws=100)
    assert (found < vae.score_samples(rows) + 0.5).all()


@pytest.mark.parametrize("kind", ["importance", "bound"])
def test_the_error_is_the_spread_over_other_noise(kind, vae, table) -> None:
    vae.set_params(log_likelihood=kind)
    seed, found = vae.seed_, []
    for vae.seed_ in range(60):
        found.append(vae.score_samples(table[:20], return_error=True))
    vae.seed_ = seed
    vae.set_params(log_likelihood="importance")
    values, errors = np.array(found).swapaxes(0, 1)
    ratio = values.std(axis=0) / np.sqrt((errors**2).mean(axis=0))
    assert 0.8 < np.median(ratio) < 1.25


@pytest.mark.parametrize("kind", ["importance", "bound"])
def test_a_row_has_the_same_number_wherever_it_stands(kind, vae, table) -> None:
    vae.set_params(log_likelihood=kind)
    order = np.random.default_rng(2).permutation(len(table))
    whole, moved = vae.score_samples(table), vae.score_samples(table[order])
    alone = [vae.score_samples(row[None])[0] for row in table[:9]]
    vae.set_params(log_likelihood="importance")
    np.testing.assert_allclose(moved, whole[order], rtol=1e-12)
    np.testing.assert_allclose(alone, whole[:9], rtol=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("far", [1e4, 1e30, 1e155, 1e307])
def test_rows_however_far_out_have_finite_numbers(activation, far, table) -> None:
    table = (table - table.mean(axis=0)) / table.std(axis=0)
    detector = VAEOutlierDetector(
        hidden=(8,), activation=activation, max_iter=3, random_state=0
    ).fit(table)
    rows = np.vstack([table, [[far, 0, 0, 0], [-far, far, -far, far]]])
    for kind in ("importance", "bound"):
        detector.set_params(log_likelihood=kind)
        log_p, error = detector.score_samples(rows, return_error=True)
        assert np.isfinite(log_p).all()
        assert np.isfinite(error).all()
        assert (log_p[-2:] < log_p[:-2].min()).all()
        assert list(detector.predict(rows)[-2:]) == [-1, -1]
        assert (log_p >= LOWEST).all()


def test_blas_has_one_thread_and_the_threads_of_a_search_take_turns() -> None:
    bk, order = get_backend("cpu"), []
    before = bk.blas_threads()

    def other() -> None:
        with one_blas_thread():
            order.append(bk.blas_threads())

    thread = threading.Thread(target=other)
    with one_blas_thread():
        thread.start()
        thread.join(0.1)
        with one_blas_thread():
            order.append("first")
        assert bk.blas_threads() == 1
    thread.join()
    assert order == ["first", 1]
    assert bk.blas_threads() == before
