"""Training on a GPU is training on the CPU: captured and eager, every case, every study's model."""

import numpy as np
import pytest
from differences import assert_close, assert_near, assert_same
from steps import CASES, make_step, run, settings

from scratchvae.backend import get_backend
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset, Split
from scratchvae.studies import STUDIES
from scratchvae.training import train

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch):
    """Small graphs, so that a run of fifty steps uses them and single steps in turn."""
    monkeypatch.setattr("scratchvae.training.step.MAX_STEPS_PER_LAUNCH", 2)


@pytest.mark.parametrize("case", CASES)
def test_fifty_captured_steps_in_float64_are_those_of_numpy(case):
    config = settings(case, dtype="float64")
    found, plain = make_step(config, get_backend("cuda", "float64")), make_step(config)
    assert_close("losses by step", run(found, config, 5), run(plain, config, 1), rtol=1e-9)
    for name, a in plain.params.to_host().items():
        assert_near(name, found.params.to_host()[name], a, 1e-8)


@pytest.mark.parametrize("case", CASES)
def test_fifty_captured_steps_in_float32_follow_float64(case):
    exact = settings(case, dtype="float64")
    found = run(make_step(settings(case), get_backend("cuda", "float32")), settings(case), 5)
    assert_close("losses by step", found, run(make_step(exact), exact, 1), rtol=2e-3)


@pytest.mark.parametrize("case", CASES)
def test_captured_eager_and_repeated_steps_give_the_same_bits(case):
    config, results = settings(case), []
    for captured in (True, True, False):
        bk = get_backend("cuda", "float32")
        step = make_step(config, bk, captured)
        results.append((run(step, config, 5), bk.to_host(step.params.flat)))
    for how, again in zip(("repeated", "eager"), results[1:], strict=True):
        for what, first, other in zip(("losses", "parameters"), results[0], again, strict=True):
            assert_same(f"{what}, {how},", other, first)


def study_step(config: TrainConfig, bk=None):
    binary = config.binarize != "none"
    rows = 3 * config.batch_size + 7
    return make_step(config, bk, side=28, rows=rows, max_level=1 if binary else 255)


@pytest.mark.parametrize("name", STUDIES)
def test_fifty_steps_of_every_study_are_those_of_numpy(name):
    config = TrainConfig(**(STUDIES[name].config.to_json() | {"dtype": "float64"}))
    found, plain = study_step(config, get_backend("cuda", "float64")), study_step(config)
    losses = run(found, config, 4), run(plain, config, 1)
    assert_close("losses by step", *losses, rtol=1e-9)
    for key, a in plain.params.to_host().items():
        assert_near(key, found.params.to_host()[key], a, 1e-7)


@pytest.mark.parametrize("tf32", [False, True], ids=["float32", "TF32"])
@pytest.mark.parametrize("name", STUDIES)
def test_the_error_of_a_gradient_is_that_of_its_precision(name, tf32, distance, capsys):
    config = STUDIES[name].config
    exact = TrainConfig(**(config.to_json() | {"dtype": "float64"}))
    found, plain = study_step(config, get_backend("cuda", tf32=tf32)), study_step(exact)
    for step in (found, plain):
        step.bk.load(np.arange(step.order.shape[0]), step.order)
        step.gradient(1, 0)
    error = distance(found.bk.to_host(found.grads.flat), plain.grads.flat)
    with capsys.disabled():
        kind = "TF32" if tf32 else "float32"
        print(f"\n{name}: relative error of the gradient in {kind}: {error:.1e}")
    assert_near(
        "gradient", found.bk.to_host(found.grads.flat), plain.grads.flat, 2e-2 if tf32 else 2e-5
    )
    assert not tf32 or error > 1e-6  # else the option does nothing


def test_a_whole_training_on_the_gpu_reports_what_the_cpu_reports():
    rng = np.random.default_rng(0)
    part = Split(rng.integers(0, 256, (230, 36), dtype=np.uint8), None, 255)
    dataset = Dataset("gpu", part, part, (6, 6))
    config = TrainConfig(
        hidden=(16,), epochs=3, batch_size=8, dtype="float64", kl_warmup=40, validation=30,
        binarize="dynamic", lr="cosine:0.01:0.001:60", verify_every=10,
    )  # fmt: skip
    cpu, gpu = (train(config, dataset, backend=get_backend(d, "float64")) for d in ("cpu", "cuda"))
    for here, there in zip(cpu.metrics, gpu.metrics, strict=True):
        for key, value in here.items():
            if key != "seconds":
                assert there[key] == pytest.approx(value, rel=1e-9), key


def test_a_recorded_step_allocates_nothing():
    import cupy

    config = settings("adam")
    step = make_step(config, get_backend("cuda"))
    run(step, config, 5, steps=15)  # each kind of step has run and been recorded
    before = cupy.get_default_memory_pool().used_bytes()
    run(step, config, 5, steps=5)
    assert cupy.get_default_memory_pool().used_bytes() == before
