"""The check before the timing: it passes for equal work, and sees a planted difference."""

import re
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks import check
from benchmarks.contenders import floor
from benchmarks.contenders.common import Job, Order
from benchmarks.harness import Process
from benchmarks.models import MODELS, Spec
from scratchvae.backend import get_backend
from scratchvae.models import Model
from scratchvae.studies import find_study

SMALL = {
    "bernoulli": Spec("bernoulli", (7, 5), 3, "relu", 6, head="logstd", pixels=16),
    "gaussian": Spec("gaussian", (7, 5), 3, "sigmoid", 6, "gaussian", pixels=16),
    "importance": Spec("importance", (7, 5), 3, "tanh", 6, pixels=16, samples=4),
    "convolutions": Spec(
        "convolutions", (), 3, "tanh", 6, pixels=48,
        encoder=("reshape 4 6 2", "conv 3 3 2", "tanh", "conv 4 3", "tanh", "flatten", "dense 5",
                 "tanh"),
        decoder=("dense 24", "tanh", "reshape 2 3 4", "conv-transpose 3 3 2", "tanh", "conv 2 3"),
    ),
    "gaps": Spec(  # strides beyond the kernels
        "gaps", (), 3, "tanh", 6, pixels=72,
        encoder=("reshape 6 6 2", "conv 3 2 3", "tanh", "flatten"),
        decoder=("dense 12", "tanh", "reshape 2 2 3", "conv-transpose 2 2 3"),
    ),
}  # fmt: skip
CONTENDERS = [
    "ours",
    *(
        pytest.param(
            name,
            marks=pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is missing"),
        )
        for name, package in (("torch", "torch"), ("jax", "jax"))
    ),
]


@pytest.fixture(params=SMALL)
def job(request, tmp_path):
    spec = SMALL[request.param]
    rng = np.random.default_rng(0)
    np.save(tmp_path / "images.npy", rng.integers(0, 256, (24, spec.pixels), dtype=np.uint8))
    np.savez(tmp_path / "weights.npz", **check.initial_weights(spec, seed=0))
    data, weights = str(tmp_path / "images.npy"), str(tmp_path / "weights.npz")
    return Job(spec=spec, data=data, max_level=255, weights=weights, threads=1)


def inputs_of(job, tmp_path):
    path = tmp_path / "inputs.npz"
    check.make_inputs(job, 24, path)
    with np.load(path) as file:
        return path, file["index"], file["eps"]


@pytest.mark.parametrize("name", CONTENDERS)
def test_a_contender_does_the_same_work_as_the_reference(name, job, tmp_path):
    """And the loss of an epoch is the sum over all images: nothing is learned in four steps."""
    path, *_ = inputs_of(job, tmp_path)
    process = Process(name, job)
    try:
        process.ask("check", file=str(path), out=str(tmp_path / "out.npz"))
        epoch = process.ask("run", n=24 // job.spec.batch)
    finally:
        process.close()
    found, weights = check.read(tmp_path / "out.npz"), job.load_weights()
    errors = check.compare(
        name, found, check.reference(job, path), weights, samples=job.spec.samples
    )
    assert set(errors) == {"loss", "gradient", "update"}
    model = Model(job.spec.vae(), get_backend("cpu", "float64"))
    model.params.load(weights)
    assert epoch["loss"] / 24 == pytest.approx(model.loss(np.load(job.data) / 255.0).total, rel=0.1)
    assert epoch["seconds"] > 0


def planted(found, **changes):
    """Copies, with one array changed."""
    parts = {kind: {k: a.copy() for k, a in getattr(found, kind).items()} for kind in changes}
    for kind, (name, factor) in changes.items():
        parts[kind][name] = parts[kind][name] * factor
    return replace(found, **parts)


def test_a_gradient_that_is_off_by_a_hundredth_of_a_percent_is_seen(job, tmp_path):
    path, *_ = inputs_of(job, tmp_path)
    wanted = check.reference(job, path)
    wrong = planted(wanted, grads=("decoder.0.W", 1.0001))
    with pytest.raises(check.DisagreementError, match=r"gradient of decoder\.0\.W"):
        check.compare("planted", wrong, wanted, job.load_weights())


def test_a_wrong_loss_a_wrong_update_and_a_nan_are_seen(job, tmp_path):
    path, *_ = inputs_of(job, tmp_path)
    wanted, weights = check.reference(job, path), job.load_weights()
    with pytest.raises(check.DisagreementError, match="its loss differs"):
        check.compare("planted", replace(wanted, loss=wanted.loss * 1.001), wanted, weights)
    with pytest.raises(check.DisagreementError, match="its update"):
        check.compare("planted", replace(wanted, updated=weights), wanted, weights)
    name = f"{job.spec.weighted[0].name}.b"
    nan = planted(wanted, grads=(name, np.nan))
    with pytest.raises(check.DisagreementError, match=f"gradient of {re.escape(name)}"):
        check.compare("planted", nan, wanted, weights)


@pytest.mark.parametrize("channels_last", [False, True])
def test_pytorch_has_our_network_in_either_memory_format(channels_last, job):
    """Its weights go there and back unchanged; both formats decode and encode as we do."""
    pytest.importorskip("torch")
    import torch

    from benchmarks.contenders import torch_network

    weights = job.load_weights()
    params = torch_network.load(job.spec, weights, channels_last)
    for name, a in torch_network.to_host(job.spec, params, channels_last).items():
        np.testing.assert_array_equal(a, weights[name].astype(np.float32))
    model = Model(job.spec.vae(), get_backend("cpu", "float64"))
    model.params.load(weights)
    encoder, decoder = job.spec.networks
    half = 2 * sum(layer.weights is not None for layer in encoder)
    x, z = (np.random.default_rng(1).random((5, n)) for n in (job.spec.pixels, job.spec.latent))
    with torch.no_grad():
        head = torch_network.forward(encoder, params[:half], torch.tensor(x).float(), channels_last)
        logits = torch_network.forward(
            decoder, params[half:], torch.tensor(z).float(), channels_last
        )
    mu, logvar = model.encode(x)
    logvar = logvar / 2 if job.spec.head == "logstd" else logvar
    np.testing.assert_allclose(head, np.hstack([mu, logvar]), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(torch.sigmoid(logits), model.decode(z), rtol=1e-4)


def test_the_words_of_keras_conv_are_those_of_its_study():
    spec, config = MODELS["keras-conv"], find_study("keras-conv").config
    assert (spec.encoder, spec.decoder) == (config.encoder, config.decoder)
    assert (spec.latent, spec.batch, spec.binary) == (config.latent_dim, config.batch_size, True)
    assert (spec.likelihood, spec.init, spec.head) == (config.likelihood, config.init, config.head)


def test_same_padding_is_the_one_that_keras_has():
    """28 pixels at stride 2 look one pixel beyond the end, and none before the beginning."""
    margins = [layer.margins for layer in MODELS["keras-conv"].weighted if layer.kind != "dense"]
    even, odd = ((1, 1), (1, 1)), ((0, 1), (0, 1))
    assert margins == [even, odd, even, even, odd, even]


def test_importance_weights_are_allowed_what_their_costs_round_off(job, tmp_path):
    """With one sample per image, an error of 2e-5 is too large."""
    path, *_ = inputs_of(job, tmp_path)
    wanted = check.reference(job, path)
    weights, name = job.load_weights(), "decoder.0.W"
    heavy = replace(wanted, loss=500.0)
    off = planted(heavy, grads=(name, 1 + 2e-5))
    check.compare("planted", off, heavy, weights, samples=50)
    with pytest.raises(check.DisagreementError, match="gradient of decoder"):
        check.compare("planted", off, heavy, weights)


@pytest.mark.parametrize("name", MODELS)
def test_a_spec_has_as_many_parameters_as_our_model(name):
    spec = MODELS[name]
    vae = spec.vae()
    assert spec.parameters == vae.layout.n_parameters
    for layer, n, m in spec.layers:
        assert vae.layout.shapes[f"{layer}.W"] == (n, m)
    assert Spec.from_json(spec.to_json()) == spec


def test_the_floor_goes_through_a_convolution_block_by_block(job, monkeypatch):
    """Every row once, in the memory of the thread that computes it."""
    monkeypatch.setattr(floor, "WINDOWS", 1)  # one image at a time
    products = floor.Products(replace(job, threads=2), transposed=False)
    for layer, (name, rows, _, _) in zip(job.spec.weighted, job.spec.products, strict=True):
        for k in (0, 1):
            blocks = list(products.blocks(name, k, 2))
            assert sum(b.stop - b.start for b in blocks) == rows // 2
            if layer.kind != "dense":
                assert {b.start for b in blocks} == {k * layer.product[0]}
                assert len(blocks) == job.spec.batch // 2


def test_the_floor_has_the_products_of_a_step():
    """Two by hand: 2·B·(3·Σ n·m − the first layer's input gradient)."""
    spec = Spec("by hand", (5,), 2, "tanh", 3, pixels=7)
    weights = 7 * 5 + 5 * 4 + 2 * 5 + 5 * 7
    assert spec.flops == 2 * 3 * (3 * weights - 7 * 5)
    several = replace(spec, samples=10)
    encoder, decoder = 7 * 5 + 5 * 4, 2 * 5 + 5 * 7
    assert several.flops == 2 * 3 * (3 * (encoder + 10 * decoder) - 7 * 5)


def test_a_convolution_is_a_product_of_windows_or_of_taps():
    """3 channels to 4 at stride 2: 6 windows of 18 numbers, or 24 pixels of 2 with 27 taps."""
    products = {name: sizes for name, *sizes in SMALL["convolutions"].products}
    assert products["encoder.1"] == [6 * 6, 9 * 2, 3]
    assert products["decoder.3"] == [6 * 6, 9 * 3, 4]  # as of the convolution it is the adjoint of
    narrow = MODELS["keras-conv"].weighted[-1]
    assert narrow.product == (28 * 28, 32, 9)  # one channel: no windows, but taps


@pytest.mark.parametrize("way", ["blas threads", "one thread", "workers"])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_floor_computes_every_gradient_and_leaves_the_weights_alone(way, transposed, job):
    contender = floor.Contender(replace(job, threads=2))
    contender.choose(transposed, way)
    products = contender.products
    before = products.p.flat.copy()
    contender.run(2)
    for name, rows, n, m in job.spec.products:  # so few that a convolution's are one block
        x, dy, W = products.x[name][:rows], products.dy[name][:rows], products.weights(name)
        assert (x.shape, W.shape) == ((rows, n), (n, m))
        found = products.g[name].T if transposed else products.g[name]
        np.testing.assert_allclose(found, x.T @ dy, rtol=1e-4, atol=1e-6)
        half = slice(rows // 2)  # of a convolution the other worker has its part elsewhere
        np.testing.assert_allclose(products.y[name][half], (x @ W)[half], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(products.p.flat, before)


def test_an_order_visits_every_image_once_an_epoch():
    order = Order(images=10, batch=3, seed=0)
    spans = list(order.spans(7))
    assert [(a, b, o is not None) for a, b, o in spans] == [
        (0, 3, True),
        (0, 3, True),
        (0, 1, True),
    ]
    assert sorted(spans[0][2]) == list(range(10))
    ((start, stop, new),) = order.spans(1)
    assert (start, stop, new) == (1, 2, None)
