"""A convolutional VAE, small but with every layer of the large one: gradient, workers, memory."""

from functools import partial

import numpy as np
import pytest

from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal, uniform
from scratchvae.layers import (
    Conv2D,
    ConvTranspose2D,
    Dense,
    Flatten,
    ReLU,
    Reshape,
    Sequential,
    complete,
)
from scratchvae.likelihoods import Bernoulli
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models import VAE
from scratchvae.optim import RMSprop

ROWS, STEP = 5, 2.0**-80


def conv_vae(samples=1, flat=False):
    """6×4 pixels instead of 28×28, and a few channels of each kind; the layers of Keras' VAE."""
    encoder = Sequential(
        Reshape((6, 4, 1)), Conv2D(3), ReLU(), Conv2D(4, stride=2), ReLU(), Conv2D(5), ReLU(),
        Conv2D(4), ReLU(), Flatten(), Dense(7), ReLU(), Dense(2 * 2),
    )  # fmt: skip
    decoder = [
        Dense(3 * 2 * 4), ReLU(), Reshape((3, 2, 4)), ConvTranspose2D(5, stride=2), ReLU(),
        Conv2D(1),
    ]  # fmt: skip
    layers = Sequential(*decoder, *([Flatten()] if flat else []))
    return VAE(24, encoder, layers, Bernoulli(), latent_dim=2, beta=0.7, samples=samples)


def batch(vae, rows=ROWS):
    x = uniform((rows, 24), Stream(3, Purpose.FIGURE))
    return x, normal((rows, vae.samples, 2), Stream(3, Purpose.LATENT))


@pytest.mark.parametrize(("samples", "flat"), [(1, False), (3, True)])
def test_the_whole_gradient_is_the_complex_steps_in_every_direction(assemble, samples, flat):
    vae = conv_vae(samples, flat)
    x, eps = batch(vae)
    real = assemble(vae, get_backend("cpu", "float64"), ROWS).run(x, eps, 1 / ROWS)
    start, g = real.bk.to_host(real.params.flat), real.gradient
    twin = assemble(vae, get_backend("cpu", "complex128"), ROWS).feed(x, eps)
    for seed in range(20):
        v = normal(start.shape, Stream(9, Purpose.DIRECTION, seed))
        twin.params.flat[...] = start + 1j * STEP * v
        twin.bound.loss()
        slope = (twin.bound.nll.mean(axis=1).sum() + 0.7 * twin.bound.kl.sum()).imag / STEP / ROWS
        assert abs(slope - g @ v) <= 1e-13 * np.linalg.norm(g) * np.linalg.norm(v)


@pytest.mark.parametrize("name", conv_vae().layout.shapes)
def test_the_gradient_of_every_parameter_is_the_complex_steps(assemble, name):
    vae = conv_vae()
    x, eps = batch(vae)
    real = assemble(vae, get_backend("cpu", "float64"), ROWS).run(x, eps, 1 / ROWS)
    twin = assemble(vae, get_backend("cpu", "complex128"), ROWS).feed(x, eps)
    at, found = twin.params[name].reshape(-1), real.grads[name].reshape(-1)
    for i in range(0, at.size, max(1, at.size // 25)):
        at[i] += 1j * STEP
        twin.bound.loss()
        at[i] = at[i].real
        slope = (twin.bound.nll.mean(axis=1).sum() + 0.7 * twin.bound.kl.sum()).imag / STEP / ROWS
        assert abs(slope - found[i]) <= 1e-13 * np.linalg.norm(real.gradient)


def test_logits_may_be_images_or_vectors_and_are_the_same_numbers(assemble):
    found = []
    for flat in (False, True):
        vae = conv_vae(2, flat)
        a = assemble(vae, get_backend("cpu", "float64"), ROWS).run(*batch(vae), 1 / ROWS)
        assert a.bound.logits.shape == (ROWS, 2, 24)
        found.append(a.gradient)
    np.testing.assert_array_equal(*found)


def test_a_bound_step_allocates_nothing_and_never_waits_for_the_device():
    bk = get_backend("strict", "float32")
    vae = conv_vae()
    params, grads = vae.initial_parameters(bk), FlatBuffer(bk, vae.layout)
    workspace = Workspace(bk, ROWS)
    bound = vae.bind(workspace, params, grads)
    last = vae.bind(workspace.rows(0, 2), params, grads)
    rule = RMSprop(clip=1.0).bind(bk, params, grads)
    x, eps = batch(vae)
    bk.load(x, bound.x)
    bk.load(eps, bound.eps)

    def step(t):
        for model in (bound, last):
            model.loss_and_gradient(1 / model.rows)
            rule.step(t)

    step(1)
    before = bk.device.allocations, bk.device.synchronizations
    for t in (2, 3):
        bk.capture(partial(step, t))()
    assert (bk.device.allocations, bk.device.synchronizations) == before
    assert np.isfinite(bk.to_host(params.flat)).all()
    assert np.isfinite(bk.to_host(grads.flat)).all()


def test_halves_of_a_batch_have_buffers_of_their_own_and_gradients_that_add_up(assemble, cpu64):
    vae = conv_vae()
    x, eps = batch(vae)
    whole = assemble(vae, cpu64, ROWS).run(x, eps, 1 / ROWS)
    workspace, total = Workspace(cpu64, ROWS), np.zeros(vae.layout.padded_size)
    halves = []
    for start, stop in ((0, 2), (2, ROWS)):
        grads = FlatBuffer(cpu64, vae.layout)
        halves.append((vae.bind(workspace.rows(start, stop), whole.params, grads), grads))
        halves[-1][0].x[...], halves[-1][0].eps[...] = x[start:stop], eps[start:stop]
    for half, _ in halves:  # as two workers would: both forward and back, then the gradients
        complete(half.loss_and_input_grads(1 / ROWS))
    for half, grads in halves:
        for part in (half.decoder, half.encoder):
            for s in part.layers:
                s.layer.grad_params(cpu64, s.x, s.dy, s.g)
        total += grads.flat
    np.testing.assert_allclose(total, whole.gradient, rtol=0, atol=1e-14)
    first, second = (half.encoder.layers[1].layer.work for half, _ in halves)
    assert not np.shares_memory(first.padded, second.padded)
    assert not np.shares_memory(first.windows((1,)), second.windows((1,)))


def test_a_short_training_lowers_the_loss(assemble, cpu64):
    vae = conv_vae()
    a = assemble(vae, cpu64, ROWS)
    x, eps = batch(vae)
    rule = RMSprop(lr=0.01).bind(cpu64, a.params, a.grads)
    before = a.run(x, eps, 1 / ROWS).total
    for t in range(1, 61):
        a.run(x, eps, 1 / ROWS)
        rule.step(t)
    assert a.run(x, eps, 1 / ROWS).total < 0.97 * before
