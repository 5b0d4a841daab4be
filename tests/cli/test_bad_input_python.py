"""Mistakes in Python: every public function, and every argument that can be wrong, has its row.

A mistake raises an error of this package, whose sentence names what was wrong. The signatures
themselves are asked which arguments there are.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import scratchvae
from scratchvae import VAE, Model, TrainConfig, evaluate, get_backend, load, load_dataset, train
from scratchvae import gradcheck as checks
from scratchvae.data import Dataset, Reading, Split
from scratchvae.errors import ScratchVAEError
from scratchvae.gradcheck import (
    GradientError,
    LiveCheck,
    Report,
    check_gradient,
    check_subject,
    gradcheck,
    gradient_error,
    verify_live,
)
from scratchvae.gradcheck.as_subject import as_subject
from scratchvae.latent import AnalyticKL, Planar, ScoreFunction, ScoreFunctionBaseline
from scratchvae.layers import Dense, Sequential, Tanh
from scratchvae.likelihoods import Bernoulli, Categorical
from scratchvae.runs import RunFolder
from scratchvae.selfcheck import run_registry

CPU = get_backend("cpu")
SMALL = VAE.mlp(12, (8,), latent_dim=2)
SCORED = SMALL.with_estimator(ScoreFunction())
MODEL = Model(SMALL, CPU)
X, EPS = np.zeros((5, 12), np.float32), np.zeros((5, 1, 2), np.float32)
BYTES = Split(np.zeros((9, 12), np.uint8), None, 255)
LIGHT = Split(np.full((9, 12), 1.5, np.float32), None, None)
NO_FOLDER = Path("/dev/null/run")
CONFIG = TrainConfig(hidden=(8,), batch_size=5, epochs=1)
NAN = float("nan")


class Noisy(Bernoulli):
    """Its sampler asks for noise that there is not."""

    noise = "gaussian"


def parts(**changes: Any) -> VAE:
    """A VAE of single layers, one of its arguments wrong."""
    right: dict[str, Any] = {
        "pixels": 12,
        "encoder": Sequential(Dense(4)),
        "decoder": Sequential(Dense(12)),
        "likelihood": Bernoulli(),
        "latent_dim": 2,
    }
    return VAE(**(right | changes))


def dataset(train_images: Any = BYTES, test_images: Any = BYTES) -> Any:
    return Dataset("bytes", train_images, test_images, (3, 4))


def live(**changes: Any) -> Report:
    right: dict[str, Any] = {"model": MODEL, "x": X, "eps": EPS}
    return verify_live(**(right | changes))


def other_layout() -> Any:
    return VAE.mlp(12, (9,), latent_dim=2).initial_parameters(CPU)


def square(x: Any) -> Any:
    return x * x


def checked(x: Any, vjp: Any = lambda x, dy: 2 * x * dy, **options: Any) -> Report:
    return check_gradient(square, x, vjp=vjp, **options)


class Row(NamedTuple):
    """What is called, which of its arguments is wrong, the call, a part of the sentence."""

    of: Any
    argument: str
    call: Callable[[], Any]
    fragment: str


ROWS = [
    Row(VAE, "pixels", lambda: parts(pixels=0), "must be at least 1, not 0, 2 and 1"),
    Row(VAE, "encoder", lambda: parts(encoder=Sequential(Dense(5))), "output has shape (5,), but"),
    Row(VAE, "decoder", lambda: parts(decoder=Sequential(Dense(11))), "(11,), expected 12 pixels"),
    Row(VAE, "encoder", lambda: parts(encoder=Dense(4)), "is Dense(4), but it must be a Sequent"),
    Row(VAE, "decoder", lambda: parts(decoder=None), "decoder is None, but it must be a Seq"),
    Row(VAE, "likelihood", lambda: parts(likelihood=Bernoulli), "a Likelihood: write Bernoulli(…)"),
    Row(VAE, "likelihood", lambda: parts(likelihood="bernoulli"), "is 'bernoulli', but it must be"),
    Row(VAE, "likelihood", lambda: parts(likelihood=Noisy()), "Noisy.noise is 'gaussian', but its"),
    Row(VAE, "flow", lambda: parts(flow=Planar), "Flow: write Planar(…)"),
    Row(VAE, "flow", lambda: parts(flow=Planar(2)), "with the flow Planar(2) has 14 columns"),
    Row(VAE.mlp, "flow", lambda: VAE.mlp(12, flow=Planar(0)), "the length of a flow must be"),
    Row(VAE, "estimator", lambda: parts(estimator=AnalyticKL), "Estimator: write AnalyticKL(…)"),
    Row(VAE, "estimator", lambda: parts(estimator="iwae"), "such as scratchvae.latent.AnalyticK"),
    Row(VAE, "likelihood", lambda: parts(likelihood=Categorical(3)), "12 pixels of 3 logits each"),
    Row(VAE, "latent_dim", lambda: parts(latent_dim=0), "must be at least 1, not 12, 0 and 1"),
    Row(VAE, "latent_dim", lambda: parts(latent_dim=3), "of 3 latent units has 6 columns"),
    Row(VAE, "beta", lambda: parts(beta=NAN), "beta must be a number that is not negative"),
    Row(VAE, "beta", lambda: parts(beta=-1.0), "not negative, not -1.0"),
    Row(VAE, "samples", lambda: parts(samples=0), "must be at least 1, not 12, 2 and 0"),
    Row(VAE, "estimator", lambda: parts(estimator=ScoreFunctionBaseline()), "at least 2 samples"),
    Row(VAE.mlp, "pixels", lambda: VAE.mlp(0), "at least 1, not 0"),
    Row(VAE.mlp, "hidden", lambda: VAE.mlp(12, (0,)), "at least 1, not 0"),
    Row(VAE.mlp, "latent_dim", lambda: VAE.mlp(12, latent_dim=0), "latent_dim must be at least 1"),
    Row(VAE.mlp, "activation", lambda: VAE.mlp(12, activation="step"), "activation is 'step', but"),
    Row(VAE.mlp, "likelihood", lambda: VAE.mlp(12, likelihood=Categorical(1)), "at least two lev"),
    Row(VAE.mlp, "likelihood", lambda: VAE.mlp(12, likelihood=Bernoulli), "write Bernoulli(…)"),
    Row(VAE.mlp, "init", lambda: VAE.mlp(12, init="zero"), "initialization 'zero' is not one of"),
    Row(VAE.mlp, "head", lambda: VAE.mlp(12, head="std"), "head 'std' is not one of logvar"),
    Row(VAE.mlp, "heads", lambda: VAE.mlp(12, heads="two"), "heads 'two' is not one of joint, ind"),
    Row(VAE.with_first_logits, "logits", lambda: SMALL.with_first_logits(np.zeros(11)),
        "no bias for each of 11 logits"),
    Row(VAE.mlp, "beta", lambda: VAE.mlp(12, beta=float("inf")), "beta must be a number that is"),
    Row(VAE.mlp, "samples", lambda: VAE.mlp(12, samples=0), "must be at least 1, not 12, 2 and 0"),
    Row(VAE.mlp, "estimator", lambda: VAE.mlp(12, estimator=ScoreFunctionBaseline()), "2 samples"),
    Row(VAE.initial_parameters, "seed", lambda: SMALL.initial_parameters(CPU, -1), "seed of a str"),
    Row(VAE.initial_parameters, "seed", lambda: SMALL.initial_parameters(CPU, 2**64), "from 0 to"),
    Row(VAE.with_samples, "samples", lambda: SMALL.with_samples(0), "samples must be at least 1"),
    Row(VAE.with_estimator, "estimator", lambda: SMALL.with_estimator(ScoreFunctionBaseline()),
        "needs at least 2 samples per image"),
    Row(Model, "params", lambda: Model(SMALL, params=other_layout()), "parameters have the shap"),
    Row(Model, "seed", lambda: Model(SMALL, CPU, seed=-1), "the seed of a stream is -1"),
    Row(Model.save, "path", lambda: MODEL.save(NO_FOLDER), "/dev/null/run cannot be written"),
    Row(Model.load, "path", lambda: Model.load("nowhere.npz"), "no checkpoint at nowhere.npz"),
    Row(Model.load, "path", lambda: Model.load(__file__), "is damaged, or no file of scratchvae"),
    Row(load, "path", lambda: load("nowhere.npz"), "there is no checkpoint at nowhere.npz"),
    Row(load, "path", lambda: load(Path(__file__).parent), "holds no run: there is no config.json"),
    Row(Dataset, "name", lambda: Dataset(5, BYTES, BYTES, (3, 4)), "data set is a text, not 5"),
    Row(Dataset, "train", lambda: dataset(X), "the train part is a Split, not ndarray"),
    Row(Dataset, "test", lambda: dataset(BYTES, LIGHT), "test images differ in max_level"),
    Row(Dataset, "image_shape", lambda: Dataset("x", BYTES, BYTES, (4, 4)), "4 x 4 were expected"),
    Row(Dataset, "feature_names", lambda: Dataset("x", BYTES, BYTES, (3, 4), feature_names=("a",)),
        "1 names for 12 features"),
    Row(Model.with_samples, "samples", lambda: MODEL.with_samples(0), "samples must be at least 1"),
    Row(Model.encode, "images", lambda: MODEL.encode(X[:, :11]), "(5, 11), expected (N, 12)"),
    Row(Model.encode, "images", lambda: MODEL.encode(X[:0]), "with N at least 1"),
    Row(Model.encode, "images", lambda: MODEL.encode(BYTES.images + 7), "use split.values()"),
    Row(Model.encode, "images", lambda: MODEL.encode(BYTES), "not a Split: use split.values()"),
    Row(Model.encode, "images", lambda: MODEL.encode(X * NAN), "60 values of 60 that are NaN"),
    Row(Model.encode, "images", lambda: MODEL.encode(X - 1), "from -1 to -1, but a Bernoulli"),
    Row(Model.encode, "images", lambda: MODEL.encode(np.ma.masked_equal(X, 0)), "masked array"),
    Row(Model.encode, "images", lambda: MODEL.encode([[0.0], [0.0, 1.0]]), "cannot be converted"),
    Row(Model.encode, "images", lambda: MODEL.encode(None), "array of real numbers, not NoneType"),
    Row(Model.encode, "images", lambda: MODEL.encode(X.astype(str)), "of real numbers, not <U32"),
    Row(Model.encode, "images", lambda: MODEL.encode(X * 1j), "real numbers, not complex64"),
    Row(Model.encode, "images", lambda: MODEL.encode(X.astype(object)), "numbers, not object"),
    Row(Model.decode, "z", lambda: MODEL.decode(np.zeros((3, 3))), "latent vectors have shape (3"),
    Row(Model.encoder_output, "images", lambda: MODEL.encoder_output(X + 7), "reach from 7 to 7"),
    Row(Model.decode, "given", lambda: MODEL.decode(EPS[:, 0], given=[1]), "leave out given"),
    Row(Model.sample, "given", lambda: MODEL.sample(2, given=[1]), "leave out given"),
    Row(Model.logits, "given", lambda: MODEL.logits(EPS[:, 0], given=[1]), "leave out given"),
    Row(Model.logits, "z", lambda: MODEL.logits(np.zeros((3, 3))), "latent vectors have shape (3"),
    Row(Model.pixel_nll, "images", lambda: MODEL.pixel_nll(X[0, 1:], EPS[:, 0]), "shape (11,), ex"),
    Row(Model.pixel_nll, "z", lambda: MODEL.pixel_nll(X, EPS[:4, 0]), "z has shape (4, 2), expec"),
    Row(Model.decode, "z", lambda: MODEL.decode(np.full(2, NAN)), "latent vectors hold 2 values"),
    Row(Model.reconstruct, "images", lambda: MODEL.reconstruct(X + 7), "images reach from 7 to 7"),
    Row(Model.sample, "n", lambda: MODEL.sample(0), "at least one, not 0"),
    Row(Model.sample, "n", lambda: MODEL.sample(-1), "at least one, not -1"),
    Row(Model.sample, "n", lambda: MODEL.sample(2.5), "number of images is drawn, at least"),
    Row(Model.sample, "seed", lambda: MODEL.sample(3, seed=-1), "the seed of a stream is -1"),
    Row(Model.loss, "images", lambda: MODEL.loss(X + 255), "images reach from 255 to 255"),
    Row(Model.loss, "eps", lambda: MODEL.loss(X, EPS[:4]), "eps has shape (4, 1, 2), expected"),
    Row(Model.loss, "eps", lambda: MODEL.loss(X[:4], EPS), "eps has shape (5, 1, 2), expected"),
    Row(Model.loss, "eps", lambda: MODEL.loss(X, EPS * NAN), "eps hold 10 values of 10 that are"),
    Row(Model.loss, "seed", lambda: MODEL.loss(X, seed=0.5), "of a stream is 0.5, but it must"),
    Row(Model.loss, "seed", lambda: MODEL.loss(X, seed=2**64), "the seed of a stream is 18446744"),
    Row(Model.loss_and_gradient, "images", lambda: MODEL.loss_and_gradient(X - 9), "images reach"),
    Row(Model.loss_and_gradient, "eps", lambda: MODEL.loss_and_gradient(X, EPS[:4]), "(4, 1, 2)"),
    Row(Model.loss_and_gradient, "seed", lambda: MODEL.loss_and_gradient(X, seed=-1), "seed of a"),
    Row(Model.terms, "images", lambda: MODEL.terms(X * NAN), "that are NaN or infinite"),
    Row(Model.terms, "eps", lambda: MODEL.terms(X, EPS[:, :, :1]), "eps has shape (5, 1, 1)"),
    Row(evaluate, "split", lambda: evaluate(MODEL, Split(X[:, 1:], None, None)), "shape (5, 1"),
    Row(evaluate, "split", lambda: evaluate(MODEL, Split(X[:0], None, None)), "no images to eval"),
    Row(evaluate, "split", lambda: evaluate(MODEL, X), "on a Split, which says how its pixels"),
    Row(evaluate, "split", lambda: evaluate(MODEL, LIGHT), "reach from 1.5 to 1.5, but a Be"),
    Row(evaluate, "seed", lambda: evaluate(MODEL, BYTES, seed=-1), "seed of a stream is -1"),
    Row(evaluate, "draw", lambda: evaluate(MODEL, BYTES, draw=-1), "step of a stream is -1"),
    Row(get_backend, "device", lambda: get_backend("tpu"), "device 'tpu' is not one of auto, cpu"),
    Row(get_backend, "device", lambda: get_backend(None), "device None is not one of"),
    Row(get_backend, "dtype", lambda: get_backend("cpu", "float16"), "dtype 'float16' is not one"),
    Row(get_backend, "dtype", lambda: get_backend("cpu", "words"), "dtype 'words' is not one of"),
    Row(get_backend, "tf32", lambda: get_backend("cpu", tf32=True), "and the device is cpu"),
    Row(load_dataset, "source", lambda: load_dataset("minst"), "Did you mean 'mnist'?"),
    Row(load_dataset, "source", lambda: load_dataset(None), "by a text or a path, not by None"),
    Row(load_dataset, "data_dir", lambda: load_dataset("mnist", "nowhere"), "nowhere is not a fol"),
    Row(load_dataset, "reading", lambda: load_dataset("digits", reading=Reading(full_scale=16)),
        "full_scale is for data of your own; the data set digits is read in one way"),
    Row(load_dataset, "download", lambda: load_dataset("mnist", download=False), "of mnist are"),
    Row(TrainConfig, "lr", lambda: TrainConfig(lr=NAN), "lr is nan, but it must be a positive"),
    Row(TrainConfig.from_json, "settings", lambda: TrainConfig.from_json({"x": 1}), "settings: x"),
    Row(train, "config", lambda: train(TrainConfig(batch_size=50), dataset()), "only 9 training"),
    Row(train, "config", lambda: train(dataset(), CONFIG), "but it must be a TrainConfig, such as"),
    Row(train, "dataset", lambda: train(CONFIG, X), "such as scratchvae.Dataset.from_arrays(image"),
    Row(train, "vae", lambda: train(CONFIG, dataset(), vae=VAE), "the class VAE, but it must be a"),
    Row(train, "dataset", lambda: train(CONFIG, dataset(LIGHT, LIGHT)), "outside [0, 1], the"),
    Row(train, "vae", lambda: train(CONFIG, dataset(), vae=VAE.mlp(9)), "takes 9 numbers per"),
    Row(train, "optimizer", lambda: train(CONFIG, dataset(), optimizer="adam"),
        "optimizer is 'adam', but it must be an Optimizer"),
    Row(train, "backend", lambda: train(CONFIG, dataset(), backend=get_backend("cpu", "float64")),
        "the settings say float32, but the backend has float64"),
    Row(train, "backend",
        lambda: train(CONFIG, dataset(), backend=get_backend("cpu", "complex128")),
        "the settings say float32, but the backend has complex128"),
    Row(train, "resume", lambda: train(CONFIG, dataset(), resume=True), "only a run with a folder"),
    Row(train, "checkpoint_every", lambda: train(CONFIG, dataset(), checkpoint_every=-1),
        "checkpoint_every is -1, but it must be"),
    Row(train, "run", lambda: train(CONFIG, dataset(), run=RunFolder.create(NO_FOLDER, {})),
        "cannot hold a run"),
    Row(train, "run", lambda: train(CONFIG, dataset(), run="here"),
        "a RunFolder, such as scratchvae.runs.RunFolder.create('here', {\"config\": config"),
    Row(gradcheck, "what", lambda: gradcheck(Tanh, X), "an object, not its class: write Tanh(…)"),
    Row(gradcheck, "what", lambda: gradcheck(AnalyticKL(), X), "is checked inside a model: gradc"),
    Row(gradcheck, "what", lambda: gradcheck(5, X), "a function, layer, likelihood or VAE, not 5"),
    Row(gradcheck, "arrays", lambda: gradcheck(Tanh()), "at one array x, (B, …); the shapes given"),
    Row(gradcheck, "arrays", lambda: gradcheck(Tanh(), X[0]), "the shapes given are: (12,)"),
    Row(gradcheck, "arrays", lambda: gradcheck(Tanh(), X, X), "are: (5, 12) and (5, 12)"),
    Row(gradcheck, "arrays", lambda: gradcheck(Sequential(Tanh())), "a Sequential is checked at"),
    Row(gradcheck, "arrays", lambda: gradcheck(Bernoulli(), X, X), "logits (B, K, D) and pixels"),
    Row(gradcheck, "arrays", lambda: gradcheck(Bernoulli(), EPS, EPS[:, :, :1]), "(5, 1, 1)"),
    Row(gradcheck, "arrays", lambda: gradcheck(Categorical(3), EPS, EPS), "logits (B, K, 3 D)"),
    Row(gradcheck, "arrays", lambda: gradcheck(SMALL, X[:, :11]), "nothing, or images (B, 12)"),
    Row(gradcheck, "arrays", lambda: gradcheck(SMALL, X, EPS[:4]), "and noise (B, 1, 2)"),
    Row(gradcheck, "arrays", lambda: gradcheck(np.sum, backward=np.sum), "the arguments to check"),
    Row(gradcheck, "backward", lambda: gradcheck(np.sum, X), "needs its backward(*arguments, dy)"),
    Row(gradcheck, "parameters", lambda: gradcheck(Dense(3), X, parameters={"V": X}), "not ['V']"),
    Row(gradcheck, "method", lambda: gradcheck(Tanh(), X, method="exact"), "method 'exact' is not"),
    Row(gradcheck, "directions", lambda: gradcheck(Tanh(), X, directions=0), "at least 1, not 0"),
    Row(gradcheck, "tolerance", lambda: gradcheck(Tanh(), X, tolerance=NAN), "a tolerance is a"),
    Row(gradcheck, "tolerance", lambda: gradcheck(Tanh(), X, tolerance=-1), "number, not -1"),
    Row(gradcheck, "seed", lambda: gradcheck(Tanh(), X, seed=-1), "seed of a stream is -1"),
    Row(check_gradient, "f", lambda: check_gradient(str, 0.5, vjp=min), "str returns <U3: return"),
    Row(check_gradient, "arguments", lambda: checked(np.arange(3)), "no argument of square has a"),
    Row(check_gradient, "arguments", lambda: checked(np.array([1.0, NAN])), "x holds NaN or infin"),
    Row(check_gradient, "vjp", lambda: checked(0.5, vjp=lambda x, dy: None), "returned None: is"),
    Row(check_gradient, "surrogate", lambda: checked(X, surrogate=np.sum), "returns shape ()"),
    Row(check_gradient, "method", lambda: checked(0.5, method="exact"), "method 'exact' is not"),
    Row(check_gradient, "directions", lambda: checked(0.5, directions=0), "at least 1, not 0"),
    Row(check_gradient, "tolerance", lambda: checked(0.5, tolerance=-1), "a tolerance is a"),
    Row(check_gradient, "seed", lambda: checked(0.5 + X, seed=-1), "seed of a stream is -1"),
    Row(gradcheck, "raises", lambda: gradcheck(Wrong(), X + 1), "is wrong"),
    Row(check_subject, "method", lambda: check_subject(TANH, "exact"), "method 'exact' is not one"),
    Row(check_subject, "directions", lambda: check_subject(TANH, directions=-1), "1, not -1"),
    Row(check_subject, "tolerance", lambda: check_subject(TANH, tolerance=0.0), "number, not 0.0"),
    Row(check_subject, "seed", lambda: check_subject(TANH, seed=2**64), "the seed of a stream is"),
    Row(gradient_error, "reference", lambda: gradient_error(X, X[0]), "shape (5, 12) has no error"),
    Row(run_registry, "method", lambda: run_registry("exact"), "method 'exact' is not one of"),
    Row(run_registry, "only", lambda: run_registry(only="swish"), "no operation is called 'swish'"),
    Row(LiveCheck, "vae", lambda: LiveCheck(SCORED, CPU, 3),
        "is not the derivative of its value"),
    Row(LiveCheck, "bk", lambda: LiveCheck(SMALL, get_backend("cpu", "complex128"), 3),
        "a model that trains is real"),
    Row(LiveCheck, "rows", lambda: LiveCheck(SMALL, CPU, 0), "at least one image, not 0"),
    Row(verify_live, "model", lambda: live(model=Model(SCORED, CPU)), "derivative"),
    Row(verify_live, "x", lambda: live(x=X[:, :11]), "x has shape (5, 11), expected (5, 12)"),
    Row(verify_live, "x", lambda: live(x=X[:0]), "at least one image, not 0"),
    Row(verify_live, "eps", lambda: live(eps=EPS[:4]), "eps has shape (4, 1, 2), expected"),
    Row(verify_live, "weight", lambda: live(weight=NAN), "the weight of a step is a number"),
    Row(verify_live, "seed", lambda: live(seed=-1), "the seed of a stream is -1"),
    Row(verify_live, "number", lambda: live(number=-1), "of a stream is -1"),
    Row(verify_live, "beta", lambda: live(beta=-0.5), "the beta of a step is a number"),
    Row(Report.raise_if_failed, "self", lambda: gradcheck(Wrong(), X + 1, raises=False)
        .raise_if_failed(), "is wrong"),
]  # fmt: skip


class Wrong(Tanh):
    """Its gradient is twice too large."""

    def grad_input(self, bk, p, x, y, dy, dx, tmp):
        super().grad_input(bk, p, x, y, dy, dx, tmp)
        dx *= 2


TANH = as_subject(Tanh(), X + 1.0)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r.of.__qualname__} {r.argument}")
def test_a_mistake_in_python_raises_an_error_that_says_what_it_was(row: Row, tmp_path) -> None:
    with pytest.raises(ScratchVAEError) as caught:
        row.call()
    assert row.fragment in str(caught.value)


# ---- the table is whole --------------------------------------------------------------------------

PUBLIC = {name: getattr(scratchvae, name) for name in scratchvae.__all__}
PUBLIC |= {name: getattr(checks, name) for name in checks.__all__}
OBJECTS = "an object of this package, whose own constructor has checked it"
SWITCH = "either value is right"
CANNOT_FAIL: dict[str, str] = {  # a public name, or name.argument: why it has no row
    "METHODS": "a dictionary, not called",
    "Finding": "a record that a check writes",
    "Report": "a record that a check writes",
    "Results": "a record that the registry writes",
    "Subject": "a base class, without arguments",
    "Outcome": "what a check came to, not called",
    "assert_gradient": "the arguments of check_gradient, whose rows show them",
    "check_gradient.constants": OBJECTS,
    "check_gradient.nearby": SWITCH,
    "check_gradient.reseed": "called, not looked at",
    "check_gradient.overwrites": "names that allow something; one of nothing allows nothing",
    "GradientError": "raised, not called: the rows of gradcheck raise it",
    "UncheckableError": "raised, not called: the rows of gradcheck raise it",
    "live_rows": "one for every batch size",
    "VAE.initial_parameters.bk": OBJECTS,
    "VAE.bind": "what it binds was built by VAE; buffers are checked by the workspace",
    "Model.vae": OBJECTS,
    "Model.bk": OBJECTS,
    "Model.to.bk": OBJECTS,
    "Model.for_evaluation": "takes nothing",
    "Model.load.bk": OBJECTS,
    "Model.load.vae": "rows would need a file: see tests/models/test_model_file.py",
    "load.device": "as in get_backend, whose rows show it",
    "load.vae": "as in Model.load",
    "Dataset.class_names": "a label without a name is called by its number",
    "Dataset.colormap": "a name, looked up when something is drawn",
    "Dataset.notes": "lines for people, printed as they are",
    "Model.terms.stream": OBJECTS,
    "Model.terms.workspace": "of another size, it says so of its first buffer",
    "TrainConfig": "every setting has rows in tests/training/test_training_config.py",
    "TrainConfig.to_json": "takes nothing",
    "evaluate.model": OBJECTS,
    "evaluate.over": "called, not looked at",
    "load_dataset.quiet": SWITCH,
    "train.progress": OBJECTS,
    "get_backend.note": "called, not looked at",
    "get_backend.compiled": SWITCH,
    "train.return_on_signal": SWITCH,
    "train.verbose": SWITCH,
    "train.on_epoch": "called, not looked at",
    "check_subject.subject": OBJECTS,
    "check_subject.nearby": SWITCH,
    "gradient_error.g": "any array has an error against one of its own shape",
    "gradient_error.scale": "any number",
    "run_registry.thorough": SWITCH,
}


def arguments() -> list[tuple[str, Any, str]]:
    """(name, what is called, argument) of everything public, and of the methods of VAE, Model."""
    found = []
    for name, thing in PUBLIC.items():
        if not callable(thing) or (name in CANNOT_FAIL and name != "TrainConfig"):
            continue
        if name != "TrainConfig":
            found += [(name, thing, a) for a in inspect.signature(thing).parameters]
        for method in vars(thing) if thing in (VAE, Model) else ():
            bound = getattr(thing, method)
            if not method.startswith("_") and callable(bound):
                names = [a for a in inspect.signature(bound).parameters if a != "self"]
                found += [(f"{name}.{method}", bound, a) for a in names]
    return found


@pytest.mark.parametrize(("name", "thing", "argument"), arguments())
def test_every_argument_of_everything_public_has_a_row(name, thing, argument) -> None:
    rows = [row for row in ROWS if row.of == thing and row.argument == argument]
    reason = CANNOT_FAIL.get(f"{name}.{argument}") or CANNOT_FAIL.get(name)
    assert bool(rows) != bool(reason), "a row or a reason, and not both"


def test_everything_public_is_in_the_table_or_has_a_reason() -> None:
    called = {row.of for row in ROWS}
    for name, thing in PUBLIC.items():
        assert name in CANNOT_FAIL or thing in called


def test_the_errors_are_raised_by_the_rows_that_are_said_to_raise_them() -> None:
    with pytest.raises(GradientError):
        gradcheck(Wrong(), X + 1)
    with pytest.raises(checks.UncheckableError):
        gradcheck(Tanh())


def test_there_are_as_many_rows_as_there_were_meant_to_be() -> None:
    assert len(ROWS) >= 100
