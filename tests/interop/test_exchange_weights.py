"""safetensors files of our weights: what they hold, and what cannot be written."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from exchange_helpers import (
    CONFIGS,
    KERAS_CONV,
    PIXELS,
    SMALL,
    fresh,
    images,
    metadata_of,
    model_of,
    written,
)

from scratchvae.config import TrainConfig
from scratchvae.errors import ConfigError, RunError
from scratchvae.interop import places, read_model, read_weights, write_weights
from scratchvae.interop.weights import digest

library = pytest.importorskip("safetensors.numpy")

NAMES = [f"{part}.{i}.{what}" for part in ("encoder", "decoder") for i in (0, 2)
         for what in ("weight", "bias")]  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.safetensors"


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_there_and_back_not_a_bit_changes(path: Path, name: str, dtype: str) -> None:
    config = TrainConfig.from_json(CONFIGS[name].to_json() | {"dtype": dtype})
    model = model_of(config)
    write_weights(path, model, config=config)
    read, settings = read_model(str(path), "cpu")
    into = fresh(config)
    read_weights(path, into)
    for ours, again in ((model, read), (model, into)):
        assert again.bk.dtype == dtype
        assert list(again.params) == list(ours.params)
        for array, other in zip(ours.params.to_host().values(), again.params.to_host().values(),
                                strict=True):  # fmt: skip
            assert array.tobytes() == other.tobytes()
    assert settings == config
    assert read.loss(images()) == model.loss(images())


@pytest.mark.parametrize("name", CONFIGS)
def test_every_element_has_one_place(name: str) -> None:
    vae = CONFIGS[name].make_vae(PIXELS)
    found = places(vae)
    assert {place.ours for place in found.values()} == set(vae.layout.shapes)
    for place in found.values():
        size = place.elements.size
        np.testing.assert_array_equal(np.sort(place.elements, axis=None), np.arange(size))


def test_names_and_shapes_are_those_of_pytorchs_state_dict(path: Path) -> None:
    assert list(written(path)) == NAMES
    shapes = {name: a.shape for name, a in library.load_file(path).items()}
    assert shapes["encoder.0.weight"] == (5, PIXELS)
    assert shapes["decoder.2.weight"] == (PIXELS, 5)
    conv = places(KERAS_CONV.make_vae(PIXELS))
    assert conv["encoder.3.weight"].elements.shape == (5, 3, 3, 3)  # (O, C, kh, kw)
    assert conv["decoder.3.weight"].elements.shape == (5, 4, 3, 3)  # (C, O, kh, kw)


def test_a_dense_layer_is_transposed_and_a_kernel_turned() -> None:
    """By hand: W[i, o] lies at [o, i]; K[row, column, c, o] at [o, c, row, column]."""
    model = model_of(KERAS_CONV)
    arrays, found = model.params.to_host(), places(model.vae)
    head = found["encoder.10.weight"].to_torch(arrays["encoder.10.W"])
    np.testing.assert_array_equal(head, arrays["encoder.10.W"].T)
    kernel = found["encoder.3.weight"].to_torch(arrays["encoder.3.W"])
    ours = arrays["encoder.3.W"].reshape(3, 3, 3, 5)
    assert kernel[4, 2, 0, 1] == ours[0, 1, 2, 4]
    # Number (row, column, channel) = (1, 2, 3) of a 3 x 4 x 4 image, flattened both ways.
    dense = found["encoder.8.weight"].to_torch(arrays["encoder.8.W"])
    assert dense[6, 3 * 12 + 1 * 4 + 2] == arrays["encoder.8.W"][(1 * 4 + 2) * 4 + 3, 6]
    assert found["decoder.0.bias"].elements[4 * 12 + 1 * 4 + 2] == (1 * 4 + 2) * 5 + 4


def test_the_metadata_describe_the_model_without_a_path(path: Path) -> None:
    tensors, about = written(path), metadata_of(path)
    assert set(about) == {"format", "config", "pixels", "epoch", "modules", "sha256"}
    assert (about["format"], about["pixels"], about["epoch"]) == (1, PIXELS, 4)
    assert about["config"]["data"] == "faces.npy"
    assert b"/home/me" not in path.read_bytes()
    assert about["sha256"] == digest(tensors)
    assert about["modules"]["encoder"] == [
        {"module": "Linear", "in_features": PIXELS, "out_features": 5},
        {"module": "ReLU"},
        {"module": "Linear", "in_features": 5, "out_features": 4},
    ]


def test_the_metadata_say_where_padding_is_asymmetric(path: Path) -> None:
    written(path, KERAS_CONV)
    about = metadata_of(path)["modules"]
    assert about["encoder"][0] == {"module": "Unflatten", "dim": 1, "unflattened_size": [1, 6, 8]}
    assert about["encoder"][1]["pad"] == [1, 1, 1, 1]
    assert about["encoder"][3] == {
        "module": "Conv2d", "in_channels": 3, "out_channels": 5, "kernel_size": [3, 3],
        "stride": [2, 2], "pad": [0, 1, 0, 1],
    }  # fmt: skip
    transposed = about["decoder"][3]
    assert (transposed["crop"], transposed["output_padding"]) == ([0, 1, 0, 1], [0, 0])


def test_the_digest_is_that_of_names_dtypes_shapes_and_bytes() -> None:
    a = {"b": np.arange(6.0).reshape(2, 3), "a": np.ones(2, np.float32)}
    variants = [a, {"b": a["b"]}, {"c": a["b"], "a": a["a"]}, a | {"b": a["b"].reshape(3, 2)},
                a | {"a": np.ones(2)}, a | {"a": -a["a"]}]  # fmt: skip
    assert len({digest(some) for some in variants}) == len(variants)
    assert digest(a) == digest({"a": a["a"], "b": np.asfortranarray(a["b"])})
    assert digest(a) == digest({"a": a["a"].astype(">f4"), "b": a["b"]})


# ---- what cannot be written ---------------------------------------------------------------------

ODD = {
    "an image of channels from pixels": (("reshape 3 4 4", "conv 2 3", "flatten"), ("dense 48",)),
    "logits as channels": (("dense 4",), ("dense 48", "reshape 3 4 4")),
    "an image made of an image": (
        ("reshape 6 8 1", "conv 2 3", "reshape 8 6 2", "conv 1 3", "flatten"), ("dense 48",),
    ),
    "a table": (("reshape 6 8", "flatten"), ("dense 48",)),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_a_network_that_pytorch_cannot_express_is_refused(path: Path, name: str) -> None:
    config = TrainConfig(encoder=ODD[name][0], decoder=ODD[name][1], dtype="float64")
    with pytest.raises(ConfigError, match="PyTorch"):
        written(path, config)
    assert not path.exists()


@pytest.mark.parametrize(
    ("setting", "what"),
    [({"condition": "label:3"}, "a condition"), ({"second_units": 2}, "a second stochastic layer")],
)
def test_a_model_of_more_than_two_networks_is_refused_with_what_to_do(path, setting, what) -> None:
    config = TrainConfig(hidden=(4,), dtype="float64", **setting)
    with pytest.raises(
        ConfigError, match=rf"has {what}, too: take its arrays .*params.to_host\(\)"
    ):
        write_weights(path, model_of(config))
    assert not path.exists()


def test_the_settings_of_another_model_are_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match="another network"):
        write_weights(path, model_of(SMALL), config=KERAS_CONV)
    with pytest.raises(ConfigError, match="the model is float64, but its settings say float32"):
        write_weights(path, model_of(SMALL), config=TrainConfig(hidden=(5,)))


def test_a_name_that_is_taken_or_has_another_ending_is_refused(path: Path) -> None:
    written(path)
    before = path.read_bytes()
    with pytest.raises(RunError, match="exists already"):
        written(path)
    assert path.read_bytes() == before
    with pytest.raises(RunError, match=r"must end in \.safetensors"):
        written(path.with_suffix(".pt"))
    with pytest.raises(RunError, match="cannot be written"):
        written(path.parent / "nowhere" / path.name)
    assert os.listdir(path.parent) == [path.name]


def test_a_missing_library_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(path)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for use in (
        lambda: written(path),
        lambda: read_weights(path, fresh()),
        lambda: read_model(path),
    ):
        with pytest.raises(ConfigError, match="pip install safetensors"):
            use()
