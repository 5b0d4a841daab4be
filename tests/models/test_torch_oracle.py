"""An optional second opinion: PyTorch's autograd on the same model, where PyTorch is installed."""

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scratchvae.backend.noise import Purpose, Stream, normal, uniform
from scratchvae.likelihoods import Bernoulli, Gaussian, LearnedGaussian
from scratchvae.models import VAE
from scratchvae.optim import Adam

TOLERANCE = 1e-12
# Adam divides a gradient's rounding error by |g| + ε. With an ε of the learning rate's size it is
# not made larger, so that three steps can be held to the same tolerance; and ε's place matters.
ADAM = {"lr": 0.01, "eps": 0.01}


@pytest.fixture(scope="module")
def torch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what an import of PyTorch says is its own affair
        return pytest.importorskip("torch")


LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "gaussian": lambda: Gaussian(0.6),
    "gaussian, identity": lambda: Gaussian(1.4, "identity"),
    "learned": lambda: LearnedGaussian(False, 0.1),
    "learned a pixel": lambda: LearnedGaussian(True, 0.2, "identity"),
}

models = st.fixed_dictionaries(
    {
        "pixels": st.integers(2, 14),
        "hidden": st.lists(st.integers(1, 9), max_size=3).map(tuple),
        "latent_dim": st.integers(1, 4),
        "activation": st.sampled_from(["relu", "tanh", "sigmoid"]),
        "head": st.sampled_from(["logvar", "logstd"]),
        "init": st.sampled_from(["glorot-uniform", "he", "torch", "truncated-normal"]),
        "beta": st.sampled_from([0.0, 0.25, 1.0, 4.0]),
        "samples": st.integers(1, 4),
    }
)


def network(torch, layers, part, p, x):
    squash = {"ReLU()": torch.relu, "Tanh()": torch.tanh, "Sigmoid()": torch.sigmoid}
    for i, layer in enumerate(layers):
        if f"{part}.{i}.W" in p:
            x = torch.nn.functional.linear(x, p[f"{part}.{i}.W"].T, p[f"{part}.{i}.b"])
        elif repr(layer) == "LogStdHead()":
            mu, logstd = x.chunk(2, dim=-1)
            x = torch.cat([mu, 2 * logstd], dim=-1)
        else:
            x = squash[repr(layer)](x)
    return x


def reconstruction(torch, vae, p, logits, x):
    """−log p(x|z), by PyTorch's own distributions."""
    likelihood, x = vae.likelihood, x[:, None, :].expand_as(logits)
    if likelihood.noise == "uniform":
        loss = torch.nn.functional.binary_cross_entropy_with_logits
        return loss(logits, x, reduction="none").sum(dim=-1)
    mean = torch.sigmoid(logits) if likelihood.mean_map == "sigmoid" else logits
    if hasattr(likelihood, "fixed"):
        std = torch.tensor(likelihood.fixed, dtype=torch.float64)
    else:
        std = torch.sqrt(likelihood.min_std**2 + torch.exp(p["likelihood.logvar"]))
    return -torch.distributions.Normal(mean, std).log_prob(x).sum(dim=-1)


def objective(torch, vae, p, x, eps):
    """E2, averaged over the batch, and its terms."""
    head = network(torch, vae.encoder.layers, "encoder", p, x)
    mu, logvar = head.chunk(2, dim=-1)
    std = torch.exp(logvar / 2)
    z = mu[:, None] + std[:, None] * eps
    logits = network(torch, vae.decoder.layers, "decoder", p, z)
    q, prior = torch.distributions.Normal(mu, std), torch.distributions.Normal(0.0, 1.0)
    kl = torch.distributions.kl_divergence(q, prior).sum(dim=-1)
    nll = reconstruction(torch, vae, p, logits, x)
    return (nll.mean(dim=-1) + vae.beta * kl).mean()


@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(options=models, rows=st.integers(1, 6), seed=st.integers(0, 99))
def test_e2_e24_the_loss_its_gradient_and_three_steps_of_adam_agree_with_autograd(
    torch, cpu64, assemble, distance, likelihood, options, rows, seed
):
    vae = VAE.mlp(likelihood=likelihood(), **options)
    x = uniform((rows, vae.pixels), Stream(seed, Purpose.FIGURE))
    eps = normal((rows, vae.samples, vae.latent_dim), Stream(seed, Purpose.LATENT))
    ours = assemble(vae, cpu64, rows, seed)
    ours.params.flat += 0.1  # no bias stays at zero
    adam = Adam(**ADAM).bind(cpu64, ours.params, ours.grads)
    theirs = {
        name: torch.tensor(value, requires_grad=True)
        for name, value in ours.params.to_host().items()
    }
    optimizer = torch.optim.Adam(theirs.values(), **ADAM)
    for t in (1, 2, 3):
        ours.run(x, eps, 1 / rows)
        optimizer.zero_grad()
        loss = objective(torch, vae, theirs, torch.tensor(x), torch.tensor(eps))
        loss.backward()
        assert abs(ours.total / rows - loss.item()) <= TOLERANCE * max(1.0, abs(loss.item()))
        gradient = {n: np.zeros(p.shape) if p.grad is None else p.grad.numpy()
                    for n, p in theirs.items()}  # fmt: skip
        assert_close(ours.grads.to_host(), gradient)
        adam.step(t)
        optimizer.step()
        assert_close(ours.params.to_host(), {n: p.detach().numpy() for n, p in theirs.items()})


def assert_close(ours, theirs):
    """‖ours − theirs‖ within the tolerance of ‖theirs‖, the whole of the arrays in one norm."""
    mine, other = (np.concatenate([a[n].ravel() for n in theirs]) for a in (ours, theirs))
    assert np.linalg.norm(mine - other) <= TOLERANCE * max(1.0, np.linalg.norm(other))
