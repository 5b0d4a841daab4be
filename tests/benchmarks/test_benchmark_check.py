"""The check before the timing: it passes for equal work, and sees a planted difference."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks import check
from benchmarks.contenders.common import Job, Order
from benchmarks.harness import Process
from benchmarks.models import MODELS, Spec
from scratchvae.backend import get_backend
from scratchvae.models import Model

SMALL = {
    "bernoulli": Spec("bernoulli", (7, 5), 3, "relu", 6, head="logstd", pixels=16),
    "gaussian": Spec("gaussian", (7, 5), 3, "sigmoid", 6, "gaussian", pixels=16),
}
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
    np.save(tmp_path / "images.npy", rng.integers(0, 256, (24, 16), dtype=np.uint8))
    np.savez(tmp_path / "weights.npz", **check.initial_weights(spec, seed=0))
    data, weights = str(tmp_path / "images.npy"), str(tmp_path / "weights.npz")
    return Job(spec=spec, data=data, levels=255, weights=weights, threads=1)


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
    errors = check.compare(name, found, check.reference(job, path), weights)
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
    nan = planted(wanted, grads=("encoder.0.b", np.nan))
    with pytest.raises(check.DisagreementError, match=r"gradient of encoder\.0\.b"):
        check.compare("planted", nan, wanted, weights)


@pytest.mark.parametrize("name", MODELS)
def test_a_spec_has_as_many_parameters_as_our_model(name):
    spec = MODELS[name]
    vae = spec.vae()
    assert spec.parameters == vae.layout.count
    for layer, n, m in spec.layers:
        assert vae.layout.shapes[f"{layer}.W"] == (n, m)
    assert Spec.from_json(spec.to_json()) == spec


def test_the_floor_has_the_products_of_a_step():
    """Two by hand: 2·B·(3·Σ n·m − the first layer's chain)."""
    spec = Spec("by hand", (5,), 2, "tanh", 3, pixels=7)
    weights = 7 * 5 + 5 * 4 + 2 * 5 + 5 * 7
    assert spec.flops == 2 * 3 * (3 * weights - 7 * 5)


@pytest.mark.parametrize("way", ["blas threads", "one thread", "workers"])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_floor_computes_every_gradient_and_leaves_the_weights_alone(way, transposed, job):
    from benchmarks.contenders.floor import Contender

    floor = Contender(replace(job, threads=2))
    floor.choose(transposed, way)
    products = floor.products
    before = products.p.flat.copy()
    floor.run(2)
    for name, _, _ in job.spec.layers:
        dW = products.x[name].T @ products.dy[name]
        found = products.g[name].T if transposed else products.g[name]
        np.testing.assert_allclose(found, dW, rtol=1e-4, atol=1e-6)
        y = products.x[name] @ products.weights(name)
        np.testing.assert_allclose(products.y[name], y, rtol=1e-4, atol=1e-5)
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
