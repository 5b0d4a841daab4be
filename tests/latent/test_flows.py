"""Flows: a map makes as much volume of one as it says, has an inverse, and q is a density."""

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.special import logsumexp

from scratchvae import VAE, TrainConfig, load_dataset, train
from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.errors import ConfigError
from scratchvae.evaluation.nll import importance_sampled
from scratchvae.evaluation.nll import noise as draw_noise
from scratchvae.gradcheck import gradcheck
from scratchvae.latent import (
    FlowSettings,
    ImportanceWeighted,
    InverseAutoregressive,
    LatentBuffers,
    MonteCarloKL,
    Planar,
    Radial,
)
from scratchvae.memory import FlatBuffer, Layout, Workspace
from scratchvae.models import Model

H = 2.0**-80
IAF = InverseAutoregressive
FLOWS = [Planar(1), Planar(3), Radial(1), Radial(3), IAF(1, 5), IAF(3, 4)]
flows = pytest.mark.parametrize("flow", FLOWS, ids=repr)
loops_too = pytest.mark.parametrize("compiled", [False, True], ids=["NumPy", "loops"])


def noise(*shape, seed=0):
    return normal(shape, Stream(seed, Purpose.DIRECTION))


def numbers_of(flow, latent, rows=1, seed=1, scale=1.0):
    """What the encoder would give a flow, (rows, M), and the parameters of its own by name."""
    own = {p.name: scale * noise(*p.shape, seed=seed + 7) for p in flow.parameters(latent)}
    return scale * noise(rows, flow.inputs(latent), seed=seed), own


def carry(flow, numbers, z0, bk=None):
    """z and log |det| of samples z0 (B, K, Z)."""
    bk = bk or get_backend("cpu", "complex128" if np.iscomplexobj(z0) else "float64")
    inputs, own = numbers
    rows, samples, latent = z0.shape
    params = FlatBuffer(bk, Layout({f"flow.{name}": a.shape for name, a in own.items()}))
    params.load({f"flow.{name}": a for name, a in own.items()})
    workspace = Workspace(bk, rows)
    head = bk.array(np.hstack([np.zeros((rows, 2 * latent)), inputs]))
    node = LatentBuffers(workspace, samples, latent, head, None, has_flow=True)
    bound = flow.bind(workspace, node, params, None)
    node.z0[...] = bk.array(z0)
    bk.perform(bound.forward)
    return bk.to_host(node.z), bk.to_host(node.log_det)


def own_of(model):
    """A model's own parameters of its flow, by name."""
    own = model.params.to_host().items()
    return {name.removeprefix("flow."): a for name, a in own if name.startswith("flow.")}


def jacobian(flow, numbers, z):
    """∂f/∂z at one z by complex step."""
    steps = z + 1j * H * np.eye(len(z))
    after, _ = carry(flow, numbers, steps[None])
    return after[0].imag.T / H


@flows
@pytest.mark.parametrize("latent", [2, 3, 4, 5, 6])
@loops_too
def test_e206_e209_e212_log_det_is_that_of_the_jacobian_by_complex_step(compiled, flow, latent):
    bk = get_backend("cpu", "float64", compiled=compiled)
    for seed in range(3):
        numbers, z = numbers_of(flow, latent, seed=seed, scale=1.5), noise(latent, seed=9 + seed)
        sign, expected = np.linalg.slogdet(jacobian(flow, numbers, z))
        _, found = carry(flow, numbers, z.reshape(1, 1, -1), bk)
        assert sign == 1
        assert found[0, 0] == pytest.approx(expected, rel=0, abs=1e-13 * max(1, abs(expected)))


@flows
def test_e203_the_density_of_what_a_flow_makes_of_a_gaussian_integrates_to_one(flow):
    # By change of variables over z_0: q is a density exactly if f is one-to-one and log_det true.
    # So: where does f carry a fine grid, and how much of q lies in each of its cells?
    numbers = numbers_of(flow, 2, scale=1.0)
    edges = np.linspace(-8, 8, 401)
    grid = np.stack(np.meshgrid(edges, edges, indexing="ij"), axis=-1)
    z, log_det = carry(flow, numbers, grid.reshape(1, -1, 2))
    z = z.reshape(grid.shape)
    log_q = -0.5 * (grid**2).sum(axis=2) - np.log(2 * np.pi) - log_det.reshape(grid.shape[:2])
    diagonals = z[1:, 1:] - z[:-1, :-1], z[:-1, 1:] - z[1:, :-1]
    area = 0.5 * (diagonals[0][..., 0] * diagonals[1][..., 1]
                  - diagonals[0][..., 1] * diagonals[1][..., 0])  # fmt: skip
    assert (area > 0).all()  # no cell is turned over: f is one-to-one
    q = np.exp(log_q)
    mean = 0.25 * (q[1:, 1:] + q[:-1, :-1] + q[1:, :-1] + q[:-1, 1:])
    assert (mean * area).sum() == pytest.approx(1, abs=1e-3)


@flows
def test_a_flow_has_an_inverse(flow):
    numbers, z0 = numbers_of(flow, 3, scale=1.0), noise(1, 1, 3, seed=5)
    z, _ = carry(flow, numbers, z0)
    found = optimize.root(
        lambda at: (carry(flow, numbers, at.reshape(1, 1, 3))[0] - z).ravel(),
        np.zeros(3),
        tol=1e-13,
    )
    np.testing.assert_allclose(found.x, z0.ravel(), rtol=0, atol=1e-9)


@flows
def test_the_maps_of_an_image_are_for_its_samples_alone(flow):
    (inputs, own), z0 = numbers_of(flow, 3, rows=4), noise(4, 2, 3, seed=5)
    z, log_det = carry(flow, (inputs, own), z0)
    for n in range(4):
        for k in range(2):
            alone, det = carry(flow, (inputs[n : n + 1], own), z0[n : n + 1, k : k + 1])
            np.testing.assert_allclose(z[n, k], alone[0, 0], rtol=1e-14)
            assert log_det[n, k] == pytest.approx(det[0, 0], rel=1e-12, abs=1e-14)


def test_e205_a_planar_map_is_the_one_of_the_paper_with_another_u():
    u, w, b, z = noise(3, seed=1), noise(3, seed=2), 0.3, noise(3, seed=3)
    dot = w @ u
    u_hat = u + (np.log1p((np.e - 1) * np.exp(dot)) - 1 - dot) * w / (w @ w)
    expected = z + u_hat * np.tanh(w @ z + b)
    inputs = np.concatenate([u, w, [b]])[None]
    found, log_det = carry(Planar(1), (inputs, {}), z.reshape(1, 1, 3))
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-13)
    psi = (1 - np.tanh(w @ z + b) ** 2) * w
    assert log_det[0, 0] == pytest.approx(np.log(1 + u_hat @ psi), rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("push", [-60.0, -20.0, -1.0, 0.0, 30.0])
@loops_too
def test_e205_at_the_edge_of_the_constraint_a_planar_map_still_has_an_inverse(
    compiled, push, dtype
):
    w = np.array([1.0, 0.0])
    inputs = np.concatenate([push * w, w, [0.0]])[None]
    line = np.zeros((1, 2001, 2))
    line[0, :, 0] = np.linspace(-1, 1, 2001)  # through the plane, where the map is steepest
    z, log_det = carry(Planar(1), (inputs, {}), line, get_backend("cpu", dtype, compiled=compiled))
    assert np.isfinite(log_det).all()
    assert (np.diff(z[0, :, 0].astype("float64")) >= 0).all()
    if push <= -20:  # wᵀû = −1 but for e^push: the volume at the plane is all but lost
        assert log_det.min() == pytest.approx(push + np.log(np.e - 1), rel=1e-5)


@loops_too
def test_e205_where_u_or_w_is_zero_a_planar_map_is_what_it_says(compiled):
    z0, bk = noise(1, 3, 2), get_backend("cpu", "float64", compiled=compiled)
    for u, w in (([0.0, 0.0], [1.0, 2.0]), ([0.5, 0.1], [0.0, 0.0])):
        inputs = np.array([[*u, *w, 0.7]])
        z, log_det = carry(Planar(1), (inputs, {}), z0, bk)
        shift = np.tanh(0.7) * np.array(u)
        np.testing.assert_allclose(z, z0 + shift if any(u) else z0, rtol=0, atol=1e-15)
        np.testing.assert_allclose(log_det, 0, atol=1e-15)


@pytest.mark.parametrize("length", [1, 3])
@loops_too
def test_e208_radial_maps_by_hand(compiled, length):
    c, z, softplus = np.array([0.5, -1.0]), np.array([1.0, 2.0]), np.logaddexp(0, [0.3, -0.4])
    alpha, beta = softplus[0], softplus[1] - softplus[0]
    expected = z
    for _ in range(length):
        y = expected - c
        expected = expected + beta / (alpha + np.sqrt(y @ y)) * y
    said, bk = [*c, length * 0.3, length * -0.4], get_backend("cpu", "float64", compiled=compiled)
    found, _ = carry(Radial(length), (np.array([said * length]), {}), z.reshape(1, 1, 2), bk)
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-14)


@pytest.mark.parametrize("beta", [-700.0, -30.0, 0.0, 30.0])
@loops_too
def test_e209_a_radial_map_has_an_inverse_however_strong_it_is(compiled, beta):
    bk = get_backend("cpu", "float64", compiled=compiled)
    line = np.zeros((1, 2001, 2))
    line[0, :, 0] = np.linspace(-3, 3, 2001)
    z, log_det = carry(Radial(1), (np.array([[0.0, 0.0, 1.0, beta]]), {}), line, bk)
    assert (np.diff(z[0, :, 0]) >= 0).all()
    away = np.abs(line[0, :, 0]) > 0.1  # at the centre of β = −α the volume is zero
    assert np.isfinite(log_det[0, away]).all()


@flows
def test_e204_the_divergence_is_log_q_less_log_p_of_what_the_decoder_reads(flow):
    vae = VAE.mlp(7, (5,), latent_dim=3, samples=4, activation="tanh", flow=flow, beta=0.7)
    model, x = Model(vae, get_backend("cpu", "float64"), seed=2), noise(5, 7) > 0
    eps = noise(5, 4, 3)
    output = model.encoder_output(x)
    mu, logvar = output[:, None, :3], output[:, None, 3:6]
    z0 = mu + np.exp(logvar / 2) * eps
    z, log_det = carry(flow, (output[:, 6:], own_of(model)), z0)
    log_q = stats.norm.logpdf(z0, mu, np.exp(logvar / 2)).sum(axis=2) - log_det
    ratio = log_q - stats.norm.logpdf(z).sum(axis=2)
    terms = model.terms(x, eps)
    np.testing.assert_allclose(terms.kl.sum(axis=1), ratio.mean(axis=1), rtol=1e-11)
    log_p_x = np.stack([-model.pixel_nll(x, z[:, k]).sum(axis=1) for k in range(4)], axis=1)
    np.testing.assert_allclose(-terms.nll, log_p_x, rtol=1e-12)
    expected = (-log_p_x + 0.7 * ratio).mean()
    assert model.loss(x, eps).total == pytest.approx(expected, rel=1e-12)
    # and of importance sampling, with the noise that it draws itself
    own = draw_noise((5, 8, 3), seed=3, first=0, k=0)
    z, log_det = carry(flow, (output[:, 6:], own_of(model)), mu + np.exp(logvar / 2) * own)
    log_w = stats.norm.logpdf(z).sum(axis=2) + log_det
    log_w -= stats.norm.logpdf(own).sum(axis=2) - logvar.sum(axis=2) / 2
    log_w -= np.stack([model.pixel_nll(x, z[:, k]).sum(axis=1) for k in range(8)], axis=1)
    found = importance_sampled(model, x, samples=8, seed=3).log_p
    np.testing.assert_allclose(found, logsumexp(log_w, axis=1) - np.log(8), rtol=1e-11)


@flows
def test_e203_log_p_is_the_same_number_with_loops(flow):
    vae, x = VAE.mlp(7, (5,), latent_dim=3, activation="tanh", flow=flow), noise(5, 7) > 0
    found = [
        importance_sampled(Model(vae, get_backend("cpu", "float64", compiled=c), seed=2), x,
                           samples=8).log_p
        for c in (False, True)
    ]  # fmt: skip
    np.testing.assert_allclose(*found, rtol=1e-12)


@flows
def test_the_code_of_an_image_is_where_the_flow_carries_its_mean(flow):
    vae = VAE.mlp(7, (5,), latent_dim=3, samples=2, activation="tanh", flow=flow)
    model, x = Model(vae, get_backend("cpu", "float64"), seed=2), noise(5, 7) > 0
    output = model.encoder_output(x)
    expected, _ = carry(flow, (output[:, 6:], own_of(model)), output[:, None, :3])
    np.testing.assert_allclose(model.encode(x).mu, expected[:, 0], rtol=1e-12)
    np.testing.assert_array_equal(model.encode(x).logvar, output[:, 3:6])
    np.testing.assert_allclose(model.terms(x).mu, expected[:, 0], rtol=1e-12)


@flows
@pytest.mark.parametrize("estimator", [MonteCarloKL(), ImportanceWeighted()], ids=repr)
def test_e204_e207_e210_e213_the_gradient_of_a_whole_model_is_that_of_its_value(flow, estimator):
    how = {"estimator": estimator, "samples": 3, "activation": "tanh"}
    assert gradcheck(VAE.mlp(7, (5, 4), latent_dim=3, flow=flow, **how), directions=2).ok


def test_e211_e212_an_autoregressive_map_by_hand_and_its_inverse_unit_by_unit():
    (inputs, own), z0 = numbers_of(IAF(1, 6), 4), noise(4, seed=5)
    W, V, b = own["0.in.W"], own["0.out.W"], own["0.out.b"]
    place = np.array([1, 2, 3, 1, 2, 3])  # of the hidden units, among the latent units 1 to 4
    W = W * (place[None] >= np.arange(1, 5)[:, None])
    V = V * (np.tile(np.arange(1, 5), 2)[None] > place[:, None])

    def made(z):
        m, s = np.split(np.tanh(z @ W + inputs[0]) @ V + b, 2)
        return m, 1 / (1 + np.exp(-(s + 2)))

    m, sigma = made(z0)
    z, log_det = carry(IAF(1, 6), (inputs, own), z0.reshape(1, 1, 4))
    np.testing.assert_allclose(z[0, 0], m + sigma * (z0 - m), rtol=1e-13)
    assert log_det[0, 0] == pytest.approx(np.log(sigma).sum(), rel=1e-13)
    found = np.zeros(4)
    for _ in range(4):  # after j rounds the first j units are right
        m, sigma = made(found)
        found = m + (z[0, 0] - m) / sigma
    np.testing.assert_allclose(found, z0, rtol=1e-11)


def test_e212_jacobians_are_triangular_and_every_second_map_takes_the_other_order():
    flow, z = IAF(2, 9), noise(5, seed=6)
    inputs, own = numbers_of(flow, 5, seed=3)
    first = {name: a for name, a in own.items() if name.startswith("0.")}
    J = jacobian(IAF(1, 9), (inputs[:, :9], first), z)
    assert (np.triu(J, 1) == 0).all()
    assert (np.abs(J[np.tril_indices(5, -1)]) > 0).all()  # and nothing else is masked
    second = jacobian(flow, (inputs, own), z) @ np.linalg.inv(J)
    np.testing.assert_allclose(np.tril(second, -1), 0, atol=1e-14)
    assert (np.abs(second[np.triu_indices(5, 1)]) > 1e-9).all()


@flows
def test_the_head_starts_with_a_flow_as_it_does_without_one(flow):
    how = {"latent_dim": 3, "init": "torch"}
    plain, bent = Model(VAE.mlp(7, (5,), **how)), Model(VAE.mlp(7, (5,), flow=flow, **how))
    expected, found = plain.params.to_host(), bent.params.to_host()
    for name in ("encoder.2.W", "encoder.2.b"):
        np.testing.assert_array_equal(found[name][..., :6], expected[name])
        assert np.ptp(found[name][..., 6:]) > 0
    np.testing.assert_array_equal(found["decoder.0.W"], expected["decoder.0.W"])


@pytest.mark.parametrize("length", [1, 7])
@pytest.mark.parametrize("kind", [Planar, Radial])
def test_e205_e208_many_maps_move_z_no_further_than_one_at_the_start(kind, length):
    latent, rows = 5, 400
    of_one, own = numbers_of(kind(1), latent, rows, scale=0.01)
    z0 = np.ones((rows, 1, latent))
    moved = carry(kind(length), (np.tile(of_one, length), own), z0)[0] - z0
    alone = carry(kind(1), (of_one, own), z0)[0] - z0
    np.testing.assert_allclose(moved, alone, rtol=0, atol=0.02 * np.abs(alone).max())


def test_what_is_no_flow_is_refused_in_a_sentence():
    with pytest.raises(ConfigError, match="the length of a flow must be a whole number of at lea"):
        Planar(0)
    assert Planar.from_settings(FlowSettings()).length == Planar.default_length
    assert repr(Radial(4)) == "Radial(4)"
    with pytest.raises(
        ConfigError, match="at least 2 latent units, of which one depends on anothe"
    ):
        VAE.mlp(7, latent_dim=1, flow=IAF())
    with pytest.raises(ConfigError, match="hidden units of an autoregressive flow must be a whole"):
        IAF(2, 0)


@pytest.mark.parametrize("posterior", ["planar", "iaf"])
def test_two_workers_in_one_process_or_two_compute_the_same_bits(posterior, monkeypatch):
    config = TrainConfig(
        posterior=posterior, flow_length=2, hidden=(9,), latent_dim=3, epochs=1, workers=2, seed=3
    )
    digits = load_dataset("digits")
    shared = train(config, digits).model.params.to_host()
    monkeypatch.setattr("scratchvae.training.step.cores", lambda: 1)
    alone = train(config, digits).model.params.to_host()
    assert any(np.any(a) for name, a in alone.items() if name.startswith("encoder"))
    for name, a in alone.items():
        np.testing.assert_array_equal(shared[name], a)


@flows
def test_a_file_holds_a_model_with_its_flow(flow, tmp_path):
    model = Model(VAE.mlp(7, (5,), latent_dim=3, flow=flow), seed=4)
    model.save(tmp_path / "model.npz")
    again, x = Model.load(tmp_path / "model.npz"), noise(5, 7) > 0
    assert repr(again.vae) == repr(model.vae)
    assert again.loss(x) == model.loss(x)
