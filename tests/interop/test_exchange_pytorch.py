"""An exported network computes in PyTorch what it computes here, and comes back."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from exchange_helpers import CONFIGS, PIXELS, head_and_logits, images, model_of

from scratchvae.backend import get_backend
from scratchvae.interop import read_model, read_weights, write_weights
from scratchvae.models import Model


@pytest.fixture(scope="module")
def torch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what an import of PyTorch says is its own affair
        return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def safetensors():
    pytest.importorskip("torch")
    return pytest.importorskip("safetensors.torch")


@pytest.fixture(scope="module")
def load(torch, safetensors):
    """The function of docs/pytorch.md that makes PyTorch's network of a file."""
    document = Path(__file__).resolve().parents[2] / "docs" / "pytorch.md"
    (code,) = re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec(compile(code, str(document), "exec"), names)
    return names["load"]


def outputs(torch, network, x, z):
    with torch.no_grad():
        head, logits = network.encoder(torch.tensor(x)), network.decoder(torch.tensor(z))
    return head.numpy(), logits.numpy().reshape(len(z), -1)


def distance(a, b):
    return np.max(np.abs(a - b)) / max(1.0, np.max(np.abs(b)))


@pytest.fixture(params=CONFIGS)
def case(request, load, tmp_path):
    """(model, settings, its file, PyTorch's network, images, latent vectors)."""
    config = CONFIGS[request.param]
    model = model_of(config)
    path = tmp_path / "weights.safetensors"
    write_weights(path, model, config=config, epoch=3)
    z = np.random.default_rng(3).standard_normal((5, model.vae.latent_dim))
    return model, config, path, load(path), images(), z


def test_the_same_network_computes_the_same_in_pytorch(case, torch):
    model, _, _, network, x, z = case
    for theirs, ours in zip(
        outputs(torch, network, x, z), head_and_logits(model, x, z), strict=True
    ):
        assert theirs.shape == ours.shape
        assert distance(theirs, ours) <= 1e-12


def test_what_pytorch_saves_runs_here(case, torch, safetensors, tmp_path):
    """Weights of PyTorch's own making: nothing of ours is in them but the names."""
    _, config, _, network, x, z = case
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(5)))
    safetensors.save_file(network.state_dict(), tmp_path / "theirs.safetensors")
    read = Model(config.make_vae(PIXELS), get_backend("cpu", "float64"), seed=9)
    read_weights(tmp_path / "theirs.safetensors", read)
    for theirs, ours in zip(
        outputs(torch, network, x, z), head_and_logits(read, x, z), strict=True
    ):
        assert distance(theirs, ours) <= 1e-12


def test_there_and_back_through_pytorch_not_a_bit_changes(case, safetensors, tmp_path):
    model, config, path, network, _, _ = case
    safetensors.save_file(network.state_dict(), tmp_path / "back.safetensors")
    back = Model(config.make_vae(PIXELS), get_backend("cpu", "float64"), seed=9)
    read_weights(tmp_path / "back.safetensors", back)
    for name, a in read_model(path, "cpu")[0].params.to_host().items():
        np.testing.assert_array_equal(a, model.params.to_host()[name])
        np.testing.assert_array_equal(back.params.to_host()[name], a)


def test_a_training_goes_on_in_pytorch_and_its_result_is_better_here(
    torch, safetensors, load, tmp_path
):
    """Adam of theirs on the loss of theirs, and the evaluation here sees the loss go down."""
    config = CONFIGS["keras-conv"]
    model, x = model_of(config), np.tile(np.arange(PIXELS) % 8 < 3, (20, 1)).astype(float)
    write_weights(tmp_path / "a.safetensors", model, config=config)
    network = load(tmp_path / "a.safetensors")
    torch.manual_seed(0)
    adam, pixels = torch.optim.Adam(network.parameters(), lr=1e-2), torch.tensor(x)
    for _ in range(60):
        mu, logvar = network.encoder(pixels).chunk(2, dim=-1)
        logits = network.decoder(mu + torch.exp(logvar / 2) * torch.randn_like(mu)).flatten(1)
        nll = torch.nn.functional.binary_cross_entropy_with_logits(logits, pixels, reduction="sum")
        kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum()
        adam.zero_grad()
        (nll + kl).backward()
        adam.step()
    safetensors.save_file(network.state_dict(), tmp_path / "b.safetensors")
    before = model.loss(x).total
    read_weights(tmp_path / "b.safetensors", model)
    assert model.loss(x).total < before / 2
