"""Completion: the gradient of the fit, a posterior known in closed form, and its bad input."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.config import TrainConfig
from scratchvae.errors import ConfigError, DataError, NonFiniteError
from scratchvae.evaluation import CompletionSettings, complete, find_mask, log_joint
from scratchvae.latent import Planar
from scratchvae.layers import Dense, Sequential
from scratchvae.likelihoods import Bernoulli, Categorical, Gaussian, LearnedGaussian
from scratchvae.models import VAE, Model
from scratchvae.models.posterior import BoundPosterior

CPU, COMPLEX = get_backend("cpu", "float64"), get_backend("cpu", "complex128")
B, D, Z, K = 4, 7, 3, 5
H = 2.0**-80

LIKELIHOODS = [
    Bernoulli(), Categorical(5), Gaussian(0.5), LearnedGaussian(True, 0.1, "identity")
]  # fmt: skip
each_likelihood = pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=lambda a: a.describe())
each_kl = pytest.mark.parametrize("kl", ["analytic", "sampled"])


def inputs() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images of five levels, masks, ε, μ and log σ."""
    rng = np.random.default_rng(0)
    x, observed = rng.integers(0, 5, (B, D)) / 4, rng.random((B, D)) < 0.5
    observed[:, 2] = True
    return x, observed, *(rng.normal(size=s) for s in ((B, K, Z), (B, Z), (B, Z)))


def a_model(likelihood=None, bk=CPU, pixels=D) -> Model:
    vae = VAE.mlp(
        pixels, (6, 4), latent_dim=Z, activation="tanh", likelihood=likelihood or Bernoulli()
    )
    return Model(vae, bk, seed=1)


def bound(model, x, observed, eps, mu, logstd, kl) -> BoundPosterior:
    found = BoundPosterior(model.vae, model.params, x, observed, eps.shape[1], kl)
    for values, buffer in ((eps, found.eps), (mu, found.mu), (logstd, found.logstd)):
        model.bk.load(values, buffer)
    return found


def objective(model, *arguments) -> np.ndarray:
    found = bound(model, *arguments)
    found.value()
    return model.bk.to_host(found.objective)


# ---- the objective and its gradient ------------------------------------------------------------


@each_likelihood
@each_kl
def test_e60_the_objective_by_hand(likelihood, kl) -> None:
    model, (x, observed, eps, mu, logstd) = a_model(likelihood), inputs()
    z = mu[:, None] + np.exp(logstd)[:, None] * eps
    nll = np.stack([model.pixel_nll(x, z[:, k]) for k in range(K)], axis=1)
    seen = (nll * observed[:, None]).sum(axis=2).mean(axis=1)
    if kl == "analytic":
        divergence = (mu**2 + np.exp(2 * logstd) - 1) / 2 - logstd
    else:
        divergence = ((z**2 - eps**2) / 2).mean(axis=1) - logstd
    expected = seen + divergence.sum(axis=1)
    found = objective(model, x, observed, eps, mu, logstd, kl)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@each_likelihood
@each_kl
def test_e61_the_gradient_by_complex_step_and_by_differences(likelihood, kl) -> None:
    model, (x, observed, eps, mu, logstd) = a_model(likelihood), inputs()
    there = model.to(COMPLEX)
    here = bound(model, x, observed, eps, mu, logstd, kl)
    here.gradient()
    for j in range(Z):
        e = np.eye(Z)[j]
        for name, moved in (
            ("mu", lambda h: (mu + h * e, logstd)),  # noqa: B023
            ("logstd", lambda h: (mu, logstd + h * e)),  # noqa: B023
        ):
            gradient = here.dq[name][:, j]
            slope = objective(there, x, observed, eps, *moved(1j * H), kl).imag / H
            np.testing.assert_allclose(gradient, slope, rtol=1e-12, atol=1e-14)
            up, down = (objective(model, x, observed, eps, *moved(h), kl) for h in (1e-5, -1e-5))
            np.testing.assert_allclose(gradient, (up - down) / 2e-5, rtol=1e-6, atol=1e-7)


@each_likelihood
def test_e61_hidden_pixels_send_nothing_and_are_not_looked_at(likelihood) -> None:
    model, (x, observed, eps, mu, logstd) = a_model(likelihood), inputs()
    one = bound(model, x, observed, eps, mu, logstd, "analytic")
    other = bound(model, np.where(observed, x, 1 - x), observed, eps, mu, logstd, "analytic")
    for b in (one, other):
        b.value()
        b.gradient()
    np.testing.assert_array_equal(one.objective, other.objective)
    np.testing.assert_array_equal(one.dq.flat, other.dq.flat)
    levels = likelihood.logits_per_pixel
    by_pixel = one.bound.dlogits.reshape(B, K, levels, D)
    hidden = np.broadcast_to(~observed[:, None, None], by_pixel.shape)
    assert (by_pixel[hidden] == 0).all()
    assert (np.abs(by_pixel).sum(axis=(1, 2))[observed] > 0).all()


def test_e61_the_models_parameters_stay_as_they_are() -> None:
    model, (x, observed, *_) = a_model(), inputs()
    before = model.params.flat.copy()
    complete(model, x, observed, settings=CompletionSettings(steps=3, final_samples=10))
    np.testing.assert_array_equal(model.params.flat, before)


def test_a_step_of_the_fit_allocates_nothing_on_the_strict_device() -> None:
    bk = get_backend("strict", "float64")
    (x, observed, eps, mu, logstd) = inputs()
    for kl in ("analytic", "sampled"):
        b = bound(a_model(bk=bk), x, observed, eps, mu, logstd, kl)
        bk.capture(b.gradient)()
        expected = bound(a_model(), x, observed, eps, mu, logstd, kl)
        expected.gradient()
        np.testing.assert_array_equal(bk.to_host(b.dq.flat), expected.dq.flat)


# ---- the fit ------------------------------------------------------------------------------------


def linear_gaussian(s: float = 0.5) -> tuple[Model, np.ndarray, np.ndarray]:
    """A decoder x = z W + b whose observed part has orthogonal rows: the posterior is diagonal."""
    rows = normal((D, D), Stream(1, Purpose.DIRECTION))
    W = np.hstack([np.linalg.qr(rows[:5, :5])[0][:Z] * [[1.2], [0.5], [0.8]], rows[:Z, 5:]])
    b = normal((D,), Stream(2, Purpose.DIRECTION))
    vae = VAE(
        D, Sequential(Dense(2 * Z)), Sequential(Dense(D)), Gaussian(s, "identity"), latent_dim=Z
    )
    model = Model(vae, CPU)
    CPU.load(W, model.params["decoder.0.W"])
    CPU.load(b, model.params["decoder.0.b"])
    return model, W, b


@pytest.mark.parametrize("kl", ["analytic", "sampled"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_fit_finds_a_posterior_that_is_known(kl, optimizer) -> None:
    s, observed = 0.5, np.arange(D) < 5
    model, W, b = linear_gaussian(s)
    x = normal((2, D), Stream(3, Purpose.PIXELS))
    settings = CompletionSettings(
        steps=1500, rate=0.01, samples=40, optimizer=optimizer, kl=kl, final_samples=4_000
    )
    found = complete(model, x, observed, settings=settings)
    seen = W[:, observed]
    variance = 1 / (1 + (seen**2).sum(axis=1) / s**2)
    mean = (x[:, observed] - b[observed]) @ seen.T / s**2 * variance
    np.testing.assert_allclose(found.mu, mean, atol=0.03)
    np.testing.assert_allclose(
        found.logstd, np.broadcast_to(np.log(variance) / 2, (2, Z)), atol=0.1
    )
    covariance = seen.T @ seen + s**2 * np.eye(5)
    residual = x[:, observed] - b[observed]
    log_p = -0.5 * (residual * np.linalg.solve(covariance, residual.T).T).sum(axis=1)
    log_p -= 0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1]
    assert (found.negative_elbo > -log_p - 5 * found.error).all()  # a bound,
    np.testing.assert_allclose(found.negative_elbo, -log_p, atol=0.1)  # and a tight one
    np.testing.assert_allclose(
        found.filled[:, ~observed], mean @ W[:, ~observed] + b[~observed], atol=0.1
    )
    np.testing.assert_array_equal(found.filled[:, observed], x[:, observed])


def test_with_every_pixel_observed_nothing_is_hidden_and_nothing_is_filled() -> None:
    x, *_ = inputs()
    found = complete(
        a_model(), x, np.ones(D, bool), settings=CompletionSettings(steps=2, final_samples=9)
    )
    for a in (found.hidden, found.hidden_error, found.hidden_effective_samples):
        assert np.isnan(a).all()
    assert not found.hidden_is_biased.any()
    np.testing.assert_array_equal(found.filled, x)


@each_likelihood
def test_the_reported_elbo_and_its_error_are_those_of_fresh_draws_by_hand(likelihood) -> None:
    model, (x, observed, *_) = a_model(likelihood), inputs()
    settings = CompletionSettings(steps=3, rate=0.3, final_samples=50, seed=3)
    found = complete(model, x, observed, settings=settings)
    np.testing.assert_array_equal(found.observed, observed)
    for i in range(B):
        eps = normal((50, Z), Stream(3, Purpose.COMPLETION, 0, i))
        mu, std = found.mu[i], np.exp(found.logstd[i])
        nll = model.pixel_nll(np.tile(x[i], (50, 1)), mu + std * eps)[:, observed[i]].sum(axis=1)
        kl = (mu**2 + std**2 - 1).sum() / 2 - found.logstd[i].sum()
        assert found.negative_elbo[i] == pytest.approx(nll.mean() + kl, rel=1e-12)
        assert found.error[i] == pytest.approx(nll.std() / math.sqrt(50), rel=1e-12)


def test_every_tenth_step_leaves_its_objective_before_its_update_in_the_trace() -> None:
    model, (x, observed, *_) = a_model(), inputs()
    before, after = (
        complete(
            model, x, observed, settings=CompletionSettings(steps=steps, samples=K, final_samples=2)
        )
        for steps in (19, 20)
    )
    eps = np.stack([normal((K, Z), Stream(0, Purpose.COMPLETION, 20, i)) for i in range(B)])
    expected = objective(model, x, observed, eps, before.mu, before.logstd, "analytic")
    assert (len(before.trace), len(after.trace)) == (1, 2)
    np.testing.assert_allclose(after.trace[-1], expected, rtol=1e-13)


def test_without_settings_the_defaults_are_meant() -> None:
    model, (x, observed, *_) = a_model(), inputs()
    found = complete(model, x, observed)
    expected = complete(model, x, observed, settings=CompletionSettings())
    np.testing.assert_array_equal(found.negative_elbo, expected.negative_elbo)


def test_the_nats_of_a_hidden_pixel_are_those_of_the_mixture_by_hand() -> None:
    model, (x, observed, *_) = a_model(), inputs()
    found = complete(
        model, x, observed, settings=CompletionSettings(steps=2, final_samples=50, seed=3)
    )
    for i in range(B):
        eps = normal((50, Z), Stream(3, Purpose.COMPLETION, 0, i))
        z = found.mu[i] + np.exp(found.logstd[i]) * eps
        nll = model.pixel_nll(np.tile(x[i], (50, 1)), z)[:, ~observed[i]].sum(axis=1)
        expected = -math.log(np.exp(-nll).mean()) / (~observed[i]).sum()
        assert found.hidden[i] == pytest.approx(expected, rel=1e-12)


def hidden_nats(model: Model, W, b, s: float, x, observed, found) -> np.ndarray:
    """−log E_q p(hidden|z) per hidden pixel in closed form: the hidden pixels are Gaussian."""
    means = found.mu @ W[:, ~observed] + b[~observed]
    nats = []
    for i, mean in enumerate(means):
        spread = W[:, ~observed] * np.exp(found.logstd[i])[:, None]
        covariance = spread.T @ spread + s**2 * np.eye(len(mean))
        nats.append(-stats.multivariate_normal(mean, covariance).logpdf(x[i, ~observed]))
    return np.array(nats) / (~observed).sum()


def test_the_nats_of_hidden_pixels_come_within_their_error_of_the_exact_ones() -> None:
    s, observed = 0.5, np.arange(D) < 5
    model, W, b = linear_gaussian(s)
    z = normal((40, Z), Stream(5, Purpose.PRIOR))
    x = z @ W + b + s * normal((40, D), Stream(6, Purpose.PIXELS))
    settings = CompletionSettings(steps=300, rate=0.02, final_samples=2_000)
    found = complete(model, x, observed, settings=settings)
    away = (found.hidden - hidden_nats(model, W, b, s, x, observed, found)) / found.hidden_error
    reliable = ~found.hidden_is_biased
    assert reliable.sum() > 30
    assert np.abs(away[reliable]).max() < 4.5
    assert 0.6 < np.sqrt((away[reliable] ** 2).mean()) < 1.5  # of the size that it says


def test_a_surprising_hidden_half_costs_too_much_and_is_said_to() -> None:
    s, observed = 0.05, np.arange(D) < 5
    model, W, b = linear_gaussian(s)
    x = normal((3, Z), Stream(5, Purpose.PRIOR)) @ W + b
    x[:, ~observed] += 1.5
    settings = CompletionSettings(steps=500, rate=0.02, final_samples=1_000)
    found = complete(model, x, observed, settings=settings)
    exact = hidden_nats(model, W, b, s, x, observed, found)
    assert found.hidden_is_biased.all()
    assert (found.hidden > exact + 4 * found.hidden_error).all()


def test_thirty_effective_samples_are_enough_and_less_are_not() -> None:
    x, observed, *_ = inputs()
    settings = CompletionSettings(steps=1, samples=1, final_samples=2)
    found = complete(a_model(), x[:3], observed[:3], settings=settings)
    found = replace(found, hidden_effective_samples=np.array([29.9, 30.0, 30.1]))
    assert found.hidden_is_biased.tolist() == [True, False, False]


def test_gradient_descent_goes_one_rate_times_the_gradient_down() -> None:
    model, (x, observed, *_) = a_model(), inputs()
    settings = CompletionSettings(
        steps=1,
        rate=0.03,
        samples=K,
        optimizer="sgd",
        mu=(0.4,),
        logstd=(-0.2,),
        final_samples=2,
        seed=9,
    )
    found = complete(model, x, observed, settings=settings)
    eps = np.stack([normal((K, Z), Stream(9, Purpose.COMPLETION, 1, i)) for i in range(B)])
    start = np.full((B, Z), 0.4), np.full((B, Z), -0.2)
    fit = bound(model, x, observed, eps, *start, "analytic")
    fit.gradient()
    np.testing.assert_allclose(found.mu, start[0] - 0.03 * fit.dmu, rtol=1e-13)
    np.testing.assert_allclose(found.logstd, start[1] - 0.03 * fit.dlogstd, rtol=1e-13)


def test_an_image_is_completed_alike_in_whatever_company(monkeypatch) -> None:
    model, (x, observed, *_) = a_model(), inputs()
    settings = CompletionSettings(steps=20, final_samples=30, optimizer="sgd")
    whole = complete(model, x, observed, settings=settings)
    alone = complete(model, x[2:3], observed[2:3], settings=settings, numbers=[2])
    monkeypatch.setattr("scratchvae.evaluation.completion.BATCH", 3)
    blocks = complete(model, x, observed, settings=settings)
    for name in ("mu", "logstd", "negative_elbo", "hidden", "filled"):
        np.testing.assert_allclose(getattr(alone, name), getattr(whole, name)[2:3], rtol=1e-11)
        np.testing.assert_allclose(getattr(blocks, name), getattr(whole, name), rtol=1e-11)
    assert whole.trace.shape == blocks.trace.shape == (2, B)


def test_a_map_that_divides_the_images_is_used_and_changes_nothing(monkeypatch) -> None:
    monkeypatch.setattr("scratchvae.evaluation.completion.BATCH", 3)
    model, (x, observed, *_) = a_model(), inputs()
    settings, parts = CompletionSettings(steps=2, final_samples=4), []

    def over(function, items):
        parts.extend(items)
        return list(map(function, items))

    found = complete(model, x, observed, settings=settings, over=over)
    assert [len(images) for images, _, _ in parts] == [3, 1]
    expected = complete(model, x, observed, settings=settings)
    np.testing.assert_array_equal(found.filled, expected.filled)


def test_the_trace_falls() -> None:
    model, (x, observed, *_) = a_model(), inputs()
    settings = CompletionSettings(steps=200, samples=200, final_samples=10, mu=(3.0,))
    trace = complete(model, x, observed, settings=settings).trace
    assert (trace[-1] < trace[0] - 1).all()


def test_the_joint_density_is_that_of_the_observed_pixels_and_of_z() -> None:
    model, (x, observed, *_) = a_model(), inputs()
    z = normal((11, Z), Stream(0, Purpose.PRIOR))
    nll = model.pixel_nll(np.tile(x[1], (11, 1)), z)[:, observed[1]].sum(axis=1)
    expected = stats.norm.logpdf(z).sum(axis=1) - nll
    np.testing.assert_allclose(log_joint(model, x[1], observed[1], z), expected, rtol=1e-13)


def test_the_joint_density_of_float32_pixels_is_added_in_float64() -> None:
    model, (x, observed, *_) = a_model(bk=get_backend("cpu", "float32")), inputs()
    z = normal((11, Z), Stream(0, Purpose.PRIOR))
    nll = model.pixel_nll(np.tile(x[1], (11, 1)), z).astype(np.float64)
    expected = stats.norm.logpdf(z).sum(axis=1) - nll[:, observed[1]].sum(axis=1)
    np.testing.assert_allclose(log_joint(model, x[1], observed[1], z), expected, rtol=1e-13)


def test_where_the_fit_starts_is_said_for_all_units_or_for_each() -> None:
    settings = CompletionSettings(mu=(2.0, -2.0), logstd=(0.5,))
    mu, logstd = settings.start(2)
    assert (mu.tolist(), logstd.tolist()) == ([2, -2], [0.5, 0.5])
    with pytest.raises(ConfigError, match="mu has 2 numbers, but the model has 3 latent units"):
        settings.start(3)
    with pytest.raises(ConfigError, match="logstd has 2 numbers, but the model has 3 latent"):
        CompletionSettings(logstd=(0.5, 0.5)).start(3)


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones(D + 1, bool), "expected 7 booleans"),
        (np.ones((2, 2, D), bool), "expected 7 booleans"),
        (np.ones(D), "dtype float64"),
        (np.zeros(D, bool), "observes nothing"),
        (np.eye(B, D) < 0, "observes nothing"),
        (np.ones((B, D), bool) & (np.arange(B) > 0)[:, None], "observes nothing"),
        (np.ones((3, D), bool), "3 masks for 4 images"),
        (np.ones((5, D), bool), "5 masks for 4 images"),
    ],
)
def test_a_mask_that_cannot_be_is_refused(mask, message) -> None:
    x, *_ = inputs()
    with pytest.raises(DataError, match=message):
        complete(a_model(), x, mask)


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(DataError, match=r"expected \(N, 7\)"):
        complete(a_model(), np.zeros((2, 8)), np.ones(8, bool))
    for images, numbers in ((1, [1, 2]), (3, [1, 2])):
        with pytest.raises(DataError, match=f"2 numbers for {images} images"):
            complete(a_model(), np.zeros((images, D)), np.ones(D, bool), numbers=numbers)


@pytest.mark.parametrize(
    "changes",
    [{"samples": 0}, {"steps": 0}, {"steps": 2.5}, {"rate": 0.0}, {"rate": math.inf},
     {"optimizer": "newton"}, {"kl": "none"}, {"final_samples": -1}, {"seed": -1},
     {"seed": 0.5}, {"seed": 2**64}],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(changes) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        CompletionSettings(**changes)


def test_settings_may_be_numpys_numbers() -> None:
    settings = CompletionSettings(steps=np.int64(3), seed=np.uint8(2), rate=np.float32(0.5))
    assert (settings.steps, settings.seed, settings.rate) == (3, 2, 0.5)


def test_the_largest_seed_is_a_seed() -> None:
    assert CompletionSettings(seed=2**64 - 1).seed == 2**64 - 1


def test_less_than_one_sample_and_unknown_divergences_are_refused_below_too() -> None:
    model, (x, observed, *_) = a_model(), inputs()
    with pytest.raises(ConfigError, match="at least one sample"):
        BoundPosterior(model.vae, model.params, x, observed, 0)
    with pytest.raises(ConfigError, match="'exact' is not one of analytic, sampled"):
        BoundPosterior(model.vae, model.params, x, observed, 2, "exact")


@pytest.mark.parametrize("kl", ["analytic", "sampled"])
def test_a_flow_of_the_encoders_has_no_part_in_the_fit(kl) -> None:
    plain = a_model()
    vae = plain.vae
    encoder = Sequential(Dense(2 * Z + Planar(3).inputs(Z)))
    model = Model(VAE(D, encoder, vae.decoder, latent_dim=Z, flow=Planar(3)), CPU)
    for name, array in plain.params.to_host().items():
        if name.startswith("decoder"):
            model.params[name][...] = array
    x, observed, *_ = inputs()
    settings = CompletionSettings(steps=4, final_samples=2, kl=kl)
    found, expected = (complete(m, x, observed, settings=settings) for m in (model, plain))
    np.testing.assert_array_equal(found.mu, expected.mu)
    np.testing.assert_array_equal(found.filled, expected.filled)


def test_two_stochastic_layers_are_refused_below_too() -> None:
    model = Model(TrainConfig(hidden=(4,), second_units=1, second_hidden=(3,)).make_vae(D))
    with pytest.raises(ConfigError, match="has two stochastic layers: take a model with one"):
        BoundPosterior(model.vae, model.params, np.zeros((1, D)), np.ones(D), 1)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"condition": "quadrants:1"}, r"needs its condition, too: Model.sample\(n, given="),
        ({"second_units": 2}, "needs a second layer, too: complete images with a model of one"),
    ],
)
def test_what_is_completed_otherwise_is_refused_with_how(setting, words) -> None:
    model = Model(TrainConfig(hidden=(4,), **setting).make_vae(16))
    with pytest.raises(ConfigError, match=words):
        complete(model, np.zeros((1, 16)), np.ones(16, bool))


def test_a_fit_that_diverges_says_so() -> None:
    model, (x, observed, *_) = a_model(Gaussian(1e-3)), inputs()
    settings = CompletionSettings(steps=30, rate=1e6, optimizer="sgd", final_samples=2)
    with pytest.raises(NonFiniteError, match="diverged at a rate of 1e\\+06"):
        complete(model, x, observed, settings=settings)


def test_a_fit_whose_divergence_overflows_says_so_although_its_numbers_are_finite() -> None:
    model, (x, observed, *_) = a_model(), inputs()
    settings = CompletionSettings(steps=1, rate=1e-9, optimizer="sgd", mu=(1e200,), final_samples=2)
    with pytest.raises(NonFiniteError, match="diverged at a rate of 1e-09"):
        complete(model, x, observed, settings=settings)


# ---- masks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rows"),
    [("top", ["##", "##", "..", "..", ".."]), ("bottom", ["..", "..", "..", "##", "##"]),
     ("left", ["#."] * 5), ("right", [".#"] * 5)],
)  # fmt: skip
def test_a_half_by_name(name, rows) -> None:
    expected = np.array([[pixel == "#" for pixel in row] for row in rows]).reshape(-1)
    np.testing.assert_array_equal(find_mask(name, (5, 2)), expected)


@pytest.mark.parametrize(
    ("name", "row"), [("left", "#.."), ("right", "..#"), ("top", "###"), ("bottom", "###")]
)
def test_of_an_odd_number_the_one_in_the_middle_is_hidden_in_every_channel(name, row) -> None:
    rows = {"top": [row, "...", "..."], "bottom": ["...", "...", row]}.get(name, [row] * 3)
    expected = [pixel == "#" for pixel in "".join(rows) for channel in "RGB"]
    assert find_mask(name, (3, 3, 3)).tolist() == expected


def test_a_row_of_a_table_has_no_halves() -> None:
    with pytest.raises(ConfigError, match="a table has no top half"):
        find_mask("top", (8,))


def test_the_top_half_of_an_mnist_image_is_its_first_392_pixels() -> None:
    assert find_mask("top", (28, 28)).nonzero()[0].tolist() == list(range(392))


@pytest.mark.parametrize("shape", [(5, 2), (10,)])
def test_a_mask_from_a_file(tmp_path, shape) -> None:
    mask = np.random.default_rng(0).random(10) < 0.5
    np.save(tmp_path / "seen.npy", mask.reshape(shape))
    np.testing.assert_array_equal(find_mask(str(tmp_path / "seen.npy"), (5, 2)), mask)


def test_a_mask_from_a_file_may_be_of_pixels_or_of_pixels_and_channels(tmp_path) -> None:
    lit = [[True, False], [False, False], [True, True]]
    of_pixels = np.array(lit)
    of_channels = np.array([[[pixel, pixel, pixel] for pixel in row] for row in lit])
    for mask in (of_pixels, of_channels, of_channels.reshape(-1)):
        np.save(tmp_path / "seen.npy", mask)
        found = find_mask(str(tmp_path / "seen.npy"), (3, 2, 3))
        assert found.tolist() == of_channels.reshape(-1).tolist()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((2, 5), bool), "5 x 2 pixels"),
        (np.ones(9, bool), "5 x 2 pixels"),
        (np.ones((5, 2)), "holds booleans"),
        (np.zeros((5, 2), bool), "seen.npy observes nothing"),
    ],
)
def test_a_file_that_is_no_mask_is_refused(tmp_path, array, message) -> None:
    np.save(tmp_path / "seen.npy", array)
    with pytest.raises(DataError, match=message):
        find_mask(str(tmp_path / "seen.npy"), (5, 2))


def test_unknown_masks_missing_files_and_halves_without_a_pixel_are_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match="'middle' is not one of top, bottom, left, right"):
        find_mask("middle", (5, 2))
    with pytest.raises(DataError):
        find_mask(str(tmp_path / "none.npy"), (5, 2))
    with pytest.raises(DataError, match="'top' observes nothing"):
        find_mask("top", (1, 4))
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(DataError):
        find_mask(str(tmp_path / "text.npy"), (5, 2))
