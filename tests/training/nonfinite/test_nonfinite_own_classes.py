"""A layer, a likelihood and an estimator of the user's own are traced like the package's."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from training_helpers import PIXELS, settings, tiny

from scratchvae.backend import get_backend
from scratchvae.errors import NonFiniteError
from scratchvae.latent import Estimator, kl_grad, kl_per_unit, reparameterize_grad
from scratchvae.layers import Constant, Dense, Elementwise, Sequential
from scratchvae.likelihoods import Likelihood
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models import VAE
from scratchvae.runs import RunFolder
from scratchvae.training import train
from scratchvae.training.nonfinite.replay import FILE
from scratchvae.training.nonfinite.report import run_again
from scratchvae.training.nonfinite.trace import StepTrace

ROWS = 5


class Softsign(Elementwise):
    """y = x / (1 + |x|), with parameters named as in no layer of the package."""

    def forward(self, backend, parameters, inputs, outputs):
        outputs[...] = inputs / (1 + backend.xp.abs(inputs))

    def grad_input(self, backend, parameters, inputs, outputs, upstream, downstream, scratch):
        downstream[...] = upstream * (1 - backend.xp.abs(outputs)) ** 2


class Scaled(Likelihood):
    """−log p = Σ_d ½ (x_d − a_d)² e^s + const., with one parameter s and no docstrings at all."""

    def parameters(self, *pixels):
        return {"s": ((1,), Constant(0.0))}

    def nll(self, bk, p, logits, x, out, work):
        out[...] = bk.xp.sum(0.5 * (x - logits) ** 2 * bk.xp.exp(p.s) - 0.5 * p.s, axis=-1)

    def nll_and_grad(self, bk, p, a, x, value, da, buffers):
        self.nll(bk, p, a, x, value, buffers)
        da[...] = (a - x) * bk.xp.exp(p.s)
        buffers.terms[...] = 0.5 * (x - a) ** 2 * bk.xp.exp(p.s) - 0.5

    def grad_params(self, bk, p, w, g, buffers):
        g.s[...] = bk.xp.sum(w * buffers.terms)


class Halved(Estimator):
    """Half the KL; neither its method's docstrings nor its class say an equation."""

    name = "halved"

    def value(self, node, beta):
        kl_per_unit(node.bk, node.head, node.std, node.kl, node.kl_tmp)
        node.kl *= 0.5
        node.objective[...] = node.nll.mean(axis=1) + beta * node.kl.sum(axis=1)

    def grad_head(self, node, weight, beta):
        reparameterize_grad(node.bk, node.std, node.eps, node.dz, node.dhead, node.tmp)
        kl_grad(node.bk, node.head, node.std, 0.5 * weight * beta, node.dhead, node.kl_tmp)


def own_vae() -> VAE:
    encoder, decoder = Sequential(Dense(7), Softsign(), Dense(4)), Sequential(Dense(PIXELS))
    return VAE(PIXELS, encoder, decoder, Scaled(), latent_dim=2, estimator=Halved())


def bound_of(vae: VAE, dtype: str = "float64") -> Any:
    bk = get_backend("cpu", dtype)
    params, grads = vae.initial_parameters(bk, 0), FlatBuffer(bk, vae.layout)
    bound, rng = vae.bind(Workspace(bk, ROWS), params, grads), np.random.default_rng(0)
    bk.load(rng.random(bound.x.shape), bound.x)
    bk.load(rng.standard_normal(bound.eps.shape), bound.eps)
    return bound, params, grads


def test_the_step_is_the_same_and_every_array_is_recorded() -> None:
    bound, _, grads = bound_of(own_vae())
    bound.loss_and_gradient(1 / ROWS)
    expected = grads.flat.copy()
    trace = StepTrace(bound.bk)
    trace.gradient(bound, 1 / ROWS, 1.0)
    np.testing.assert_array_equal(grads.flat, expected)
    records = {record.name: record for record in trace.records}
    assert trace.first_nonfinite is None
    assert records["the output of encoder.1 (Softsign())"].largest < 1
    assert records["the gradient of likelihood.s"].largest == abs(grads["likelihood.s"][0]) > 0
    assert records["the KL divergence"].largest == bound.kl.max() > 0
    own = ("encoder.1", "likelihood", "reconstruction", "logits", "KL", "objective", "mu and")
    assert not any(r.equations for name, r in records.items() if any(o in name for o in own))


@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        ("encoder.0.b", "the output of encoder.0 (Dense(7))"),
        ("encoder.2.b", "the output of encoder.2 (Dense(4))"),
        ("decoder.0.b", "the output of decoder.0 (Dense(12))"),
        ("likelihood.s", "the reconstruction term"),
    ],
)
def test_the_first_nan_is_found_whatever_the_parts_are(parameter: str, name: str) -> None:
    bound, params, _ = bound_of(own_vae())
    params[parameter][0] = np.nan
    trace = StepTrace(bound.bk)
    trace.gradient(bound, 1 / ROWS, 1.0)
    assert trace.first_nonfinite is not None
    assert trace.first_nonfinite.name == name


def test_a_training_of_ones_own_model_that_stops_is_diagnosed_with_that_model(tmp_path) -> None:
    config = settings(lr=1e200, dtype="float64", optimizer="sgd")
    run = RunFolder.create(tmp_path / "run", {"config": config.to_json()})
    with pytest.raises(NonFiniteError, match="first appeared in") as caught:
        train(config, tiny(), vae=own_vae(), run=run)
    found = run_again(caught.value.replay).first_nonfinite
    assert found is not None
    assert f"first appeared in {found.name}, at" in str(caught.value)
    assert "Softsign()" in run_again(caught.value.replay).text()
    assert not (run.path / FILE).exists()  # a file could not make the model again


OVERFLOW = """
import numpy as np
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset, Split
from scratchvae.errors import NonFiniteError
from scratchvae.training import train
from scratchvae.training.nonfinite.report import run_again
split = Split(np.full((8, 12), 0.5, np.float32), None, None)
try:
    train(TrainConfig(hidden=(8,), lr=1e30, batch_size=4), Dataset("half", split, split, (3, 4)))
except NonFiniteError as error:
    print(run_again(error.replay).text().splitlines()[1])
"""


def test_python_without_docstrings_finds_the_same_array_without_its_label() -> None:
    with_docstrings, without = (
        subprocess.run([sys.executable, *flags, "-c", OVERFLOW], capture_output=True, text=True)
        for flags in ([], ["-OO"])
    )
    assert (without.stderr, without.returncode) == ("", 0)
    assert "first not finite: the output of" in without.stdout
    assert with_docstrings.stdout == without.stdout.replace("\n", " (E3)\n")
