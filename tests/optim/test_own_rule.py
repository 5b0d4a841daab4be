"""A rule of one's own: plain code in one class, which trains and is checked like any other."""

import numpy as np
import pytest

from scratchvae import TrainConfig, get_backend, load_dataset, train
from scratchvae.errors import ConfigError
from scratchvae.memory import FlatBuffer, Layout
from scratchvae.optim import OPTIMIZERS, Adam, Optimizer
from scratchvae.selfcheck.optimizers import OptimizerEntry, State, optimizer_checks


class Lion(Optimizer):
    """Chen et al. 2023, algorithm 2, without weight decay."""

    name = "lion"
    moments = ("m",)

    def __init__(self, lr=1e-3, beta1=0.9, beta2=0.99, clip=None):
        super().__init__(lr, clip)
        self.beta1, self.beta2 = beta1, beta2

    def update(self, bk, p, g, moments, lr, t):
        (m,) = moments
        p -= lr * bk.xp.sign(self.beta1 * m + (1 - self.beta1) * g)
        m *= self.beta2
        m += (1 - self.beta2) * g


def lion_formula(rule, state, g, t):
    (m,) = state.moments
    p = state.p - rule.lr * np.sign(rule.beta1 * m + (1 - rule.beta1) * g)
    return State(p, (rule.beta2 * m + (1 - rule.beta2) * g,))


ENTRY = OptimizerEntry("Lion", Lion, lambda: Lion(0.01), lion_formula, flushes=False)


def bound(rule, bk):
    layout = Layout({"W": (3,)})
    params, grads = FlatBuffer(bk, layout), FlatBuffer(bk, layout)
    grads.load({"W": np.array([1.0, -2.0, 3.0])})
    return params, rule.bind(bk, params, grads)


@pytest.mark.parametrize("check", optimizer_checks(ENTRY))
def test_a_rule_in_plain_code_passes_the_checks_of_every_optimizer(check):
    outcome = optimizer_checks(ENTRY)[check](ENTRY)
    assert outcome.ok, outcome


def test_the_checks_notice_a_wrong_rule():
    class Wrong(Lion):
        def update(self, bk, p, g, moments, lr, t):
            super().update(bk, p, -g, moments, lr, t)

    entry = OptimizerEntry("Wrong", Wrong, lambda: Wrong(0.01), lion_formula, flushes=False)
    failed = {name for name, check in optimizer_checks(entry).items() if not check(entry).ok}
    assert failed >= {"equation", "descends"}


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_one_line_in_the_table_and_it_trains_on_every_device(device, monkeypatch):
    monkeypatch.setitem(OPTIMIZERS, "lion", Lion)
    config = TrainConfig(
        optimizer="lion", lr="warmup:5:0.01", clip=0.5, subset="first:200", hidden=(8,),
        latent_dim=2, batch_size=30, epochs=3, dtype="float64",
    )  # fmt: skip
    result = train(config, load_dataset("digits"), backend=get_backend(device, "float64"))
    losses = [row["train_loss"] for row in result.metrics]
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_what_overrides_a_rule_is_what_runs_and_what_inherits_one_keeps_its_fast_form(device):
    class Sign(Adam):
        def update(self, bk, p, g, moments, lr, t):
            p -= lr * bk.xp.sign(g)

    class Renamed(Adam):
        name = "renamed"

    bk = get_backend(device, "float64")
    params, sign = bound(Sign(lr=0.5), bk)
    sign.step(1)
    np.testing.assert_array_equal(bk.to_host(params["W"]), [-0.5, 0.5, -0.5])
    assert not sign.recordable
    assert bound(Renamed(), bk)[1].recordable


def test_the_slips_of_a_first_rule_are_answered_with_what_to_write(cpu64):
    class Returns(Optimizer):
        def update(self, bk, p, g, moments, lr, t):
            return p - lr * g

    class Forgets(Optimizer):
        def step(self, p, g):
            p -= g

    with pytest.raises(ConfigError, match=r"Returns.update returned something, .*: p -= \.\.\."):
        bound(Returns(0.1), cpu64)[1].step(1)
    with pytest.raises(NotImplementedError, match=r"Forgets has no update\(self, bk, p, g, mom"):
        bound(Forgets(0.1), cpu64)[1].step(1)
