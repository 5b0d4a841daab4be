"""Every setting of a run, in one object that a JSON file can hold."""

import math
import sys
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any

from scratchvae.data import DATASETS, PROTOCOLS, SUBSETS, Dataset, Reading, is_subset
from scratchvae.errors import ConfigError, DataError
from scratchvae.latent import (
    ESTIMATORS,
    FLOWS,
    AnalyticKL,
    Estimator,
    Flow,
    FlowSettings,
    MonteCarloKL,
    default_estimator,
)
from scratchvae.layers import (
    ACTIVATIONS,
    HEAD_STARTS,
    INITIALIZATIONS,
    Dense,
    Layer,
    Sequential,
)
from scratchvae.likelihoods import (
    LIKELIHOODS,
    LearnedGaussian,
    Likelihood,
)
from scratchvae.likelihoods.base import LikelihoodSettings
from scratchvae.likelihoods.gaussian import MEANS
from scratchvae.models import M2, VAE, ConditionalVAE, Label, SomeLabels, TwoLayerVAE
from scratchvae.models.condition import FORMS, Quadrants, is_condition, parse_condition
from scratchvae.models.specs import dense_layers, parse_layers, with_head
from scratchvae.models.two_layers import SecondLayer
from scratchvae.optim import OPTIMIZERS, Optimizer, schedule
from scratchvae.tables import instantiate, look_up
from scratchvae.types import Json, JsonView

HEADS = ("logvar", "logstd")
LISTS = (
    "image_shape",
    "hidden",
    "second_hidden",
    "encoder",
    "decoder",
    "optimizer_settings",
    "evaluate_at",
)
REDUCTIONS = ("mean", "sum")
PRIORS = ("standard", "conditional")
SUM_ORDERS = ("fixed", "any")
OUTPUT_BIASES = ("init", "mean")
FORMER_NAMES = {"levels": "max_level"}  # of settings, in the files of older runs
FORMER_DEFAULTS: Json = {
    "start_std": 1.0,
    "split": "last",
}  # of settings that those files lack


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; ``ConfigError`` for invalid ones.

    The defaults train on the digits that come with scikit-learn in well under a minute.
    """

    data: str = "digits"  # a data set's name, or the path of a file
    image_shape: tuple[int, ...] = ()  # of flattened images; these five as in data.Reading
    full_scale: int = 0
    split: str = "auto"
    label_column: str = ""
    colormap: str = ""
    subset: str = ""  # of the data: first:N, last:N or draw:SEED:N:M; all where empty
    binarize: str = "none"  # none, threshold, dynamic or static
    hidden: tuple[int, ...] = (400, 400)  # of the encoder; the decoder has them in reverse
    activation: str = "relu"
    encoder: tuple[str, ...] = ()  # layers as text (models.specs) instead of hidden sizes,
    decoder: tuple[str, ...] = ()  # both or neither; the encoder's head is added
    latent_dim: int = 2
    second_units: int = 0  # of a second stochastic layer, behind latent_dim of the first; 0: none
    second_hidden: tuple[int, ...] = (100, 100)  # hidden sizes from the first layer to the second
    likelihood: str = "bernoulli"
    max_level: int = 0  # of the categorical, grey values k / max_level; 0: the data's
    std: float = 0.5  # of the fixed Gaussian
    start_std: float = 0.0  # of a learned Gaussian, before the first step; 0: the data's spread
    mean: str = "auto"  # of the Gaussians: sigmoid or identity; auto: what the data's range needs
    head: str = "logvar"  # what the encoder's second half means: logvar or logstd
    heads: str = "joint"  # how μ and the second half start: as one layer, independent or equal
    init: str = "glorot-uniform"
    output_bias: str = "init"  # how the logits start: as init says, or at the training mean
    condition: str = ""  # what is given with an image: label, some-labels, quadrants:N or nothing
    labels: int = 0  # of some-labels: how many are known in training, of each class as many; 0: all
    classifier_weight: float = 1.0  # of −log q(y|x) of an image whose label is known
    prior: str = "standard"  # of z given the condition: standard, or a network of it (conditional)
    beta: float = 1.0
    samples: int = 1  # draws of z per image
    estimator: str = "analytic"  # of the bound and its gradient, a key of latent.ESTIMATORS
    posterior: str = "gaussian"  # q(z|x): Gaussian, or carried on by a flow, a key of latent.FLOWS
    flow_length: int | None = None  # how many maps a flow has; None: as many as its class says
    flow_hidden: int | None = None  # hidden units of an autoregressive map; None: as its class says
    kl_warmup: int = 0  # steps over which the KL's weight grows from 0 to beta
    free_bits: float = 0.0  # nats of KL per latent unit that cost nothing; `analytic` alone
    optimizer: str = "adam"
    optimizer_settings: tuple[str, ...] = ()  # of its own, such as "beta1=0.99"
    reduction: str = "mean"  # the gradient is that of the mean or sum of the loss over a batch
    lr: float | str = 1e-3  # a number, or a schedule such as "cosine:1e-3:1e-5:10000"
    clip: float = 0.0  # the largest norm that a gradient may have; 0: any
    epochs: int = 150
    batch_size: int = 50
    shuffle: bool = True
    seed: int = 0
    dtype: str = "float32"
    evaluate_at: tuple[int, ...] = ()  # epochs to evaluate after, and the last; all where empty
    validation: int = 0  # images of the training set held out to choose the best epoch by
    verify_every: int = 0  # steps between checks of the live gradient; 0: none
    compiled: bool = True  # use loops that numba compiles, on a CPU where it is installed
    workers: int = 0  # processes that share a step on the CPU; 0: by rule, see resolve_workers
    pieces: int = 0  # whose gradients are added in a fixed order, by any number of ranks; 0: none
    sum_order: str = "fixed"  # in which ranks add gradients: fixed, or any, as MPI's own sum does
    patience: int = 0  # stop after this many epochs without a better one; 0: never

    def __post_init__(self) -> None:
        """Check everything that can be checked without the data. NumPy's numbers count."""
        for field in fields(self):
            object.__setattr__(self, field.name, _plain(getattr(self, field.name)))
        for name in ("hidden", "second_hidden"):
            given: Any = getattr(self, name)
            given = (given,) if _is_int(given, 1) else given
            self._require(name, isinstance(given, list | tuple), "sizes, or one size")
            object.__setattr__(self, name, tuple(map(_plain, given)))
        self._require("data", isinstance(self.data, str), "a data set's name or a path, as text")
        for name in ("shuffle", "compiled"):
            self._require(name, isinstance(getattr(self, name), bool), "true or false")
        object.__setattr__(self, "image_shape", self.reading.image_shape)
        for name, what in (
            ("encoder", "layers in words"),
            ("decoder", "layers in words"),
            ("optimizer_settings", "settings in words, such as beta1=0.99"),
        ):
            words = getattr(self, name)
            fine = isinstance(words, list | tuple) and all(isinstance(w, str) for w in words)
            self._require(name, fine, f"a list of {what}")
            object.__setattr__(self, name, tuple(words))
        for words in (self.encoder, self.decoder):
            parse_layers(words, INITIALIZATIONS["he"])
        if bool(self.encoder) != bool(self.decoder):
            raise ConfigError("encoder and decoder are described in words both or neither")
        fine = isinstance(self.subset, str) and is_subset(self.subset)
        self._require("subset", fine, f"of the form {SUBSETS}")
        for name in ("latent_dim", "samples", "epochs", "batch_size"):
            self._require(
                name,
                _is_int(getattr(self, name), 1),
                "a whole number of at least 1, at most 2⁶³ − 1",
            )
        at = self.evaluate_at
        fine = isinstance(at, list | tuple) and all(_is_int(epoch, 1) for epoch in at)
        self._require("evaluate_at", fine, "a list of epochs, counted from 1")
        object.__setattr__(self, "evaluate_at", tuple(at))
        counts = (
            "validation",
            "patience",
            "workers",
            "pieces",
            "verify_every",
            "kl_warmup",
            "labels",
            "second_units",
        )
        for name in counts:
            self._require(
                name,
                _is_int(getattr(self, name), 0),
                "a whole number, not negative, at most 2⁶³ − 1",
            )
        self._require("seed", _is_int(self.seed, 0, 2**64 - 1), "from 0 to 2⁶⁴ − 1")
        fine = _is_int(self.max_level, 0) and self.max_level < 256
        self._require("max_level", fine, "from 0 to 255")
        for name in ("hidden", "second_hidden"):
            sizes = all(_is_int(units, 1) for units in getattr(self, name))
            self._require(name, sizes, "sizes of at least 1, at most 2⁶³ − 1")
        self._require("std", _is_number(self.std) and self.std > 0, "a positive number")
        if not isinstance(self.lr, str):
            self._require("lr", _is_number(self.lr) and self.lr > 0, "a positive number")
        try:
            schedule(self.lr)
        except ConfigError as error:
            raise ConfigError(
                f"lr is {self.lr!r}, but it must be a positive number or a schedule: {error}"
            ) from None
        for name in ("beta", "free_bits", "clip", "start_std", "classifier_weight"):
            self._require(name, _is_number(getattr(self, name)) and getattr(self, name) >= 0,
                          "a number, not negative")  # fmt: skip
        for name, known in (
            ("binarize", PROTOCOLS),
            ("mean", ("auto", *MEANS)),
            ("head", HEADS),
            ("heads", tuple(HEAD_STARTS)),
            ("init", tuple(INITIALIZATIONS)),
            ("output_bias", OUTPUT_BIASES),
            ("prior", PRIORS),
            ("reduction", REDUCTIONS),
            ("sum_order", SUM_ORDERS),
            ("dtype", ("float32", "float64")),
        ):
            value = getattr(self, name)
            self._require(name, value in known, f"one of {', '.join(known)}")
        if self.pieces and self.workers > 1:
            raise ConfigError(
                f"workers is {self.workers}, but a step of {self.pieces} pieces is divided among "
                "ranks, not workers: leave out workers"
            )
        if self.patience and not self.validation:
            raise ConfigError("patience needs a validation split: set validation too")
        if self.patience and self.evaluate_at:
            raise ConfigError(
                "patience counts epochs that are all evaluated: leave out evaluate_at, or patience"
            )
        fine = self.condition in (Label.kind, SomeLabels.kind) or is_condition(self.condition)
        self._require("condition", fine, FORMS)
        if self.prior != "standard" and not self.condition:
            raise ConfigError("a conditional prior needs a condition: set condition, too")
        if not self.sums_out_labels and (self.labels or self.classifier_weight != 1):
            raise ConfigError(
                "labels and classifier_weight belong to a model that sums out the labels that are "
                f"not known: set condition to {SomeLabels.kind}"
            )
        if self.sums_out_labels and (self.prior, self.samples, self.estimator, self.free_bits) != (
            "standard", 1, "analytic", 0,
        ):  # fmt: skip
            raise ConfigError(
                f"with {SomeLabels.kind} there is one sample of z for each label, the prior is "
                "standard and the KL analytic: leave out samples, prior, estimator and free_bits"
            )
        look_up("activation", self.activation, ACTIVATIONS, Layer)
        _ = self.likelihood_class
        if self.optimizer_settings:
            self.make_optimizer()
        else:
            look_up("optimizer", self.optimizer, OPTIMIZERS, Optimizer)
        self._check_flow()
        self._check_estimator()

    def _check_flow(self) -> None:
        for setting in FlowSettings._fields:
            name = f"flow_{setting}"
            if getattr(self, name) is None:
                continue
            self._require(name, _is_int(getattr(self, name), 1), "a whole number of at least 1")
            if setting not in self.flow_class.settings:
                raise ConfigError(
                    f"{name} is set, but the posterior {self.posterior!r} has no such setting: "
                    f"leave it out, or choose one of {', '.join(_flows_with(setting))}"
                )
        if self.make_flow().length and self.sums_out_labels:
            raise ConfigError(
                f"with {SomeLabels.kind} q(z|x, y) is a Gaussian for each label, not one with the "
                f"flow {self.posterior!r}: leave out posterior, or set condition to {Label.kind}"
            )
        if self.second_units and (self.condition, self.posterior, self.encoder) != (
            "", "gaussian", (),
        ):  # fmt: skip
            raise ConfigError(
                "a second stochastic layer needs hidden sizes, and no condition or flow: leave out "
                "encoder, condition and posterior, or second_units"
            )
        self.make_flow().require(self.latent_dim + self.second_units)

    def _check_estimator(self) -> None:
        estimator = self.make_estimator()
        estimator.require(self.samples, self.beta, self.make_flow())
        if self.kl_warmup and not estimator.allows_beta:
            raise ConfigError(
                f"the estimator {self.estimator!r} has no KL whose weight could grow: "
                "set kl_warmup to 0"
            )
        if self.verify_every and not estimator.gradient_matches_value:
            raise ConfigError(
                f"the estimator {self.estimator!r} has a gradient that is not its value's, so that "
                "no live check can compare them: set verify_every to 0"
            )

    def _require(self, name: str, fine: bool, expected: str) -> None:
        if not fine:
            raise ConfigError(f"{name} is {getattr(self, name)!r}, but it must be {expected}")

    def to_json(self) -> Json:
        """A dictionary that JSON can hold."""
        lists = {name: list(getattr(self, name)) for name in LISTS}
        return asdict(self) | lists

    def in_use(self) -> Json:
        """:meth:`to_json` without what does not count beside the other settings.

        That is what another likelihood reads, hidden sizes beside layers in words, and how files
        are read where a data set has a name.
        """
        unused = set(LikelihoodSettings._fields) - {"name", *self.likelihood_class.settings}
        unused |= {f"flow_{s}" for s in set(FlowSettings._fields) - set(self.flow_class.settings)}
        if self.encoder:
            unused |= {"hidden", "activation"}
        if self.data in DATASETS:
            unused |= {"image_shape", "full_scale", "split", "label_column"}
        return {name: value for name, value in self.to_json().items() if name not in unused}

    @classmethod
    def defaults(cls) -> Json:
        """The default of every setting, by name."""
        return {field.name: field.default for field in fields(cls)}

    @classmethod
    def from_json(cls, settings: JsonView) -> "TrainConfig":
        """The inverse of :meth:`to_json`; refuses names that it does not know."""
        unknown = set(settings) - {field.name for field in fields(cls)} - FORMER_NAMES.keys()
        if unknown:
            raise ConfigError(f"unknown settings: {', '.join(sorted(unknown))}")
        renamed = {FORMER_NAMES.get(name, name): settings[name] for name in settings}
        older = dict(FORMER_DEFAULTS) if FORMER_NAMES.keys() & set(settings) else {}
        if renamed.get("data", cls.data) in DATASETS:  # which were never split
            older.pop("split", None)
        return cls(**(older | renamed))

    # ---- what the settings mean --------------------------------------------------------------

    @property
    def reading(self) -> Reading:
        """How the data are read; ``ConfigError`` for invalid settings of it."""
        return Reading(**{field.name: getattr(self, field.name) for field in fields(Reading)})

    @property
    def likelihood_class(self) -> type[Likelihood]:
        """The class that the settings name."""
        return look_up("likelihood", self.likelihood, LIKELIHOODS, Likelihood)

    def make_likelihood(self) -> Likelihood:
        """The likelihood that the settings name."""
        mean = "sigmoid" if self.mean == "auto" else self.mean
        start_std = self.start_std or 1.0
        settings = LikelihoodSettings(self.likelihood, self.max_level, self.std, start_std, mean)
        make = self.likelihood_class.from_settings
        return instantiate("likelihood", self.likelihood, lambda: make(settings))

    @property
    def flow_class(self) -> type[Flow]:
        """The class of the flow that makes the posterior."""
        return look_up("posterior", self.posterior, FLOWS, Flow)

    def make_flow(self) -> Flow:
        """The flow that the settings name; the identity for a Gaussian posterior.

        A second stochastic layer is a flow, too.
        """
        if self.second_units:
            return SecondLayer(
                self._to_head(self.second_hidden, self.second_units),
                self._to_head(self.second_hidden[::-1], self.latent_dim),
                self.second_units,
            )
        settings = FlowSettings(self.flow_length, self.flow_hidden)
        make = self.flow_class.from_settings
        return instantiate("posterior", self.posterior, lambda: make(settings))

    def make_estimator(self) -> Estimator:
        """The estimator that the settings name; `analytic` with a flow is one by Monte Carlo."""
        kind = look_up("estimator", self.estimator, ESTIMATORS, Estimator)
        if kind is AnalyticKL and not self.free_bits:
            return default_estimator(self.make_flow())
        return instantiate("estimator", self.estimator, lambda: kind.from_settings(self.free_bits))

    def make_vae(self, pixels: int) -> VAE:
        """The model that the settings describe, for images of ``pixels`` numbers."""
        if not self.condition:
            return self._make_plain(pixels)
        side = math.isqrt(pixels)
        condition = parse_condition(self.condition, (side, side))
        row = condition.row_size(pixels)
        prior = None
        if self.prior == "conditional":
            # the encoder's layers again: they infer how many numbers they read
            prior = self._to_head(self.hidden, self.latent_dim)
        plain = self._make_plain(condition.modelled(row))
        if isinstance(condition, SomeLabels):
            init = INITIALIZATIONS[self.init]
            layers = dense_layers(self.hidden, self.activation, init)
            classifier = Sequential(*layers, Dense(condition.classes, init))
            weight = self.classifier_weight
            return M2(plain, pixels, classifier, condition.classes, classifier_weight=weight)
        return ConditionalVAE(plain, pixels, condition, prior)

    @property
    def sums_out_labels(self) -> bool:
        """Whether the model is M2, which sums out the labels that are not known."""
        return self.condition.split(":")[0] == SomeLabels.kind

    def _make_plain(self, pixels: int) -> VAE:
        """The layers and settings of the model, for ``pixels`` numbers that are modelled."""
        flow = self.make_flow()
        second = flow if isinstance(flow, SecondLayer) else None
        if second is not None:
            flow = Flow()
        if self.encoder:
            init = INITIALIZATIONS[self.init]
            vae = VAE(
                pixels,
                with_head(
                    parse_layers(self.encoder, init), self.latent_dim, self.head, init, self.heads,
                    flow,
                ),
                Sequential(*parse_layers(self.decoder, init)),
                self.make_likelihood(),
                latent_dim=self.latent_dim,
                beta=self.beta,
                samples=self.samples,
                estimator=self.make_estimator(),
                flow=flow,
            )  # fmt: skip
        else:
            vae = VAE.mlp(
                pixels,
                self.hidden,
                latent_dim=self.latent_dim,
                activation=self.activation,
                likelihood=self.make_likelihood(),
                init=self.init,
                head=self.head,
                beta=self.beta,
                samples=self.samples,
                estimator=self.make_estimator(),
                heads=self.heads,
                flow=flow,
            )
        return vae if second is None else TwoLayerVAE(vae, second)

    def _to_head(self, hidden: tuple[int, ...], units: int) -> Sequential:
        """Dense layers of ``hidden`` sizes, then the head of ``units`` latent units."""
        init = INITIALIZATIONS[self.init]
        layers = dense_layers(hidden, self.activation, init)
        return with_head(layers, units, self.head, init, self.heads)

    def make_optimizer(self) -> Optimizer:
        """The optimizer that the settings name."""
        rule = look_up("optimizer", self.optimizer, OPTIMIZERS, Optimizer)
        make = partial(rule.from_settings, words=self.optimizer_settings)
        return instantiate("optimizer", self.optimizer, make, lr=self.lr, clip=self.clip)

    @property
    def trains_what_is_tested(self) -> bool:
        """Whether the training loss is E2 as the test loss has it, see ``default_estimator``."""
        estimator = self.make_estimator()
        same = estimator.is_test_loss
        if self.make_flow().length:
            same = type(estimator) is MonteCarloKL
        return same and not self.kl_warmup

    def evaluates_after(self, epoch: int) -> bool:
        """Whether the model is evaluated after this epoch: after the last, and as asked for."""
        return not self.evaluate_at or epoch in self.evaluate_at or epoch == self.epochs

    def describe_train_loss(self) -> str:
        """The protocol of the training loss: what is minimized, by which samples."""
        loss = self.make_estimator().describe(self.samples)
        if self.kl_warmup:
            loss += f", the KL's weight growing over {self.kl_warmup} steps"
        return loss

    def describe_model(self, pixels: int) -> str:
        """For captions: "784-400-400-2, relu"."""
        given = f", given {self.condition}" if self.condition else ""
        if self.second_units:
            given = f", second layer {'-'.join(map(str, (*self.second_hidden, self.second_units)))}"
        if self.encoder:
            words = f"{' · '.join(self.encoder)} → {self.latent_dim} → {' · '.join(self.decoder)}"
            return words + given
        sizes = "-".join(map(str, (pixels, *self.hidden, self.latent_dim)))
        flow = self.make_flow()
        made = f", {flow!r}" if flow.length else ""
        return f"{sizes}, {self.activation}{made}{given}"


def resolve_condition(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """The settings with what a condition takes from the data: how many labels, the image's shape.

    ``DataError`` for data without labels, or a table where quadrants are asked for.
    """
    if config.condition in (Label.kind, SomeLabels.kind):
        known = [a for a in (dataset.train.labels, dataset.test.labels) if a is not None]
        if not known:
            raise DataError(
                f"the condition is the label of an image, but {dataset.name} has no labels"
            )
        most = max(int(labels.max(initial=0)) for labels in known) + 1
        classes = max(most, len(dataset.class_names))
        return replace(config, condition=f"{config.condition}:{classes}")
    if config.condition.startswith(Quadrants.kind):
        if dataset.image_shape is None:
            raise DataError(f"quadrants are those of images, but {dataset.name} is a table")
        condition = parse_condition(config.condition, dataset.image_shape)
        return replace(config, condition=condition.text)
    return config


def resolve_gaussian(config: TrainConfig, low: float, high: float, spread: float) -> TrainConfig:
    """The settings of a Gaussian likelihood with what it takes from the data, if left to them.

    ``low``, ``high`` and ``spread`` are the smallest value, the largest and the standard deviation
    of the training images. A sigmoid cannot reach means outside [0, 1].
    """
    changes: Json = {}
    if config.mean == "auto":
        changes["mean"] = "sigmoid" if low >= 0 and high <= 1 else "identity"
    if issubclass(config.likelihood_class, LearnedGaussian) and not config.start_std:
        changes["start_std"] = max(spread, 1e-3)
    return replace(config, **changes) if changes else config


def resolve_max_level(config: TrainConfig, max_level: int | None) -> TrainConfig:
    """The settings with ``max_level`` of a categorical likelihood, if they leave it to the data.

    ``max_level`` is the data's, whose pixels are grey values k / max_level; None for float pixels,
    which no categorical describes. Binarized pixels have one level above black.
    """
    if config.likelihood != "categorical":
        return config
    found = max_level if config.binarize == "none" else 1
    if found is None:
        raise ConfigError(
            f"a categorical likelihood needs pixels of whole levels (uint8), but those of "
            f"{config.data} are float numbers: choose a Gaussian, or store them as uint8"
        )
    resolved = replace(config, max_level=config.max_level or found)
    if resolved.max_level != found:
        raise ConfigError(
            f"max_level is {config.max_level}, but the pixels have the levels 0 to {found}"
        )
    return resolved


def require_same_max_level(config: TrainConfig, max_level: int | None) -> None:
    """``DataError`` where a categorical likelihood knows other grey values than the data have.

    Pixels of 0 and 1 are levels of every categorical. ``max_level`` as in
    :func:`resolve_max_level`.
    """
    found = max_level if config.binarize == "none" else 1
    if config.likelihood == "categorical" and (found is None or config.max_level % found):
        raise DataError(
            f"the model knows the grey values k / {config.max_level}, but the pixels "
            + ("are float numbers" if found is None else f"have the levels 0 to {found}")
        )


def _plain(value: object) -> Any:
    """A number of Python's for one of NumPy's; anything else as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value


def _is_int(value: object, least: int, most: int = 2**63 - 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max  # false for NaN; whole numbers have no inf


def _flows_with(setting: str) -> list[str]:
    """The posteriors that have a setting, by name."""
    return [name for name, flow in FLOWS.items() if setting in flow.settings]
