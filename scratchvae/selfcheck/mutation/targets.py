"""The functions that bugs are planted in: every chain and gradient of the package."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from scratchvae.backend import Backend
from scratchvae.backend.cpu import NumpyBackend
from scratchvae.latent import (
    AnalyticKL,
    Detached,
    DoublyReparameterized,
    FreeBits,
    ImportanceWeighted,
    LogStdHead,
    MonteCarloKL,
    ScoreFunction,
    ScoreFunctionBaseline,
    StickingTheLanding,
    kl_chain,
    reparameterize_chain,
)
from scratchvae.latent.gaussian import log_ratio_chain, path_chain, score_chain
from scratchvae.layers import Conv2D, ConvTranspose2D, Dense, ReLU, Sigmoid, Tanh
from scratchvae.layers.sequential import BoundSequential
from scratchvae.likelihoods import (
    Bernoulli,
    Categorical,
    GaussianLikelihood,
    LearnedGaussian,
)
from scratchvae.models.vae import BoundVAE
from scratchvae.optim.adam import BoundAdam

RELU, TANH, SIGMOID = (
    "ELBO relu Bernoulli",
    "ELBO tanh, logstd head",
    "ELBO sigmoid, beta, 3 samples",
)
CONV = ("Conv2D", "Conv2D, stride, valid", "Conv2D, many channels in")
TRANSPOSE = (
    "ConvTranspose2D",
    "ConvTranspose2D, valid",
    "ConvTranspose2D, many channels out",
)
GAUSSIANS = (
    "Gaussian sigmoid",
    "Gaussian identity",
    "LearnedGaussian",
    "LearnedGaussian per pixel",
)
LEARNED = "ELBO learned Gaussian"


@dataclass(frozen=True)
class Target:
    """A function, the group it is counted in, the entries that judge it, and a model to train.

    ``plain`` marks the contract's plain verbs, which are judged on the plain backend.
    """

    function: Callable[..., Any]
    group: str
    judges: tuple[str, ...]
    trains: str = RELU
    plain: bool = False

    @property
    def name(self) -> str:
        return self.function.__qualname__


GREY = "ELBO categorical"
IWAE, FREE, MONTE = "importance-weighted bound", "ELBO free bits", "ELBO Monte-Carlo KL"


def _estimators() -> Iterator[Target]:
    """What the estimators of the bound send to the encoder, and the chains they are made of."""

    def target(function: Any, *judges: str, trains: str = MONTE) -> Target:
        names = tuple(j if j in (IWAE, FREE, MONTE) else f"estimator {j}" for j in judges)
        return Target(function, "estimators", names, trains)

    yield target(AnalyticKL.chain, "analytic", trains=SIGMOID)
    yield target(FreeBits.chain, "free bits", FREE, trains=FREE)
    yield target(MonteCarloKL.chain, "monte-carlo", MONTE)
    yield target(ImportanceWeighted.sample_weights, "iwae", IWAE, trains=IWAE)
    yield target(ImportanceWeighted.chain, "iwae", IWAE, trains=IWAE)
    yield target(Detached.chain, "detached")
    yield target(ScoreFunction.chain, "score", "score-baseline")
    yield target(ScoreFunctionBaseline.advantage, "score-baseline")
    yield target(StickingTheLanding.chain, "stl")
    yield target(DoublyReparameterized.chain, "dreg")
    yield target(log_ratio_chain, "monte-carlo", "iwae", MONTE)
    yield target(path_chain, "stl", "dreg")
    yield target(score_chain, "detached", "score", "score-baseline")


TARGETS: tuple[Target, ...] = (
    Target(Dense.chain, "layers", ("Dense", "Sequential")),
    Target(Dense.grad, "layers", ("Dense", "Sequential")),
    Target(Sigmoid.chain, "layers", ("Sigmoid", SIGMOID), SIGMOID),
    Target(Tanh.chain, "layers", ("Tanh", TANH), TANH),
    Target(ReLU.chain, "layers", ("ReLU", RELU)),
    Target(Conv2D.chain, "layers", CONV),
    Target(Conv2D.grad, "layers", CONV),
    Target(ConvTranspose2D.chain, "layers", TRANSPOSE),
    Target(ConvTranspose2D.grad, "layers", TRANSPOSE),
    Target(LogStdHead.chain, "layers", ("LogStdHead", TANH), TANH),
    Target(BoundSequential.chain, "layers", ("Sequential", RELU)),
    Target(BoundSequential.backward, "layers", ("Sequential",)),
    Target(reparameterize_chain, "latent", ("reparameterize", SIGMOID), SIGMOID),
    Target(kl_chain, "latent", ("KL", SIGMOID), SIGMOID),
    Target(Bernoulli.nll_and_grad, "likelihoods", ("Bernoulli", SIGMOID), SIGMOID),
    Target(GaussianLikelihood.nll_and_grad, "likelihoods", (*GAUSSIANS, LEARNED), LEARNED),
    Target(LearnedGaussian.variance_grad, "likelihoods", (*GAUSSIANS[2:], LEARNED), LEARNED),
    Target(Categorical.nll_and_grad, "likelihoods", ("Categorical", GREY), GREY),
    *_estimators(),
    Target(NumpyBackend.relu_chain, "verbs", ("ReLU", RELU)),
    Target(NumpyBackend.bernoulli, "verbs", ("Bernoulli", SIGMOID), SIGMOID),
    Target(Backend.relu_chain, "verbs", ("ReLU", RELU), plain=True),
    Target(Backend.bernoulli, "verbs", ("Bernoulli", SIGMOID), SIGMOID, plain=True),
    Target(BoundVAE.loss_and_gradient, "model", (SIGMOID, LEARNED), SIGMOID),
    Target(BoundVAE.loss_and_chain, "model", (SIGMOID, LEARNED, IWAE), SIGMOID),
    Target(NumpyBackend.adam, "optimizers", ("Adam",)),
    Target(Backend.adam, "optimizers", ("Adam",), plain=True),
    Target(NumpyBackend.rmsprop, "optimizers", ("RMSprop",)),
    Target(NumpyBackend.sgd, "optimizers", ("SGD", "SGD, Nesterov", "SGD, no momentum")),
    Target(NumpyBackend.adagrad, "optimizers", ("Adagrad",)),
    Target(Backend.rmsprop, "optimizers", ("RMSprop",), plain=True),
    Target(Backend.sgd, "optimizers", ("SGD", "SGD, Nesterov", "SGD, no momentum"), plain=True),
    Target(Backend.adagrad, "optimizers", ("Adagrad",), plain=True),
    Target(BoundAdam.step, "optimizers", ("Adam",)),
)
