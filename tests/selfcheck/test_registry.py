"""The registry: every operation has an entry, every entry all its checks, and they bite."""

import json

import numpy as np
import pytest

from scratchvae.errors import ConfigError
from scratchvae.gradcheck.subjects import estimator_subject, layer_subject
from scratchvae.latent import LogStdHead, ScoreFunction, gaussian
from scratchvae.layers import Elementwise, Layer, Tanh, activations
from scratchvae.likelihoods import Likelihood, bernoulli
from scratchvae.optim import OPTIMIZERS
from scratchvae.selfcheck import (
    ENTRIES,
    OPTIMIZER_ENTRIES,
    Entry,
    coverage,
    run_entry,
    run_registry,
    uncovered,
)

MIN_CHECKS = 15  # of every operation: those that need nothing but a forward and a backward
MIN_OPTIMIZER_CHECKS = 11
OPTIMIZER_NAMES = {entry.name for entry in OPTIMIZER_ENTRIES}


@pytest.fixture(scope="module")
def results():
    return run_registry()


def test_every_check_of_every_operation_passes(results):
    assert not results.failed, results.table()


def test_every_operation_gets_its_checks(results):
    for row in results.rows:
        wanted = MIN_OPTIMIZER_CHECKS if row.name in OPTIMIZER_NAMES else MIN_CHECKS
        assert len({o.check for o in row.outcomes}) == len(row.outcomes) >= wanted, row.name
    assert [row.name for row in results.rows] == [
        *(entry.name for entry in ENTRIES), *(entry.name for entry in OPTIMIZER_ENTRIES),
    ]  # fmt: skip


def test_the_worst_gradient_is_within_a_tenth_of_the_gate(results):
    assert results.worst.gradient <= 1e-14, results.table()


def test_the_table_and_the_json_say_the_same(results):
    data = json.loads(results.to_json())
    assert data["checks"] == sum(len(row["outcomes"]) for row in data["rows"]) == results.count
    assert data["failed"] is False
    table = results.table().splitlines()
    assert len(table) == 2 + len(data["rows"])
    for line, row in zip(table[1:], data["rows"], strict=False):
        assert line.startswith(row["name"])
        assert line.endswith("right")
    assert f"{results.count} checks, 0 failed" in table[-1]


@pytest.mark.parametrize("method", ["central", "five_point", "richardson"])
def test_every_method_agrees(method, results):
    found = run_registry(method)
    assert not found.failed, found.table()
    assert found.count == results.count


def test_some_operations_only():
    assert [row.name for row in run_registry(only="ReLU").rows] == ["ReLU", "ELBO relu Bernoulli"]
    assert [row.name for row in run_registry(only=["adagrad", "t?nh"]).rows] == ["Tanh", "Adagrad"]
    with pytest.raises(ConfigError, match="no operation is called 'attention'; there are Dense,"):
        run_registry(only=["adam", "attention"])
    with pytest.raises(ConfigError, match="complex, central"):
        run_registry("forward")


def test_nothing_is_without_an_entry():
    assert uncovered() == []


def test_a_new_layer_without_an_entry_is_noticed():
    class Softsign(Elementwise):
        def forward(self, bk, p, x, y):
            y[...] = x / (1 + abs(x))

    Softsign.__module__ = "scratchvae.layers.softsign"
    try:
        assert any(name.endswith("Softsign") for name in uncovered())
    finally:
        Softsign.__module__ = __name__
    assert uncovered() == []


def test_a_new_likelihood_function_or_optimizer_without_an_entry_is_noticed(monkeypatch):
    class Poisson(Likelihood):
        def describe(self):
            return "Poisson"

    def halved(bk, kl):
        kl *= 0.5

    def clamped(bk, x, y):
        y[...] = bk.xp.clip(x, 0, 1)

    def squared(bk, a, x, out):
        out[...] = (a - x) ** 2

    monkeypatch.setattr(Poisson, "__module__", "scratchvae.likelihoods.poisson")
    monkeypatch.setattr(halved, "__module__", "scratchvae.latent.gaussian")
    monkeypatch.setattr(gaussian, "halved", halved, raising=False)
    for function, module in ((clamped, activations), (squared, bernoulli)):
        monkeypatch.setattr(function, "__module__", module.__name__)
        monkeypatch.setattr(module, function.__name__, function, raising=False)
    monkeypatch.setitem(OPTIMIZERS, "lion", object)
    assert [name.split(".")[-1] for name in uncovered()] == [
        "Poisson", "clamped", "halved", "squared", "lion",
    ]  # fmt: skip


def failures(layer, name="layer"):
    """The checks that a wrong layer fails."""

    def make(rows, seed):
        x = np.random.default_rng(seed).normal(size=(rows, 4))
        return layer_subject(layer(), x, seed=seed, name=name)

    def inplace(rows, seed):
        x = np.random.default_rng(seed).normal(size=(rows, 4))
        return layer_subject(layer(), x, seed=seed, name=name, inplace=True)

    entry = Entry(name, (layer,), make, inplace if layer.inplace else None)
    return {o.check for o in run_entry(entry).failures}


def test_the_right_layer_fails_nothing():
    assert failures(Tanh) == set()


def wrong_tanh(grad_input, forward=Tanh.forward, **attributes):
    return type("Wrong", (Tanh,), {"grad_input": grad_input, "forward": forward, **attributes})


def test_a_wrong_gradient_fails_the_gradient_checks():
    def grad_input(self, bk, p, x, y, dy, dx, tmp):
        dx[...] = dy * (1.0 - y)

    assert {"gradient", "differences", "dot product", "batch of one"} <= failures(
        wrong_tanh(grad_input)
    )


def test_a_chain_that_reads_dx_fails():
    def grad_input(self, bk, p, x, y, dy, dx, tmp):
        dx += dy * (1.0 - y * y)

    assert {"no stale buffer", "repeatable"} <= failures(wrong_tanh(grad_input))


def test_a_chain_that_overwrites_dy_fails():
    def grad_input(self, bk, p, x, y, dy, dx, tmp):
        dy *= 1.0 - y * y
        dx[...] = dy

    assert {"inputs unchanged", "read-only inputs"} <= failures(wrong_tanh(grad_input))


def test_a_chain_that_reads_dy_after_writing_dx_fails_in_place():
    def grad_input(self, bk, p, x, y, dy, dx, tmp):
        dx[...] = -y * y
        dx += 1.0
        dx *= dy

    assert failures(wrong_tanh(grad_input)) == {"in place"}


def test_a_chain_that_mixes_images_fails():
    def grad_input(self, bk, p, x, y, dy, dx, tmp):
        dx[...] = dy * (1.0 - y * y)
        dx[0] *= 2.0

    assert {"gradient", "batch permutation"} <= failures(wrong_tanh(grad_input))


def test_a_chain_that_is_not_linear_fails():
    def grad_input(self, bk, p, x, y, dy, dx, tmp):
        dx[...] = dy * (1.0 - y * y) + 1e-3

    assert {"linear in the cotangent", "zero cotangent"} <= failures(wrong_tanh(grad_input))


def test_a_chain_with_host_arrays_fails_on_the_strict_device():
    host = np.ones(4)

    def grad_input(self, bk, p, x, y, dy, dx, tmp):
        dx[...] = dy * (1.0 - y * y) * host

    assert "strict device" in failures(wrong_tanh(grad_input))


def test_half_precision_inside_fails_against_float64():
    def grad_input(self, bk, p, x, y, dy, dx, tmp):
        kept = y.astype(np.float16) if y.dtype == np.float32 else y
        dx[...] = dy * (1.0 - kept * kept)

    class Loose(Tanh):
        pass

    Loose.grad_input = grad_input
    assert failures(Loose) == {"float32 against float64"}


def test_all_entries_have_sizes_that_differ():
    for entry in ENTRIES:
        sizes = list(entry.make(6, 0).sizes.values())
        if isinstance(entry.covers[0], type) and issubclass(
            entry.covers[0], Elementwise | LogStdHead
        ):
            del sizes[-1]  # what goes in comes out
        if entry.name != "Reshape":
            assert len(set(sizes)) == len(sizes), (entry.name, sizes)


def test_abstract_layers_need_no_entry():
    names = [name for name, _ in coverage.operations()]
    assert "Elementwise" not in names
    assert "GaussianLikelihood" not in names
    assert Layer not in [thing for _, thing in coverage.operations()]


@pytest.mark.long
def test_the_thorough_registry_passes():
    results = run_registry(thorough=True)
    assert not results.failed, results.table()
    assert results.count > 7 * MIN_CHECKS * len(ENTRIES)


def test_an_estimator_that_follows_no_known_function_says_what_to_add():
    class Mine(ScoreFunction):
        pass

    with pytest.raises(ConfigError, match="add the function to SURROGATES"):
        estimator_subject(Mine(), np.zeros((2, 4)), np.zeros((2, 3, 2)))
