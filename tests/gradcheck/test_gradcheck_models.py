"""Whole models and layers at drawn points, by complex step: every element, every configuration."""

import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from scratchvae.backend import get_backend
from scratchvae.gradcheck import METHODS, UncheckableError, check_subject, gradcheck
from scratchvae.gradcheck.compare import compare
from scratchvae.gradcheck.configurations import Configuration
from scratchvae.gradcheck.methods import Plan
from scratchvae.gradcheck.points import point, unit_interval
from scratchvae.gradcheck.strategies import (
    arrays,
    configurations,
    layer_subjects,
    models,
    sizes,
)
from scratchvae.gradcheck.subjects import model_subject
from scratchvae.latent import ScoreFunction
from scratchvae.layers import Dense, Sequential, Sigmoid, Tanh
from scratchvae.likelihoods import Bernoulli, Gaussian, LearnedGaussian
from scratchvae.models import VAE


@given(configurations())
def test_e2_the_gradient_of_every_model_is_exact_to_1e_13(configuration):
    note(f"to repeat: {configuration.command()}")
    report = configuration.check()
    assert report.method == "complex"
    assert all(f.tolerance <= 1e-13 for f in report.findings)


@settings(max_examples=20)
@given(configurations(largest=40, depth=3, scales=(0.5, 1.0)))
def test_e2_the_gradient_of_larger_models_is_exact_along_directions(configuration):
    note(f"to repeat: {configuration.command()}")
    assert configuration.check(directions=2).ok


@given(layer_subjects())
def test_e4_e5_e7_e9_e11_e15_every_layer_at_drawn_inputs(subject):
    report = check_subject(subject)
    assert report.ok, report.text()


@settings(max_examples=25)
@given(layer_subjects(magnitude=40.0))
def test_e7_e9_saturated_layers_are_right_in_absolute_terms(subject):
    report = check_subject(subject, "complex")
    assert report.ok, report.text()


@settings(max_examples=30)
@given(st.data())
def test_e19_e22_e23_every_likelihood_at_drawn_logits(data):
    likelihood = data.draw(
        st.sampled_from([Bernoulli(), Gaussian(0.3), LearnedGaussian(True), LearnedGaussian()])
    )
    rows, samples, pixels = data.draw(sizes(3, 4))
    logits = data.draw(arrays((rows, samples, pixels), 20.0))
    x = unit_interval((rows, 1, pixels), data.draw(st.integers(0, 99)), "x")
    assert gradcheck(likelihood, logits, x).ok


@given(models(largest=4, depth=1))
def test_sizes_of_drawn_models_all_differ(subject):
    vae = subject.vae
    units = [layer.units for layer in vae.encoder.layers if isinstance(layer, Dense)][:-1]
    units += [layer.units for layer in vae.decoder.layers if isinstance(layer, Dense)][:-1]
    all_sizes = [vae.pixels, vae.latent_dim, *units]
    assert len(set(all_sizes)) == len(all_sizes)


@given(arrays())
def test_drawn_arrays_are_float64_of_different_sizes(a):
    assert a.dtype == np.float64
    assert len(set(a.shape)) == a.ndim <= 3
    assert np.all(np.abs(a) <= 3)


CONFIGURATION = Configuration(
    pixels=5, encoder=((3, "tanh"),), latent=2, decoder=(), likelihood="learned", rows=1, seed=3
)


def test_a_failure_prints_a_command_that_repeats_it():
    command = shlex.split(CONFIGURATION.command())
    assert command[:2] == ["python", "-c"]
    done = subprocess.run(
        [sys.executable, *command[1:]], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("the gradient of VAE is right: complex, every element")


def test_e1_e2_every_shipped_model_is_exact_to_1e_14_along_every_direction():
    shipped = {
        "gluon": VAE.mlp(784, (400, 400), latent_dim=2),
        "pytorch": VAE.mlp(784, (512, 512), latent_dim=16, init="torch"),
        "tensorflow1": VAE.mlp(
            784,
            (500, 500),
            latent_dim=20,
            activation="sigmoid",
            likelihood=Gaussian(0.5),
            init="truncated-normal",
        ),
        "flux": VAE.mlp(784, (500,), latent_dim=2, activation="tanh", head="logstd"),
    }
    for name, vae in shipped.items():
        subject = model_subject(vae, rows=2, name=name)
        w = subject.cotangent()
        gradient = subject.bind(get_backend("cpu", "float64")).gradient(subject.args, w)
        report = compare(subject, gradient, w, Plan(METHODS["complex"], 1e-14, directions=1))
        assert report.ok, report.text()


def test_layers_likelihoods_and_models_are_checked_in_one_line():
    x = point((3, 5), 0, "x")
    assert gradcheck(Dense(4), x).ok
    assert gradcheck(Sequential(Dense(4), Tanh(), Dense(2)), x, directions=2).ok
    assert gradcheck(Bernoulli(), point((3, 2, 5), 0, "a"), unit_interval((3, 1, 5), 0, "x")).ok
    report = gradcheck(VAE.mlp(6, (5, 4), latent_dim=2))
    assert json.loads(report.to_json())["subject"] == "VAE"
    assert [f.argument for f in report.findings][:2] == ["encoder.0.W", "encoder.0.b"]


def test_parameters_may_be_given():
    x, W, b = point((3, 5), 0, "x"), point((5, 4), 0, "W"), point((4,), 0, "b")
    assert gradcheck(Dense(4), x, parameters={"W": W, "b": b}).ok
    with pytest.raises(ValueError, match="W has shape"):
        gradcheck(Dense(4), x, parameters={"W": W.T, "b": b})
    with pytest.raises(ValueError, match="has the parameters"):
        gradcheck(Dense(4), x, parameters={"W": W})


def test_an_estimator_without_a_derivative_is_refused_with_a_reason():
    with pytest.raises(UncheckableError, match="'score' is not the derivative of its value"):
        gradcheck(VAE.mlp(6, (5,), latent_dim=2, estimator=ScoreFunction()))


def derivative(layer, x):
    """The derivative from outputs, in float64, and the true one from 1/(cosh x)² in longdouble."""
    subject_x, y, dx, tmp = x.copy(), np.empty_like(x), np.empty_like(x), np.empty_like(x)
    bk = get_backend("cpu", "float64")
    layer.forward(bk, None, subject_x, y)
    layer.grad_input(bk, None, subject_x, y, np.ones_like(x), dx, tmp)
    long = x.astype(np.longdouble)
    if isinstance(layer, Tanh):
        return dx, (1 / np.cosh(long) ** 2).astype(np.longdouble)
    return dx, np.exp(-long) / (1 + np.exp(-long)) ** 2


@pytest.mark.parametrize(("layer", "relative_up_to"), [(Tanh(), 5.0), (Sigmoid(), 9.0)])
def test_e7_e9_derivatives_from_outputs_over_the_whole_range(layer, relative_up_to):
    x = np.linspace(-30, 30, 60_001)[:, None]
    found, exact = derivative(layer, x)
    error = np.abs(found - exact)
    assert np.max(error) <= 4 * np.finfo(np.float64).eps
    inside = np.abs(x) <= relative_up_to
    assert np.max(error[inside] / exact[inside]) <= 1e-12
