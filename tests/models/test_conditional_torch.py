"""The conditional model against PyTorch's autograd, in z itself and with its KL of two normals."""

import warnings

import numpy as np
import pytest

from scratchvae.layers import Dense, Sequential, Tanh
from scratchvae.models import VAE, ConditionalVAE, Label, Model

D, Z, K, N, BETA = 7, 2, 3, 5, 0.6


@pytest.fixture(scope="module")
def torch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what an import of PyTorch says is its own affair
        return pytest.importorskip("torch")


def test_e220_e222_loss_and_gradients_equal_those_of_pytorch_with_z_itself(cpu64, torch):
    normal = torch.distributions.Normal
    plain = VAE.mlp(D, (5,), latent_dim=Z, activation="tanh", samples=K, beta=BETA)
    prior = Sequential(Dense(4), Tanh(), Dense(2 * Z))
    model = Model(ConditionalVAE(plain, D, Label(3), prior), cpu64, seed=2)
    rng = np.random.default_rng(0)
    labels, eps = rng.integers(0, 3, N), rng.normal(size=(N, K, Z))
    rows = Label(3).rows(rng.uniform(size=(N, D)), labels)
    loss, gradient = model.loss_and_gradient(rows, eps)

    p = {n: torch.tensor(a, requires_grad=True) for n, a in model.params.to_host().items()}

    def network(name, a):
        hidden = torch.tanh(a @ p[f"{name}.0.W"] + p[f"{name}.0.b"])
        return hidden @ p[f"{name}.2.W"] + p[f"{name}.2.b"]

    row, c = torch.tensor(rows), torch.nn.functional.one_hot(torch.tensor(labels), 3).double()
    mu_p, logvar_p = network("prior", c).chunk(2, dim=1)
    mu, logvar = network("encoder", row).chunk(2, dim=1)
    prior_of_z = normal(mu_p, (logvar_p / 2).exp())
    q = normal(mu_p + prior_of_z.scale * mu, prior_of_z.scale * (logvar / 2).exp())
    z = q.loc[:, None] + q.scale[:, None] * torch.tensor(eps)
    code = torch.cat([z, c[:, None].expand(N, K, 3)], dim=2)
    nll = torch.nn.functional.binary_cross_entropy_with_logits(
        network("decoder", code), row[:, None, :D].expand(N, K, D), reduction="none"
    )
    kl = torch.distributions.kl_divergence(q, prior_of_z)
    objective = nll.sum(dim=2).mean() + BETA * kl.sum(dim=1).mean()
    objective.backward()
    assert abs(loss.total - objective.item()) < 1e-13
    for name, a in gradient.items():
        np.testing.assert_allclose(a, p[name].grad.numpy(), rtol=0, atol=1e-14, err_msg=name)
