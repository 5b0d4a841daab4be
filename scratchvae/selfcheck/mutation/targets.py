"""The functions that bugs are planted in: every hand-written gradient of the package."""

from collections.abc import Iterator
from dataclasses import dataclass

from scratchvae.backend import cpu_elementwise, cpu_updates
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
    kl_grad,
    reparameterize_grad,
)
from scratchvae.latent.autoregressive import BoundAutoregressive, MaskedDense, gate_grad
from scratchvae.latent.estimators import grad_through_z
from scratchvae.latent.flows import BoundPlanar, BoundRadial
from scratchvae.latent.gaussian import log_ratio_grad, path_grad, score_grad
from scratchvae.layers import Conv2D, ConvTranspose2D, Dense, ReLU, Sigmoid, Tanh
from scratchvae.layers.activations import relu_grad, tanh_grad
from scratchvae.layers.sequential import BoundSequential
from scratchvae.likelihoods import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    GaussianLikelihood,
    LearnedGaussian,
)
from scratchvae.likelihoods.bernoulli import bernoulli_nll_and_grad
from scratchvae.models.conditional import BoundConditionalVAE
from scratchvae.models.semi_supervised import BoundM2
from scratchvae.models.two_layers import BoundSecondLayer, FirstLayerHead
from scratchvae.models.vae import BoundVAE
from scratchvae.optim import SGD, Adagrad, Adam, BoundOptimizer, RMSprop
from scratchvae.types import Function

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
BERNOULLI = ("Bernoulli", SIGMOID)
GAUSSIANS = (
    "Gaussian sigmoid",
    "Gaussian identity",
    "LearnedGaussian",
    "LearnedGaussian per pixel",
)
LEARNED = "ELBO learned Gaussian"
ADAMS = ("Adam", "Adam, no bias correction", "Adam, eps hat")
RMSPROPS = ("RMSprop", "RMSprop, eps inside")
SGDS = ("SGD", "SGD, Nesterov", "SGD, no momentum")


@dataclass(frozen=True)
class Target:
    """A function, the group it is counted in, the entries that judge it, and a model to train.

    ``plain`` marks equations that a backend has a faster form of: the plain backend judges them.
    Of a function with hundreds of bugs to plant only one in ``every`` is planted.
    """

    function: Function
    group: str
    entries: tuple[str, ...]
    trains: str = RELU
    plain: bool = False
    every: int = 1

    @property
    def name(self) -> str:
        return self.function.__qualname__


CONDITIONAL = (
    "conditional, label",
    "conditional, prior network",
    "conditional, quadrants, weighted",
)
TWO = ("two layers", "two layers, weighted")
M2S = ("M2, some labels known", "M2, no label known")
GREY, CONTINUOUS = "ELBO categorical", "ELBO continuous Bernoulli"
CONTINUOUS_BERNOULLI = ("ContinuousBernoulli", CONTINUOUS)
PLANAR, RADIAL, IAF = "ELBO planar flow", "ELBO radial flow", "ELBO autoregressive flow"
MASKED = ("MaskedDense", "MaskedDense, no bias", IAF)
IWAE_FLOW = "importance-weighted bound, planar flow"
IWAE_IAF = "importance-weighted bound, autoregressive flow"
IWAE, FREE, MONTE = "importance-weighted bound", "ELBO free bits", "ELBO Monte-Carlo KL"


def _estimators() -> Iterator[Target]:
    """What the estimators of the bound send to the encoder, and the chains they are made of."""

    def target(function: Function, *entries: str, trains: str = MONTE) -> Target:
        models = (IWAE, FREE, MONTE, PLANAR, IWAE_FLOW)
        names = tuple(j if j in models else f"estimator {j}" for j in entries)
        return Target(function, "estimators", names, trains)

    yield target(AnalyticKL.grad_head, "analytic", trains=SIGMOID)
    yield target(FreeBits.grad_head, "free bits", FREE, trains=FREE)
    yield target(MonteCarloKL.grad_head, "monte-carlo", MONTE, PLANAR)
    yield target(ImportanceWeighted.sample_weight, "iwae", IWAE, trains=IWAE)
    yield target(ImportanceWeighted.grad_head, "iwae", IWAE, IWAE_FLOW, trains=IWAE)
    yield target(Detached.grad_head, "detached")
    yield target(ScoreFunction.grad_head, "score", "score-baseline")
    yield target(ScoreFunctionBaseline.advantage, "score-baseline")
    yield target(StickingTheLanding.grad_head, "stl")
    yield target(DoublyReparameterized.grad_head, "dreg")
    yield target(log_ratio_grad, "monte-carlo", "iwae", MONTE)
    yield target(path_grad, "stl", "dreg")
    yield target(score_grad, "detached", "score", "score-baseline")


TARGETS: tuple[Target, ...] = (
    Target(Dense.grad_input, "layers", ("Dense", "Sequential")),
    Target(Dense.grad_params, "layers", ("Dense", "Sequential")),
    Target(Sigmoid.grad_input, "layers", ("Sigmoid", SIGMOID), SIGMOID),
    Target(Tanh.grad_input, "layers", ("Tanh", TANH), TANH),
    Target(tanh_grad, "layers", ("Tanh", TANH), TANH),
    Target(ReLU.grad_input, "layers", ("ReLU", RELU)),
    Target(relu_grad, "layers", ("ReLU", RELU), plain=True),
    Target(cpu_elementwise.relu_grad, "layers", ("ReLU", RELU)),
    Target(Conv2D.grad_input, "layers", CONV),
    Target(Conv2D.grad_params, "layers", CONV),
    Target(ConvTranspose2D.grad_input, "layers", TRANSPOSE),
    Target(ConvTranspose2D.grad_params, "layers", TRANSPOSE),
    Target(LogStdHead.grad_input, "layers", ("LogStdHead", TANH), TANH),
    Target(BoundSequential.grad_inputs, "layers", ("Sequential", RELU)),
    Target(BoundSequential.backward, "layers", ("Sequential",)),
    Target(reparameterize_grad, "latent", ("reparameterize", SIGMOID), SIGMOID),
    Target(kl_grad, "latent", ("KL", SIGMOID), SIGMOID),
    Target(Bernoulli.nll_and_grad, "likelihoods", BERNOULLI, SIGMOID),
    Target(bernoulli_nll_and_grad, "likelihoods", BERNOULLI, SIGMOID, plain=True),
    Target(cpu_elementwise.bernoulli_nll_and_grad, "likelihoods", BERNOULLI, SIGMOID),
    Target(GaussianLikelihood.nll_and_grad, "likelihoods", (*GAUSSIANS, LEARNED), LEARNED),
    Target(LearnedGaussian.grad_params, "likelihoods", (*GAUSSIANS[2:], LEARNED), LEARNED),
    Target(Categorical.nll_and_grad, "likelihoods", ("Categorical", GREY), GREY),
    Target(ContinuousBernoulli.nll_and_grad, "likelihoods", CONTINUOUS_BERNOULLI, CONTINUOUS),
    Target(ContinuousBernoulli.write_mean, "likelihoods", CONTINUOUS_BERNOULLI, CONTINUOUS),
    *_estimators(),
    Target(BoundPlanar.grad_inputs, "flows", (PLANAR, IWAE_FLOW), PLANAR, every=13),
    Target(BoundPlanar.constrain_grad, "flows", (PLANAR, IWAE_FLOW), PLANAR, every=13),
    Target(BoundRadial.grad_inputs, "flows", (RADIAL,), RADIAL, every=13),
    Target(BoundAutoregressive.grad_inputs, "flows", (IAF, IWAE_IAF), IAF, every=13),
    Target(gate_grad, "flows", (IAF, IWAE_IAF), IAF, every=13),
    Target(MaskedDense.grad_input, "flows", MASKED, IAF),
    Target(MaskedDense.grad_params, "flows", MASKED, IAF),
    Target(grad_through_z, "flows", (PLANAR, MONTE), PLANAR),
    Target(BoundVAE.loss_and_gradient, "model", (SIGMOID, LEARNED), SIGMOID),
    Target(
        BoundVAE.loss_and_input_grads, "model", (SIGMOID, LEARNED, IWAE, CONDITIONAL[1]), SIGMOID
    ),
    Target(BoundConditionalVAE.grad_code, "model", CONDITIONAL, CONDITIONAL[1]),
    Target(FirstLayerHead.grad_input, "layers", ("FirstLayerHead",), TWO[0]),
    Target(BoundSecondLayer.grad_code, "model", TWO, TWO[0]),
    Target(BoundSecondLayer.grad_inputs, "model", TWO, TWO[0]),
    Target(BoundM2.loss_and_input_grads, "model", M2S, M2S[0]),
    Target(BoundM2.grad_classifier, "model", M2S, M2S[0]),
    Target(cpu_updates.adam, "optimizers", ADAMS),
    Target(cpu_updates.adam_numbers, "optimizers", ADAMS),
    Target(cpu_updates.rmsprop, "optimizers", RMSPROPS),
    Target(cpu_updates.rmsprop_numbers, "optimizers", RMSPROPS),
    Target(cpu_updates.sgd, "optimizers", SGDS),
    Target(cpu_updates.adagrad, "optimizers", ("Adagrad",)),
    Target(Adam.update, "optimizers", ADAMS, plain=True),
    Target(RMSprop.update, "optimizers", RMSPROPS, plain=True),
    Target(SGD.update, "optimizers", SGDS, plain=True),
    Target(Adagrad.update, "optimizers", ("Adagrad",), plain=True),
    Target(BoundOptimizer.step, "optimizers", ("Adam",)),
)
