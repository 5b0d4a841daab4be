"""A bound step: allocates nothing, waits for nothing, leaks nothing, and is the same everywhere."""

import tracemalloc
from functools import partial

import numpy as np
import pytest

from scratchvae.backend import get_backend
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models import VAE
from scratchvae.optim import Adam


def stepper(a):
    """One whole training step: loss, gradient, update."""
    adam, weight = Adam(lr=0.01).bind(a.bk, a.params, a.grads), 1 / a.bound.rows

    def step(t):
        a.bound.loss_and_gradient(weight)
        adam.step(t)

    return step


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_allocates_nothing_and_never_waits_for_the_device(
    make, kind, batch, assemble, sizes, dtype
):
    bk = get_backend("strict", dtype)
    vae = make(kind)
    a = assemble(vae, bk, sizes.rows).feed(*batch(vae))
    step = stepper(a)
    allocations, waits = bk.device.allocations, bk.device.synchronizations
    for t in (1, 2, 3):
        bk.capture(partial(step, t))()
    assert (bk.device.allocations, bk.device.synchronizations) == (allocations, waits)
    assert np.isfinite(bk.to_host(a.params.flat)).all()


def test_a_step_on_a_short_batch_allocates_nothing_either(make, kind, batch, assemble, sizes):
    bk = get_backend("strict", "float32")
    vae = make(kind)
    a = assemble(vae, bk, sizes.rows).feed(*batch(vae))
    short = vae.bind(a.workspace.rows(0, 4), a.params, a.grads)
    count, names = bk.device.allocations, a.workspace.names
    bk.capture(partial(short.loss_and_gradient, 1 / 4))()
    assert (bk.device.allocations, a.workspace.names) == (count, names)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_strict_device_and_the_cpu_agree_to_the_bit(make, kind, batch, assemble, sizes, dtype):
    vae = make(kind)
    x, eps = batch(vae)
    found = []
    for device in ("cpu", "strict"):
        a = assemble(vae, get_backend(device, dtype), sizes.rows).feed(x, eps)
        step = stepper(a)
        for t in (1, 2, 3):
            step(t)
        found.append((a.params.to_host(), a.grads.to_host(), a.total))
    for cpu, strict in zip(found[0][:2], found[1][:2], strict=True):
        for name in cpu:
            np.testing.assert_array_equal(strict[name], cpu[name], err_msg=name)
    assert found[0][2] == found[1][2]


def peak_of_a_step(a):
    """The most memory that a step has in use beyond what it was given, in bytes."""
    step = stepper(a)
    for t in (1, 2):  # whatever is made once is made now
        step(t)
    tracemalloc.start()
    try:
        start, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        step(3)
        return tracemalloc.get_traced_memory()[1] - start
    finally:
        tracemalloc.stop()


def test_a_step_on_the_cpu_allocates_no_array(cpu32, make, kind, batch, assemble):
    # The smallest buffer of a row is σ's: 12 bytes per image. NumPy itself iterates over strided
    # operands through buffers of at most 8,192 numbers each, which these batches fill.
    peaks = []
    for rows in (3_000, 6_000):
        vae = make(kind)
        peaks.append(peak_of_a_step(assemble(vae, cpu32, rows).feed(*batch(vae, rows=rows))))
    assert abs(peaks[1] - peaks[0]) < 1_000  # not one array of a row an image
    assert peaks[1] < 4 * 8_192 * 4


def test_a_step_on_the_cpu_allocates_no_copy_of_a_weight_matrix(cpu32, batch, assemble):
    vae = VAE.mlp(311, (203, 57), latent_dim=3)
    a = assemble(vae, cpu32, 5).feed(*batch(vae, rows=5))
    assert peak_of_a_step(a) < 16_000 < a.params["encoder.2.W"].nbytes


def poison(workspace, keep=("x", "latent.eps")):
    for name, buffer in workspace._buffers.items():
        if name not in keep:
            buffer[...] = np.nan


def test_what_stood_in_the_buffers_before_a_step_does_not_leak_into_it(
    cpu64, make, kind, batch, assemble, sizes
):
    vae = make(kind)
    x, eps = batch(vae)
    a = assemble(vae, cpu64, sizes.rows).run(x, eps, weight=0.5)
    total, gradient = a.total, a.gradient
    poison(a.workspace)
    a.grads.flat[...] = np.nan
    a.bound.loss_and_gradient(0.5)
    assert a.total == total
    for name, start in vae.layout.offsets.items():  # the padding between them stays poisoned
        end = start + a.grads[name].size
        np.testing.assert_array_equal(a.gradient[start:end], gradient[start:end], err_msg=name)


def test_a_step_leaves_images_noise_and_parameters_alone(cpu64, make, kind, batch, assemble, sizes):
    vae = make(kind)
    x, eps = batch(vae)
    a = assemble(vae, cpu64, sizes.rows)
    before = a.params.flat.copy()
    a.run(x, eps, weight=0.5)
    np.testing.assert_array_equal(a.bound.x, x)
    np.testing.assert_array_equal(a.bound.eps, eps)
    np.testing.assert_array_equal(a.params.flat, before)


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (2, 6), (3, 4)])
def test_some_rows_of_a_tape_give_the_same_as_a_tape_of_their_own(
    cpu64, make, kind, batch, assemble, sizes, distance, start, stop
):
    vae = make(kind)
    x, eps = batch(vae)
    whole = assemble(vae, cpu64, sizes.rows)
    whole.feed(x, eps)
    poison(whole.workspace)  # the other rows must not be read
    grads = FlatBuffer(cpu64, vae.layout)
    part = vae.bind(whole.workspace.rows(start, stop), whole.params, grads)
    assert part.rows == stop - start
    part.loss_and_gradient(0.25)
    fresh = assemble(vae, cpu64, stop - start).run(x[start:stop], eps[start:stop], weight=0.25)
    np.testing.assert_allclose(part.nll, fresh.bound.nll, rtol=1e-14)
    np.testing.assert_allclose(part.kl, fresh.bound.kl, rtol=1e-14)
    assert distance(grads.flat, fresh.gradient) < 1e-14
    others = np.r_[0:start, stop : sizes.rows]
    assert np.isnan(whole.bound.nll[others]).all()  # nor written


def test_two_workers_on_halves_of_one_tape_give_the_gradient_of_the_whole(
    cpu64, make, kind, batch, assemble, sizes, distance
):
    vae = make(kind)
    x, eps = batch(vae)
    whole = assemble(vae, cpu64, sizes.rows).run(x, eps, weight=1 / sizes.rows)
    expected = whole.gradient
    parts = np.zeros_like(expected)
    for rows in ((0, 2), (2, 6)):
        vae.bind(whole.workspace.rows(*rows), whole.params, whole.grads).loss_and_gradient(1 / 6)
        parts += whole.gradient
    assert distance(parts, expected) < 1e-14


def test_float32_follows_float64_to_a_few_parts_in_ten_million(
    cpu32, cpu64, make, kind, batch, assemble, sizes, distance
):
    vae = make(kind)
    x, eps = (a.astype(np.float32) for a in batch(vae))
    single = assemble(vae, cpu32, sizes.rows).run(x, eps, weight=1 / sizes.rows)
    double = assemble(vae, cpu64, sizes.rows, params=single.params.to(cpu64))
    double.run(x, eps, weight=1 / sizes.rows)
    assert single.gradient.dtype == np.float32
    assert distance(single.gradient, double.gradient) < 2e-6
    np.testing.assert_allclose(single.total, double.total, rtol=1e-6)


def test_huge_logits_give_a_finite_loss_and_gradient(cpu32, batch, assemble, make):
    vae = make("bernoulli")
    x, eps = batch(vae)
    a = assemble(vae, cpu32, len(x))
    a.params["decoder.4.b"][...] = np.linspace(-1e4, 1e4, vae.pixels)
    a.run(x, eps, weight=1 / len(x))
    assert np.isfinite(a.total)
    assert np.isfinite(a.gradient).all()
    assert a.total / len(x) > 1e4


def test_training_on_one_batch_lowers_its_loss(cpu32, batch, assemble, make, kind):
    vae = make(kind)
    a = assemble(vae, cpu32, 6).feed(*batch(vae))
    a.bound.loss()
    before = a.total
    step = stepper(a)
    for t in range(1, 101):
        step(t)
    a.bound.loss()
    assert a.total < 0.95 * before if before > 0 else a.total < before


def test_the_numbers_of_a_model_lie_where_its_layout_says(cpu64):
    vae = VAE.mlp(13, (7, 5), latent_dim=3)
    params, workspace = vae.initial_parameters(cpu64), Workspace(cpu64, 4)
    bound = vae.bind(workspace, params)
    assert np.shares_memory(bound.encoder.layers[0].p.W, params.flat)
    assert bound.decoder.layers[-1].p.b is params["decoder.4.b"]
    assert vae.layout.n_parameters == sum(
        i * o + o for i, o in [(13, 7), (7, 5), (5, 6), (3, 5), (5, 7), (7, 13)]
    )
