"""The networks that are measured, as sizes or in words; contenders build their own from these."""

from dataclasses import asdict, dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

from benchmarks.layers import Layer, describe

if TYPE_CHECKING:
    from scratchvae.config import TrainConfig
    from scratchvae.models import VAE

GAUSSIAN_STD = 0.5


@dataclass(frozen=True)
class Spec:
    """A VAE with its batch size: dense layers of ``hidden`` sizes, or any layers in words.

    With one sample of z per image the loss is the ELBO with the analytic KL, with several the
    importance-weighted bound.
    """

    name: str
    hidden: tuple[int, ...]  # of the encoder; the decoder has them in reverse
    latent: int
    activation: str  # relu, tanh or sigmoid
    batch: int
    likelihood: str = "bernoulli"  # or gaussian: a sigmoid mean and a deviation of GAUSSIAN_STD
    head: str = "logvar"  # what the encoder's second half means: logvar or logstd
    binary: bool = False  # pixels thresholded at one half
    init: str = "glorot-uniform"
    pixels: int = 784
    samples: int = 1  # of z per image
    encoder: tuple[str, ...] = ()  # layers in words instead of hidden sizes, as in TrainConfig:
    decoder: tuple[str, ...] = ()  # both or neither, without the encoder's head

    @property
    def title(self) -> str:
        """For tables: "784-400-400-2 relu", "6 convolutions, 3 dense, 2 latent"."""
        if self.encoder:
            kinds = [layer.kind for layer in self.weighted]
            dense = kinds.count("dense")
            return f"{len(kinds) - dense} convolutions, {dense} dense, {self.latent} latent"
        sizes = "-".join(map(str, (self.pixels, *self.hidden, self.latent)))
        return f"{sizes} {self.activation}" + f", {self.samples} samples" * (self.samples > 1)

    @cached_property
    def networks(self) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
        """The layers of the encoder, its head included, and of the decoder."""
        encoder = self.encoder or self._dense(self.hidden)
        decoder = self.decoder or (*self._dense(self.hidden[::-1]), f"dense {self.pixels}")
        return (
            describe("encoder", (*encoder, f"dense {2 * self.latent}"), (self.pixels,)),
            describe("decoder", decoder, (self.latent,)),
        )

    def _dense(self, sizes: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(words for n in sizes for words in (f"dense {n}", self.activation))

    @property
    def weighted(self) -> tuple[Layer, ...]:
        """Every layer that has weights, encoder first."""
        return tuple(layer for part in self.networks for layer in part if layer.weights)

    @property
    def of_data(self) -> set[str]:
        """The layers that are given data, to which no gradient is sent back: the first."""
        return {self.weighted[0].name}

    @property
    def layers(self) -> tuple[tuple[str, int, int], ...]:
        """(name, *shape of W) of every layer that has weights, encoder first."""
        return tuple((layer.name, *layer.weights) for layer in self.weighted if layer.weights)

    @property
    def products(self) -> tuple[tuple[str, int, int, int], ...]:
        """(name, rows, n, m): the product (rows, n) times (n, m) of each layer for a batch."""
        found = []
        for layer in self.weighted:
            rows, n, m = layer.product
            each = self.samples if layer.name.startswith("decoder") else 1
            found.append((layer.name, self.batch * each * rows, n, m))
        return tuple(found)

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(prod(layer.weights or ()) + layer.biases for layer in self.weighted)

    @property
    def flops(self) -> int:
        """Of the matrix products of one step: forward, parameter gradient, and input gradient.

        The first layer needs no input gradient.
        """
        sizes = [rows * n * m for _, rows, n, m in self.products]
        return 2 * (3 * sum(sizes) - sizes[0])

    def config(self, **settings: Any) -> "TrainConfig":
        """What scratchvae would be told to train it."""
        from scratchvae.config import TrainConfig

        return TrainConfig(
            hidden=self.hidden,
            activation=self.activation,
            encoder=self.encoder,
            decoder=self.decoder,
            latent_dim=self.latent,
            likelihood=self.likelihood,
            std=GAUSSIAN_STD,
            head=self.head,
            init=self.init,
            samples=self.samples,
            estimator="iwae" if self.samples > 1 else "analytic",
            batch_size=self.batch,
            **settings,
        )

    def vae(self) -> "VAE":
        """The same network in scratchvae."""
        return self.config().make_vae(self.pixels)

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> "Spec":
        """The inverse of :meth:`to_json`."""
        lists = {name: tuple(settings[name]) for name in ("hidden", "encoder", "decoder")}
        return cls(**settings | lists)


KERAS_ENCODER = (
    "reshape 28 28 1",
    "conv 32 3", "relu",
    "conv 64 3 2", "relu",
    "conv 64 3", "relu",
    "conv 64 3", "relu",
    "flatten",
    "dense 32", "relu",
)  # fmt: skip
KERAS_DECODER = (
    "dense 12544", "relu",
    "reshape 14 14 64",
    "conv-transpose 32 3 2", "relu",
    "conv 1 3",
)  # fmt: skip

MODELS = {
    spec.name: spec
    for spec in (
        Spec("gluon", (400, 400), 2, "relu", 100),
        Spec("tensorflow1", (500, 500), 20, "sigmoid", 100, "gaussian", init="truncated-normal"),
        Spec("flux", (500,), 2, "tanh", 100, head="logstd", binary=True),
        Spec("pytorch", (512, 512), 16, "relu", 16, init="torch"),
        Spec("iwae", (200, 200), 50, "tanh", 20, binary=True),
        Spec("iwae50", (200, 200), 50, "tanh", 20, binary=True, samples=50),
        Spec(
            "keras-conv", (), 2, "relu", 100, binary=True,
            encoder=KERAS_ENCODER, decoder=KERAS_DECODER,
        ),
    )
}  # fmt: skip
