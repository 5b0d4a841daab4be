"""A diagnosis against models whose gaps are known in closed form, and planted ailments."""

import json
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import stats

from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal, permutation
from scratchvae.config import TrainConfig
from scratchvae.data import Split, binarize, load_dataset
from scratchvae.errors import ConfigError, DataError, NonFiniteError
from scratchvae.evaluation import (
    Diagnosis,
    DiagnosisSettings,
    Estimate,
    Gaps,
    Information,
    as_seen_by_model,
    decompose_kl,
    diagnose,
    evaluate,
    importance_sampled,
    interpret,
)
from scratchvae.evaluation.diagnosis import (
    Scores,
    choose,
    gaps_of,
    inactive_since,
    kl_of,
    known_to,
    trend,
    use_of_z,
)
from scratchvae.layers import Dense, Sequential
from scratchvae.likelihoods import Gaussian
from scratchvae.models import VAE, Condition, ConditionalVAE, Label, Model
from scratchvae.models.model import Encoding

CPU = get_backend("cpu", "float64")
D, Z, S = 6, 2, 0.6
LEAST = DiagnosisSettings(images=2, steps=1, samples=2, final_samples=2)
QUICK = DiagnosisSettings(steps=150, samples=4, final_samples=400)


@dataclass
class Linear:
    """x = z W + s ε: log p(x) and p(z|x) are Gaussian, and so are the best q and its gaps."""

    W: np.ndarray  # (Z, D)

    @property
    def precision(self):
        """Of p(z|x), the same for every x."""
        return np.eye(Z) + self.W @ self.W.T / S**2

    def log_p(self, x):
        return stats.multivariate_normal(cov=self.W.T @ self.W + S**2 * np.eye(D)).logpdf(x)

    def gap(self, away, variance):
        """KL(q ‖ p(z|x)) for q = N(mean + away, diag variance)."""
        inside = away @ self.precision @ away + np.diag(self.precision) @ variance - Z
        return 0.5 * (inside - np.log(variance).sum() - np.log(np.linalg.det(self.precision)))

    @property
    def best(self):
        """The variances of the best q of independent units."""
        return 1 / np.diag(self.precision)

    def model(self, away=0.0, variance=None, by_last_pixel=0.0):
        """The encoder is off by ``away``, and by ``by_last_pixel`` times the last pixel."""
        gain = np.linalg.solve(self.precision, self.W / S**2).T  # (D, Z)
        gain[-1] += by_last_pixel
        variance = self.best if variance is None else variance
        vae = VAE(
            D, Sequential(Dense(2 * Z)), Sequential(Dense(D)), Gaussian(S, "identity"), latent_dim=Z
        )
        model = Model(vae, CPU)
        model.params.load(
            {
                "encoder.0.W": np.hstack([gain, np.zeros((D, Z))]),
                "encoder.0.b": np.concatenate([np.broadcast_to(away, Z), np.log(variance)]),
                "decoder.0.W": self.W,
                "decoder.0.b": np.zeros(D),
            }
        )
        return model

    def images(self, n, seed=3):
        z, eps = (normal((n, k), Stream(seed, Purpose.PIXELS, k)) for k in (Z, D))
        return (z @ self.W + S * eps).astype(np.float32)


ORTHOGONAL = Linear(np.array([[1.5, 0, 0, 0, 0, 0], [0, 0.7, 0.7, 0, 0, 0]]))
SLANTED = Linear(np.array([[1.5, 0.3, 0, 0, 0, 0], [0.9, 0.7, 0.7, 0, 0, 0]]))


def split(images):
    return Split(np.asarray(images, dtype=np.float32), None, None)


# ---- gaps --------------------------------------------------------------------------------------


@pytest.mark.parametrize("truth", [ORTHOGONAL, SLANTED], ids=["orthogonal", "slanted"])
@pytest.mark.parametrize(
    ("away", "wider"), [(0.0, 1.0), (0.5, 1.0), (0.0, 2.5), (-0.3, 0.4)]
)  # fmt: skip
def test_e252_both_gaps_are_those_in_closed_form(truth, away, wider):
    x = truth.images(8)
    model = truth.model(away, wider * truth.best)
    found = gaps_of(model, x, DiagnosisSettings(steps=200, samples=10, final_samples=1000))
    approximation = truth.gap(np.zeros(Z), truth.best)
    amortization = truth.gap(np.full(Z, away), wider * truth.best) - approximation
    for gap, exact in ((found.amortization, amortization), (found.approximation, approximation)):
        assert abs(gap.value - exact) < 4 * gap.error + 2e-3
        assert gap.error < 0.05
    gained = found.refitted.value - found.elbo.value
    assert gained == pytest.approx(found.amortization.value, abs=1e-12)
    error = math.sqrt(1 / (8 * found.effective_samples))  # of importance sampling
    assert abs(found.log_p.value - truth.log_p(x).mean()) < 4 * error


@pytest.fixture
def still(monkeypatch):
    """A fit that does not move."""
    monkeypatch.setattr("scratchvae.evaluation.diagnosis.RATE", 1e-12)


def test_e252_at_the_exact_posterior_there_is_no_gap_at_all(still):
    x = ORTHOGONAL.images(5)
    found = gaps_of(ORTHOGONAL.model(), x, DiagnosisSettings(steps=1, samples=2, final_samples=4))
    assert found.log_p.value == pytest.approx(ORTHOGONAL.log_p(x).mean(), rel=1e-10)
    assert found.effective_samples == pytest.approx(4.0, rel=1e-9)
    assert found.log_p_of_half == pytest.approx(found.log_p.value, rel=1e-10)


def test_before_the_fit_the_numbers_are_those_of_importance_sampling(still):
    """The encoder's bound has the noise of importance_sampled; the fit starts from the encoder."""
    x, model = SLANTED.images(60), SLANTED.model(0.2)
    found = gaps_of(model, x, DiagnosisSettings(steps=1, samples=4, final_samples=400, seed=5))
    expected = importance_sampled(model, x, samples=400, seed=5, prefixes=[200])
    assert found.log_p.value == pytest.approx(expected.log_p.mean(), rel=1e-10)
    assert found.log_p.error == pytest.approx(stats.sem(expected.log_p), rel=1e-9)
    assert found.log_p_of_half == pytest.approx(expected.prefixes.mean(), rel=1e-10)
    assert found.effective_samples == pytest.approx(expected.effective_samples.mean(), rel=1e-9)
    assert found.elbo.value == pytest.approx(found.refitted.value, rel=1e-9)
    assert (found.images, found.samples) == (60, 400)


def test_the_samples_are_rounded_up_and_half_of_them_are_the_first():
    truth, x = SLANTED, SLANTED.images(3)
    model = truth.model()
    found = gaps_of(model, x, DiagnosisSettings(steps=1, samples=4, final_samples=13))
    eight = gaps_of(model, x, DiagnosisSettings(steps=1, samples=4, final_samples=8))
    assert found.samples == 16
    assert found.log_p_of_half == eight.log_p.value


def test_the_fit_of_an_image_does_not_depend_on_the_others(monkeypatch):
    x, model = SLANTED.images(5), SLANTED.model(0.4)
    whole = gaps_of(model, x, QUICK)
    monkeypatch.setattr("scratchvae.evaluation.diagnosis.BATCH", 2)
    parts = gaps_of(model, x, QUICK)
    assert parts.refitted.value == pytest.approx(whole.refitted.value, rel=1e-12)


def test_the_noise_of_the_fit_is_that_of_the_seed(monkeypatch):
    """With one noise for all results, another seed changes the fit alone."""
    fixed = normal((4, 4, Z), Stream(0, Purpose.PIXELS))
    monkeypatch.setattr("scratchvae.evaluation.diagnosis.noise", lambda *_: fixed)
    x, model = SLANTED.images(4), SLANTED.model(0.4)
    first, same, other = (
        gaps_of(model, x, DiagnosisSettings(steps=9, samples=4, final_samples=4, seed=seed))
        for seed in (1, 1, 2)
    )
    assert first == same
    assert first.elbo == other.elbo
    assert first.refitted != other.refitted


@pytest.mark.parametrize("which", ["the encoder's", "the fitted"])
def test_a_bound_that_is_not_finite_is_refused(monkeypatch, which):
    finite = Scores(*np.zeros((4, 5)))
    infinite = finite._replace(elbo=np.array([0, 0, -np.inf, 0, 0]))
    results = [infinite, finite] if which == "the encoder's" else [finite, infinite]
    monkeypatch.setattr("scratchvae.evaluation.diagnosis.score", lambda *_: results.pop(0))
    with pytest.raises(NonFiniteError, match="a bound is not finite"):
        gaps_of(SLANTED.model(), SLANTED.images(5), LEAST)


# ---- the whole diagnosis -----------------------------------------------------------------------


def test_a_sound_model_is_told_so():
    truth = ORTHOGONAL
    found = diagnose(
        truth.model(), split(truth.images(40)), split(truth.images(41, 4)), settings=QUICK
    )
    assert [finding.kind for finding in interpret(found)] == ["sound"]
    assert found.inactive == ()
    assert (found.test.images, found.train.images, found.information.images) == (41, 40, 41)
    assert found.std == S


def test_the_mutual_information_of_the_linear_gaussian_is_that_of_its_channels():
    """I(x; z) = ½ log det(I + WWᵀ/s²), for the exact posterior."""
    truth = ORTHOGONAL
    x = split(truth.images(1500, 5))
    found = diagnose(truth.model(), x, x, settings=LEAST)
    exact = 0.5 * math.log(np.linalg.det(truth.precision))
    info = found.information
    assert info.images == 1000
    assert abs(info.mutual_information.value - exact) < 4 * info.mutual_information.error
    assert info.mutual_information.error < 0.05


def test_an_overfitted_encoder_is_told_from_an_overfitted_decoder():
    """The last pixel is 0 in training images alone: the encoder reads it, the decoder does not."""
    truth, c, off = ORTHOGONAL, 0.5, 2.0
    train, test = truth.images(60), truth.images(60, 4)
    train[:, -1], test[:, -1] = 0, c
    found = diagnose(truth.model(by_last_pixel=off), split(train), split(test), settings=QUICK)
    exact = truth.gap(np.full(Z, off * c), truth.best)
    assert found.encoder_overfitting.value == pytest.approx(exact, abs=0.05)
    assert found.train.amortization.value == pytest.approx(0, abs=0.02)
    difference = truth.log_p(train).mean() - truth.log_p(test).mean()
    assert found.decoder_overfitting.value == pytest.approx(difference, abs=0.02)
    kinds = [finding.kind for finding in interpret(found)]
    assert "encoder overfitted" in kinds
    assert "decoder overfitted" not in kinds


def test_e253_a_decoder_that_ignores_z_makes_nothing_of_it_exactly():
    deaf = Linear(np.zeros((Z, D)))
    model = SLANTED.model()
    arrays = model.params.to_host() | {"decoder.0.W": deaf.W}
    model.params.load(arrays)
    x = split(SLANTED.images(50))
    found = diagnose(model, x, x, settings=QUICK)
    assert found.use_of_z == Estimate(0.0, 0.0)
    assert found.test.refitted.value == pytest.approx(deaf.log_p(x.images).mean(), abs=1e-3)
    assert found.test.approximation.value == pytest.approx(0, abs=1e-3)
    kl = sum(unit.value for unit in found.kl_per_unit)
    assert found.test.amortization.value == pytest.approx(kl, abs=0.05)
    (told,) = (f for f in interpret(found) if f.kind == "decoder ignores z")
    assert "although the encoder spends" in told.words


def test_a_collapsed_posterior_has_no_information_exactly():
    model = Linear(np.zeros((Z, D))).model()
    x = split(SLANTED.images(50))
    found = diagnose(model, x, x, epochs=[line(1, [0]), line(2, [0, 1])], settings=QUICK)
    assert found.information.mutual_information.value == pytest.approx(0, abs=1e-14)
    assert [unit.value for unit in found.kl_per_unit] == [0.0, 0.0]
    assert found.inactive_since == {0: 1, 1: 2}
    (told,) = interpret(found)
    assert told.kind == "collapse"
    assert told.words.endswith("none of the 2 units tells images apart since epoch 2")


def test_e253_what_z_is_worth_by_hand():
    truth, x = SLANTED, SLANTED.images(7).astype(np.float64)
    model = truth.model()
    q = model.encode(x)
    found = use_of_z(model, x, q, seed=5)
    eps = normal((7, Z), Stream.named(5, Purpose.TEST_LATENT, "use of z"))
    z = q.mu + np.exp(q.logvar / 2) * eps
    other = np.roll(z, 3, axis=0)
    worse = ((x - other @ truth.W) ** 2 - (x - z @ truth.W) ** 2).sum(axis=1) / (2 * S**2)
    assert found.value == pytest.approx(worse.mean(), rel=1e-12)
    assert found.error == pytest.approx(stats.sem(worse), rel=1e-12)


def test_e253_a_pixel_of_many_nats_hides_none_of_the_others_in_float32():
    """The last pixel, which no unit explains, costs 10⁹ nats under either z."""
    x = SLANTED.images(7).astype(np.float64)
    far = x.copy()
    far[:, -1] = 3e4
    double = SLANTED.model()
    q = double.encode(x)
    single = double.to(get_backend("cpu", "float32"))
    found, expected = use_of_z(single, far, q, seed=5), use_of_z(double, x, q, seed=5)
    assert found.value == pytest.approx(expected.value, rel=1e-5)


def test_units_and_kl_are_those_of_the_evaluation():
    digits = load_dataset("digits")
    model = Model(VAE.mlp(64, (8,), latent_dim=3, beta=2.5), CPU, seed=2)
    found = diagnose(model, digits.train, digits.test, settings=LEAST)
    expected = evaluate(model, digits.test)
    kl = [unit.value for unit in found.kl_per_unit]
    np.testing.assert_allclose(kl, expected.kl_per_unit, rtol=1e-12)
    assert list(found.inactive) == expected.inactive_units
    assert found.beta == 2.5
    assert found.protocol.startswith("not binarized; Bernoulli likelihood")
    assert "q(z) fitted in 1 steps of 2 samples per image" in found.protocol


def test_a_diagnosis_is_a_function_of_its_seed():
    model, x = SLANTED.model(0.2), split(SLANTED.images(12))
    first, other = (DiagnosisSettings(3, 3, 2, 4, seed=seed) for seed in (1, 2))
    found = diagnose(model, x, x, settings=first)
    assert diagnose(model, x, x, settings=first) == found
    assert diagnose(model, x, x, settings=other) != found
    strict = model.to(get_backend("strict", "float64"))
    assert diagnose(strict, x, x, settings=first).test == found.test


def test_what_is_drawn_of_many_images_is_a_function_of_the_seed(monkeypatch):
    module = "scratchvae.evaluation.diagnosis"
    monkeypatch.setattr(f"{module}.CHUNK", 9)
    monkeypatch.setattr(f"{module}.MAX_CODES", 5)
    model, x = SLANTED.model(0.2), split(SLANTED.images(12))
    settings = DiagnosisSettings(4, 3, 2, 4, seed=7)
    found = diagnose(model, x, x, settings=settings)
    seen = choose(x, 9, seed=7).images
    q = model.encode(seen)
    kl = kl_of(q).mean(axis=0)
    np.testing.assert_allclose([unit.value for unit in found.kl_per_unit], kl, rtol=1e-12)
    some = permutation(9, Stream.named(7, Purpose.SPLIT, "codes"))[:5]
    some_q = Encoding(q.mu[some], q.logvar[some])
    assert found.information == decompose_kl(*some_q, seed=7)
    assert found.use_of_z == use_of_z(model, seen[some], some_q, seed=7)
    assert found.test == found.train == gaps_of(model, choose(x, 4, seed=7).images, settings)


def test_two_images_of_each_split_are_enough():
    x = split(SLANTED.images(2))
    found = diagnose(SLANTED.model(), x, x, settings=LEAST)
    assert found.test.images == found.train.images == found.information.images == 2


def test_the_protocol_names_the_seed_of_pixels_that_are_drawn_once():
    digits = load_dataset("digits")
    few = binarize(digits.test.take(slice(4)), "static", seed=11)
    found = diagnose(Model(VAE.mlp(64, (8,), latent_dim=2), CPU), few, few, settings=LEAST)
    assert found.protocol.startswith("one Bernoulli draw, seed 11; ")


def test_pixels_that_are_drawn_are_those_of_the_seed_and_the_draw():
    digits = load_dataset("digits")
    few = Split(digits.test.images[:9], None, 16, "dynamic")
    model = Model(VAE.mlp(64, (8,), latent_dim=2), CPU, seed=2)
    settings = DiagnosisSettings(images=9, steps=2, samples=2, final_samples=2, seed=7)
    found = diagnose(model, few, few, settings=settings, draw=3)
    seen = as_seen_by_model(few, seed=7, draw=3)
    np.testing.assert_array_equal(
        [unit.value for unit in found.kl_per_unit], kl_of(model.encode(seen)).mean(axis=0)
    )
    assert found.test == found.train == gaps_of(model, seen, settings)


def test_a_diagnosis_is_what_json_can_hold():
    found = replace(SOUND, inactive=(1,), inactive_since={1: None}).to_json()
    assert found["inactive_since"] == {"1": None}
    assert json.loads(json.dumps(found, allow_nan=False))["inactive_since"] == {"1": None}
    assert found["encoder_overfitting"] == {"value": 0.0, "error": pytest.approx(0.0141, abs=1e-4)}
    assert found["decoder_overfitting"]["value"] == 0.0
    assert found["test"]["amortization"] == {"value": 0.2, "error": 0.01}


def test_images_are_drawn_without_repetition_and_all_of_few_are_taken():
    images = split(np.arange(20.0)[:, None])
    drawn = choose(images, 8, seed=0).images[:, 0]
    order = permutation(20, Stream.named(0, Purpose.SPLIT, "diagnosis"))
    np.testing.assert_array_equal(drawn, np.sort(order[:8]))
    assert len(set(drawn)) == 8
    assert (np.diff(drawn) > 0).all()
    assert not np.array_equal(drawn, choose(images, 8, seed=1).images[:, 0])
    assert choose(images, 20, seed=0) is images


# ---- what the epochs tell ----------------------------------------------------------------------


def line(epoch, inactive=None, loss=0.0):
    found = {"epoch": epoch, "train_loss": loss}
    return found if inactive is None else found | {"inactive_units": inactive}


@pytest.mark.parametrize(
    ("records", "since"),
    [
        ([], None),
        ([None, None], None),
        ([[], [2], [2]], 2),
        ([[2], [2]], 1),
        ([[2], [], [1], [2, 1]], 4),
        ([[2], None, [2]], 1),
        ([[2], [0]], None),
    ],
)
def test_a_unit_is_inactive_since_the_last_time_that_it_was_not(records, since):
    assert inactive_since([line(i, r) for i, r in enumerate(records, start=1)], 2) == since


def test_the_trend_is_the_slope_of_the_last_fifth_with_its_error():
    losses = [100.0, 90.0] * 10 + [5.0, 4.2, 2.9, 2.1, 1.2]
    slope = stats.linregress(range(5), losses[-5:])
    found = trend(losses)
    assert found.value == pytest.approx(slope.slope, rel=1e-12)
    assert found.error == pytest.approx(slope.stderr, rel=1e-12)
    losses = np.random.default_rng(0).normal(size=40)
    assert trend(losses).value == pytest.approx(stats.linregress(range(8), losses[-8:]).slope)
    assert trend(losses[-4:]) is None


# ---- in words ----------------------------------------------------------------------------------


def gaps(**changed):
    sound = Gaps(
        elbo=Estimate(-100, 1), refitted=Estimate(-99.8, 1), log_p=Estimate(-99.5, 1),
        amortization=Estimate(0.2, 0.01), approximation=Estimate(0.3, 0.01), log_p_of_half=-99.52,
        effective_samples=100.0, images=100, samples=1000,
    )  # fmt: skip
    return replace(sound, **changed)


SOUND = Diagnosis(
    kl_per_unit=(Estimate(1.0, 0.1), Estimate(2.0, 0.1)),
    inactive=(),
    inactive_since={},
    information=Information(
        Estimate(2.5, 0.1), Estimate(0.2, 0.1), Estimate(0.3, 0.1), Estimate(3.0, 0.1),
        Estimate(2.9, 0.1), images=1000, samples=1,
    ),
    use_of_z=Estimate(40, 2),
    test=gaps(),
    train=gaps(),
    trend=Estimate(-0.01, 0.001),
    beta=1.0,
    std=None,
    protocol="",
)  # fmt: skip
BETTER = gaps(elbo=Estimate(-90, 1), refitted=Estimate(-89.8, 1))
LOSING = gaps(amortization=Estimate(3, 0.1))
AILMENTS = {
    "sound": {},
    "collapse": {"inactive": (0, 1), "inactive_since": {0: None, 1: 3}},
    "inactive units": {"inactive": (1,), "inactive_since": {1: 7}},
    "decoder ignores z": {"use_of_z": Estimate(0.1, 0.06)},
    "decoder overfitted": {"train": BETTER},
    "encoder overfitted": {"test": LOSING},
    "encoder underfitted": {"test": LOSING, "train": LOSING},
    "family of q too small": {"test": gaps(approximation=Estimate(2, 0.1))},
    "still learning": {"trend": Estimate(-0.2, 0.01)},
    "fit not finished": {"train": gaps(amortization=Estimate(-0.3, 0.1))},
    "log p(x) too low": {"test": gaps(effective_samples=3.0)},
}


@pytest.mark.parametrize("kind", AILMENTS)
def test_each_ailment_is_found_alone_and_comes_with_advice(kind):
    found = interpret(replace(SOUND, **AILMENTS[kind]))
    assert [finding.kind for finding in found] == [kind]
    assert bool(found[0].advice) == (kind != "sound")
    assert found[0].words[0].isupper()
    assert not found[0].words.endswith(".")


@pytest.mark.parametrize(
    "changed",
    [
        {"train": gaps(refitted=Estimate(-97, 2))},  # within the error
        {"test": gaps(amortization=Estimate(0.9, 0.01))},  # below one percent of the bound
        {"trend": Estimate(-0.2, 0.15)},
        {"trend": Estimate(0.2, 0.01)},
        {"trend": None},
        {"train": gaps(amortization=Estimate(-0.01, 0.01))},
        {"test": gaps(amortization=Estimate(1.0, 0.01))},  # one percent of the bound, not more
        {"use_of_z": Estimate(1.0, 0.1)},  # little, but certain
        {"test": gaps(effective_samples=10.0)},
    ],
)
def test_what_is_uncertain_or_small_is_not_worth_a_word(changed):
    assert [finding.kind for finding in interpret(replace(SOUND, **changed))] == ["sound"]


@pytest.mark.parametrize("kind", ["collapse", "inactive units"])
def test_no_epoch_is_named_where_the_epochs_do_not_tell_it(kind):
    changed = AILMENTS[kind] | {"inactive_since": dict.fromkeys(AILMENTS[kind]["inactive"])}
    (found,) = interpret(replace(SOUND, **changed))
    (partly,) = interpret(replace(SOUND, **AILMENTS["collapse"]))  # unit 0 at no epoch
    assert "since" not in found.words + partly.words


def test_nats_that_are_not_certain_are_not_called_spent():
    ignored = replace(SOUND, **AILMENTS["decoder ignores z"])
    little = replace(SOUND.information, kl=Estimate(0.2, 0.1))
    (told,) = interpret(replace(ignored, information=little))
    assert told.words.endswith("with the z of another image log p(x|z) falls by 0.100 ± 0.060 nats")


def test_the_limit_of_the_mutual_information_is_told_beside_a_sound_model():
    full = replace(SOUND.information, mutual_information=Estimate(6.2, 0.01))
    found = interpret(replace(SOUND, information=full))
    assert [finding.kind for finding in found] == ["sound", "information at its limit"]
    assert "no estimate from 1000 images exceeds 6.91 nats" in found[1].words


@pytest.mark.parametrize(
    ("changed", "advice"),
    [
        ({}, "--free-bits"),
        ({}, "(--latent-dim 1)"),
        ({"beta": 4.0}, "a smaller beta than 4"),
        ({"std": 0.5}, "a smaller standard deviation of the pixels than 0.5 (--std)"),
    ],
)
def test_the_advice_for_idle_units_goes_by_the_settings(changed, advice):
    idle = replace(SOUND, **AILMENTS["inactive units"])
    (found,) = interpret(replace(idle, **changed))
    assert advice in found.advice
    assert ("smaller beta" in found.advice) == ("beta" in changed)
    assert found.words.startswith("Inactive are 1 of 2 units, counted from 0: 1 since epoch 7; ")


@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
def test_an_encoder_trained_for_another_beta_is_not_blamed_without_saying_so(beta):
    (found,) = interpret(replace(SOUND, beta=beta, **AILMENTS["encoder underfitted"]))
    assert (f"trained for a KL of weight {beta:g}" in found.words) == (beta != 1)
    assert found.advice == "a larger encoder; more epochs" + ("; a beta of 1" if beta != 1 else "")


# ---- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"images": 1}, "images is 1, but it must be a whole number of at least 2"),
        ({"steps": 1.5}, "steps is 1.5, but"),
        ({"steps": 2**63}, "steps is 9223372036854775808, but .* at most 2⁶³ − 1"),
        ({"final_samples": -1}, "final_samples is -1"),
        ({"samples": 3}, "samples is 3, but noise is drawn in pairs: take an even number"),
    ],
)
def test_numbers_that_say_nothing_end_in_a_sentence(changed, words):
    with pytest.raises(ConfigError, match=words):
        DiagnosisSettings(**changed)


@pytest.mark.parametrize("prior", [None, Sequential(Dense(2 * Z))], ids=["N(0, I)", "p(z|c)"])
def test_e252_given_a_label_that_moves_images_the_gaps_are_those_without_it(prior):
    """x + m_c from z c and z: nothing else changes, also where z is a_c + s u under its prior."""
    x, labels = SLANTED.images(8), np.arange(8) % 2
    plain = SLANTED.model(0.3)
    moves, means, s = np.array([[0.5] * D, [-1.0] * D]), np.array([[0.2, -1.0], [2.0, 0.7]]), 1.5
    model = Model(ConditionalVAE(plain.vae, D, Label(2), prior), CPU)
    arrays = plain.params.to_host()
    W = arrays["decoder.0.W"]
    if prior is not None:
        arrays["prior.0.W"] = np.hstack([means, np.zeros((2, Z))])
        arrays["prior.0.b"] = np.repeat([0.0, 2 * np.log(s)], Z)
        W = W / s
    by_label = moves if prior is None else moves - means @ W
    arrays["decoder.0.W"] = np.vstack([W, by_label])
    arrays["encoder.0.W"] = np.vstack([arrays["encoder.0.W"], -moves @ arrays["encoder.0.W"]])
    model.params.load(arrays)
    moved = Split((x + moves[labels]).astype(np.float32), labels, None)
    settings = DiagnosisSettings(steps=20, samples=4, final_samples=40)
    found, expected = (
        diagnose(m, images, images, settings=settings)
        for m, images in ((model, moved), (plain, split(x)))
    )
    for name in ("elbo", "refitted", "log_p", "amortization", "approximation"):
        ours, theirs = getattr(found.test, name), getattr(expected.test, name)
        assert ours.value == pytest.approx(theirs.value, abs=1e-5)
        assert ours.error == pytest.approx(theirs.error, abs=1e-5)
    assert found.use_of_z.value == pytest.approx(expected.use_of_z.value, abs=1e-5)
    kl = [[unit.value for unit in d.kl_per_unit] for d in (found, expected)]
    np.testing.assert_allclose(*kl, atol=1e-5)


def test_images_without_the_label_that_is_given_do_not_count_nor_do_copies():
    images = SLANTED.images(5)
    some = Split(images[[0, 1, 2, 3, 1]], np.array([-1, 1, -1, 0, 1]), None)
    kept = known_to(Label(2), some)
    np.testing.assert_array_equal(kept.images, images[[1, 3]])
    np.testing.assert_array_equal(kept.labels, [1, 0])
    assert known_to(Condition(), some) is some
    whole = Split(images[[0, 1, 1]], np.array([0, 1, 1]), None)
    assert known_to(Label(2), whole) is whole


def test_a_diagnosis_given_the_label_counts_the_images_that_have_one():
    vae = ConditionalVAE(SLANTED.model().vae, D, Label(2))
    images = Split(SLANTED.images(5), np.array([0, -1, 1, -1, 0]), None)
    found = diagnose(Model(vae, CPU), images, images, settings=replace(LEAST, images=5))
    assert found.test.images == found.train.images == found.information.images == 3


@pytest.mark.parametrize(
    ("setting", "what"),
    [({"posterior": "planar"}, r"flow \(planar\)"), ({"second_units": 1}, r"\(second layer\)")],
)
def test_a_posterior_that_mixes_its_units_is_refused_with_a_sentence(setting, what):
    vae = TrainConfig(hidden=(4,), **setting).make_vae(D)
    x = split(SLANTED.images(4))
    with pytest.raises(ConfigError, match=f"{what}, which mixes the units and is computed in one"):
        diagnose(Model(vae, CPU), x, x, settings=QUICK)


def test_images_that_are_not_there_and_a_model_that_has_diverged_end_in_a_sentence():
    x = split(SLANTED.images(4))
    with pytest.raises(DataError, match="no images to evaluate"):
        diagnose(SLANTED.model(), x, x.take(slice(0)))
    with pytest.raises(DataError, match="a standard error needs at least two images"):
        diagnose(SLANTED.model(), x.take(slice(1)), x)
    model = SLANTED.model()
    model.params["decoder.0.b"][:] = np.inf
    with pytest.raises(NonFiniteError, match="a bound is not finite"):
        diagnose(model, x, x, settings=QUICK)
