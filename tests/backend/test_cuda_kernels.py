"""Every CUDA kernel computes its equation: emulated on the CPU and on a GPU, against NumPy."""

import numpy as np
import pytest
from differences import assert_close, assert_same
from emulation.compare import agree, draw, each_dtype, each_size

from scratchvae.backend import FLUSH_EVERY, get_backend
from scratchvae.backend.cuda.elementwise import read
from scratchvae.backend.noise import Purpose, Stream, uniform
from scratchvae.layers.activations import relu, relu_grad
from scratchvae.likelihoods.bernoulli import (
    bernoulli_nll,
    bernoulli_nll_and_grad,
    bernoulli_nll_terms,
)
from scratchvae.optim import SGD, Adagrad, Adam, RMSprop
from scratchvae.optim.clipping import clip_gradient, measure_norm

# ---- batch and layers ----------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("pixels", ["uint8", "float32", "float64"])
@each_size
def test_a_gathered_batch_is_the_cpus_to_the_bit(make, n, pixels, dtype):
    images = (255 * uniform((7, n), Stream(2, Purpose.PIXELS))).astype(pixels)
    max_level = 255 if pixels == "uint8" else None
    results = []
    for bk in (make(dtype), get_backend("cpu", dtype)):
        out, raw = bk.empty((4, n)), bk.empty((4, n), pixels)
        index = bk.array([6, 0, 3, 3], np.int64)
        bk.gather(bk.array(images, pixels), index, max_level, out, raw)
        results.append(bk.to_host(out))
    assert_same("batch", *results)


@each_dtype
@each_size
def test_e10_e11_relu_and_its_chain(make, n, dtype):
    def compute(bk):
        x, dy = bk.array(draw(1, n)), bk.array(draw(2, n))
        y, dx = bk.empty((n,)), bk.empty((n,))
        bk.compute(relu, x, y)
        bk.compute(relu_grad, y, dy, dx, bk.empty((n,)))
        return {"y": y, "dx": dx}

    agree(make, compute, dtype, ulps=0)


@each_dtype
@pytest.mark.parametrize("rows", [1, 7, 8, 9, 100])
@each_size
def test_the_sum_over_rows(make, n, rows, dtype):
    def compute(bk):
        out = bk.empty((n,))
        bk.sum_rows(bk.array(draw(1, rows, n)), out)
        return {"sum": out}

    agree(make, compute, dtype, scale=max(rows, 4))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_nan_is_not_hidden(make, dtype):
    bk = make(dtype)
    x, out = bk.array([np.nan, -1.0, 2.0]), bk.empty((3,))
    bk.compute(relu, x, out)
    assert_same("y", bk.to_host(out), [np.nan, 0, 2])
    m, v, p, g = (bk.array([np.nan, 1.0, 1.0]) for _ in range(4))
    update(bk, Adam(), p, g, [m, v], 0.1, FLUSH_EVERY)
    assert_same("m", bk.to_host(m)[:1], [np.nan])
    clip(bk, g, 1.0)
    assert_same("g", bk.to_host(g), [np.nan] * 3)


# ---- the Bernoulli -------------------------------------------------------------------------------

SHAPES = {  # of pixels, broadcast against logits (3, 2, n)
    "an image for its samples": lambda n: (3, 1, n),
    "an image for each sample": lambda n: (3, 2, n),
    "one image for all": lambda n: (1, 1, n),
    "images that no kernel reads": lambda n: (1, 2, n),
}


@each_dtype
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@each_size
def test_e18_e19_the_bernoullis_value_and_gradient(make, n, shape, dtype):
    a = 20 * draw(1, 3, 2, n)
    a.flat[0] = 0.0

    def compute(bk):
        x = bk.array(uniform(shape(n), Stream(1, Purpose.FIGURE)).astype("f4"))
        logits, tmp, tmp2 = bk.array(a), bk.empty((3, 2, n)), bk.empty((3, 2, n))
        terms, nll, da = bk.empty((3, 2, n)), bk.empty((3, 2)), bk.empty((3, 2, n))
        bk.compute(bernoulli_nll_terms, logits, x, terms, tmp)
        bk.compute(bernoulli_nll_and_grad, logits, x, nll, da, tmp, tmp2)
        alone = bk.empty((3, 2))
        bk.compute(bernoulli_nll, logits, x, alone, tmp, tmp2)
        return {"terms": terms, "nll": nll, "da": da, "alone": alone}

    agree(make, compute, dtype, scale=8.0)


@pytest.mark.parametrize("columns", [5, 300])
def test_a_block_that_has_several_rows_keeps_them_apart(make, columns, monkeypatch):
    monkeypatch.setattr("scratchvae.backend.cuda.elementwise.blocks_for", lambda n, each: 2)

    def compute(bk):
        nll, da = bk.empty((7, 1)), bk.empty((7, 1, columns))
        a, x = bk.array(draw(1, 7, 1, columns)), bk.array(abs(draw(2, 7, 1, columns)))
        tmp, tmp2 = (bk.empty((7, 1, columns)) for _ in range(2))
        bk.compute(bernoulli_nll_and_grad, a, x, nll, da, tmp, tmp2)
        return {"nll": nll, "da": da}

    agree(make, compute, "float64", scale=100.0)


def test_a_broadcast_that_no_kernel_reads_is_seen(make):
    bk = make()
    assert read(bk.empty((3, 1, 5)), (3, 2, 5))[1:] == (2, 5, 1)
    assert read(bk.empty((1, 1, 5)), (3, 2, 5))[1:] == (6, 5, 1)
    assert read(bk.empty((3, 2, 1)), (3, 2, 5))[1:] == (1, 1, 0)
    assert read(bk.empty((1, 2, 5)), (3, 2, 5)) is None
    assert read(bk.empty((5,)), (3, 2, 5)) is None


# ---- updates -------------------------------------------------------------------------------------

RULES = {
    "adam": Adam(),
    "adam, no bias correction": Adam(bias_correction=False),
    "adam, eps hat": Adam(beta1=0.99, eps=1e-4, v0=1.0, eps_hat=True),
    "rmsprop": RMSprop(),
    "rmsprop, eps inside": RMSprop(eps_inside=True),
    "sgd": SGD(),
    "nesterov": SGD(nesterov=True),
    "plain sgd": SGD(momentum=0.0),
    "adagrad": Adagrad(),
}


def update(bk, rule, p, g, moments, lr, t):
    """The backend's form of an update, or else the plain one."""
    fused = bk.fused(type(rule).update)
    if fused is None:
        rule.update(bk, p, g, moments, lr, t)
    else:
        fused(rule, bk, p, g, (*moments, bk.update_scratch(p.size)), lr, t)


def clip(bk, g, limit):
    """The norm that the backend finds, as a scale and squares; ``g`` is clipped by it."""
    scale, squares, scratch = bk.empty((1,)), bk.empty((1,)), bk.update_scratch(g.size)
    for equation, rest in ((measure_norm, ()), (clip_gradient, (limit,))):
        fused = bk.fused(equation)
        if fused is None:
            equation(bk, g, scale, squares, *rest)
        else:
            fused(bk, g, scale, squares, *rest, scratch)
    return scale, squares


@each_dtype
@pytest.mark.parametrize("clock", [False, True], ids=["host", "clock"])
@pytest.mark.parametrize("rule", RULES)
@each_size
def test_e24_e41_e42_e43_three_updates(make, n, rule, clock, dtype):
    def compute(bk):
        p, state = bk.array(draw(1, n)), [bk.zeros((n,)) for _ in RULES[rule].moments]
        for t in (1, 2, 3):
            lr = 0.125
            if clock and bk.records_steps:
                lr, t = bk.array(np.float64(lr), "float64"), bk.array(np.int64(t), "int64")
            update(bk, RULES[rule], p, bk.array(draw(9 + int(t), n)), state, lr, t)
        return {"p": p, **{f"state {i}": a for i, a in enumerate(state)}}

    agree(make, compute, dtype, ulps=16)


@each_dtype
@pytest.mark.parametrize("rule", ["adam", "rmsprop", "sgd"])
def test_moments_too_small_to_matter_are_flushed_every_128_steps(make, rule, dtype):
    tiny = float(np.finfo(dtype).tiny)
    start = np.array([1e7 * tiny, 1e10 * tiny, -1e7 * tiny if rule == "sgd" else 0.5])
    for t in (FLUSH_EVERY - 1, FLUSH_EVERY):
        bk = make(dtype)
        state = [bk.array(start) for _ in RULES[rule].moments]
        update(bk, RULES[rule], bk.zeros((3,)), bk.zeros((3,)), state, 0.1, t)
        for moment in state:
            kept = bk.to_host(moment) != 0
            expected = start != 0
            if t == FLUSH_EVERY:
                expected = np.abs(start) > 1e9 * tiny
            assert_same(f"moments kept at step {t}", kept, expected)


@each_dtype
@pytest.mark.parametrize("limit", [0.01, 1e6])
@each_size
def test_e44_the_norm_and_the_clipped_gradient(make, n, limit, dtype):
    def compute(bk):
        g = bk.array(draw(1, n))
        scale, squares = clip(bk, g, limit)
        squares *= scale * scale
        return {"g": g, "squares": squares}

    agree(make, compute, dtype, ulps=16)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_e44_no_size_of_a_gradient_leaves_the_range_of_float32(make, size):
    bk = make("float32")
    g = bk.array(np.float64([3, 0, -4, *np.zeros(300)]) * size)
    scale, squares = clip(bk, g, 2 * size)
    norm = bk.to_host(scale)[0] * np.sqrt(bk.to_host(squares)[0])
    assert_close("norm", norm, 5 * size, rtol=1e-6)
    assert_close("g", bk.to_host(g)[:3], np.array([1.2, 0, -1.6]) * size, rtol=1e-6)


def test_a_norm_of_more_elements_than_threads_is_complete(make):
    n = 256 * 256 + 3
    bk = make("float64")
    scale, squares = clip(bk, bk.array(np.ones(n)), 1.0)
    assert_same("scale and squares", [bk.to_host(a)[0] for a in (scale, squares)], [1, n])


# ---- the clock -----------------------------------------------------------------------------------


@each_size
def test_the_clock_looks_up_and_moves_on(make, n):
    results = []
    for bk in (make(), get_backend("strict")):
        order = bk.array(np.arange(3 * n).reshape(3, n), "int64")
        rates, betas = bk.array([0.1, 0.2, 0.3], "float64"), bk.array([0, 0.5, 1], "float64")
        t, i = bk.array(np.int64(41), "int64"), bk.array(np.int64(1), "int64")
        index, lr, beta = bk.zeros((n,), "int64"), bk.zeros((), "float64"), bk.zeros((), "float64")
        loss, losses = bk.array([7.0]), bk.zeros((3, 1))
        seen = []
        for _ in range(2):
            bk.begin_step(i, order, rates, betas, index, lr, beta)
            bk.end_step(t, i, loss, losses)
            seen += [bk.to_host(a) for a in (index, lr, beta, t, i, losses)]
        results.append(seen)
    names = ("index", "lr", "beta", "t", "i", "losses")
    for k, (found, expected) in enumerate(zip(*results, strict=True)):
        assert_same(f"{names[k % 6]} after step {1 + k // 6}", found, expected)
    assert_same("t and i", results[0][3:5], [42, 2])
    assert_same("losses", results[0][-1], [[0.0], [7.0], [7.0]])
