"""The reference is right, by complex step and by PyTorch, and the package computes what it does."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from scratchvae import reference
from scratchvae.memory import FlatBuffer
from scratchvae.models import VAE, Model
from scratchvae.optim import Adam

PIXELS, LATENT, ROWS = 11, 3, 6
NETWORKS = [(), (7,), (7, 5), (4, 8, 5)]
FILE = Path(reference.__file__)


def draw(hidden, rows=ROWS, seed=0):
    """A VAE whose biases are not zero, grey images and noise, in float64."""
    rng = np.random.default_rng(seed)
    vae = reference.VAE(
        reference.initial_network((PIXELS, *hidden, 2 * LATENT), rng),
        reference.initial_network((LATENT, *hidden[::-1], PIXELS), rng),
    )
    for array in vae.arrays():
        array += 0.1 * rng.standard_normal(array.shape)
    return vae, rng.random((rows, PIXELS)), rng.standard_normal((rows, LATENT))


def packaged(vae, hidden, bk, **options):
    """The package's model with the same weights."""
    model = Model(VAE.mlp(PIXELS, hidden, latent_dim=LATENT, **options), bk)
    for name, array in zip(model.vae.layout.shapes, vae.arrays(), strict=True):
        bk.load(array, model.params[name])
    return model


def assert_equal(ours, theirs):
    """To 1e-12, array by array."""
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


# ---- the package equals it -----------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("hidden", NETWORKS)
def test_e2_the_package_has_the_loss_and_every_gradient_of_the_reference(
    hidden, beta, cpu64, assemble
):
    vae, x, eps = draw(hidden)
    loss, nll, kl, gradient = reference.loss_and_gradient(vae, x, eps, beta)
    model = packaged(vae, hidden, cpu64, beta=beta)
    ours = assemble(model.vae, cpu64, ROWS, params=model.params).run(x, eps[:, None], 1 / ROWS)
    assert_equal(ours.grads.to_host().values(), gradient.arrays())
    assert_equal([ours.bound.nll[:, 0], ours.bound.kl.sum(axis=1)], [nll, kl])
    assert ours.total / ROWS == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("hidden", NETWORKS)
def test_e24_the_package_follows_the_training_of_the_reference_for_three_epochs(hidden, cpu64):
    """Batches of 8, 8 and 3 images; the package sees them in the same order with the same noise."""
    vae, images, _ = draw(hidden, rows=19)
    model, rng = packaged(vae, hidden, cpu64), np.random.default_rng(5)
    grads, t = FlatBuffer(cpu64, model.vae.layout), 0
    adam = Adam().bind(cpu64, model.params, grads)
    for mean in reference.train(vae, images, epochs=3, rng=np.random.default_rng(5), rows=8):
        order, losses = rng.permutation(19), []
        for index in (order[:8], order[8:16], order[16:]):
            eps = rng.standard_normal((len(index), LATENT))
            loss, gradient = model.loss_and_gradient(images[index], eps[:, None])
            for name, g in gradient.items():
                cpu64.load(g, grads[name])
            adam.step(t := t + 1)
            losses += [loss.total] * len(index)
        assert np.mean(losses) == pytest.approx(mean, rel=1e-12)
        assert_equal(model.params.to_host().values(), vae.arrays())


# ---- it is right by itself -----------------------------------------------------------------------


@pytest.mark.parametrize("hidden", NETWORKS)
def test_e13_e17_e19_its_gradient_is_the_slope_of_its_loss_by_complex_step(hidden):
    vae, x, eps = draw(hidden)
    gradient, h = reference.loss_and_gradient(vae, x, eps, 0.7)[-1], 2.0**-100
    networks = [[(W + 0j, b + 0j) for W, b in network] for network in vae]
    shifted = reference.VAE(*networks)
    for p, g in zip(shifted.arrays(), gradient.arrays(), strict=True):
        slopes = np.empty(p.shape)
        for index in np.ndindex(p.shape):
            p[index] += 1j * h
            slopes[index] = reference.loss_and_gradient(shifted, x, eps, 0.7)[0].imag / h
            p[index] -= 1j * h
        np.testing.assert_allclose(g, slopes, rtol=1e-12, atol=1e-14)


def test_e18_e19_logits_of_2000_overflow_nowhere():
    vae, x, eps = draw(())
    ((W, b),) = vae.decoder
    W[:], b[:] = (
        0,
        np.where(np.arange(PIXELS) % 2, 2000, -2000),
    )  # so that b is every image's logits
    _, nll, _, gradient = reference.loss_and_gradient(vae, x, eps)
    np.testing.assert_allclose(nll, (np.maximum(b, 0) - x * b).sum(axis=1), rtol=1e-14)
    np.testing.assert_allclose(gradient.decoder[0][1], ((b > 0) - x).mean(axis=0), rtol=1e-13)


def test_e25_the_first_weights_fill_glorots_interval_and_the_biases_are_zero():
    ((W, b),) = reference.initial_network((150, 90), np.random.default_rng(0))
    assert W.shape == (150, 90)
    assert 0.15799 < abs(W).max() <= np.sqrt(6 / 240)  # 0.15811
    assert W.var() == pytest.approx(2 / 240, rel=0.03)
    np.testing.assert_array_equal(b, np.zeros(90))


# ---- PyTorch's second opinion --------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what an import of PyTorch says is its own affair
        return pytest.importorskip("torch")


@pytest.mark.parametrize("hidden", NETWORKS)
def test_e2_e24_autograd_and_pytorchs_adam_agree_with_it_for_three_steps(torch, hidden):
    vae, x, eps = draw(hidden)
    leaves = [torch.tensor(p, requires_grad=True) for p in vae.arrays()]
    layers = list(zip(leaves[::2], leaves[1::2], strict=True))
    optimizer = torch.optim.Adam(leaves, lr=0.01)
    m, v = ([np.zeros_like(p) for p in vae.arrays()] for _ in range(2))

    def network(layers, y):
        for W, b in layers[:-1]:
            y = torch.relu(y @ W + b)
        return y @ layers[-1][0] + layers[-1][1]

    for t in (1, 2, 3):
        mu, logvar = network(layers[: len(layers) // 2], torch.tensor(x)).chunk(2, dim=1)
        q = torch.distributions.Normal(mu, torch.exp(logvar / 2))
        logits = network(layers[len(layers) // 2 :], q.loc + q.scale * torch.tensor(eps))
        nll = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.tensor(x), reduction="none"
        )
        prior = torch.distributions.Normal(0.0, 1.0)
        theirs = (nll.sum(1) + 0.7 * torch.distributions.kl_divergence(q, prior).sum(1)).mean()
        optimizer.zero_grad()
        theirs.backward()
        optimizer.step()
        loss, _, _, gradient = reference.loss_and_gradient(vae, x, eps, 0.7)
        for arrays in zip(vae.arrays(), gradient.arrays(), m, v, strict=True):
            reference.adam(*arrays, t, lr=0.01)
        assert loss == pytest.approx(theirs.item(), rel=1e-12)
        assert_equal(gradient.arrays(), [p.grad.numpy() for p in leaves])
        assert_equal(vae.arrays(), [p.detach().numpy() for p in leaves])


# ---- it is what it promises to be ----------------------------------------------------------------


def test_it_has_at_most_120_lines_and_needs_numpy_alone():
    text = FILE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    imported = re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)
    assert set(imported) - sys.stdlib_module_names == {"numpy"}


def test_run_as_a_module_it_trains_on_real_digits_and_its_loss_falls():
    command = [sys.executable, "-m", "scratchvae.reference"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    losses = [float(x) for x in re.findall(r"epoch +\d+: ([\d.]+) nats per image", run.stdout)]
    assert len(losses) == len(run.stdout.splitlines()) == 10
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 27 < 40 < losses[0]
