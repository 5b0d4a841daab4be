"""The check of a model that trains: it passes, it costs little, and it sees a wrong gradient."""

import time
from unittest import mock

import numpy as np
import pytest

from scratchvae.backend import get_backend
from scratchvae.errors import ConfigError
from scratchvae.gradcheck import GradientError, LiveCheck, live_rows, verify_live
from scratchvae.gradcheck.live import TOLERANCES
from scratchvae.gradcheck.points import point, unit_interval
from scratchvae.latent import MonteCarloKL, ScoreFunction
from scratchvae.layers import Dense, Sigmoid, Tanh
from scratchvae.likelihoods import Gaussian, LearnedGaussian
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models import VAE, Model
from scratchvae.optim import Adam
from scratchvae.selfcheck.mutation.historical import HISTORICAL

MODELS = {
    "relu": lambda: VAE.mlp(40, (30, 20), latent_dim=3),
    "tanh, logstd": lambda: VAE.mlp(
        40, (30, 20), latent_dim=3, activation="tanh", head="logstd", samples=2
    ),
    "sigmoid, beta": lambda: VAE.mlp(
        40, (30,), latent_dim=3, activation="sigmoid", beta=0.7, likelihood=Gaussian(0.5)
    ),
    "learned": lambda: VAE.mlp(40, (30,), latent_dim=3, likelihood=LearnedGaussian(True)),
    "monte-carlo": lambda: VAE.mlp(40, (30,), latent_dim=3, estimator=MonteCarloKL(), samples=3),
}


def feed(vae, rows=12):
    x = unit_interval((rows, vae.pixels), 0, "live x").astype(np.float32)
    return x, point((rows, vae.samples, vae.latent_dim), 0, "live eps").astype(np.float32)


def new(dtype="float32", name="relu", device="cpu"):
    return Model(MODELS[name](), get_backend(device, dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MODELS)
def test_a_right_model_passes_far_below_the_tolerance(dtype, name):
    model = new(dtype, name)
    check = LiveCheck(model.vae, model.bk, 12)
    errors = [check(model.params, *feed(model.vae), number=n).worst for n in range(5)]
    assert max(errors) <= 0.1 * TOLERANCES[dtype]


def test_it_runs_on_copies():
    model = new()
    before = model.params.flat.copy()
    x, eps = feed(model.vae)
    x.flags.writeable = eps.flags.writeable = model.params.flat.flags.writeable = False
    assert verify_live(model, x, eps).ok
    assert np.array_equal(model.params.flat, before)


def test_it_runs_on_a_device_of_its_own_memory():
    model = new(device="strict")
    assert verify_live(model, *feed(model.vae)).ok


@pytest.mark.parametrize("bug", HISTORICAL, ids=lambda bug: bug.name)
def test_it_sees_the_bugs_that_really_happened(bug):
    name = "tanh, logstd" if bug.entry.startswith("ELBO tanh") else "sigmoid, beta"
    vae = VAE.mlp(40, (30, 20), latent_dim=3, activation=name.split(",")[0], beta=0.7, samples=2)
    params = vae.initial_parameters(get_backend("cpu", "float32"))
    with bug.planted():
        check = LiveCheck(vae, params.bk, 12)
        reports = [check(params, *feed(vae), number=n) for n in (1, 2)]
    if "pixels" in bug.name:  # divided by 784, the KL of a new model is below the tolerance
        assert reports[0].worst > 1e-5
    else:
        assert not reports[0].ok


@pytest.mark.parametrize("factor", [0.0, 0.99, -1.0, 2.0])
@pytest.mark.parametrize("parameter", ["W", "b"])
def test_a_wrong_factor_in_one_parameter_is_seen(factor, parameter):
    real = Dense.grad_params

    def grad_params(self, bk, x, dy, g, *share):
        real(self, bk, x, dy, g, *share)
        if self.units == 20:  # one layer alone
            getattr(g, parameter)[...] *= factor

    model = new()
    with mock.patch.object(Dense, "grad_params", grad_params):
        report = verify_live(model, *feed(model.vae))
        assert not report.ok
        with pytest.raises(GradientError, match="the live model is wrong"):
            report.raise_if_failed()


def test_a_wrong_activation_is_seen_and_the_report_says_what_to_do():
    def grad_input(self, bk, p, x, y, dy, dx, tmp):
        bk.xp.multiply(dy, 1.0 - y, out=dx)

    model = new(name="tanh, logstd")
    with mock.patch.object(Tanh, "grad_input", grad_input):
        report = verify_live(model, *feed(model.vae))
    assert "scratchvae gradcheck shows which operation" in report.text()
    assert "12 images; slope" in report.text()


class Laplace(Gaussian):
    """−log p(x|z) = Σ |x − a| / b + log 2b, written with abs as one writes it first."""

    def __init__(self, factor=1.0):
        super().__init__(0.5, "identity")
        self.factor = factor  # of the gradient

    def nll(self, bk, p, logits, x, out, work):
        bk.xp.sum(abs(x - logits) / 0.5, axis=-1, out=out)

    def nll_and_grad(self, bk, p, logits, x, nll, dlogits, work):
        self.nll(bk, p, logits, x, nll, work)
        dlogits[...] = bk.xp.sign(logits - x) * (self.factor / 0.5)


def test_a_model_that_a_complex_step_cannot_pass_is_checked_by_differences():
    for factor, right in ((1.0, True), (1.01, False)):
        vae = VAE.mlp(40, (30,), latent_dim=3, likelihood=Laplace(factor))
        params = vae.initial_parameters(get_backend("cpu", "float32"))
        check = LiveCheck(vae, params.bk, 12)
        for number in (1, 2):
            report = check(params, *feed(vae), number=number)
            assert report.ok is right
            assert report.method == "central"
            assert "not complex-safe: it gives" in report.text()


def test_a_blank_image_puts_every_unit_at_its_kink_and_is_no_reason_to_distrust():
    model = new()  # ReLU, and its biases start at zero
    x, eps = feed(model.vae)
    report = verify_live(model, np.zeros_like(x), eps)
    assert report.ok
    assert report.method == "complex"


def test_a_model_that_refuses_complex_numbers_is_checked_by_differences():
    class Refuses(Laplace):
        def nll(self, bk, p, logits, x, out, work):
            if bk.is_complex:
                raise TypeError("real numbers only")
            super().nll(bk, p, logits, x, out, work)

    vae = VAE.mlp(40, (30,), latent_dim=3, likelihood=Refuses())
    report = verify_live(Model(vae), *feed(vae))
    assert report.ok
    assert "it refuses complex numbers (TypeError: real numbers only)" in report.text()


def test_every_number_gets_another_direction_and_the_same_number_the_same():
    model = new()
    slopes = [verify_live(model, *feed(model.vae), number=n).findings[0].found for n in (1, 2, 1)]
    assert slopes[0] == slopes[2] != slopes[1]


def test_beta_of_the_step_is_used():
    model = new(name="sigmoid, beta")
    slopes = [verify_live(model, *feed(model.vae), beta=b).findings[0] for b in (0.1, 0.7, None)]
    assert all(s.ok for s in slopes)
    assert slopes[0].expected != slopes[1].expected == slopes[2].expected


def test_shapes_and_settings_that_cannot_be():
    model = new()
    x, eps = feed(model.vae)
    with pytest.raises(ConfigError, match="eps has shape"):
        verify_live(model, x, eps[:, 0])
    with pytest.raises(ConfigError, match="a model that trains is real"):
        LiveCheck(model.vae, get_backend("cpu", "complex128"), 3)
    score = VAE.mlp(40, (30,), latent_dim=3, estimator=ScoreFunction())
    with pytest.raises(ConfigError, match="'score' is not the derivative"):
        LiveCheck(score, model.bk, 3)


def test_a_sixteenth_of_the_batch_is_checked():
    assert [live_rows(n) for n in (1, 7, 32, 100, 128)] == [1, 1, 2, 6, 8]


@pytest.mark.long
def test_it_costs_no_more_than_two_training_steps():
    bk = get_backend("cpu", "float32")
    vae = VAE.mlp(784, (400, 400), latent_dim=2)
    params, grads = vae.initial_parameters(bk), FlatBuffer(bk, vae.layout)
    bound = vae.bind(Workspace(bk, 100), params, grads)
    optimizer = Adam().bind(bk, params, grads)
    x, eps = feed(vae, 100)
    bk.load(x, bound.x)
    bk.load(eps, bound.eps)
    rows = live_rows(100)
    check = LiveCheck(vae, bk, rows)
    steps, checks = [], []
    for t in range(1, 31):
        start = time.perf_counter()
        bound.loss_and_gradient(0.01)
        optimizer.step(t)
        steps.append(time.perf_counter() - start)
        start = time.perf_counter()
        assert check(params, x[:rows], eps[:rows], number=t).ok
        checks.append(time.perf_counter() - start)
    assert np.median(checks) <= 2 * np.median(steps)


def test_sigmoid_is_the_layer_that_trains():
    vae = new(name="sigmoid, beta").vae
    assert any(isinstance(layer, Sigmoid) for layer in vae.encoder.layers)
