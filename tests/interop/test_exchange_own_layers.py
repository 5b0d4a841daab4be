"""A layer of the user's own says how PyTorch computes it, and is exchanged like any other."""

import warnings

import numpy as np
import pytest
from exchange_helpers import PIXELS, SMALL, head_and_logits, images

from scratchvae.backend import get_backend
from scratchvae.errors import CheckpointError, ConfigError
from scratchvae.interop import modules, places, read_model, read_weights, write_weights
from scratchvae.layers import (
    Constant,
    Conv2D,
    Dense,
    Elementwise,
    Flatten,
    Layer,
    ReLU,
    Reshape,
    Sequential,
)
from scratchvae.layers.base import TorchTensor
from scratchvae.likelihoods import Bernoulli
from scratchvae.models import VAE, Model

pytest.importorskip("safetensors.numpy")


class LeakyReLU(Elementwise):
    torch_class = "LeakyReLU"  # whose slope is 0.01

    def forward(self, bk, p, x, y):
        y[...] = np.where(x > 0, x, 0.01 * x)

    def grad_input(self, bk, p, x, y, dy, dx, tmp):
        dx[...] = np.where(y > 0, dy, 0.01 * dy)


class Threshold(ReLU):
    """x where it exceeds ½, else 0: not PyTorch's ReLU, though its ancestor is."""

    def forward(self, bk, p, x, y):
        y[...] = np.where(x > 0.5, x, 0)


class Slopes(Layer):
    """y_c = x_c where x is positive, else a_c x_c: a slope for each channel of an image."""

    def parameters(self, shape):
        return {"a": ((shape[-1],), Constant(0.25))}

    def fans(self, shape):
        return 1, 1

    def forward(self, bk, p, x, y):
        y[...] = np.where(x > 0, x, p.a * x)

    def grad_input(self, bk, p, x, y, dy, dx, tmp):
        dx[...] = np.where(x > 0, dy, p.a * dy)

    def grad_params(self, bk, x, dy, g, rows=slice(None)):
        g.a[...] = np.where(x > 0, 0, x * dy).reshape(-1, x.shape[-1]).sum(axis=0)

    def torch_module(self, shape):
        return {"module": "PReLU", "num_parameters": shape[-1]}

    def torch_tensors(self, shape):
        return {"a": TorchTensor("weight", (shape[-1],), (0,))}


def vae_of(*encoder: Layer) -> VAE:
    decoder = Sequential(Dense(PIXELS))
    return VAE(PIXELS, Sequential(*encoder, Dense(4)), decoder, Bernoulli(), latent_dim=2)


def model_of(vae: VAE, seed: int = 1) -> Model:
    model, rng = Model(vae, get_backend("cpu", "float64"), seed=seed), np.random.default_rng(seed)
    for view in model.params.views.values():
        view += 0.1 * rng.standard_normal(view.shape)
    return model


OWN = {
    "an activation": lambda: vae_of(Dense(9), LeakyReLU()),
    "an activation on images": lambda: vae_of(
        Reshape((6, 8, 1)), Conv2D(3, 3, 2), LeakyReLU(), Flatten(), Dense(5)
    ),
    "parameters by channel": lambda: vae_of(
        Reshape((6, 8, 1)), Conv2D(3, 3, 2), Slopes(), Conv2D(2, 3), Flatten()
    ),
    "parameters by number": lambda: vae_of(Dense(7), Slopes()),
}


@pytest.mark.parametrize("name", OWN)
def test_it_computes_the_same_in_pytorch_and_comes_back(name: str, tmp_path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
    model, path = model_of(OWN[name]()), tmp_path / "own.safetensors"
    tensors = write_weights(path, model)
    layers = []
    for described in modules(model.vae)["encoder"]:
        arguments = {k: v for k, v in described.items() if k not in ("module", "pad")}
        if "pad" in described:
            layers.append(torch.nn.ZeroPad2d(described["pad"]))
        layers.append(getattr(torch.nn, described["module"])(**arguments, dtype=torch.float64)
                      if described["module"] not in ("Flatten", "Unflatten", "LeakyReLU")
                      else getattr(torch.nn, described["module"])(**arguments))  # fmt: skip
    network, x = torch.nn.Sequential(*layers), images()
    weights = [torch.tensor(a) for n, a in tensors.items() if n.startswith("encoder.")]
    network.load_state_dict(dict(zip(network.state_dict(), weights, strict=True)))
    with torch.no_grad():
        theirs = network(torch.tensor(x)).numpy()
    ours, _ = head_and_logits(model, x, np.zeros((len(x), 2)))
    np.testing.assert_allclose(theirs, ours, rtol=1e-12, atol=1e-12)
    back = model_of(OWN[name](), seed=2)
    read_weights(path, back)
    np.testing.assert_array_equal(back.params.flat, model.params.flat)


@pytest.mark.parametrize("layer", [Threshold(), type("Mine", (Layer,), {})()])
def test_a_layer_that_declares_no_module_is_refused_in_a_sentence(layer: Layer) -> None:
    with pytest.raises(ConfigError, match=r"(Threshold|Mine)\(\) .*give it torch_class, or"):
        modules(vae_of(Dense(3), layer))


def test_a_parameter_that_the_module_does_not_hold_is_named() -> None:
    class Forgetful(Slopes):
        def torch_tensors(self, shape):
            return {}

    with pytest.raises(ConfigError, match=r"torch_tensors\(self, shape\) lacks a"):
        places(vae_of(Dense(3), Forgetful()))


def test_a_vector_whose_numbers_have_another_order_in_pytorch_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"what Slopes\(\) is given has its numbers in another"):
        places(vae_of(Reshape((6, 8, 1)), Conv2D(2, 3), Flatten(), Slopes()))


def test_a_file_without_settings_is_read_into_a_model_and_makes_none(tmp_path) -> None:
    path = tmp_path / "own.safetensors"
    write_weights(path, model_of(vae_of(Dense(9), LeakyReLU())), epoch=7)
    with pytest.raises(CheckpointError, match="put together in Python; make the model yourself"):
        read_model(path)
    with pytest.raises(CheckpointError, match="describe other layers"):
        read_weights(path, model_of(vae_of(Dense(9), ReLU())))


def test_settings_of_another_model_are_not_written_beside_it(tmp_path) -> None:
    model = model_of(vae_of(Dense(5), LeakyReLU()))
    with pytest.raises(ConfigError, match="another network"):
        write_weights(tmp_path / "own.safetensors", model, config=SMALL)
