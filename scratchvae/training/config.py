"""Every setting of a run, in one object that a JSON file can hold."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from scratchvae.data import PROTOCOLS
from scratchvae.errors import ConfigError
from scratchvae.layers import ACTIVATIONS, INITIALIZATIONS
from scratchvae.likelihoods import Bernoulli, Gaussian, LearnedGaussian, Likelihood
from scratchvae.likelihoods.gaussian import MEANS
from scratchvae.models import VAE
from scratchvae.optim import OPTIMIZERS, Adam

LIKELIHOODS = ("bernoulli", "gaussian", "gaussian-learned", "gaussian-per-pixel")
HEADS = ("logvar", "logstd")


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; ``ConfigError`` for values that cannot be.

    The defaults train on the digits that come with scikit-learn in well under a minute.
    """

    data: str = "digits"  # a data set's name, or the path of a file
    binarize: str = "none"  # none, threshold, dynamic or static
    hidden: tuple[int, ...] = (400, 400)  # of the encoder; the decoder has them in reverse
    activation: str = "relu"
    latent_dim: int = 2
    likelihood: str = "bernoulli"
    std: float = 0.5  # of the fixed Gaussian
    mean: str = "sigmoid"  # of the Gaussians: sigmoid or identity
    head: str = "logvar"  # what the encoder's second half means: logvar or logstd
    init: str = "glorot-uniform"
    beta: float = 1.0
    samples: int = 1  # z an image
    optimizer: str = "adam"
    lr: float = 1e-3
    epochs: int = 150
    batch_size: int = 50
    shuffle: bool = True
    seed: int = 0
    dtype: str = "float32"
    validation: int = 0  # images of the training set held out to choose the best epoch by
    verify_every: int = 0  # steps between checks of the live gradient; 0: none
    workers: int = 0  # threads that share a step on the CPU; 0: by rule, see resolve_workers
    patience: int = 0  # stop after so many epochs without a better one; 0: never

    def __post_init__(self) -> None:
        """Check everything that can be checked without the data."""
        self._require("data", isinstance(self.data, str), "a data set's name or a path, as text")
        self._require("shuffle", isinstance(self.shuffle, bool), "true or false")
        self._require("hidden", isinstance(self.hidden, list | tuple), "a list of sizes")
        object.__setattr__(self, "hidden", tuple(self.hidden))
        for name in ("latent_dim", "samples", "epochs", "batch_size"):
            self._require(name, _is_int(getattr(self, name), 1), "a whole number of at least 1")
        for name in ("validation", "patience", "workers", "verify_every"):
            self._require(name, _is_int(getattr(self, name), 0), "a whole number, not negative")
        self._require("seed", _is_int(self.seed, 0) and self.seed < 2**64, "from 0 to 2⁶⁴ − 1")
        sizes = all(_is_int(units, 1) for units in self.hidden)
        self._require("hidden", sizes, "sizes of at least 1")
        for name in ("lr", "std"):
            self._require(name, _is_number(getattr(self, name)) and getattr(self, name) > 0,
                          "a positive number")  # fmt: skip
        self._require("beta", _is_number(self.beta) and self.beta >= 0, "a number, not negative")
        for name, known in (
            ("binarize", PROTOCOLS),
            ("activation", tuple(ACTIVATIONS)),
            ("likelihood", LIKELIHOODS),
            ("mean", MEANS),
            ("head", HEADS),
            ("init", tuple(INITIALIZATIONS)),
            ("optimizer", tuple(OPTIMIZERS)),
            ("dtype", ("float32", "float64")),
        ):
            value = getattr(self, name)
            self._require(name, value in known, f"one of {', '.join(known)}")
        if self.patience and not self.validation:
            raise ConfigError("patience needs a validation split: set validation too")

    def _require(self, name: str, fine: bool, expected: str) -> None:
        if not fine:
            raise ConfigError(f"{name} is {getattr(self, name)!r}, but it must be {expected}")

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return asdict(self) | {"hidden": list(self.hidden)}

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> "TrainConfig":
        """The inverse of :meth:`to_json`; refuses names that it does not know."""
        unknown = set(settings) - {field.name for field in fields(cls)}
        if unknown:
            raise ConfigError(f"unknown settings: {', '.join(sorted(unknown))}")
        return cls(**settings)

    # ---- what the settings mean --------------------------------------------------------------

    def make_likelihood(self) -> Likelihood:
        """The likelihood that the settings name."""
        if self.likelihood == "bernoulli":
            return Bernoulli()
        if self.likelihood == "gaussian":
            return Gaussian(self.std, self.mean)
        return LearnedGaussian(self.likelihood == "gaussian-per-pixel", mean=self.mean)

    def make_vae(self, pixels: int) -> VAE:
        """The model that the settings describe, for images of so many pixels."""
        return VAE.mlp(
            pixels,
            self.hidden,
            self.latent_dim,
            self.activation,
            self.make_likelihood(),
            self.init,
            self.head,
            self.beta,
            self.samples,
        )

    def make_optimizer(self) -> Adam:
        """The optimizer that the settings name."""
        return OPTIMIZERS[self.optimizer](lr=self.lr)

    def describe_model(self, pixels: int) -> str:
        """For captions: "784-400-400-2, relu"."""
        sizes = "-".join(map(str, (pixels, *self.hidden, self.latent_dim)))
        return f"{sizes}, {self.activation}"


def _is_int(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
