"""The GPU computes what the CPU computes: operations, layers, and twenty steps of training.

The reference is always NumPy in float64. In float64 only the order of sums may differ; in float32
errors are gated as those of every fast path are: 2e-6 of the norm.
"""

import numpy as np
import pytest
from differences import assert_close, assert_near, assert_same

from scratchvae.backend import get_backend
from scratchvae.backend.noise import Purpose, Stream, normal, uniform
from scratchvae.latent import LogStdHead
from scratchvae.layers import Dense, ReLU, Sequential, Sigmoid, Tanh
from scratchvae.layers.activations import relu, relu_grad
from scratchvae.likelihoods import Bernoulli, Gaussian, LearnedGaussian
from scratchvae.likelihoods.bernoulli import bernoulli_nll_and_grad, bernoulli_nll_terms
from scratchvae.memory import FlatBuffer, Layout, Workspace
from scratchvae.models import VAE, Model
from scratchvae.optim import Adam

pytestmark = pytest.mark.gpu

GATE = {"float32": 2e-6, "float64": 1e-13}
each_dtype = pytest.mark.parametrize("dtype", GATE)
STREAM = Stream(5, Purpose.LATENT, 3)


def draw(step, *shape):
    """Normal numbers that float32 holds exactly."""
    return normal(shape, Stream(2, Purpose.DIRECTION, step)).astype(np.float32).astype(np.float64)


@each_dtype
def test_every_verb_agrees_with_the_cpu(dtype):
    images = (255 * uniform((9, 5), Stream(2, Purpose.PIXELS))).astype(np.uint8)

    def compute(bk):
        a, x = bk.array(draw(1, 3, 2, 5)), bk.array(abs(draw(2, 3, 1, 5)))
        left, right = bk.array(draw(4, 3, 4)), bk.array(draw(5, 6, 4))
        shapes = {
            "gemm": (3, 6), "gemm_nt": (3, 6), "products": (4, 6), "sum_rows": (4,),
            "windows": (2, 2, 3, 2, 3, 2), "gather": (3, 5), "relu": (3, 4), "relu_grad": (3, 4),
            "terms": (3, 2, 5), "nll": (3, 2), "da": (3, 2, 5),
        }  # fmt: skip
        out = {name: bk.empty(shape) for name, shape in shapes.items()}
        (tmp, tmp2), flat_tmp = (bk.empty((3, 2, 5)) for _ in range(2)), bk.empty((3, 4))
        raw = bk.empty((3, 5), np.uint8)
        bk.gemm(left, right.T, out["gemm"])
        bk.gemm_nt(left, right, out["gemm_nt"], bk.empty((3, 6)))
        bk.gemm(left.T, bk.array(draw(12, 3, 9))[:, 2:8], out["products"])
        bk.windows(bk.array(draw(13, 2, 5, 5, 2)), (2, 1), out["windows"])
        bk.sum_rows(left, out["sum_rows"])
        index = bk.array([8, 0, 3], np.int64)
        bk.gather(bk.array(images, np.uint8), index, 255, out["gather"], raw)
        bk.compute(relu, left, out["relu"])
        bk.compute(relu_grad, out["relu"], left, out["relu_grad"], flat_tmp)
        bk.compute(bernoulli_nll_terms, a, x, out["terms"], tmp)
        bk.compute(bernoulli_nll_and_grad, a, x, out["nll"], out["da"], tmp, tmp2)
        return {k: bk.to_host(b) for k, b in out.items()}

    found, expected = compute(get_backend("cuda", dtype)), compute(get_backend("cpu", "float64"))
    for name, value in expected.items():
        assert found[name].dtype == dtype, name
        assert_near(name, found[name], value, GATE[dtype])


@each_dtype
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_the_noise_is_that_of_the_cpu(dtype, kind):
    # Integers and IEEE operations agree to the bit; a logarithm or a cosine may differ by an ulp.
    found, expected = get_backend("cuda", dtype), get_backend("cpu", dtype)
    out, reference = found.empty((5, 7)), expected.empty((5, 7))
    getattr(found, kind)(out, STREAM, found.noise_scratch(35))
    getattr(expected, kind)(reference, STREAM, expected.noise_scratch(35))
    tolerance = 0 if kind == "uniform" else 8 * np.finfo(dtype).eps
    assert_close(kind, found.to_host(out), reference, rtol=0, atol=tolerance)


def test_complex_numbers_pass_through_the_verbs_unharmed():
    bk, h = get_backend("cuda", "complex128"), 2.0**-70
    a, out, tmp = bk.array(np.array([[0.0, 3.0]]) + 1j * h), bk.empty((1, 2)), bk.empty((1, 2))
    bk.compute(bernoulli_nll_terms, a, bk.zeros((1, 2)), out, tmp)
    slopes = [[0.5, 1 / (1 + np.exp(-3))]]
    assert_close("terms' slopes", bk.to_host(out).imag / h, slopes, rtol=0, atol=4e-16)
    bk.compute(relu, a, out)
    assert_same("relu's slopes", bk.to_host(out).imag / h, [[0, 1]])


STACKS = {
    "relu": lambda: (Dense(7), ReLU(), Dense(3)),
    "tanh after tanh": lambda: (Dense(7), Tanh(), Tanh(), Dense(3)),
    "sigmoid and head": lambda: (Sigmoid(), Dense(6), LogStdHead()),
}


@each_dtype
@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_every_layer_agrees_with_the_cpu(dtype, stack):
    def compute(bk):
        net, rows = Sequential(*stack()), 4
        layout = Layout({f"f.{p.name}": p.shape for p in net.parameters((5,))})
        params, grads, workspace = (
            FlatBuffer(bk, layout),
            FlatBuffer(bk, layout),
            Workspace(bk, rows),
        )
        params.load({n: draw(10 + i, *s) for i, (n, s) in enumerate(layout.shapes.items())})
        bound = net.bind(
            workspace, "f", workspace.buffer("x", 5), workspace.buffer("dx", 5), params, grads
        )
        bk.load(draw(1, rows, 5), bound.x)
        bound.forward()
        y = bk.to_host(bound.y)
        bk.load(draw(2, *y.shape), bound.dy)
        bound.backward()
        return {"y": y, "dx": bk.to_host(bound.dx), **grads.to_host()}

    found, expected = compute(get_backend("cuda", dtype)), compute(get_backend("cpu", "float64"))
    for name, value in expected.items():
        assert_near(name, found[name], value, GATE[dtype])


LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "gaussian": lambda: Gaussian(0.5),
    "learned": lambda: LearnedGaussian(True, 0.1),
}
each_likelihood = pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)


def train(bk, likelihood, steps):
    """Losses and final parameters of a small model, trained on one batch."""
    vae = VAE.mlp(11, (7, 5), latent_dim=3, activation="tanh", likelihood=likelihood(), samples=2)
    params, grads = vae.initial_parameters(bk, seed=1), FlatBuffer(bk, vae.layout)
    bound, adam = vae.bind(Workspace(bk, 6), params, grads), Adam(lr=0.01).bind(bk, params, grads)
    bk.load(uniform((6, 11), Stream(1, Purpose.FIGURE)), bound.x)
    losses = []
    for t in range(1, steps + 1):
        bk.load(normal((6, 2, 3), Stream(1, Purpose.LATENT, t)), bound.eps)
        with bk.ignore_float_errors():
            bound.loss_and_gradient(1 / 6)
            adam.step(t)
        losses.append(bk.to_host(bound.nll).mean() + bk.to_host(bound.kl).sum() / 6)
    gradient = np.concatenate([g.ravel() for g in grads.to_host().values()])
    return np.array(losses), gradient, params.to_host()


@each_dtype
@each_likelihood
def test_the_gradient_of_a_model_agrees_with_the_cpu(dtype, likelihood):
    _, found, _ = train(get_backend("cuda", dtype), likelihood, steps=1)
    _, expected, _ = train(get_backend("cpu", "float64"), likelihood, steps=1)
    assert_near("gradient", found, expected, GATE[dtype])


@each_likelihood
def test_twenty_steps_of_training_agree_with_the_cpu(likelihood):
    losses, _, params = train(get_backend("cuda", "float64"), likelihood, steps=20)
    expected, _, reference = train(get_backend("cpu", "float64"), likelihood, steps=20)
    assert_close("losses by step", losses, expected, rtol=1e-11)
    for name, value in reference.items():
        assert_near(name, params[name], value, 1e-10)
    assert expected[-1] < expected[0]


@each_likelihood
def test_twenty_steps_in_float32_follow_the_loss_of_float64(likelihood):
    losses, _, _ = train(get_backend("cuda", "float32"), likelihood, steps=20)
    expected, _, _ = train(get_backend("cpu", "float64"), likelihood, steps=20)
    assert_close("losses by step", losses, expected, rtol=2e-5)


def test_a_model_decodes_encodes_and_samples_as_on_the_cpu():
    cpu = Model(VAE.mlp(11, (7, 5), latent_dim=3), get_backend("cpu", "float64"), seed=4)
    gpu = cpu.to(get_backend("cuda", "float64"))
    x = uniform((253, 11), Stream(1, Purpose.FIGURE))  # more than one block
    assert_close("reconstructions", gpu.reconstruct(x), cpu.reconstruct(x), rtol=0, atol=1e-13)
    (means, draws), (other_means, other_draws) = gpu.sample(40, seed=1), cpu.sample(40, seed=1)
    assert_close("means", means, other_means, rtol=0, atol=1e-13)
    assert_same("draws", draws, other_draws)
    assert_close("loss", gpu.loss(x), cpu.loss(x), rtol=1e-12)


def test_the_device_says_what_it_is():
    found = get_backend("cuda").describe()
    assert found["name"]
    assert all(isinstance(value, str) for value in found.values())
