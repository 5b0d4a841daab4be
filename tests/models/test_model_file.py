"""A model in a file: the same numbers after it, and a sentence where it cannot be made again."""

import numpy as np
import pytest

import scratchvae
from scratchvae.backend import get_backend
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset, Split
from scratchvae.errors import CheckpointError, ConfigError
from scratchvae.latent import ESTIMATORS, FreeBits
from scratchvae.layers import Dense, ReLU, Sequential, Tanh
from scratchvae.likelihoods import Bernoulli, Categorical, Gaussian, LearnedGaussian
from scratchvae.models import VAE, Model, SecondLayer, TwoLayerVAE
from scratchvae.runs import RunFolder

X = np.random.default_rng(0).random((5, 16))

MODELS = {
    "mlp": VAE.mlp(
        16,
        (8, 5),
        latent_dim=2,
        activation="tanh",
        init="torch",
        head="logstd",
        beta=0.5,
        samples=3,
    ),
    "conv": TrainConfig(
        encoder=("reshape 4 4 1", "conv 3 2", "relu", "flatten"),
        decoder=("dense 16",),
        latent_dim=2,
    ).make_vae(16),
    "categorical": VAE.mlp(16, (8,), likelihood=Categorical(5)),
    "gaussian": VAE.mlp(16, (8,), likelihood=Gaussian(0.3, "identity")),
    "two layers": TwoLayerVAE(
        VAE.mlp(16, (8,), latent_dim=3, activation="tanh", samples=2), SecondLayer.mlp(3, 2, (6, 5))
    ),
    "learned": VAE.mlp(16, (8,), likelihood=LearnedGaussian(True, 0.1), estimator=FreeBits(0.3)),
    **{name: VAE.mlp(16, (8,), samples=4, estimator=kind()) for name, kind in ESTIMATORS.items()},
}


class Leaky(ReLU):
    """A class of the user's own."""


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_comes_back_with_the_same_numbers(name, tmp_path, cpu64) -> None:
    model = Model(MODELS[name], cpu64, seed=3)
    model.save(tmp_path / "model.npz")
    other = scratchvae.load(tmp_path / "model.npz")
    assert repr(other) == repr(model)
    assert other.loss(X) == model.loss(X)
    gradient, expected = (m.loss_and_gradient(X).gradient for m in (other, model))
    for parameter, value in expected.items():
        np.testing.assert_array_equal(gradient[parameter], value)
    fresh = Model(other.vae, cpu64, seed=9), Model(model.vae, cpu64, seed=9)
    np.testing.assert_array_equal(*(m.params.flat for m in fresh))  # initialized alike, too


def test_a_file_keeps_the_float_type_and_loads_on_a_backend_that_is_given(tmp_path) -> None:
    model = Model(MODELS["mlp"])
    model.save(str(tmp_path / "model.npz"))
    assert Model.load(str(tmp_path / "model.npz")).bk.dtype == np.float32
    strict = Model.load(tmp_path / "model.npz", get_backend("strict"))
    assert (strict.bk.name, strict.loss(X)) == ("strict", model.loss(X))


def test_a_vae_of_ones_own_classes_is_handed_over_again(tmp_path, cpu64) -> None:
    def put_together() -> VAE:
        return VAE(
            16,
            Sequential(Dense(8), Leaky(), Dense(4)),
            Sequential(Dense(16)),
            Bernoulli(),
            latent_dim=2,
        )

    model, path = Model(put_together(), cpu64, seed=1), tmp_path / "model.npz"
    model.save(path)
    with pytest.raises(ConfigError, match=r"a layer of your own, .*:Leaky, .* hand it over \(vae="):
        Model.load(path)
    assert Model.load(path, vae=put_together()).loss(X) == model.loss(X)
    with pytest.raises(ConfigError, match="parameter names differ"):
        Model.load(path, vae=MODELS["mlp"])


def test_a_damaged_or_missing_file_is_refused(tmp_path) -> None:
    path = tmp_path / "model.npz"
    with pytest.raises(CheckpointError, match="there is no"):
        Model.load(path)
    Model(MODELS["mlp"]).save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        Model.load(path)


def test_a_run_folder_loads_as_its_model(tmp_path) -> None:
    pixels = np.random.default_rng(1).integers(0, 2, (20, 16), dtype=np.uint8)
    split = Split(pixels, None, 1)
    config = TrainConfig(hidden=(8,), batch_size=5, epochs=2, dtype="float64")
    run = RunFolder.create(tmp_path / "run", {"config": config.to_json()})
    dataset = Dataset("tiny", split, split, (4, 4))
    training = scratchvae.train(config, dataset, run=run)
    assert scratchvae.load(tmp_path / "run").loss(X) == training.model.loss(X)


def test_a_model_says_what_it_is() -> None:
    vae = VAE(
        4, Sequential(Dense(3), Tanh(), Dense(2)), Sequential(Dense(4)), Gaussian(0.5), latent_dim=1
    )
    assert repr(Model(vae)) == f"<Model: 31 parameters, <cpu backend, float32>, {vae!r}>"


def test_the_package_shows_its_public_names_and_no_others() -> None:
    assert dir(scratchvae) == sorted([*scratchvae.__all__, "__version__"])
