"""An exported network computes in PyTorch what it computes here, and comes back."""

import warnings

import numpy as np
import pytest
from exchange_helpers import CONFIGS, PIXELS, head_and_logits, images, model_of

from scratchvae.backend import get_backend
from scratchvae.exchange import modules, read_model, read_weights, write_weights
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


def build(torch, model):
    """The module that ``modules`` describes, in float64, its weights still PyTorch's own."""

    class Around(torch.nn.Module):
        """A convolution with the zeros before it, or the crop after it, that the file names."""

        def __new__(cls, kind, pad=(0, 0, 0, 0), crop=(0, 0, 0, 0), **arguments):
            made = type(kind.__name__, (kind,), {"forward": cls.surrounded})(**arguments)
            made.kind, made.pad, made.crop = kind, pad, [-n for n in crop]
            return made

        @staticmethod
        def surrounded(self, x):
            y = self.kind.forward(self, torch.nn.functional.pad(x, self.pad))
            return torch.nn.functional.pad(y, self.crop)

    class LogStdHead(torch.nn.Module):
        def forward(self, x):
            mu, logstd = x.chunk(2, dim=-1)
            return torch.cat([mu, 2 * logstd], dim=-1)

    def one(module, **arguments):
        if module == "LogStdHead":
            return LogStdHead()
        kind = getattr(torch.nn, module)
        return Around(kind, **arguments) if module.startswith("Conv") else kind(**arguments)

    network = torch.nn.Module()
    for part, described in modules(model.vae).items():
        network.add_module(part, torch.nn.Sequential(*(one(**m) for m in described)))
    for name, a in model.params.views.items():
        if name.startswith("likelihood"):
            network.register_module("likelihood", torch.nn.Module())
            network.likelihood.logvar = torch.nn.Parameter(torch.zeros(a.shape))
    return network.double()


def outputs(torch, network, x, z):
    with torch.no_grad():
        head, logits = network.encoder(torch.tensor(x)), network.decoder(torch.tensor(z))
    return head.numpy(), logits.numpy().reshape(len(z), -1)


def distance(a, b):
    return np.max(np.abs(a - b)) / max(1.0, np.max(np.abs(b)))


@pytest.fixture(params=CONFIGS)
def case(request, torch, safetensors, tmp_path):
    """(model, settings, its file, an empty PyTorch module, images, latent vectors)."""
    config = CONFIGS[request.param]
    model = model_of(config)
    path = tmp_path / "weights.safetensors"
    write_weights(path, model, config, epoch=3)
    z = np.random.default_rng(3).standard_normal((5, model.vae.latent_dim))
    return model, config, path, build(torch, model), images(), z


def test_the_same_network_computes_the_same_in_pytorch(case, torch, safetensors):
    model, _, path, network, x, z = case
    network.load_state_dict(safetensors.load_file(path), strict=True)
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


def test_there_and_back_through_pytorch_not_a_bit_changes(case, torch, safetensors, tmp_path):
    model, config, path, network, _, _ = case
    network.load_state_dict(safetensors.load_file(path))
    safetensors.save_file(network.state_dict(), tmp_path / "back.safetensors")
    back = Model(config.make_vae(PIXELS), get_backend("cpu", "float64"), seed=9)
    read_weights(tmp_path / "back.safetensors", back)
    for name, a in read_model(path, "cpu")[0].params.to_host().items():
        np.testing.assert_array_equal(a, model.params.to_host()[name])
        np.testing.assert_array_equal(back.params.to_host()[name], a)


def test_a_training_goes_on_in_pytorch_and_its_result_is_better_here(torch, safetensors, tmp_path):
    """Adam of theirs on the loss of theirs, and the evaluation here sees the loss go down."""
    config = CONFIGS["keras-conv"]
    model, x = model_of(config), np.tile(np.arange(PIXELS) % 8 < 3, (20, 1)).astype(float)
    write_weights(tmp_path / "a.safetensors", model, config)
    network = build(torch, model)
    network.load_state_dict(safetensors.load_file(tmp_path / "a.safetensors"))
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
