"""Settings: what they mean, that a file holds them whole, and that a bad one is refused by name."""

import json
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import numpy as np
import pytest

from scratchvae.backend.noise import Purpose, Stream
from scratchvae.config import TrainConfig, resolve_gaussian
from scratchvae.errors import ConfigError
from scratchvae.likelihoods import Bernoulli, Gaussian, LearnedGaussian

ODD: dict[str, Any] = {
    "data": "faces.npy",
    "binarize": "static",
    "hidden": (),
    "activation": "tanh",
    "latent_dim": 7,
    "likelihood": "gaussian-per-pixel",
    "std": 2,
    "mean": "identity",
    "head": "logstd",
    "init": "he",
    "beta": 0.0,
    "samples": 3,
    "optimizer": "adam",
    "lr": "warmup:10:cosine:1e-3:1e-5:500",
    "clip": 2.5,
    "epochs": 1,
    "batch_size": 1,
    "shuffle": False,
    "compiled": False,
    "seed": 2**64 - 1,
    "dtype": "float64",
    "validation": 9,
    "patience": 4,
    "workers": 2,
    "verify_every": 5,
    "max_level": 16,
    "image_shape": (3, 4, 1),
    "full_scale": 16,
    "split": "stratified:3:40",
    "label_column": "kind",
    "colormap": "magma",
    "estimator": "analytic",
    "kl_warmup": 100,
    "free_bits": 0.5,
    "subset": "draw:0:5:3",
    "encoder": ("reshape 3 4 1", "conv 2 3", "relu", "flatten"),
    "decoder": ("dense 12",),
    "heads": "equal",
    "output_bias": "mean",
    "optimizer_settings": ("beta1=0.99", "eps_hat=true"),
    "reduction": "sum",
    "sum_order": "any",
    "condition": "quadrants:2:3:4:1",
    "prior": "conditional",
}
FLOW = {"posterior": "iaf", "flow_length": 7, "flow_hidden": 9, "estimator": "iwae", "samples": 3}
AT = {"evaluate_at": (1, 4, 13)}


@pytest.mark.parametrize("changes", [{}, ODD, FLOW, AT, {"pieces": 4}])
def test_settings_come_back_from_json(changes: dict[str, Any]) -> None:
    config = TrainConfig(**changes)
    text = json.dumps(config.to_json(), allow_nan=False)
    assert TrainConfig.from_json(json.loads(text)) == config
    assert set(config.to_json()) == {field.name for field in fields(TrainConfig)}


def test_what_a_file_leaves_out_is_the_default() -> None:
    assert TrainConfig.from_json({}) == TrainConfig()
    assert TrainConfig.from_json({"hidden": [3, 2]}).hidden == (3, 2)


def test_names_that_are_not_known_are_refused_and_listed() -> None:
    with pytest.raises(ConfigError, match="unknown settings: epoch, learning_rate"):
        TrainConfig.from_json({"learning_rate": 1, "epoch": 2, "seed": 3})


def test_settings_cannot_be_changed_behind_their_checks() -> None:
    with pytest.raises(FrozenInstanceError):
        TrainConfig().lr = -1.0  # type: ignore[misc]
    with pytest.raises(ConfigError, match="lr"):
        replace(TrainConfig(), lr=-1.0)


BAD: list[tuple[str, Any]] = [
    *((name, value) for name in ("latent_dim", "samples", "epochs", "batch_size")
      for value in (0, -1, 1.0, "2", True, None)),
    *((name, value) for name in ("validation", "patience", "workers", "pieces", "verify_every",
                                 "kl_warmup", "labels", "second_units")
      for value in (-1, 1.5, "2", True)),
    *(("seed", value) for value in (-1, 2**64, 0.0, "0", True)),
    *(("second_hidden", value) for value in ((0,), (2.0,), "400", True)),
    *(("hidden", value) for value in ((0,), (4, -1), (2.0,), ("4",), "400", 0, True, (True,))),
    *((name, value) for name in ("lr", "std")
      for value in (0, -1e-3, float("nan"), float("inf"), "fast", True, None)),
    *(("lr", value) for value in ("0", "-1", "nan", "cosine", "cosine:1e-3", "warmup:0:1e-3")),
    *((name, value) for name in ("beta", "free_bits", "clip", "start_std", "classifier_weight")
      for value in (-0.1, float("nan"), float("inf"), "1", None)),
    *(("max_level", value) for value in (-1, 256, 16.0, "16", True)),
    *(("condition", value) for value in ("labels", "label:0", "quadrants", "quadrants:4", 1, None)),
    *(("prior", value) for value in ("normal", "", None)),
    *((name, value) for name in ("binarize", "activation", "likelihood", "mean", "head", "init",
                                 "estimator", "optimizer", "dtype", "heads", "output_bias",
                                 "reduction", "posterior", "sum_order")
      for value in ("magic", "", None, 3, ("none",))),
    *((name, value) for name in ("flow_length", "flow_hidden")
      for value in (0, -1, 2.0, "2", True)),
    ("dtype", "complex128"),
    ("dtype", "float16"),
    *((name, value) for name in ("shuffle", "compiled") for value in (1, "yes", None)),
    *(("subset", value) for value in ("first", "first:0", "last:x", "draw:1:2", " first:1", 3)),
    *((name, value) for name in ("encoder", "decoder") for value in ("dense 3", 3, [3], None)),
    *(("optimizer_settings", value) for value in ("beta1=0.9", 3, [0.9], {"beta1": 0.9}, None)),
    *(("evaluate_at", value) for value in (3, "3", (0,), (1.5,), ("1",), None)),
    *(("image_shape", value) for value in ((8,), (8, 0), (8, 8, 3, 1), "88", None, 8, (8.0, 8))),
    *(("full_scale", value) for value in (-1, 0.5, "255", True, None)),
    *(("split", value) for value in ("first", "random:x", "last:0", "", 3, None)),
    *((name, value) for name in ("label_column", "colormap") for value in (3, None)),
    ("colormap", "sepia"),
    *(("data", value) for value in (5, None, ["mnist"])),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_value_that_cannot_be_is_refused_with_the_setting_and_the_value(
    name: str, value: Any
) -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig(**{name: value})
    assert str(caught.value).startswith(f"{name} is {value!r}, but it must be ")


def test_every_setting_has_a_bad_value_above() -> None:
    assert {name for name, _ in BAD} == {field.name for field in fields(TrainConfig)}


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        (
            "beta3=0.9",
            "sets nothing of the optimizer 'adam'. Did you mean 'beta2'? There are: beta",
        ),
        ("beta1", "'beta1' sets nothing of the optimizer 'adam'"),
        ("lr=0.1", "'lr=0.1' sets nothing of the optimizer 'adam'"),
        ("beta1=fast", "beta1 of an optimizer is a number, not 'fast'"),
        ("eps_hat=1", "eps_hat of an optimizer is true or false, not '1'"),
        ("beta1=1", "betas lie in [0, 1), not 1.0 and 0.999"),
    ],
)
def test_a_setting_of_an_optimizer_that_cannot_be_is_refused(word: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig(optimizer_settings=(word,))
    assert reason in str(caught.value)


def test_patience_needs_every_epoch_evaluated() -> None:
    with pytest.raises(ConfigError, match="leave out evaluate_at, or patience"):
        TrainConfig(validation=5, patience=3, evaluate_at=(1, 10))


@pytest.mark.parametrize("words", ["dense", "dense x", "dense 3 4", "conv 3", "gelu", "", "relu 3"])
def test_layers_in_words_that_name_none_are_refused_with_what_there_is(words: str) -> None:
    with pytest.raises(ConfigError, match=f"the layer '{words}' is not one of: dense N"):
        TrainConfig(encoder=(words,), decoder=("dense 12",))


def test_encoder_and_decoder_are_described_both_or_neither() -> None:
    with pytest.raises(ConfigError, match="both or neither"):
        TrainConfig(encoder=("dense 3",))


def test_layers_in_words_make_the_same_model_as_hidden_sizes() -> None:
    words = TrainConfig(encoder=("dense 9", "tanh"), decoder=("dense 9", "tanh", "dense 12"))
    sizes = TrainConfig(hidden=(9,), activation="tanh")
    for config in (words, sizes):
        vae = config.make_vae(12)
        assert str(vae.encoder.layers) == "(Dense(9), Tanh(), Dense(4))"
        assert str(vae.decoder.layers) == "(Dense(9), Tanh(), Dense(12))"


def test_patience_needs_a_validation_split() -> None:
    with pytest.raises(ConfigError, match="patience needs a validation split"):
        TrainConfig(patience=3)
    assert TrainConfig(patience=3, validation=1).patience == 3


@pytest.mark.parametrize(
    ("changes", "kind", "described"),
    [
        ({}, Bernoulli, "Bernoulli"),
        ({"likelihood": "gaussian", "std": 0.25}, Gaussian, "standard deviation 0.25"),
        ({"likelihood": "gaussian-learned"}, LearnedGaussian, "learned variance for all"),
        ({"likelihood": "gaussian-per-pixel"}, LearnedGaussian, "learned variance per pixel"),
    ],
)
def test_the_name_of_a_likelihood_means_that_likelihood(changes, kind, described) -> None:
    likelihood = TrainConfig(**changes).make_likelihood()
    assert type(likelihood) is kind
    assert described in likelihood.describe()


def test_the_model_has_the_hidden_sizes_and_in_reverse() -> None:
    vae = TrainConfig(hidden=(9, 5), latent_dim=3, beta=0.5, samples=2).make_vae(11)
    shapes = {name: shape for name, shape in vae.layout.shapes.items() if name.endswith("W")}
    assert list(shapes.values()) == [(11, 9), (9, 5), (5, 6), (3, 5), (5, 9), (9, 11)]
    assert (vae.beta, vae.samples) == (0.5, 2)


def test_the_optimizer_gets_the_learning_rate() -> None:
    assert TrainConfig(lr=0.125).make_optimizer().lr == 0.125


def test_a_caption_names_the_sizes() -> None:
    assert TrainConfig(hidden=(400, 300)).describe_model(784) == "784-400-300-2, relu"


def test_settings_of_an_older_run_say_levels() -> None:
    new = TrainConfig(likelihood="categorical", max_level=16, split="last")
    old = {**new.to_json(), "levels": 16}
    del old["max_level"]
    assert TrainConfig.from_json(old) == new


def test_one_size_and_numpys_numbers_are_settings_too() -> None:
    found = TrainConfig(hidden=np.int64(64), lr=np.float32(0.125), epochs=np.int32(3), beta=1)
    assert found == TrainConfig(hidden=(64,), lr=0.125, epochs=3, beta=1.0)
    assert json.loads(json.dumps(found.to_json()))["hidden"] == [64]
    assert TrainConfig(hidden=(np.int16(8), 4)).hidden == (8, 4)


def test_what_a_gaussian_leaves_to_the_data_follows_from_their_range_and_spread() -> None:
    left = TrainConfig(likelihood="gaussian-learned")
    assert resolve_gaussian(left, 0.0, 1.0, 0.25) == replace(left, mean="sigmoid", start_std=0.25)
    table = resolve_gaussian(left, -2.0, 3.0, 1.0)
    assert (table.mean, table.start_std) == ("identity", 1.0)
    said = TrainConfig(likelihood="gaussian", mean="sigmoid", start_std=2.0)
    assert resolve_gaussian(said, -2.0, 3.0, 1.0) == said
    with_start = LearnedGaussian(start_std=0.25, min_std=0.0)
    (_, init) = with_start.parameters(5)["logvar"]
    logvar = init((1,), 1, 1, Stream(0, Purpose.INITIAL_WEIGHTS))
    np.testing.assert_allclose(np.exp(0.5 * logvar), 0.25, rtol=1e-15)


def test_settings_of_older_files_mean_what_they_meant() -> None:
    old = {name: value for name, value in TrainConfig().to_json().items() if name != "start_std"}
    old["levels"] = old.pop("max_level")
    assert TrainConfig.from_json(old).start_std == 1.0


def test_the_test_split_of_an_older_run_is_the_last_tenth() -> None:
    new = TrainConfig(data="own.npy").to_json()
    old = {name: value for name, value in new.items() if name not in ("max_level", "split")}
    assert TrainConfig.from_json(old | {"levels": 0}).split == "last"
    assert TrainConfig.from_json(old | {"levels": 0, "data": "digits"}).split == "auto"
    assert TrainConfig.from_json(old).split == "auto"


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, set()),
        ({"likelihood": "gaussian"}, {"std", "mean"}),
        ({"likelihood": "gaussian-learned"}, {"start_std", "mean"}),
        ({"likelihood": "categorical", "max_level": 16}, {"max_level"}),
    ],
)
def test_of_the_settings_in_use_only_this_likelihood_s_are_listed(changes, names) -> None:
    listed = TrainConfig(**changes).in_use()
    assert {"max_level", "std", "start_std", "mean"} & set(listed) == names
    assert listed["likelihood"] == TrainConfig(**changes).likelihood


def test_hidden_sizes_are_not_in_use_beside_layers_in_words_nor_reading_beside_a_name() -> None:
    listed = TrainConfig(encoder=("dense 8",), decoder=("dense 64",)).in_use()
    assert not {"hidden", "activation", "split", "full_scale"} & set(listed)
    assert {"hidden", "split", "full_scale"} <= set(TrainConfig(data="faces.npy").in_use())
