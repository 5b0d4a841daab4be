"""Models put together by hand, and classes of a user's own module: trained like any other."""

import json
import sys
import textwrap

import numpy as np
import pytest
from training_helpers import settings, tiny

from scratchvae import TrainConfig, train
from scratchvae.backend import get_backend
from scratchvae.cli.main import main
from scratchvae.data import load_dataset
from scratchvae.errors import ConfigError, DataError, NonFiniteError, RunError
from scratchvae.layers import Dense, Sequential, Tanh
from scratchvae.likelihoods import Bernoulli
from scratchvae.models import VAE
from scratchvae.optim import Adam, Optimizer
from scratchvae.runs import RunFolder
from scratchvae.training import prepared as prepared_module
from scratchvae.training.nonfinite.report import run_again

OWN = """
from scratchvae.layers.activations import Elementwise
from scratchvae.likelihoods import Bernoulli

class LeakyReLU(Elementwise):
    grad_input_reads_y = True
    def forward(self, bk, p, x, y):
        y[...] = bk.xp.where(x.real > 0, x, 0.1 * x)
    def grad_input(self, bk, p, x, y, dy, dx, tmp):
        dx[...] = bk.xp.where(y.real > 0, dy, 0.1 * dy)

class Twice(Bernoulli):
    def describe(self):
        return "Bernoulli of my own"
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_classes.py").write_text(textwrap.dedent(OWN))
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_classes"
    sys.modules.pop("own_classes", None)


@pytest.fixture
def cli_main(capsys):
    """The command line in this process: its exit code, and what it said on stderr."""

    def run(*argv):
        code = main([str(a) for a in argv])
        return code, capsys.readouterr().err

    return run


def by_hand(pixels=12):
    return VAE(
        pixels,
        Sequential(Dense(7), Tanh(), Dense(4)),
        Sequential(Dense(7), Tanh(), Dense(pixels)),
        Bernoulli(),
        latent_dim=2,
    )


def test_a_model_made_by_hand_trains_as_the_one_that_the_settings_describe():
    config = settings(hidden=(7,), activation="tanh", latent_dim=2)
    found = train(config, tiny(), vae=by_hand(), backend=get_backend("cpu"))
    expected = train(config, tiny(), backend=get_backend("cpu"))
    for name, array in expected.model.params.to_host().items():
        np.testing.assert_array_equal(found.model.params.to_host()[name], array)


def test_a_run_of_it_resumes_with_the_model_and_says_so_without(tmp_path):
    config, bk = settings(epochs=2), get_backend("cpu")
    run = RunFolder.create(tmp_path / "run", {"config": config.to_json()})
    trained = train(config, tiny(), vae=by_hand(), backend=bk, run=run)
    assert (
        "Sequential(Dense(7), Tanh(), Dense(4))" in json.loads(run.config_path.read_text())["model"]
    )
    model, _ = run.load(bk, vae=by_hand())
    np.testing.assert_array_equal(model.params.flat, trained.model.params.flat)
    assert train(config, tiny(), vae=by_hand(), backend=bk, run=run, resume=True).metrics
    with pytest.raises(RunError, match="put it together as before and pass it as vae"):
        run.load(bk)


class Small(Optimizer):
    """Steps of the sign of the average gradient, with a moment of its own."""

    moments = ("average",)

    def update(self, bk, p, g, moments, lr, t):
        (average,) = moments
        average *= 0.9
        average += 0.1 * g
        p -= lr * bk.xp.sign(average)


def test_an_optimizer_made_by_hand_trains_as_the_one_that_the_settings_describe():
    bk = get_backend("cpu")
    found = train(settings(optimizer="sgd"), tiny(), optimizer=Adam(3e-3, clip=2.0), backend=bk)
    expected = train(settings(lr=3e-3, clip=2.0), tiny(), backend=bk)
    np.testing.assert_array_equal(found.model.params.flat, expected.model.params.flat)


def test_a_run_with_an_own_optimizer_resumes_with_it_and_says_so_without(tmp_path, cli_main):
    config, bk = settings(epochs=4), get_backend("cpu")
    whole = train(config, tiny(), optimizer=Small(1e-3), backend=bk)
    half = RunFolder.create(tmp_path / "run", {"config": config.to_json()})

    def stop(epoch, model):
        if epoch == 3:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        train(config, tiny(), optimizer=Small(1e-3), backend=bk, run=half, on_epoch=stop)
    assert "Small(lr=0.001" in json.loads(half.config_path.read_text())["optimizer"]
    with pytest.raises(RunError, match="put it together as before and pass it as optimizer"):
        train(config, tiny(), backend=bk, run=half, resume=True)
    code, err = cli_main("train", "--resume", tmp_path / "run")
    assert code == 2
    assert "an optimizer put together in Python, Small(lr=0.001" in err
    resumed = train(config, tiny(), optimizer=Small(1e-3), backend=bk, run=half, resume=True)
    np.testing.assert_array_equal(resumed.model.params.flat, whole.model.params.flat)
    model, _ = half.load(bk)  # a model needs no optimizer
    np.testing.assert_array_equal(model.params.flat, whole.model.params.flat)


def test_a_run_with_a_model_made_by_hand_does_not_resume_without_it(tmp_path, cli_main):
    config, bk = settings(epochs=1), get_backend("cpu")
    run = RunFolder.create(tmp_path / "run", {"config": config.to_json()})
    train(config, tiny(), vae=by_hand(), backend=bk, run=run)
    with pytest.raises(RunError, match="put it together as before and pass it as vae"):
        train(config, tiny(), backend=bk, run=run, resume=True)
    code, err = cli_main("train", "--resume", tmp_path / "run")
    assert code == 2
    assert "a model put together in Python, VAE(" in err


def test_a_step_of_an_own_optimizer_that_is_not_finite_is_traced_with_it():
    with pytest.raises(NonFiniteError) as caught:
        train(settings(), tiny(), optimizer=Small(1e39), backend=get_backend("cpu"))
    assert "first appeared in encoder.0.W after the update" in str(caught.value)
    found = run_again(caught.value.replay).first_nonfinite
    assert (found.name, found.place) == ("encoder.0.W after the update", "the update by Small")


def test_what_is_no_optimizer_is_refused_in_a_sentence():
    with pytest.raises(ConfigError, match="optimizer is 'adam', but it must be an Optimizer"):
        train(settings(), tiny(), optimizer="adam")


def test_a_model_of_other_pixels_than_the_data_is_refused():
    with pytest.raises(DataError, match="takes 9 numbers per image"):
        train(settings(), tiny(), vae=by_hand(9))


def test_settings_may_name_classes_of_a_users_own_module(own_module):
    config = TrainConfig(
        hidden=(8,),
        epochs=1,
        activation=f"{own_module}:LeakyReLU",
        likelihood=f"{own_module}:Twice",
    )
    result = train(config, load_dataset("digits"), backend=get_backend("cpu"))
    assert "Bernoulli of my own" in result.model.vae.likelihood.describe()
    assert result.metrics[-1]["test_loss"] < 44
    layers = TrainConfig(encoder=("dense 5", f"{own_module}:LeakyReLU"), decoder=("dense 12",))
    assert repr(layers.make_vae(12).encoder.layers[1]) == "LeakyReLU()"
    with pytest.raises(ConfigError, match="Missing is not there in the module own_classes"):
        TrainConfig(activation=f"{own_module}:Missing")


def test_for_one_training_the_model_is_made_once_and_every_split_is_binarized_once(monkeypatch):
    counts = {"models": 0, "binarizations": 0, "validations": 0}

    def counted(name, function):
        def call(*args, **more):
            counts[name] += 1
            return function(*args, **more)

        return call

    config = settings(binarize="threshold", likelihood="gaussian-learned", workers=1)
    monkeypatch.setattr(VAE, "__init__", counted("models", VAE.__init__))
    monkeypatch.setattr(
        prepared_module, "binarize", counted("binarizations", prepared_module.binarize)
    )
    monkeypatch.setattr(
        TrainConfig, "__post_init__", counted("validations", TrainConfig.__post_init__)
    )
    train(config, tiny(), backend=get_backend("cpu"))
    assert counts["models"] == 1
    assert counts["binarizations"] == 2  # training and test
    assert counts["validations"] <= 2


def test_few_frames_lie_between_the_command_and_a_dense_layer(tmp_path, monkeypatch, capsys):
    from scratchvae.cli.main import main

    depth, real = [], Dense.forward

    def forward(self, *args):
        frame, names = sys._getframe(1), []
        while frame is not None:
            if "scratchvae" in frame.f_globals.get("__name__", "").split(".")[0]:
                names.append(frame.f_code.co_name)
            frame = frame.f_back
        depth.append(names)
        return real(self, *args)

    monkeypatch.setattr(Dense, "forward", forward)
    monkeypatch.chdir(tmp_path)
    arguments = ["--hidden", "5", "--epochs", "1", "--workers", "1", "--no-figures", "--quiet"]
    assert main(["train", "--device", "cpu", "--out", "run", *arguments]) == 0
    assert len(depth[0]) <= 9, depth[0]
