"""One entry for every operation; all its checks follow from it.

Sizes all differ, so that no transpose and no wrong divisor fits by accident: rows 6, samples 3,
pixels 7, hidden 5 and 4, latent 2.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchvae.gradcheck.points import point, unit_interval
from scratchvae.gradcheck.subjects import (
    BufferedSubject,
    estimator_subject,
    kl_subject,
    layer_subject,
    likelihood_subject,
    model_subject,
    normal_parameters,
    posterior_subject,
    reparameterize_subject,
    sequential_subject,
)
from scratchvae.latent import (
    AnalyticKL,
    BoundFlow,
    Detached,
    DoublyReparameterized,
    Estimator,
    Flow,
    FreeBits,
    ImportanceWeighted,
    InverseAutoregressive,
    LatentBuffers,
    LogStdHead,
    MonteCarloKL,
    Planar,
    Radial,
    ScoreFunction,
    ScoreFunctionBaseline,
    StickingTheLanding,
    kl_grad,
    kl_per_unit,
    reparameterize,
    reparameterize_grad,
    standard_deviation,
)
from scratchvae.latent.autoregressive import BoundAutoregressive, MaskedDense, gate, gate_grad
from scratchvae.latent.estimators import grad_through_z, sampled_kl
from scratchvae.latent.flows import BoundPlanar, BoundRadial
from scratchvae.latent.gaussian import (
    log_ratio,
    log_ratio_grad,
    monte_carlo_kl,
    path_grad,
    score_grad,
)
from scratchvae.latent.importance_weighted import copy_visible, importance_bound
from scratchvae.layers import (
    Conv2D,
    ConvTranspose2D,
    Dense,
    Flatten,
    Layer,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
    Tanh,
)
from scratchvae.layers.activations import relu, relu_grad, sigmoid, tanh, tanh_grad
from scratchvae.likelihoods import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Gaussian,
    LearnedGaussian,
    Likelihood,
)
from scratchvae.likelihoods.bernoulli import (
    bernoulli_nll,
    bernoulli_nll_and_grad,
    bernoulli_nll_terms,
)
from scratchvae.likelihoods.continuous_bernoulli import split
from scratchvae.models import (
    VAE,
    BoundPosterior,
    Condition,
    ConditionalVAE,
    Label,
    Quadrants,
)
from scratchvae.models.conditional import BoundConditionalVAE
from scratchvae.models.semi_supervised import M2, BoundM2
from scratchvae.models.two_layers import (
    BoundSecondLayer,
    BoundTwoLayerVAE,
    FirstLayerHead,
    SecondLayer,
    TwoLayerVAE,
)
from scratchvae.models.vae import BoundVAE
from scratchvae.types import Function

ROWS, SAMPLES, PIXELS, HIDDEN, LATENT = 6, 3, 7, (5, 4), 2
Make = Callable[[int, int], BufferedSubject]  # rows, seed


@dataclass(frozen=True)
class Entry:
    """An operation: how to make a subject of it, and which code it answers for.

    ``inplace`` makes the variant that overwrites its inputs; ``saturated`` one at points where
    derivatives vanish.
    """

    name: str
    covers: tuple[object, ...]
    make: Make
    inplace: Make | None = None
    saturated: Make | None = None


def _layer(
    name: str, new: Callable[[], Layer], width: int, functions: tuple[Function, ...] = ()
) -> Entry:
    def make(rows: int, seed: int, factor: float = 1.0, inplace: bool = False) -> BufferedSubject:
        x = factor * point((rows, width), seed, f"{name} x")
        return layer_subject(new(), x, seed=seed, name=name, inplace=inplace)

    def inplace(rows: int, seed: int) -> BufferedSubject:
        return make(rows, seed, inplace=True)

    def saturated(rows: int, seed: int) -> BufferedSubject:
        return make(rows, seed, factor=15.0)

    layer = new()
    covers = (type(layer), *functions)
    return Entry(name, covers, make, inplace if layer.inplace else None, saturated)


def _images(name: str, new: Callable[[], Layer], row: tuple[int, ...]) -> Entry:
    def make(rows: int, seed: int) -> BufferedSubject:
        return layer_subject(new(), point((rows, *row), seed, f"{name} x"), seed=seed, name=name)

    return Entry(name, (type(new()),), make)


def _sequential(rows: int, seed: int) -> BufferedSubject:
    layers = Sequential(
        Dense(HIDDEN[0]), Tanh(), Sigmoid(), Dense(HIDDEN[1]), ReLU(), Dense(LATENT)
    )
    x = point((rows, PIXELS), seed, "Sequential x")
    return sequential_subject(layers, x, seed=seed, name="Sequential")


def _likelihood(
    name: str, new: Callable[[], Likelihood], functions: tuple[Function, ...] = ()
) -> Entry:
    def make(rows: int, seed: int, factor: float = 1.0) -> BufferedSubject:
        logits = factor * point((rows, SAMPLES, PIXELS), seed, f"{name} logits")
        x = unit_interval((rows, 1, PIXELS), seed, f"{name} x")
        return likelihood_subject(new(), logits, x, seed=seed, name=name)

    def saturated(rows: int, seed: int) -> BufferedSubject:
        return make(rows, seed, factor=20.0)

    return Entry(name, (type(new()), *functions), make, saturated=saturated)


def _head(rows: int, seed: int, latent: int, factor: float) -> NDArray:
    return factor * point((rows, 2 * latent), seed, "head")


def _reparameterize(rows: int, seed: int, factor: float = 1.0) -> BufferedSubject:
    head, latent = _head(rows, seed, HIDDEN[1], factor), HIDDEN[1]
    return reparameterize_subject(head, point((rows, SAMPLES, latent), seed, "eps"))


def _kl(rows: int, seed: int, factor: float = 1.0) -> BufferedSubject:
    return kl_subject(_head(rows, seed, HIDDEN[1], factor))


def _model(name: str, new: Callable[[], VAE], init_scale: float = 1.0) -> Entry:
    def make(rows: int, seed: int, scale: float = init_scale) -> BufferedSubject:
        vae = new()
        values = normal_parameters(vae, scale, seed, name)
        return model_subject(vae, parameters=values, rows=rows, seed=seed, name=name)

    def saturated(rows: int, seed: int) -> BufferedSubject:
        return make(rows, seed, scale=6.0)

    return Entry(name, (VAE, BoundVAE, LatentBuffers), make, saturated=saturated)


def _conditional(name: str, condition: Condition, prior: bool = False, **how: Any) -> Entry:
    pixels = PIXELS if condition.kind == "label" else 15  # 3 x 5 with quadrants of all sizes

    def new() -> VAE:
        modelled = condition.modelled(condition.row_size(pixels))
        plain = VAE.mlp(modelled, HIDDEN, latent_dim=LATENT, activation="tanh", **how)
        network = Sequential(Dense(6), Tanh(), Dense(2 * LATENT)) if prior else None
        return ConditionalVAE(plain, pixels, condition, network)

    entry = _model(name, new)
    return replace(entry, covers=(*entry.covers, ConditionalVAE, BoundConditionalVAE))


def _two_layers(name: str, **how: Any) -> Entry:
    def new() -> VAE:
        second = SecondLayer(
            Sequential(Dense(6), Tanh(), Dense(4)), Sequential(Dense(5), Tanh(), Dense(6)), 2
        )
        encoder = Sequential(Dense(5), Tanh(), Dense(6))
        decoder = Sequential(Dense(4), Tanh(), Dense(PIXELS))
        return TwoLayerVAE(VAE(PIXELS, encoder, decoder, latent_dim=3, **how), second)

    entry = _model(name, new)
    covers = (*entry.covers, TwoLayerVAE, BoundTwoLayerVAE, SecondLayer, BoundSecondLayer)
    return replace(entry, covers=covers, saturated=None)


def _m2(name: str, images: tuple[str, ...], **how: Any) -> Entry:
    """Rows of which each has a label, or none, in turn."""
    classes = 3

    def new() -> M2:
        plain = VAE.mlp(PIXELS, HIDDEN, latent_dim=LATENT, activation="tanh", beta=0.7, **how)
        classifier = Sequential(Dense(6), Tanh(), Dense(classes))
        return M2(plain, PIXELS, classifier, classes, classifier_weight=1.7)

    def make(rows: int, seed: int) -> BufferedSubject:
        vae = new()
        pixels = unit_interval((rows, PIXELS), seed, f"{name} x")
        unknown = np.array([images[i % len(images)] == "unknown" for i in range(rows)])
        x = vae.condition.rows(pixels, np.where(unknown, -1, np.arange(rows) % classes))
        values = normal_parameters(vae, 1.0, seed, name)
        return model_subject(vae, x, parameters=values, seed=seed, name=name)

    return Entry(name, (M2, BoundM2), make)


def _categorical(rows: int, seed: int) -> BufferedSubject:
    levels = 4
    logits = point((rows, SAMPLES, levels * PIXELS), seed, "Categorical logits")
    grey = unit_interval((rows, 1, PIXELS), seed, "Categorical x")
    x = np.floor(levels * grey) / (levels - 1)
    return likelihood_subject(Categorical(levels), logits, x, seed=seed, name="Categorical")


def _estimator(estimator: Estimator, covers: tuple[object, ...] = (), beta: float = 1.0) -> Entry:
    name = f"estimator {estimator.name}"
    if isinstance(estimator, FreeBits):
        name = "estimator free bits"

    def make(rows: int, seed: int) -> BufferedSubject:
        head = _head(rows, seed, HIDDEN[1], 0.5)
        eps = point((rows, SAMPLES, HIDDEN[1]), seed, "eps")
        return estimator_subject(estimator, head, eps, beta, name=name)

    return Entry(name, (type(estimator), *covers), make)


def _posterior(kl: str, **how: Any) -> Entry:
    def make(rows: int, seed: int, factor: float = 1.0) -> BufferedSubject:
        return posterior_subject(_mlp(**how)(), rows, SAMPLES, kl, seed, factor)

    def saturated(rows: int, seed: int) -> BufferedSubject:
        return make(rows, seed, factor=3.0)

    return Entry(f"completion, {kl}", (BoundPosterior,), make, saturated=saturated)


def _mlp(**how: Any) -> Callable[[], VAE]:
    return lambda: VAE.mlp(PIXELS, HIDDEN, latent_dim=LATENT, **how)


def _flow(name: str, flow: Flow, bound: type[BoundFlow], *functions: Function) -> Entry:
    """A model whose posterior has a flow; several samples share the numbers of a map."""
    units = LATENT + 1  # with two, Z − 1 would be 1
    how: dict[str, Any] = {"flow": flow, "samples": 2, "beta": 0.7, "activation": "tanh"}
    of_model = _model(f"ELBO {name} flow", lambda: VAE.mlp(PIXELS, HIDDEN, latent_dim=units, **how))
    covers = (*of_model.covers, type(flow), bound, *functions, sampled_kl, grad_through_z)
    return replace(of_model, covers=covers)


def _other_shapes() -> VAE:
    """An encoder and a decoder that are not each other's mirror, with one hidden layer and two."""
    return VAE(
        pixels=PIXELS,
        encoder=Sequential(Dense(8), Sigmoid(), Dense(2 * 3)),
        decoder=Sequential(Dense(5), Tanh(), Dense(4), ReLU(), Dense(PIXELS)),
        likelihood=Bernoulli(),
        latent_dim=3,
        samples=2,
    )


ENTRIES: tuple[Entry, ...] = (
    _layer("Dense", lambda: Dense(HIDDEN[1]), HIDDEN[0]),
    _layer("MaskedDense", lambda: MaskedDense((1, 3, 2, 4, 2), (2, 1, 4, 3), False, True), 5),
    _layer("MaskedDense, no bias", lambda: MaskedDense((1, 3, 2), (2, 1, 3, 3), True, False), 3),
    _layer("Sigmoid", Sigmoid, HIDDEN[0], (sigmoid,)),
    _layer("Tanh", Tanh, HIDDEN[0], (tanh, tanh_grad)),
    _layer("ReLU", ReLU, HIDDEN[0], (relu, relu_grad)),
    _layer("LogStdHead", LogStdHead, 2 * HIDDEN[1]),
    _images("Conv2D", lambda: Conv2D(3), (5, 4, 2)),
    _images("Conv2D, stride, valid", lambda: Conv2D(4, (2, 3), (2, 1), "valid"), (5, 7, 3)),
    _images("Conv2D, many channels in", lambda: Conv2D(1, 2), (4, 3, 5)),
    _images("ConvTranspose2D", lambda: ConvTranspose2D(3, 3, 2), (3, 2, 4)),
    _images(
        "ConvTranspose2D, valid", lambda: ConvTranspose2D(2, (2, 3), (1, 2), "valid"), (3, 4, 5)
    ),
    _images("ConvTranspose2D, many channels out", lambda: ConvTranspose2D(5, 2), (3, 4, 1)),
    _images("Reshape", lambda: Reshape((3, 2, 4)), (24,)),
    _images("Flatten", Flatten, (3, 2, 4)),
    Entry("Sequential", (Sequential,), _sequential),
    Entry(
        "reparameterize",
        (standard_deviation, reparameterize, reparameterize_grad),
        _reparameterize,
        saturated=lambda rows, seed: _reparameterize(rows, seed, 8.0),
    ),
    Entry(
        "KL",
        (kl_per_unit, kl_grad),
        _kl,
        saturated=lambda rows, seed: _kl(rows, seed, 8.0),
    ),
    _likelihood(
        "Bernoulli", Bernoulli, (bernoulli_nll_terms, bernoulli_nll, bernoulli_nll_and_grad)
    ),
    _likelihood("ContinuousBernoulli", ContinuousBernoulli, (split,)),
    _likelihood("Gaussian sigmoid", lambda: Gaussian(0.5)),
    _likelihood("Gaussian identity", lambda: Gaussian(2.0, "identity")),
    _likelihood("LearnedGaussian", LearnedGaussian),
    _likelihood("LearnedGaussian per pixel", lambda: LearnedGaussian(True, 0.1, "identity")),
    Entry("Categorical", (Categorical,), _categorical),
    _estimator(AnalyticKL(), beta=0.7),
    _estimator(FreeBits(0.2), beta=0.7),
    _estimator(MonteCarloKL(), (monte_carlo_kl, log_ratio_grad), beta=0.7),
    _estimator(ImportanceWeighted(), (importance_bound, copy_visible, log_ratio)),
    _estimator(Detached(), (score_grad,), beta=0.7),
    _estimator(ScoreFunction(), beta=0.7),
    _estimator(ScoreFunctionBaseline(), beta=0.7),
    _estimator(StickingTheLanding(), (path_grad,)),
    _estimator(DoublyReparameterized()),
    _posterior("analytic", activation="tanh"),
    _posterior("sampled", likelihood=Categorical(4)),
    _model("ELBO relu Bernoulli", _mlp()),
    _model("ELBO tanh, logstd head", _mlp(activation="tanh", head="logstd")),
    _model("ELBO sigmoid, beta, 3 samples", _mlp(activation="sigmoid", beta=0.7, samples=3)),
    _model("ELBO continuous Bernoulli", _mlp(likelihood=ContinuousBernoulli(), activation="tanh")),
    _model("ELBO Gaussian", _mlp(likelihood=Gaussian(0.5), beta=4.0)),
    _model("ELBO learned Gaussian", _mlp(likelihood=LearnedGaussian(), samples=SAMPLES)),
    _model(
        "ELBO learned Gaussian per pixel",
        _mlp(likelihood=LearnedGaussian(True, mean="identity"), activation="tanh"),
    ),
    _model("ELBO categorical", _mlp(likelihood=Categorical(3))),
    _model("ELBO Monte-Carlo KL", _mlp(estimator=MonteCarloKL(), samples=SAMPLES, beta=0.7)),
    _flow("planar", Planar(4), BoundPlanar),
    _flow("radial", Radial(4), BoundRadial),
    _flow("autoregressive", InverseAutoregressive(4, 5), BoundAutoregressive, gate, gate_grad),
    _model(
        "importance-weighted bound, planar flow",
        _mlp(estimator=ImportanceWeighted(), samples=SAMPLES, flow=Planar(2), activation="tanh"),
    ),
    _model(
        "importance-weighted bound, autoregressive flow",
        _mlp(
            estimator=ImportanceWeighted(),
            samples=SAMPLES,
            flow=InverseAutoregressive(2, 5),
            activation="tanh",
        ),
    ),
    _model("ELBO free bits", _mlp(estimator=FreeBits(0.2), activation="tanh")),
    replace(
        _model("importance-weighted bound", _mlp(estimator=ImportanceWeighted(), samples=SAMPLES)),
        saturated=None,  # its weights are then those of samples 10¹⁵ apart: no digit is left
    ),
    _model("ELBO without KL", _mlp(beta=0.0)),
    _model("ELBO of two shapes", _other_shapes),
    _conditional("conditional, label", Label(3)),
    _layer("FirstLayerHead", lambda: FirstLayerHead(3), 2 * HIDDEN[1]),
    _two_layers("two layers", beta=0.7, samples=SAMPLES),
    replace(
        _two_layers("two layers, weighted", samples=SAMPLES, estimator=ImportanceWeighted()),
        saturated=None,
    ),
    _m2("M2, some labels known", ("known", "unknown")),
    _m2("M2, no label known", ("unknown",), likelihood=LearnedGaussian()),
    _conditional("conditional, prior network", Label(3), prior=True, samples=SAMPLES, beta=0.7),
    replace(
        _conditional(
            "conditional, quadrants, weighted",
            Quadrants(1, (3, 5)),
            prior=True,
            samples=SAMPLES,
            estimator=ImportanceWeighted(),
        ),
        saturated=None,
    ),
)
