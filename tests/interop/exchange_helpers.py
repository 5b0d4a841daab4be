"""Small models of every kind that PyTorch can express."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from scratchvae.backend import get_backend
from scratchvae.config import TrainConfig
from scratchvae.interop import write_weights
from scratchvae.memory import Workspace
from scratchvae.models import Model

PIXELS = 48  # 6 x 8: no side is the other's

KERAS_CONV = TrainConfig(
    encoder=(
        "reshape 6 8 1", "conv 3 3", "relu", "conv 5 3 2", "relu", "conv 4 3", "relu",
        "flatten", "dense 7", "relu",
    ),
    decoder=(
        "dense 60", "relu", "reshape 3 4 5", "conv-transpose 4 3 2", "relu", "conv 1 3",
    ),
    dtype="float64",
)  # fmt: skip

SMALL = TrainConfig(hidden=(5,), dtype="float64", data="/home/me/faces.npy")

CONFIGS = {
    "MLP": TrainConfig(hidden=(9, 7), latent_dim=3, dtype="float64"),
    "MLP, log σ, tanh": TrainConfig(hidden=(9,), head="logstd", activation="tanh", dtype="float64"),
    "no hidden layer": TrainConfig(hidden=(), dtype="float64"),
    "keras-conv": KERAS_CONV,
    "learned variances": TrainConfig(likelihood="gaussian-per-pixel", hidden=(5,), dtype="float64"),
    "categorical": TrainConfig(likelihood="categorical", max_level=3, hidden=(5,), dtype="float64"),
    "even kernels, strides beyond them": TrainConfig(
        encoder=("reshape 6 8 1", "conv 2 4 3", "sigmoid", "conv 3 2", "flatten", "dense 6"),
        decoder=("dense 12", "tanh", "reshape 2 2 3", "conv-transpose 2 2 3", "flatten",
                 "dense 24", "relu", "flatten", "reshape 3 4 2", "conv-transpose 1 4 2"),
        dtype="float64",
    ),
    "a stride of five": TrainConfig(
        encoder=("reshape 6 8 1", "conv 2 5 5", "flatten"),
        decoder=("dense 8", "reshape 2 2 2", "conv-transpose 2 1 2", "conv-transpose 3 5 1",
                 "flatten", "relu", "dense 48"),
        dtype="float64",
    ),
}  # fmt: skip


def model_of(config: TrainConfig, seed: int = 1) -> Model:
    """A model whose biases and variances are not zero either."""
    bk = get_backend("cpu", config.dtype)
    model = Model(config.make_vae(PIXELS), bk, seed=seed)
    rng = np.random.default_rng(seed)
    for view in model.params.views.values():
        view += 0.1 * rng.standard_normal(view.shape).astype(view.dtype)
    return model


def images(count: int = 5) -> np.ndarray:
    return np.random.default_rng(2).random((count, PIXELS))


def head_and_logits(model: Model, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The encoder's output [μ | log σ²], and the decoder's logits for each z."""
    bound = model.vae.bind(Workspace(model.bk, len(x)), model.params)
    model.bk.load(x, bound.x)
    bound.encoder.forward()
    model.bk.load(z[:, None, :], bound.z)
    bound.run_decoder()
    return bound.head.copy(), bound.logits[:, 0].copy()


def fresh(config: TrainConfig = SMALL) -> Model:
    return Model(config.make_vae(PIXELS), get_backend("cpu", config.dtype), seed=7)


def written(path: Path, config: TrainConfig = SMALL) -> dict[str, np.ndarray]:
    return write_weights(path, model_of(config), config=config, epoch=4)


def metadata_of(path: Path) -> dict[str, Any]:
    import safetensors

    with safetensors.safe_open(path, framework="np") as file:
        return json.loads(file.metadata()["scratchvae"])
