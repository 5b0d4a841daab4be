"""Models described by a few numbers: something to draw at random, to print, and to draw again."""

from dataclasses import dataclass, fields

from scratchvae.gradcheck.check import check_subject
from scratchvae.gradcheck.report import Report
from scratchvae.gradcheck.subjects.model import ModelSubject, model_subject, normal_parameters
from scratchvae.latent import LogStdHead
from scratchvae.layers import ACTIVATIONS, Dense, Layer, Sequential
from scratchvae.likelihoods import Bernoulli, Gaussian, LearnedGaussian, Likelihood
from scratchvae.models import VAE

LIKELIHOODS: dict[str, Likelihood] = {
    "bernoulli": Bernoulli(),
    "gaussian-sigmoid": Gaussian(0.5),
    "gaussian-identity": Gaussian(2.0, "identity"),
    "learned": LearnedGaussian(),
    "learned-identity": LearnedGaussian(mean="identity"),
    "learned-per-pixel": LearnedGaussian(True, 0.1),
}
Hidden = tuple[tuple[int, str], ...]  # (units, activation) of each hidden layer


@dataclass(frozen=True)
class Configuration:
    """A whole model and the point to check it at. Encoder and decoder need not mirror."""

    pixels: int
    encoder: Hidden
    latent: int
    decoder: Hidden
    likelihood: str = "bernoulli"
    head: str = "logvar"
    beta: float = 1.0
    samples: int = 1
    rows: int = 3
    scale: float = 1.0  # of the weights: large ones saturate
    seed: int = 0

    def vae(self) -> VAE:
        """The model."""
        encoder: list[Layer] = [*_layers(self.encoder), Dense(2 * self.latent)]
        if self.head == "logstd":
            encoder.append(LogStdHead())
        return VAE(
            self.pixels,
            Sequential(*encoder),
            Sequential(*_layers(self.decoder), Dense(self.pixels)),
            LIKELIHOODS[self.likelihood],
            latent_dim=self.latent,
            beta=self.beta,
            samples=self.samples,
        )

    def subject(self) -> ModelSubject:
        """The model at its seeded point.

        The layer that makes log σ² keeps to moderate weights: exp of a large one is infinite.
        """
        vae = self.vae()
        values = normal_parameters(vae, self.scale, self.seed)
        subject = model_subject(vae, parameters=values, rows=self.rows, seed=self.seed)
        for name in ("W", "b"):
            subject.args[f"encoder.{2 * len(self.encoder)}.{name}"] *= min(1.0, 0.5 / self.scale)
        return subject

    def check(self, directions: int | None = None) -> Report:
        """Its gradient by complex step; raises ``GradientError`` where it is wrong."""
        report = check_subject(self.subject(), directions=directions, seed=self.seed)
        return report.raise_if_failed()

    def command(self) -> str:
        """A command line that repeats the check."""
        return f'python -c "from {__name__} import Configuration; print({self!r}.check())"'

    def __repr__(self) -> str:
        given = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self))
        return f"Configuration({', '.join(given)})"


def _layers(hidden: Hidden) -> list[Layer]:
    found: list[Layer] = []
    for units, activation in hidden:
        found += [Dense(units), ACTIVATIONS[activation]()]
    return found
