"""A traced step computes what any step does, misses no array, and labels each rightly."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_helpers import PIXELS, settings

from scratchvae.backend import get_backend
from scratchvae.config import TrainConfig
from scratchvae.latent import ESTIMATORS, kl_per_unit
from scratchvae.latent.gaussian import monte_carlo_kl
from scratchvae.likelihoods import LIKELIHOODS
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.training.nonfinite.trace import StepTrace, labels_of

ROOT = Path(__file__).resolve().parents[3]
TITLES = dict(
    re.findall(r"^\*\*\((E\d+)\)\*\* (.+)\.$", (ROOT / "docs/derivations.md").read_text(), re.M)
)
IMAGE_LAYERS = {
    "encoder": ("reshape 3 4 1", "conv 5 3", "sigmoid", "conv 4 2 2", "tanh", "flatten"),
    "decoder": ("dense 24", "relu", "reshape 3 4 2", "conv-transpose 3 3", "tanh", "conv 1 3"),
}
MODELS: dict[str, dict[str, Any]] = {
    **{f"likelihood {name}": {"likelihood": name, "max_level": 3} for name in LIKELIHOODS},
    **{f"estimator {name}": {"estimator": name, "samples": 3} for name in ESTIMATORS},
    "free bits": {"free_bits": 0.1},
    "images": IMAGE_LAYERS | {"samples": 2},
    "log σ": {"head": "logstd", "activation": "tanh"},
    "momentum, clipped": {"optimizer": "sgd", "clip": 0.1},
    "rmsprop": {"optimizer": "rmsprop"},
    "adagrad": {"optimizer": "adagrad"},
}


def bound_of(config: TrainConfig, rows: int = 5) -> Any:
    """A model on its buffers, with images and noise; its parameters and gradients."""
    bk, vae = get_backend("cpu", config.dtype), config.make_vae(PIXELS)
    params, grads = vae.initial_parameters(bk, 0), FlatBuffer(bk, vae.layout)
    bound = vae.bind(Workspace(bk, rows), params, grads)
    rng = np.random.default_rng(0)
    bk.load(rng.integers(0, 4, bound.x.shape) / 3, bound.x)
    bk.load(rng.standard_normal(bound.eps.shape), bound.eps)
    return bound, params, grads


def traced(config: TrainConfig) -> tuple[StepTrace, FlatBuffer]:
    bound, params, grads = bound_of(config)
    trace = StepTrace(bound.bk)
    trace.inputs(bound, params)
    trace.gradient(bound, 1 / 5, config.beta)
    optimizer = config.make_optimizer().bind(bound.bk, params, grads)
    kept = FlatBuffer(bound.bk, grads.layout)
    kept.flat[...] = grads.flat
    trace.update(optimizer, params, grads, 1)
    return trace, kept


@pytest.mark.parametrize("model", MODELS)
def test_a_traced_step_has_the_gradient_of_any_other_to_the_bit(model: str) -> None:
    config = settings(**MODELS[model])
    bound, _, grads = bound_of(config)
    bound.loss_and_gradient(1 / 5, config.beta)
    trace, seen = traced(config)
    assert seen.flat.tobytes() == grads.flat.tobytes()
    assert trace.first_nonfinite is None
    assert trace.before == trace.records


@pytest.mark.parametrize("model", MODELS)
def test_every_array_has_a_name_of_its_own_and_an_equation_of_the_derivations(model: str) -> None:
    config = settings(**MODELS[model])
    trace, grads = traced(config)
    names = [s.name for s in trace.records]
    assert len(set(names)) == len(names)
    assert {f"the gradient of {name}" for name in grads} <= set(names)
    unlabelled = {s.name for s in trace.records if not s.equations}
    assert unlabelled == {"the images", "the noise eps", "the sum of the losses", *grads}
    assert {label for s in trace.records for label in s.equations} <= set(TITLES)


def labels(model: str) -> dict[str, str]:
    trace, _ = traced(settings(**MODELS[model]))
    return {s.name: ", ".join(s.equations) for s in trace.records}


def test_the_labels_of_a_plain_model_are_those_of_the_derivations() -> None:
    found = {name: label for name, label in labels("likelihood bernoulli").items() if label}
    dense = {"0": "Dense(8)", "2": "Dense(4)"}
    assert found == {
        "the output of encoder.0 (Dense(8))": "E3",
        "the output of encoder.1 (ReLU())": "E10",
        "the output of encoder.2 (Dense(4))": "E3",
        "sigma": "E12",
        "z": "E12",
        "the output of decoder.0 (Dense(8))": "E3",
        "the output of decoder.1 (ReLU())": "E10",
        "the output of decoder.2 (Dense(12))": "E3",
        "the reconstruction term": "E18",
        "the gradient with respect to the logits": "E19",
        "the KL divergence": "E16",
        "the objective": "E2, E16",
        "the gradient at the input of decoder.2 (Dense(12))": "E4",
        "the gradient at the input of decoder.1 (ReLU())": "E11",
        "the gradient at the input of decoder.0 (Dense(8))": "E4",
        "the gradient with respect to mu and logvar": "E13, E17",
        "the gradient at the input of encoder.2 (Dense(4))": "E4",
        "the gradient at the input of encoder.1 (ReLU())": "E11",
        **{f"the gradient of {part}.{i}.{p}": "E5"
           for part in ("encoder", "decoder") for i in dense for p in "Wb"},
        **{f"{part}.{i}.{p}{which} after the update": "E24"
           for part in ("encoder", "decoder") for i in dense for p in "Wb"
           for which in ("", ", the optimizer's m,", ", the optimizer's v,")},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("model", "name", "label", "title"),
    [
        ("likelihood gaussian", "the reconstruction term", "E21", "Gaussian"),
        ("likelihood gaussian", "the gradient with respect to the logits", "E22", "Gaussian"),
        ("likelihood gaussian-learned", "the gradient of likelihood.logvar", "E23", "variance"),
        ("likelihood categorical", "the reconstruction term", "E56", "ategorical"),
        ("likelihood categorical", "the gradient with respect to the logits", "E57", "ategorical"),
        ("estimator monte-carlo", "the KL divergence", "E45", "Monte Carlo"),
        ("estimator iwae", "the objective", "E50", "mportance"),
        ("estimator iwae", "the weights of the samples", "E50", "mportance"),
        ("estimator iwae", "the gradient with respect to the samples' costs", "E51", "mportance"),
        ("estimator stl", "the gradient with respect to mu and logvar", "E52", "tick"),
        ("estimator dreg", "the gradient with respect to mu and logvar", "E53", "oubly"),
        ("images", "the output of encoder.1 (Conv2D(5, 3×3, stride 1×1, same))", "E35", "onvol"),
        ("momentum, clipped", "the clipped gradient of encoder.0.W", "E44", "lipping"),
        ("momentum, clipped", "encoder.0.W after the update", "E42", "omentum"),
    ],
)
def test_the_label_of_an_array_is_that_of_the_equation_by_its_title(
    model: str, name: str, label: str, title: str
) -> None:
    assert labels(model)[name] == label
    assert title in TITLES[label], TITLES[label]


KL_FUNCTIONS = {("E16",): kl_per_unit, ("E45",): monte_carlo_kl}


@pytest.mark.parametrize("name", [*ESTIMATORS, "free bits"])
def test_the_divergence_is_written_by_the_function_whose_label_it_gets(name: str) -> None:
    config = settings(**MODELS.get(f"estimator {name}", MODELS["free bits"]))
    bound, _, _ = bound_of(config)
    called = []
    sys.setprofile(lambda frame, event, _: called.append(frame.f_code))
    try:
        bound.loss(config.beta)
    finally:
        sys.setprofile(None)
    assert KL_FUNCTIONS[bound.estimator.kl_labels].__code__ in called


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_names_the_buffers_that_its_value_fills(name: str) -> None:
    bound, _, _ = bound_of(settings(estimator=name, samples=3))
    buffers = vars(bound.latent.work)
    for buffer in buffers.values():
        buffer.fill(np.nan)
    bound.loss(1.0)
    filled = {n for n, a in buffers.items() if np.isfinite(bound.bk.to_host(a)).all()}
    assert set(bound.estimator.value_writes) == filled & {"cost", "weights"}


def test_labels_are_read_from_docstrings_and_from_nothing_else() -> None:
    def function() -> None:
        """a = b  (E2, E16), which is not E7 but once more (E2)."""

    assert labels_of(function) == ("E2", "E16")
    assert labels_of(lambda: None) == ()


def test_an_infinity_that_the_next_layer_hides_in_place_is_seen() -> None:
    """A ReLU makes 0 of −∞: after the step, nothing of it is left in any array."""
    bound, params, _ = bound_of(settings())
    params["encoder.0.b"][3] = -np.inf
    trace = StepTrace(bound.bk)
    trace.gradient(bound, 1 / 5, 1.0)
    assert all(np.isfinite(s.y).all() for s in bound.encoder.layers)
    found = trace.first_nonfinite
    assert found is not None
    assert (found.name, found.place) == (
        "the output of encoder.0 (Dense(8))", "layer 1 of 3 of the encoder",
    )  # fmt: skip
    assert (found.bad, found.size, found.first, found.value) == (5, 40, (0, 3), -np.inf)
    assert found.largest > 0
    assert trace.before == trace.records[: len(trace.before)]


def test_a_moment_that_was_infinite_before_is_not_what_an_update_made() -> None:
    config = settings()
    bound, params, grads = bound_of(config)
    optimizer = config.make_optimizer().bind(bound.bk, params, grads)
    optimizer.state["v"]["encoder.0.W"][0, 0] = np.inf
    grads["decoder.0.W"][1, 2] = 1e30  # its square overflows, the parameter does not
    trace = StepTrace(bound.bk)
    trace.update(optimizer, params, grads, 1)
    assert trace.first_nonfinite is not None
    assert trace.first_nonfinite.name == "decoder.0.W, the optimizer's v, after the update"
    assert trace.first_nonfinite.first == (1, 2)


def test_the_update_of_several_workers_is_clipped_by_the_norm_of_all() -> None:
    config = settings(optimizer="sgd", clip=0.01)
    bound, params, grads = bound_of(config)
    grads.flat[...] = 1.0
    half = grads.flat.size // 2
    parts = (slice(0, half), slice(half, None))
    optimizer = config.make_optimizer().bind(bound.bk, params, grads, parts)
    StepTrace(bound.bk).update(optimizer, params, grads, 1)
    assert np.linalg.norm(grads.flat) == pytest.approx(0.01, rel=1e-5)
