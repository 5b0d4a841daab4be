"""The classes of docs/extending.md, from a user's module, named in settings, on every device."""

import re
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from scratchvae import TrainConfig, get_backend, load_dataset, train
from scratchvae.cli.main import main
from scratchvae.errors import MissingMethodError
from scratchvae.latent import Estimator
from scratchvae.likelihoods import Likelihood

PAGE = (Path(__file__).resolve().parents[2] / "docs/extending.md").read_text(encoding="utf-8")
EXAMPLES = {
    section.split("\n")[0]: re.findall(r"^(?:>>>|\.\.\.) (.*)$", section, re.MULTILINE)
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)
    if section[:1].isdigit()
}
BEFORE = re.findall(r"^(?:>>>|\.\.\.) (.*)$", PAGE.split("## 1.")[0], re.MULTILINE)
SETTINGS = {
    "LeakyReLU": "activation",
    "Laplace": "likelihood",
    "Capacity": "estimator",
    "Lion": "optimizer",
}
SLIPS = """
from scratchvae.latent import AnalyticKL, Estimator
from scratchvae.layers import Elementwise
from scratchvae.likelihoods import Bernoulli, Likelihood
from scratchvae.optim import Optimizer

class NoForward(Elementwise): pass

class Returns(Elementwise):
    def forward(self, bk, p, x, y):
        return 2.0 * x

class ReturnsGradient(Elementwise):
    def forward(self, bk, p, x, y):
        y[...] = x
    def grad_input(self, bk, p, x, y, dy, dx, tmp):
        return dy

class Typo(Elementwise):
    def forward(self, bk, p, x, y):
        y[...] = bk.xp.leaky(x)

class Slope(Elementwise):
    def __init__(self, slope): self.slope = slope

class NoValue(Likelihood): pass

class ReturnsBoth(Bernoulli):
    def nll_and_grad(self, bk, p, logits, x, nll, dlogits, work):
        return nll, dlogits

class Scale(Likelihood):
    def __init__(self, b): self.b = b

class NoBound(Estimator): pass

class ReturnsBound(AnalyticKL):
    def value(self, latent, beta):
        return latent.nll.mean(axis=1)

class ReturnsHead(AnalyticKL):
    def grad_head(self, latent, weight, beta):
        return latent.dhead

class NoUpdate(Optimizer): pass

class NoClip(Optimizer):
    def __init__(self, lr): super().__init__(lr)

class NoSuper(Optimizer):
    def __init__(self, lr, clip): self.rate = lr

class Short(Optimizer):
    def update(self, p, g): p -= g
"""


def classes():
    """The source of the page's classes, with all imports, as a person would copy it."""
    lines = [line for example in (BEFORE, *EXAMPLES.values()) for line in example]
    imports = [line for line in lines if re.match(r"(from|import) ", line)]
    bodies = []
    for name in SETTINGS:
        start = next(i for i, line in enumerate(lines) if line.startswith(f"class {name}("))
        stop = next(i for i in range(start + 1, len(lines)) if not lines[i].startswith(" "))
        bodies.append("\n".join(lines[start:stop]))
    return "\n".join(imports) + "\n\n" + "\n\n".join(bodies) + "\n"


@pytest.fixture
def modules(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(classes(), encoding="utf-8")
    (tmp_path / "slips.py").write_text(SLIPS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    yield
    for name in ("mine", "slips"):
        sys.modules.pop(name, None)


@pytest.fixture
def laplace(modules, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return import_module("mine").Laplace


def command(*arguments):
    return main(["train", "--device", "cpu", "--hidden", "5", "--epochs", "1", "--workers", "1",
                 "--no-figures", "--quiet", "--out", "run", *arguments])  # fmt: skip


def test_the_page_has_five_examples_of_at_most_thirty_lines():
    assert len(EXAMPLES) == 5
    for title, lines in EXAMPLES.items():
        aside = title.startswith("2.")  # where a gradient check cannot see is said at length
        assert len(lines) <= (45 if aside else 30), title


@pytest.mark.parametrize("name", SETTINGS)
def test_a_class_of_the_page_trains_on_the_command_line(name, modules):
    assert command(f"--{SETTINGS[name]}", f"mine:{name}") == 0


@pytest.mark.parametrize("name", SETTINGS)
def test_a_class_of_the_page_gives_the_same_numbers_on_a_device_that_records_steps(name, modules):
    config = TrainConfig(
        hidden=(8,),
        subset="first:100",
        epochs=2,
        dtype="float64",
        **{SETTINGS[name]: f"mine:{name}"},
    )
    host, device = (
        train(config, load_dataset("digits"), backend=get_backend(name, "float64")).metrics[-1]
        for name in ("cpu", "strict")
    )
    assert device["test_loss"] == pytest.approx(host["test_loss"], rel=1e-12)


def test_the_laplace_of_the_page_is_scipys(laplace, cpu64):
    x, a, nll = np.array([[[0.3, -1.0]]]), np.array([[[0.1, 2.0]]]), np.empty((1, 1, 2))
    work = type("Work", (), {"tmp": np.empty((1, 1, 2))})
    laplace().pixel_nll(cpu64, None, a, x, nll, work)
    np.testing.assert_allclose(nll, -stats.laplace.logpdf(x, a, 0.2), rtol=1e-14)
    u, out = np.array([0.01, 0.3, 0.9]), np.empty(3)
    laplace().sample(cpu64, None, np.full(3, 0.5), u, out)
    np.testing.assert_allclose(out, stats.laplace.ppf(u, 0.5, 0.2), rtol=1e-14)


@pytest.mark.parametrize(
    ("setting", "name", "sentence"),
    [
        ("activation", "NoForward", "NoForward needs forward(self, bk, p, x, y)"),
        ("activation", "Returns", "Returns.forward returns a value, which is lost"),
        ("activation", "ReturnsGradient", "ReturnsGradient.grad_input returns a value"),
        ("activation", "Typo", "(in Typo.forward, "),
        ("activation", "Slope", "settings make it without arguments, but Slope.__init__() missing"),
        ("likelihood", "NoValue", "NoValue needs nll_and_grad(self, bk, p, logits, x, nll"),
        ("likelihood", "ReturnsBoth", "ReturnsBoth.nll_and_grad returns a value"),
        ("likelihood", "Scale", "settings make it without arguments, but Scale.__init__() missing"),
        ("estimator", "NoBound", "NoBound needs value(self, latent, beta)"),
        ("estimator", "ReturnsBound", "ReturnsBound.value returns a value, which is lost"),
        ("estimator", "ReturnsHead", "ReturnsHead.grad_head returns a value, which is lost"),
        ("optimizer", "NoUpdate", "NoUpdate has no update(self, bk, p, g, moments, lr, t)"),
        ("optimizer", "NoClip", "settings make it with lr and clip, but NoClip.__init__() got"),
        ("optimizer", "NoSuper", "NoSuper.__init__ must call super().__init__(lr, clip)"),
        ("optimizer", "Short", "(while slips:Short was in use)"),
    ],
)
def test_a_slip_in_a_class_of_ones_own_is_answered_on_the_command_line(
    setting, name, sentence, modules, capsys
):
    assert command(f"--{setting}", f"slips:{name}") == 2
    (line,) = [text for text in capsys.readouterr().err.splitlines() if sentence in text]
    assert line.startswith("scratchvae: ")
    assert "internal error" not in line


@pytest.mark.parametrize(
    ("name", "meant"), [("mine.Lion", "'mine:Lion'"), ("mine.py:Lion", "mine:Lion")]
)
def test_a_name_spelled_otherwise_is_put_right(name, meant, modules, capsys):
    assert command("--optimizer", name) == 2
    assert f"Did you mean {meant}?" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["pixel_nll", "mean", "sample"])
def test_a_likelihood_names_the_method_that_it_lacks(missing, laplace):
    unfinished = type("Unfinished", (laplace,), {missing: getattr(Likelihood, missing)})()
    method = getattr(unfinished, missing)
    with pytest.raises(MissingMethodError, match=rf"^Unfinished needs {missing}\(self, bk, "):
        method(*[None] * (method.__code__.co_argcount - 1))
    assert Likelihood().describe() == "Likelihood"


@pytest.mark.parametrize("missing", ["value", "grad_head"])
def test_an_estimator_names_the_method_that_it_lacks(missing):
    unfinished = type("Unfinished", (Estimator,), {})()
    method = getattr(unfinished, missing)
    with pytest.raises(MissingMethodError, match=rf"^Unfinished .*needs {missing}\(self, latent"):
        method(*[None] * (method.__code__.co_argcount - 1))
    assert unfinished.describe(1) == "Unfinished, 1 sample per image"
