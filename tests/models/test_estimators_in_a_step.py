"""Estimators in a step and in a model: buffers, workers, devices, settings, reported numbers."""

from functools import partial

import numpy as np
import pytest

from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal, uniform
from scratchvae.config import TrainConfig
from scratchvae.data import Split
from scratchvae.errors import ConfigError, ScratchVAEError
from scratchvae.evaluation import evaluate
from scratchvae.gradcheck.live import LiveCheck
from scratchvae.latent import ESTIMATORS, FreeBits
from scratchvae.likelihoods import LearnedGaussian
from scratchvae.memory import FlatBuffer
from scratchvae.models import VAE, Model
from scratchvae.models.model import BLOCK
from scratchvae.optim import Adam
from scratchvae.optim.schedules import kl_weight
from scratchvae.training import Batches, TrainingStep, Weighting, resolve_workers

D, H, Z, B, K = 11, 7, 3, 6, 4
ALL = {**ESTIMATORS, "free bits": partial(FreeBits, 0.2)}
SPLITS = [name for name in ALL if name != "free bits"]
BOUNDS = ("iwae", "stl", "dreg")


def make(case, samples=K, **options):
    return VAE.mlp(D, (H,), latent_dim=Z, samples=samples, estimator=ALL[case](), **options)


def data(vae, rows=B):
    x = uniform((rows, D), Stream(5, Purpose.FIGURE))
    return x, normal((rows, vae.samples, Z), Stream(5, Purpose.LATENT))


@pytest.fixture(params=ALL)
def case(request):
    """The name of an estimator, one after the other, and free bits."""
    return request.param


# ---- buffers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_allocates_nothing_waits_for_nothing_and_is_the_cpus(case, assemble, dtype):
    vae = make(case, likelihood=LearnedGaussian())
    gradients = []
    for device in ("cpu", "strict"):
        bk = get_backend(device, dtype)
        a = assemble(vae, bk, B).feed(*data(vae))
        before = bk.device.allocations if device == "strict" else 0
        for weight in (0.5, 1 / B):
            bk.capture(partial(a.bound.loss_and_gradient, weight))()
        if device == "strict":
            assert bk.device.allocations == before
        gradients.append(a.grads.to_host() | {"objective": bk.to_host(a.bound.objective)})
    for name, g in gradients[0].items():
        assert g.dtype == dtype
        np.testing.assert_array_equal(gradients[1][name], g, err_msg=name)


def test_what_stood_in_the_buffers_before_a_step_does_not_leak_into_it(case, cpu64, assemble):
    vae = make(case)
    a = assemble(vae, cpu64, B).run(*data(vae), 0.5)
    first = {n: g.copy() for n, g in a.grads.to_host().items()}
    for name, buffer in a.workspace._buffers.items():
        if name not in ("x", "latent.eps"):
            buffer[...] = np.nan
    a.bound.loss_and_gradient(0.5)
    for name, g in first.items():
        np.testing.assert_array_equal(a.grads[name], g, err_msg=name)


def test_the_value_alone_is_the_value_beside_the_gradient(case, cpu64, assemble):
    vae = make(case)
    a = assemble(vae, cpu64, B).run(*data(vae), 0.5)
    beside = a.bound.objective.copy()
    forward_only = vae.bind(type(a.workspace)(cpu64, B), a.params)
    forward_only.x[...], forward_only.eps[...] = data(vae)
    forward_only.loss()
    np.testing.assert_allclose(forward_only.objective, beside, rtol=1e-14)


def test_the_gradient_is_proportional_to_its_weight(case, cpu64, assemble, distance):
    vae = make(case)
    whole, half = (assemble(vae, cpu64, B).run(*data(vae), w) for w in (1.0, 0.5))
    assert distance(2 * half.gradient, whole.gradient) < 1e-14


@pytest.mark.parametrize("case", SPLITS)
def test_two_workers_on_parts_of_one_tape_give_the_gradient_of_the_whole(
    case, cpu64, assemble, distance
):
    vae = make(case)
    whole = assemble(vae, cpu64, B).run(*data(vae), 1 / B)
    shared = assemble(vae, cpu64, B).feed(*data(vae))
    total = np.zeros_like(whole.gradient)
    for start, stop in ((0, 2), (2, B)):
        grads = FlatBuffer(cpu64, vae.layout)
        vae.bind(shared.workspace.rows(start, stop), shared.params, grads).loss_and_gradient(1 / B)
        total += grads.flat
    assert distance(total, whole.gradient) < 1e-13
    np.testing.assert_allclose(shared.bound.objective, whole.bound.objective, rtol=1e-14)


# ---- training steps ------------------------------------------------------------------------------


def training_step(vae, bk, batch_size=8, **options):
    levels = np.random.default_rng(1).integers(0, 256, (19, D), dtype=np.uint8)
    bk = bk.for_workers(options.get("workers", 1))
    step = TrainingStep(
        Model(vae, bk, seed=2), Adam(lr=0.01),
        Batches(bk.array(levels, dtype="uint8"), 255, batch_size, 3), **options,
    )  # fmt: skip
    bk.load(np.arange(19), step.order)
    return step


def after_an_epoch(step):
    with step:
        for i in range(step.steps_per_epoch):
            step(i + 1, i)
    step.close()
    return step.params.flat.copy(), step.losses.copy()


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("case", SPLITS)
def test_the_number_of_workers_changes_rounding_and_nothing_else(case, cpu64, workers):
    vae = make(case)
    alone = after_an_epoch(training_step(vae, cpu64))
    shared = after_an_epoch(training_step(vae, cpu64, workers=workers))
    np.testing.assert_allclose(shared[0], alone[0], rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(shared[1], alone[1], rtol=1e-9)


def test_the_losses_of_a_step_are_the_sums_of_the_objective(case, cpu64):
    vae = make(case)
    step = training_step(vae, cpu64)
    params = step.params.to(cpu64)
    after_an_epoch(step)
    model = Model(vae, cpu64, params=params)
    x = (cpu64.to_host(step.batches.images)[:8] / 255).astype(float)
    eps = normal((8, K, Z), Stream(3, Purpose.LATENT, 1))
    assert step.losses.shape == (3, 1)
    np.testing.assert_allclose(step.losses[0, 0] / 8, model.loss(x, eps).total, rtol=1e-13)


def test_e54_warm_up_hands_each_step_its_own_weight(cpu64, distance):
    vae = make("monte-carlo", beta=2.0)
    step = training_step(vae, cpu64, weighting=Weighting(kl_warmup=4))
    bound = step.full.parts[0].bound
    for t, expected in ((1, 0.0), (2, 0.5), (3, 1.0), (5, 2.0), (9, 2.0)):
        assert step.beta(t) == kl_weight(2.0, t, 4) == expected
        step.gradient(t, 0)
        found = step.grads.flat.copy()
        assert step.full.parts[0].bound is bound  # nothing is bound again
        bound.loss_and_gradient(1 / 8, expected)
        assert distance(found, step.grads.flat) < 1e-14


def test_e54_warm_up_allocates_nothing_on_the_strict_device():
    bk = get_backend("strict", "float32")
    step = training_step(make("analytic"), bk, weighting=Weighting(kl_warmup=2))
    waits = bk.device.synchronizations
    for i in range(3):
        bk.capture(partial(step.full.bound.loss_and_gradient, 1 / 8, 0.25 * i))()
        step(i + 1, i)
    assert bk.device.synchronizations == waits
    assert np.isfinite(bk.to_host(step.losses)).all()


# ---- settings that cannot be ---------------------------------------------------------------------


@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound_of_log_p_has_no_beta(name, cpu64, assemble):
    with pytest.raises(ConfigError, match=f"'{name}' is a bound of log p.*beta must be 1"):
        make(name, beta=0.5)
    with pytest.raises(ConfigError, match="beta must be 1"):
        TrainConfig(estimator=name, beta=0.0)
    with pytest.raises(ConfigError, match="no KL whose weight could grow: set kl_warmup to 0"):
        TrainConfig(estimator=name, kl_warmup=10)
    a = assemble(make(name), cpu64, B)
    with pytest.raises(ConfigError, match="beta must be 1"):
        a.bound.loss(0.5)
    with pytest.raises(ConfigError, match="beta must be 1"):
        make("analytic", beta=0.5).with_estimator(ESTIMATORS[name]())


def test_a_leave_one_out_baseline_needs_two_samples(cpu64, assemble):
    for bad in (
        lambda: make("score-baseline", samples=1),
        lambda: TrainConfig(estimator="score-baseline"),
        lambda: assemble(make("score-baseline").with_samples(1), cpu64, B),
    ):
        with pytest.raises(ConfigError, match="'score-baseline' needs at least 2 samples"):
            bad()
    model = Model(make("score-baseline"), cpu64)
    assert model.decode(np.zeros((5, Z))).shape == (5, D)  # whatever needs no gradient still works
    assert model.with_samples(1).loss(*data(make("analytic", 1))).total > 0


@pytest.mark.parametrize("name", ["detached", "score", "score-baseline", "stl", "dreg"])
def test_a_gradient_that_is_not_its_values_has_no_live_check(name, cpu64):
    with pytest.raises(ConfigError, match="set verify_every to 0"):
        TrainConfig(estimator=name, verify_every=10, samples=2)
    with pytest.raises(ScratchVAEError, match=f"'{name}' is not the derivative of its value"):
        LiveCheck(make(name), cpu64, B)


@pytest.mark.parametrize("case", ["analytic", "monte-carlo", "iwae", "free bits"])
def test_a_live_check_passes_and_sees_a_gradient_that_is_off(case, cpu64, monkeypatch):
    vae = make(case)
    params, live = vae.initial_parameters(cpu64, 1), LiveCheck(vae, cpu64, B)
    assert live(params, *data(vae)).ok
    real = type(vae.estimator).grad_head

    def off(self, n, weight, beta):
        real(self, n, weight, beta)
        n.dhead[:, Z:] *= 1.001

    monkeypatch.setattr(type(vae.estimator), "grad_head", off)
    assert not live(params, *data(vae)).ok


def test_e55_free_bits_need_the_whole_batch_in_one_place(cpu64):
    free = TrainConfig(free_bits=0.1, hidden=(400, 400))
    vae = free.make_vae(784)
    with pytest.raises(ConfigError, match="free bits need the mean KL of the whole batch"):
        resolve_workers(2, free.batch_size, cpu64, vae)
    assert resolve_workers(0, free.batch_size, cpu64, vae) == 1
    with pytest.raises(ConfigError, match="free bits"):
        TrainConfig(free_bits=0.1, estimator="monte-carlo")


def test_the_settings_name_the_estimator_and_what_it_minimizes():
    vae = TrainConfig(estimator="dreg", samples=5).make_vae(D)
    assert vae.estimator.name == "dreg"
    assert TrainConfig.from_json(TrainConfig(estimator="stl").to_json()).estimator == "stl"
    assert TrainConfig().trains_what_is_tested
    for changes, words in (
        ({"estimator": "iwae", "samples": 5}, "importance-weighted bound, 5 samples per image"),
        ({"kl_warmup": 30}, "analytic KL, 1 sample per image, the KL's weight growing over 30 st"),
        ({"free_bits": 0.5}, "and 0.5 free nats per unit"),
    ):
        config = TrainConfig(**changes)
        assert words in config.describe_train_loss()
        assert not config.trains_what_is_tested


# ---- a model -------------------------------------------------------------------------------------


def test_a_models_loss_is_its_estimators_and_its_terms_are_always_the_elbos(case, cpu64):
    model = Model(make(case), cpu64, seed=4)
    x, eps = data(model.vae)
    loss, _ = model.loss_and_gradient(x, eps)
    assert model.loss(x, eps) == loss
    plain = Model(make("analytic"), cpu64, params=model.params)
    for found, expected in zip(model.terms(x, eps), plain.terms(x, eps), strict=True):
        np.testing.assert_array_equal(found, expected)
    split = Split((255 * x).astype(np.uint8), None, 255)
    a, b = (evaluate(m, split, seed=1) for m in (model, plain))
    assert a == b


def test_e55_free_bits_of_many_images_are_those_of_one_batch(cpu64):
    model = Model(make("free bits"), cpu64, seed=4)
    x, eps = data(model.vae, BLOCK + 37)
    whole, _ = model.loss_and_gradient(x, eps)
    np.testing.assert_allclose(model.loss(x, eps).total, whole.total, rtol=1e-13)
    units = model.terms(x, eps).kl.mean(axis=0)
    expected = whole.reconstruction + np.maximum(units, 0.2).sum()
    np.testing.assert_allclose(whole.total, expected, rtol=1e-13)
    assert not np.isclose(whole.total, whole.reconstruction + units.sum())


def test_with_beta_zero_the_kl_has_no_say_and_sigma_is_drawn_all_the_same(
    cpu64, assemble, distance
):
    vae = make("analytic", beta=0.0)
    x, eps = data(vae)
    a = assemble(vae, cpu64, B).run(x, eps, 1 / B)
    np.testing.assert_array_equal(a.bound.objective, a.bound.nll.sum(axis=1) / K)
    free = assemble(vae.with_estimator(FreeBits(1e9)), cpu64, B, params=a.params)
    free.run(x, eps, 1 / B)
    assert distance(free.gradient, a.gradient) < 1e-14
    moved = a.bound.z - a.bound.head[:, None, :Z]
    assert np.abs(moved).max() > 0.1
