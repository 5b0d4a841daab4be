"""The ELBO of a model: right by hand, the same numbers as while training, with its protocol."""

import json
import math
from typing import Any

import numpy as np
import pytest

import scratchvae.evaluation.elbo as elbo
from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset, Split, bernoulli, binarize, describe
from scratchvae.evaluation import (
    active_units,
    as_seen_by_model,
    describe_protocol,
    evaluate,
    log_likelihood,
)
from scratchvae.likelihoods import Bernoulli
from scratchvae.models import VAE, Model
from scratchvae.models.model import BLOCK
from scratchvae.runs import RunFolder
from scratchvae.training import prepare, train

CPU = get_backend("cpu", "float64")


def images(count: int, seed: int = 0, protocol: str = "none") -> Split:
    grey = np.random.default_rng(seed).integers(0, 256, (count, 12), dtype=np.uint8)
    return binarize(Split(grey, None, 255), protocol, seed=7)


def a_model(**changes: Any) -> Model:
    config = TrainConfig(hidden=(8,), dtype="float64", **changes)
    return Model(config.make_vae(12), CPU, seed=3)


@pytest.mark.parametrize("changes", [{}, {"samples": 3, "beta": 0.5}, {"latent_dim": 4}])
def test_e1_the_numbers_are_means_over_images_of_the_terms_by_hand(changes: dict) -> None:
    model, split = a_model(**changes), images(37)
    K, Z = model.vae.samples, model.vae.latent_dim
    x, p = split.values().astype("float64"), model.params.to_host()
    head = np.maximum(x @ p["encoder.0.W"], 0) @ p["encoder.2.W"]  # fresh biases are zero
    mu, logvar = head[:, :Z], head[:, Z:]
    eps = normal((37, K, Z), Stream(5, Purpose.TEST_LATENT, 2))
    z = mu[:, None] + np.exp(logvar / 2)[:, None] * eps
    a = np.maximum(z @ p["decoder.0.W"], 0) @ p["decoder.2.W"]
    nll = (np.logaddexp(0, a) - x[:, None] * a).sum(axis=-1).mean(axis=1)
    kl = (mu**2 + np.exp(logvar) - 1 - logvar) / 2
    result = evaluate(model, split, seed=5, draw=2)
    assert result.reconstruction == pytest.approx(nll.mean(), rel=1e-13)
    assert result.kl == pytest.approx(kl.sum(axis=1).mean(), rel=1e-13)
    assert result.elbo == pytest.approx(-(nll + kl.sum(axis=1)).mean(), rel=1e-13)
    assert result.loss == pytest.approx(nll.mean() + model.vae.beta * result.kl, rel=1e-13)
    np.testing.assert_allclose(result.kl_per_unit, kl.mean(axis=0), rtol=1e-12)
    spread = (nll + kl.sum(axis=1)).std()
    assert result.elbo_standard_error == pytest.approx(spread / math.sqrt(37), rel=1e-9)
    assert (result.images, result.samples) == (37, K)


def test_the_terms_of_a_float32_model_are_added_in_float64() -> None:
    model, split = a_model(samples=3, latent_dim=5).to(get_backend("cpu", "float32")), images(300)
    terms = model.terms(split.values())
    nll, kl = (a.astype(np.float64) for a in (terms.nll, terms.kl))
    result = evaluate(model, split)
    assert result.reconstruction == pytest.approx(nll.mean(), rel=1e-13)
    assert result.kl == pytest.approx(kl.sum() / 300, rel=1e-13)
    np.testing.assert_allclose(result.kl_per_unit, kl.mean(axis=0), rtol=1e-13)


def test_the_kl_of_the_units_sums_to_the_kl() -> None:
    result = evaluate(a_model(latent_dim=5), images(300))
    assert sum(result.kl_per_unit) == pytest.approx(result.kl, rel=1e-13)
    assert len(result.kl_per_unit) == 5


def test_one_image_has_no_standard_error() -> None:
    assert evaluate(a_model(), images(1)).elbo_standard_error == pytest.approx(0, abs=1e-6)


def test_the_standard_error_falls_with_the_square_root_of_the_number_of_images() -> None:
    few, many = (evaluate(a_model(), images(n)) for n in (100, 1600))
    assert few.elbo_standard_error / many.elbo_standard_error == pytest.approx(4, rel=0.25)


# ---- active units -----------------------------------------------------------------------------


def column(variance: float, n: int = 400) -> np.ndarray:
    """Numbers of exactly this variance about a mean of 7."""
    return 7 + math.sqrt(variance) * np.where(np.arange(n) % 2, 1.0, -1.0)


def test_e34_a_unit_is_active_when_the_variance_of_its_mean_exceeds_one_hundredth() -> None:
    variances = [0.0, 0.0099, 0.0101, 0.5, 30.0, 1e-9]
    mu = np.stack([column(v) for v in variances], axis=1)
    assert active_units(mu) == 3
    for j, variance in enumerate(variances):
        assert active_units(mu[:, [j]]) == (variance > 0.01)


def test_e34_the_mean_of_a_unit_and_a_single_image_make_nothing_active() -> None:
    assert active_units(np.full((50, 3), 9.0)) == 0
    assert active_units(np.array([[1.0, -4.0]])) == 0


def test_e34_the_variance_of_float32_means_is_taken_in_float64() -> None:
    mu = (1e4 + 0.15 * (np.arange(40_000) % 2)[:, None] * np.ones(2)).astype(np.float32)
    assert mu.astype(np.float64).var(axis=0) == pytest.approx(0.0056, rel=0.05)
    assert active_units(mu) == 0


def test_e34_the_means_of_a_constructed_encoder_decide() -> None:
    """One hidden layer less: μ = x W, and W is chosen so that one unit of three varies."""
    model = Model(TrainConfig(hidden=(), latent_dim=3).make_vae(12), CPU, seed=0)
    weights = np.zeros((12, 6))
    weights[0, 0] = 1.0  # Var of a uniform level / 255 is about 1/12
    weights[1, 1] = 0.05  # and 0.0025 of that stays below
    CPU.load(weights, model.params["encoder.0.W"])
    result = evaluate(model, images(500))
    assert result.active_units == 1
    assert result.kl_per_unit[0] > result.kl_per_unit[1] > result.kl_per_unit[2] == 0.0


# ---- noise, draws, blocks ---------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["none", "dynamic"])
def test_the_same_draw_gives_the_same_numbers_and_another_gives_others(protocol: str) -> None:
    model, split = a_model(), images(40, protocol=protocol)
    first = evaluate(model, split, seed=1, draw=3)
    assert first == evaluate(model, split, seed=1, draw=3)
    for seed, draw in ((1, 4), (2, 3)):
        other = evaluate(model, split, seed=seed, draw=draw)
        assert other.reconstruction != first.reconstruction
        assert (other.kl == first.kl) == (protocol == "none")  # the KL sees pixels, not z


def test_the_dynamic_protocol_draws_the_pixels_that_its_seed_and_draw_name() -> None:
    split = images(40, protocol="dynamic")
    drawn = bernoulli(split, Stream(1, Purpose.TEST_BINARIZE, 3))
    np.testing.assert_array_equal(as_seen_by_model(split, seed=1, draw=3), drawn)
    fixed = evaluate(a_model(), Split(drawn, None, 1), seed=1, draw=3)
    dynamic = evaluate(a_model(), split, seed=1, draw=3)
    assert (dynamic.elbo, dynamic.kl) == (fixed.elbo, fixed.kl)
    assert set(np.unique(drawn)) == {0, 1}


def test_the_draws_of_two_stretches_of_a_large_split_are_not_the_same(monkeypatch) -> None:
    half = Split(np.full((BLOCK, 12), 0.5, np.float32), None, None, "dynamic")
    first, second = (as_seen_by_model(half, seed=1, draw=3, start=i) for i in (0, BLOCK))
    assert 0.4 < np.mean(first != second) < 0.6
    monkeypatch.setattr(elbo, "CHUNK", BLOCK)
    both = Split(np.concatenate([half.images] * 2), None, None, "dynamic")
    whole = evaluate(a_model(), both, seed=1, draw=3)
    drawn = Split(np.concatenate([first, second]), None, 1)
    assert whole.kl == pytest.approx(evaluate(a_model(), drawn, seed=1, draw=3).kl, rel=1e-12)


@pytest.mark.parametrize("protocol", ["none", "threshold", "static"])
def test_a_fixed_protocol_shows_what_the_split_holds(protocol: str) -> None:
    split = images(9, protocol=protocol)
    np.testing.assert_array_equal(as_seen_by_model(split, draw=5), split.values())


@pytest.mark.parametrize("chunk", [BLOCK, 2 * BLOCK, 4 * BLOCK])
def test_how_many_images_are_float_at_a_time_changes_nothing(chunk: int, monkeypatch) -> None:
    model, split = a_model(), images(777)
    whole = evaluate(model, split)
    monkeypatch.setattr(elbo, "CHUNK", chunk)
    parts = evaluate(model, split)
    for name, value in whole.to_json().items():
        if name == "protocol":
            assert parts.protocol == value
        else:
            assert getattr(parts, name) == pytest.approx(value, rel=1e-12), name


def test_the_first_images_get_the_same_noise_whatever_follows_them() -> None:
    model = a_model()
    terms = [model.terms(images(777).values(slice(0, n))) for n in (777, 500)]
    np.testing.assert_array_equal(terms[0].nll[:500], terms[1].nll)


def test_the_order_of_the_images_inside_a_split_moves_the_elbo_by_noise_only() -> None:
    model, split = a_model(samples=50), images(200)
    forward = evaluate(model, split)
    backward = evaluate(model, split.take(slice(None, None, -1)))
    assert backward.kl == pytest.approx(forward.kl, rel=1e-13)
    assert backward.elbo == pytest.approx(forward.elbo, rel=1e-2)


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_an_overflowing_model_gives_numbers_that_are_not_finite_and_no_warning(device) -> None:
    bk = get_backend(device, "float32")
    model = Model(TrainConfig(hidden=(8,)).make_vae(12), bk)
    model.params.flat.fill(1e30)
    result = evaluate(model, images(20))
    assert not math.isfinite(result.loss)
    assert result.active_units == 0


# ---- the protocol -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "changes", "expected"),
    [
        ("none", {}, "not binarized; Bernoulli likelihood on values in [0, 1] (a cross-entropy, "
         "not a density); 1 sample per image"),
        ("none", {"likelihood": "categorical", "max_level": 255}, "not binarized; categorical over "
         "256 levels likelihood; 1 sample per image"),
        ("threshold", {"samples": 5}, "pixels > 1/2; Bernoulli likelihood; 5 samples per image"),
        ("dynamic", {}, "fresh Bernoulli draws each visit; Bernoulli likelihood; "
         "1 sample per image"),
        ("static", {}, "one Bernoulli draw, seed 7; Bernoulli likelihood; 1 sample per image"),
        ("none", {"likelihood": "gaussian", "std": 0.25}, "not binarized; Gaussian with standard "
         "deviation 0.25 and sigmoid mean likelihood; 1 sample per image"),
    ],
)  # fmt: skip
def test_every_number_names_its_protocol(protocol: str, changes: dict, expected: str) -> None:
    model = a_model(**changes)
    split = images(3, protocol=protocol)
    assert str(describe_protocol(model, protocol, split.static_seed)) == expected
    assert evaluate(model, split).protocol == expected
    assert describe(protocol, split.static_seed) in expected


def test_what_is_printed_is_the_protocol_of_the_pixels_that_were_evaluated() -> None:
    """Grey pixels cannot be evaluated under the name of another protocol."""
    model, grey = a_model(), images(30)
    lit = Split((grey.values() > 0.5).astype(np.uint8), None, 1)
    found = evaluate(model, binarize(grey, "threshold"))
    assert found.protocol.startswith("pixels > 1/2; ")
    assert found.loss == evaluate(model, lit).loss != evaluate(model, grey).loss
    assert evaluate(model, grey).protocol.startswith("not binarized; ")
    with pytest.raises(TypeError):
        evaluate(model, grey, "threshold", 0)


def test_a_likelihood_may_describe_itself_with_any_punctuation() -> None:
    class Odd(Bernoulli):
        def describe(self) -> str:
            return "Bernoulli; odd; very"

    model = Model(VAE.mlp(12, (8,), likelihood=Odd()), CPU)
    protocol = log_likelihood(model, images(3), samples=2).protocol
    assert protocol == (
        "not binarized; Bernoulli; odd; very likelihood on values in [0, 1] (a cross-entropy, not "
        "a density); importance sampling with 2 samples per image"
    )


# ---- the same numbers as while training -------------------------------------------------------


@pytest.mark.parametrize("protocol", ["none", "threshold", "static", "dynamic"])
def test_evaluating_a_checkpoint_gives_the_numbers_of_its_epoch_to_the_bit(
    protocol: str, tmp_path
) -> None:
    dataset = Dataset("tiny", images(27), images(300, 1), (3, 4))
    config = TrainConfig(
        hidden=(8,), batch_size=8, epochs=3, binarize=protocol, beta=0.5, samples=2, seed=4,
        validation=6,
    )  # fmt: skip
    bk = get_backend("cpu")
    folder = RunFolder.create(tmp_path / "run", {"config": config.to_json()})
    train(config, dataset, backend=bk, run=folder)
    model, checkpoint = folder.load(bk)
    line = folder.metrics()[checkpoint.epoch - 1]
    views = prepare(config, dataset)
    result = evaluate(model, views.test, seed=config.seed, draw=checkpoint.epoch)
    assert result.loss == line["test_loss"]
    assert result.reconstruction == line["test_reconstruction"]
    assert result.kl == line["test_kl"]
    held_out = evaluate(model, views.validation, seed=config.seed, draw=checkpoint.epoch)
    assert held_out.loss == line["validation_loss"]


def test_e34_the_units_that_are_not_active_are_named() -> None:
    model, split = a_model(), images(20)
    found = evaluate(model, split)
    variance = model.encode(split.values()).mu.var(axis=0)
    assert found.inactive_units == [j for j, v in enumerate(variance) if v <= 0.01]
    assert found.active_units + len(found.inactive_units) == len(variance)


def test_the_result_is_what_json_can_hold() -> None:
    content = evaluate(a_model(), images(5)).to_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert list(content) == [
        "elbo", "elbo_standard_error", "loss", "reconstruction", "kl", "kl_per_unit",
        "active_units", "inactive_units", "images", "samples", "protocol",
    ]  # fmt: skip
