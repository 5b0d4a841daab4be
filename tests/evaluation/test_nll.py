"""log p(x) by importance sampling: a closed form, bounds that rise, and noise that has a name."""

import math
import threading

import numpy as np
import pytest
from scipy import stats

import scratchvae.evaluation.nll as nll
from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal, uniform
from scratchvae.config import TrainConfig
from scratchvae.data import Split
from scratchvae.errors import ConfigError
from scratchvae.evaluation import evaluate, histogram_nll, importance_sampled, log_likelihood
from scratchvae.evaluation.baselines import log_mass, mass_of_levels
from scratchvae.evaluation.nll import LogMeanExp, noise
from scratchvae.layers import Dense, Sequential
from scratchvae.likelihoods import Gaussian
from scratchvae.models import VAE, Model

CPU = get_backend("cpu", "float64")
D, Z, N = 7, 3, 5


def linear_gaussian(off: float = 0.0) -> tuple[Model, np.ndarray, np.ndarray]:
    """x = z W + b + s ε with orthogonal rows of W, images of it, and their log p(x).

    The encoder is the exact posterior, or ``off`` from it.
    """
    lengths, s = np.array([1.7, 0.4, 0.9]), 0.6
    W = lengths[:, None] * np.linalg.qr(normal((D, D), Stream(1, Purpose.DIRECTION)))[0][:Z]
    b = normal((D,), Stream(2, Purpose.DIRECTION))
    x = normal((N, Z), Stream(3, Purpose.PIXELS)) @ W + b
    x += s * normal((N, D), Stream(4, Purpose.PIXELS))
    variance = 1 / (1 + lengths**2 / s**2)
    gain = W.T / s**2 * variance
    likelihood = Gaussian(s, "identity")
    model = Model(
        VAE(D, Sequential(Dense(2 * Z)), Sequential(Dense(D)), likelihood, latent_dim=Z), CPU
    )
    model.params.load(
        {
            "encoder.0.W": np.hstack([gain, np.zeros((D, Z))]),
            "encoder.0.b": np.concatenate([off - b @ gain, off + np.log(variance)]),
            "decoder.0.W": W,
            "decoder.0.b": b,
        }
    )
    covariance = W.T @ W + s**2 * np.eye(D)
    return model, x, stats.multivariate_normal(b, covariance).logpdf(x)


def grey(count: int, levels: int = 16, seed: int = 0, pixels: int = 12) -> Split:
    rng = np.random.default_rng(seed)
    return Split(rng.integers(0, levels + 1, (count, pixels), dtype=np.uint8), None, levels)


def a_model(**changes) -> Model:
    return Model(TrainConfig(hidden=(8,), dtype="float64", **changes).make_vae(12), CPU, seed=3)


# ---- right -------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 2, 77])
def test_e59_with_the_exact_posterior_any_number_of_samples_gives_log_p_of_x(samples) -> None:
    model, x, expected = linear_gaussian()
    log_p, effective, *_ = importance_sampled(model, x, samples=samples)
    np.testing.assert_allclose(log_p, expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(effective, samples, rtol=1e-9)


def test_e59_away_from_the_posterior_it_comes_within_its_error_of_log_p_of_x() -> None:
    model, x, expected = linear_gaussian(off=0.3)
    log_p, effective, *_ = importance_sampled(model, x, samples=100_000)
    # the delta method: the error of the logarithm is that of the mean over the mean
    error = np.sqrt((100_000 / effective - 1) / 100_000)
    assert (np.abs(log_p - expected) < 5 * error).all()
    assert error.max() < 0.02


def test_e59_rises_with_the_number_of_samples_and_stays_below_log_p_of_x() -> None:
    model, x, expected = linear_gaussian(off=0.8)
    means = []
    for samples in (1, 4, 16, 64):
        draws = [
            importance_sampled(model, x, samples=samples, seed=seed)[0].mean() for seed in range(60)
        ]
        means.append(np.mean(draws))
    assert (np.diff(means) > 0).all()
    assert means[-1] < expected.mean() + 0.05


def test_e59_one_sample_is_the_elbo_of_that_sample_by_hand() -> None:
    model, split = a_model(latent_dim=3), grey(9)
    x = split.values().astype("float64")
    eps = np.stack([normal((1, 3), Stream(5, Purpose.IMPORTANCE, 0, i)) for i in range(9)])
    mu, logvar = model.encode(x)
    std, e = np.exp(logvar / 2), eps[:, 0]
    log_q = stats.norm.logpdf(mu + std * e, mu, std).sum(axis=1)
    log_prior = stats.norm.logpdf(mu + std * e).sum(axis=1)
    expected = -model.terms(x, eps).nll[:, 0] + log_prior - log_q
    np.testing.assert_allclose(
        importance_sampled(model, x, samples=1, seed=5)[0], expected, rtol=1e-12
    )


def test_e59_on_average_one_sample_is_the_elbo() -> None:
    model, split = a_model(), grey(40)
    draws = [
        importance_sampled(model, split.values(), samples=1, seed=seed)[0].mean()
        for seed in range(200)
    ]
    elbo = evaluate(model.with_samples(500), split).elbo
    assert abs(np.mean(draws) - elbo) < 5 * np.std(draws) / np.sqrt(200)


# ---- streamed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [2, 27, 40, 1_000])
def test_e59_how_many_samples_are_decoded_at_a_time_changes_nothing(rows, monkeypatch) -> None:
    model, x = a_model(latent_dim=3), grey(9).values()
    monkeypatch.setattr(nll, "ROWS", 10**6)
    whole = importance_sampled(model, x, samples=101)
    monkeypatch.setattr(nll, "ROWS", rows)
    parts = importance_sampled(model, x, samples=101)
    np.testing.assert_allclose(parts[0], whole[0], rtol=1e-13)
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-11)


def test_e59_the_noise_is_that_of_the_float_type_that_the_model_decodes() -> None:
    model, x = a_model(), grey(3).values()
    for dtype in ("float32", "float64"):
        seen: list[str] = []

        def score(
            model: Model, x: np.ndarray, eps: np.ndarray, seen: list[str] = seen
        ) -> np.ndarray:
            seen.append(eps.dtype.name)
            return np.zeros(eps.shape[:2])

        importance_sampled(model.to(get_backend("cpu", dtype)), x, samples=2, score=score)
        assert seen == [dtype]


def test_e59_a_model_with_compiled_loops_has_its_noise_from_them(monkeypatch) -> None:
    pytest.importorskip("numba")
    from scratchvae.backend import loops

    model, x, real = a_model(), grey(3).values(), loops.normal_loop
    looped, drawn = model.to(get_backend("cpu", "float64", compiled=True)), []
    monkeypatch.setattr(loops, "normal_loop", lambda u, out: drawn.append(real(u, out)))
    for each, times in ((model, 0), (looped, 3)):
        log_p = importance_sampled(each, x, samples=6).log_p
        assert len(drawn) == times
    np.testing.assert_allclose(log_p, importance_sampled(model, x, samples=6).log_p, rtol=1e-12)


def test_e59_the_number_of_threads_changes_no_bit() -> None:
    model, images = a_model(), grey(250)
    found = []
    for count in (1, 2, 3):
        with CPU.limit_blas(count):
            found.append(log_likelihood(model, images, samples=30))
            found.append(log_likelihood(model, images, samples=30, over=map))
    assert all(each == found[0] for each in found)


def test_e59_images_are_computed_in_threads_and_each_product_by_one(monkeypatch) -> None:
    monkeypatch.setattr("scratchvae.versions.cores", lambda: 2)
    both, seen = threading.Barrier(2, timeout=30), []

    def score(model, x, eps):
        seen.append(CPU.blas_threads())
        both.wait()  # which a thread alone would not pass
        return np.zeros(eps.shape[:2])

    with CPU.limit_blas(2):
        log_likelihood(a_model(), grey(2 * nll.PART_OF_SAMPLED), samples=2, score=score)
        assert CPU.blas_threads() == 2
    assert set(seen) == {1}


def test_e59_an_error_in_a_thread_is_the_callers() -> None:
    def score(model, x, eps):
        raise ZeroDivisionError("of the score")

    before = CPU.blas_threads()
    with pytest.raises(ZeroDivisionError, match="of the score"):
        log_likelihood(a_model(), grey(250), samples=2, score=score)
    assert CPU.blas_threads() == before


def test_e59_one_image_is_a_batch_of_one() -> None:
    model, x = a_model(), grey(1).values()
    alone, batch = (importance_sampled(model, a, samples=5).log_p for a in (x[0], x))
    np.testing.assert_array_equal(alone, batch)


def test_e59_an_image_has_the_same_noise_whatever_stands_beside_it(monkeypatch) -> None:
    model, x = a_model(), grey(30).values()
    whole = importance_sampled(model, x, samples=20).log_p
    np.testing.assert_allclose(
        importance_sampled(model, x[7:9], samples=20, first=7)[0], whole[7:9]
    )
    monkeypatch.setattr(nll, "IMAGES", 11)
    np.testing.assert_allclose(importance_sampled(model, x, samples=20)[0], whole, rtol=1e-13)


def test_images_that_are_scored_chunk_by_chunk_keep_their_own_noise(monkeypatch) -> None:
    model, split = a_model(), grey(30)
    scored = []

    def score(model, x, eps):
        scored.append(eps)
        return model.with_samples(eps.shape[1]).terms(x, eps).nll

    whole = log_likelihood(model, split, samples=6)
    monkeypatch.setattr(nll, "CHUNK", 7)
    parts = log_likelihood(model, split, samples=6, score=score)
    assert parts.log_p == pytest.approx(whole.log_p, rel=1e-13)
    every = np.concatenate(scored)
    assert every.shape == (30, 6, 2)
    assert len(np.unique(every)) == every.size


def test_dynamic_pixels_are_drawn_chunk_by_chunk_each_from_its_own_stream(monkeypatch) -> None:
    model, seen = a_model(), []
    levels = np.full((30, model.vae.pixels), 0.5, np.float32)

    def score(model, x, eps):
        seen.append(x)
        return model.with_samples(eps.shape[1]).terms(x, eps).nll

    monkeypatch.setattr(nll, "CHUNK", 10)
    log_likelihood(
        model, Split(levels, None, None, "dynamic"), samples=2, seed=4, draw=6, score=score
    )
    streams = [Stream(4, Purpose.TEST_BINARIZE, 6, start) for start in (0, 10, 20)]
    drawn = [uniform((10, model.vae.pixels), stream) < 0.5 for stream in streams]
    np.testing.assert_array_equal(np.concatenate(seen), np.concatenate(drawn))


def test_the_noise_of_a_stretch_of_samples_is_that_stretch_of_all_noise() -> None:
    whole = noise((3, 21, 5), seed=1, first=4, k=0)
    np.testing.assert_array_equal(noise((1, 7, 5), seed=1, first=6, k=14), whole[2:, 14:])
    assert len(np.unique(whole)) == whole.size


def test_e59_the_mean_of_exponentials_survives_numbers_that_no_float_can_hold() -> None:
    a = np.array([[-5000.0, -5001.0, -4990.0, -9e9], [800.0, 900.0, 100.0, 0.0]])
    for cuts in ([4], [1, 3], [2, 1, 1]):
        mean, start = LogMeanExp(2), 0
        for size in cuts:
            mean.add(a[:, start : start + size])
            start += size
        expected = a.max(axis=1) + np.log(np.exp(a - a.max(axis=1)[:, None]).mean(axis=1))
        np.testing.assert_allclose(mean.value(), expected, rtol=1e-15)
        assert (mean.effective_samples() >= 1).all()


def test_the_standard_error_of_the_logarithm_is_that_of_many_repetitions() -> None:
    a = np.random.default_rng(0).normal(scale=0.8, size=(4000, 500))  # e^a is log-normal
    mean = LogMeanExp(4000)
    mean.add(a[:, :200])
    mean.add(a[:, 200:])
    spread = mean.value().std(ddof=1)
    assert np.median(mean.standard_error()) == pytest.approx(spread, rel=0.05)
    w = np.exp(a[0])  # the delta method by hand
    assert mean.standard_error()[0] == pytest.approx(
        w.std(ddof=1) / math.sqrt(500) / w.mean(), rel=1e-12
    )
    equal = LogMeanExp(1)
    equal.add(np.full((1, 7), -3.0))
    assert equal.standard_error()[0] == pytest.approx(0, abs=1e-7)
    single = LogMeanExp(1)
    single.add(np.array([[-3.0]]))
    assert single.standard_error().tolist() == [0.0]


def test_e59_impossible_samples_count_and_are_no_error() -> None:
    mean = LogMeanExp(2)
    mean.add(np.array([[-np.inf, -np.inf], [-np.inf, -np.inf]]))
    mean.add(np.array([[0.0, 0.0], [-np.inf, -np.inf]]))
    np.testing.assert_allclose(mean.value(), [math.log(0.5), -np.inf])


def test_the_standard_error_is_over_images_and_the_protocol_is_named() -> None:
    model, split = a_model(), grey(50)
    found = log_likelihood(model, split, samples=10, seed=2)
    log_p, effective, *_ = importance_sampled(model, split.values(), samples=10, seed=2)
    assert found.log_p == pytest.approx(log_p.mean(), rel=1e-13)
    assert found.standard_error == pytest.approx(log_p.std() / math.sqrt(50), rel=1e-12)
    assert found.effective_samples == pytest.approx(effective.mean())
    assert found.protocol.endswith("; importance sampling with 10 samples per image")
    assert "not binarized; Bernoulli" in found.protocol
    assert (found.images, found.samples) == (50, 10)


@pytest.mark.parametrize("rows", [20, 10_000])
def test_the_estimate_from_the_first_samples_is_that_of_so_many(rows, monkeypatch) -> None:
    monkeypatch.setattr(nll, "ROWS", rows)
    model, x = a_model(), grey(9).values()
    found = importance_sampled(model, x, samples=37, prefixes=(1, 7, 18, 37))
    for column, count in enumerate((1, 7, 18, 37)):
        alone = importance_sampled(model, x, samples=count).log_p
        np.testing.assert_allclose(found.prefixes[:, column], alone, rtol=1e-12)
    for wrong in (0, 38):
        with pytest.raises(ConfigError, match="prefixes lie between 1 and 37"):
            importance_sampled(model, x, samples=37, prefixes=(wrong,))


def test_the_error_by_the_samples_is_the_spread_of_other_samples() -> None:
    model, x, _ = linear_gaussian(off=0.3)
    split = Split(x.astype(np.float32), None, None)
    found = [log_likelihood(model, split, samples=2000, seed=seed) for seed in range(40)]
    claimed = np.mean([f.sample_error for f in found])
    assert np.std([f.log_p for f in found], ddof=1) == pytest.approx(claimed, rel=0.35)


def test_one_sample_is_half_of_itself() -> None:
    for images in (9, 1):  # of one image there is no standard error
        found = log_likelihood(a_model(), grey(images), samples=1)
        assert found.half == found.log_p
        assert found.is_settled


def test_half_of_the_samples_tell_whether_they_are_enough() -> None:
    close, x, _ = linear_gaussian(off=0.1)
    far, _, _ = linear_gaussian(off=3.0)
    split = Split(np.repeat(x, 40, axis=0).astype(np.float32), None, None)
    enough, too_few = (log_likelihood(m, split, samples=20) for m in (close, far))
    assert enough.is_settled
    assert enough.half == enough.by_samples[10]
    assert enough.tenth == enough.by_samples[2]
    assert not too_few.is_settled
    assert too_few.half < too_few.log_p - 0.3


def test_the_strict_device_gives_the_same_numbers() -> None:
    model, x = a_model(), grey(9).values()
    strict = model.to(get_backend("strict", "float64"))
    np.testing.assert_array_equal(
        importance_sampled(strict, x, samples=30)[0], importance_sampled(model, x, samples=30)[0]
    )


@pytest.mark.parametrize("samples", [0, -3, 2.5, 10**60])
def test_another_number_of_samples_is_refused(samples) -> None:
    with pytest.raises(ConfigError, match="a whole number of at least 1"):
        importance_sampled(a_model(), grey(3).values(), samples=samples)


# ---- what to beat ------------------------------------------------------------------------------


def test_the_histogram_counts_one_of_each_level_beside_the_training_images() -> None:
    train = Split(np.array([[0, 2], [0, 1]], dtype=np.uint8), None, 2)
    split = Split(np.array([[0, 0], [1, 2]], dtype=np.uint8), None, 2)
    # Pixel 1: counts 3, 1, 1 of 5; pixel 2: 1, 2, 2 of 5.
    expected = [-math.log(3 / 5 * 1 / 5), -math.log(1 / 5 * 2 / 5)]
    np.testing.assert_allclose(histogram_nll(train, split), expected, rtol=1e-14)


def test_a_histogram_wants_whole_levels() -> None:
    floats = Split(np.zeros((2, 3), np.float32), None, None)
    with pytest.raises(ConfigError, match="whole levels"):
        histogram_nll(floats, floats)
    with pytest.raises(ConfigError, match="whole levels"):
        histogram_nll(grey(3, 16), grey(3, 15))


@pytest.mark.parametrize("std", [0.02, 0.3, 50.0])
@pytest.mark.parametrize("mean", [-0.5, 0.0, 0.4, 1.0, 3.0])
def test_the_masses_of_all_levels_add_up_to_one(mean, std) -> None:
    x = np.arange(17) / 16
    assert np.exp(log_mass(x, np.array(mean), np.float64(std), 16)).sum() == pytest.approx(1)


def test_a_mass_is_the_difference_of_two_normal_probabilities_also_far_out() -> None:
    x, mean, std = np.arange(17) / 16, 0.4, 0.2
    edges = np.concatenate([[-np.inf], (np.arange(16) + 0.5) / 16, [np.inf]])
    expected = np.log(np.diff(stats.norm.cdf(edges, mean, std)))
    np.testing.assert_allclose(log_mass(x, mean, np.float64(std), 16), expected, rtol=1e-12)
    far = log_mass(x, np.array(0.5), np.float64(0.01), 16)  # differences of Φ would be 0
    assert np.isfinite(far).all()
    np.testing.assert_allclose(far, far[::-1], rtol=1e-9)


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_a_gaussian_scored_by_mass_is_its_density_times_the_width_of_a_level(device) -> None:
    model, split = a_model(likelihood="gaussian", std=5.0), grey(20)
    model = model.to(get_backend(device, "float64"))
    inner = Split(split.images.clip(1, 15), None, 16)
    mass = log_likelihood(model, inner, samples=10, score=mass_of_levels(16)).log_p
    density = log_likelihood(model, inner, samples=10).log_p
    assert mass == pytest.approx(density - 12 * math.log(16), abs=1e-3)


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_mass_under_a_learned_deviation_of_each_pixel_by_hand(device) -> None:
    config = TrainConfig(hidden=(8,), dtype="float64", likelihood="gaussian-per-pixel")
    model = Model(config.make_vae(12), get_backend(device, "float64"), seed=3)
    logvar = np.linspace(-4.0, 1.0, 12)
    model.bk.load(logvar, model.params["likelihood.logvar"])
    x, eps = grey(4).values().astype("float64"), normal((4, 3, 2), Stream(1, Purpose.IMPORTANCE))
    std = np.sqrt(np.exp(logvar) + 0.01**2)
    mu, encoder_logvar = model.encode(x)
    expected = np.empty((4, 3))
    for k in range(3):
        mean = model.decode(mu + np.exp(encoder_logvar / 2) * eps[:, k])
        low = np.where(x == 0, -np.inf, x - 1 / 32)
        high = np.where(x == 1, np.inf, x + 1 / 32)
        mass = stats.norm.cdf(high, mean, std) - stats.norm.cdf(low, mean, std)
        expected[:, k] = -np.log(mass).sum(axis=1)
    np.testing.assert_allclose(mass_of_levels(16)(model, x, eps), expected, rtol=1e-12)


def test_mass_under_a_continuous_bernoulli_is_the_integral_over_the_level() -> None:
    config = TrainConfig(hidden=(8,), dtype="float64", likelihood="continuous-bernoulli")
    model = Model(config.make_vae(12), get_backend("cpu", "float64"), seed=3)
    model.params["decoder.2.b"][...] = np.linspace(-90.0, 90.0, 12)
    x, eps = grey(4).values().astype("float64"), normal((4, 3, 2), Stream(1, Purpose.IMPORTANCE))
    mu, logvar = model.encode(x)
    low, high = np.maximum(x - 1 / 32, 0), np.minimum(x + 1 / 32, 1)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    expected = np.empty((4, 3))
    for k in range(3):
        z = mu + np.exp(logvar / 2) * eps[:, k]
        inside = [low + (high - low) * (node + 1) / 2 for node in nodes]
        density = [np.exp(-model.pixel_nll(points, z)) for points in inside]
        mass = np.tensordot(weights, density, 1) * (high - low) / 2
        expected[:, k] = -np.log(mass).sum(axis=1)
    np.testing.assert_allclose(mass_of_levels(16)(model, x, eps), expected, rtol=1e-12)


def test_mass_of_levels_is_for_densities() -> None:
    with pytest.raises(ConfigError, match="and the continuous Bernoulli, not for Bernoulli"):
        log_likelihood(a_model(), grey(3), samples=1, score=mass_of_levels(16))
