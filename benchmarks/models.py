"""The networks that are measured, as sizes: every contender builds its own from these."""

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scratchvae.models import VAE

GAUSSIAN_STD = 0.5


@dataclass(frozen=True)
class Spec:
    """A VAE of dense layers with its batch size; the analytic KL, one draw of z an image."""

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

    @property
    def title(self) -> str:
        """For tables: "784-400-400-2 relu"."""
        return "-".join(map(str, (self.pixels, *self.hidden, self.latent))) + f" {self.activation}"

    @property
    def layers(self) -> tuple[tuple[str, int, int], ...]:
        """(name, inputs, outputs) of every dense layer, encoder first, named as in scratchvae."""
        found = []
        for part, sizes in (
            ("encoder", (self.pixels, *self.hidden, 2 * self.latent)),
            ("decoder", (self.latent, *self.hidden[::-1], self.pixels)),
        ):
            found += [(f"{part}.{2 * i}", n, m) for i, (n, m) in enumerate(pairwise(sizes))]
        return tuple(found)

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum((n + 1) * m for _, n, m in self.layers)

    @property
    def flops(self) -> int:
        """Of the products of one step, for a batch: forward, chain (not the first), gradient."""
        first = self.pixels * self.layers[0][2]
        return 2 * self.batch * (3 * sum(n * m for _, n, m in self.layers) - first)

    def vae(self) -> "VAE":
        """The same network in scratchvae."""
        from scratchvae.likelihoods import Bernoulli, Gaussian
        from scratchvae.models import VAE

        likelihood = Bernoulli() if self.likelihood == "bernoulli" else Gaussian(GAUSSIAN_STD)
        return VAE.mlp(
            self.pixels,
            self.hidden,
            self.latent,
            self.activation,
            likelihood,
            self.init,
            self.head,
        )

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> "Spec":
        """The inverse of :meth:`to_json`."""
        return cls(**{**settings, "hidden": tuple(settings["hidden"])})


MODELS = {
    spec.name: spec
    for spec in (
        Spec("gluon", (400, 400), 2, "relu", 100),
        Spec("tensorflow1", (500, 500), 20, "sigmoid", 100, "gaussian", init="truncated-normal"),
        Spec("flux", (500,), 2, "tanh", 100, head="logstd", binary=True),
        Spec("pytorch", (512, 512), 16, "relu", 16, init="torch"),
        Spec("iwae", (200, 200), 50, "tanh", 20, binary=True),
    )
}
