"""The comparison of gradient estimators: one model, its gradients, and what each can train."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from numpy.typing import NDArray

from scratchvae.backend import Backend, get_backend
from scratchvae.backend.base import ignore
from scratchvae.backend.noise import Purpose, Stream, permutation
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset
from scratchvae.errors import ConfigError
from scratchvae.evaluation import Evaluation, as_seen_by_model, evaluate
from scratchvae.evaluation.gradient_noise import GROUPS, BiasVariance, gradient_noise
from scratchvae.models import Model
from scratchvae.training import prepare, train
from scratchvae.types import Json, Over

TRAINED = ("analytic", "score-baseline", "score", "detached")  # with and without reparameterization
SAMPLES, DRAWS, EPOCHS = 5, 400, 40
REFERENCE_FACTOR = 4  # times as many draws go into a reference gradient


Noise = dict[int, Mapping[str, Mapping[str, BiasVariance]]]  # of gradients, by epoch


@dataclass(frozen=True)
class Trained:
    """A trained model, and the test set's numbers from before the first epoch to after the last."""

    model: Model
    tests: list[Evaluation]

    @property
    def final(self) -> Evaluation:
        """The numbers after the last epoch."""
        return self.tests[-1]


@dataclass(frozen=True)
class EstimatorComparison:
    """What the comparison found, with the models for the figures."""

    config: TrainConfig
    draws: int
    moments: list[int]  # epochs after which gradients were measured
    noise: dict[int, Mapping[str, Mapping[str, BiasVariance]]]  # by epoch, estimator and layer
    curves: dict[str, Trained]  # by estimator; "analytic" is the model that was measured
    autoencoder: Trained  # the same with beta = 0

    def to_json(self) -> Json:
        """The numbers, as JSON can hold them."""
        return {
            "moments": self.moments,
            "draws": self.draws,
            "reference_draws": REFERENCE_FACTOR * self.draws,
            "gradients": [
                {"epoch": epoch, "estimator": name, "layer": layer} | noise_json(noise)
                for epoch, by_name in self.noise.items()
                for name, by_layer in by_name.items()
                for layer, noise in by_layer.items()
            ],
            "curves": {
                name: {
                    "epoch": list(range(len(trained.tests))),
                    "test_loss": [-test.elbo for test in trained.tests],
                    "test_reconstruction": [test.reconstruction for test in trained.tests],
                    "test_kl": [test.kl for test in trained.tests],
                }
                for name, trained in self.curves.items()
            },
            "beta": {
                name: {
                    "reconstruction": test.reconstruction,
                    "kl": test.kl,
                    "elbo": test.elbo,
                    "elbo_standard_error": test.elbo_standard_error,
                }
                for name, test in (
                    ("0", self.autoencoder.final),
                    ("1", self.curves["analytic"].final),
                )
            },
        }


def noise_json(noise: BiasVariance) -> Json:
    """The numbers of one layer; null where the true gradient cannot be told from zero."""
    numbers = {
        "variance": noise.variance,
        "bias": noise.bias,
        "bias_standard_error": noise.bias_error,
        "bias_limit": noise.limit,
        "bias_squared": noise.bias_squared,
        "bias_squared_standard_error": noise.bias_squared_error,
    }
    if not noise.known:
        return dict.fromkeys(numbers) | {"biased": None}
    return numbers | {"biased": noise.biased}


def moments_of(epochs: int) -> list[int]:
    """Epochs after which gradients are measured: none, the square root of all, and all."""
    return sorted({0, round(epochs**0.5), epochs})


def compare_estimators(
    config: TrainConfig,
    dataset: Dataset,
    bk: Backend,
    draws: int = DRAWS,
    say: Callable[[str], None] = ignore,
    over: Over | None = None,
) -> EstimatorComparison:
    """Train with each of :data:`TRAINED` from the same parameters, noise and order of images;
    measure the gradients of all estimators on one batch, along the training with the analytic KL;
    train once more with beta = 0. ``over``: a map that divides the trainings among processes.
    """
    if not GROUPS <= draws < 2**60:  # four times as many are drawn of the true gradient
        raise ConfigError(f"draws must be at least {GROUPS} and below 2⁶⁰, not {draws}")
    config = replace(config, estimator="analytic", beta=1.0)
    for name in TRAINED:
        replace(config, estimator=name)  # refuses too few samples before anything is trained
    configs = [*(replace(config, estimator=name) for name in TRAINED), replace(config, beta=0.0)]
    moments = moments_of(config.epochs)
    work = Work(dataset, (bk.name, getattr(bk, "tf32", False), bk.compiled), draws, moments, say)
    (analytic, noise), *others, (autoencoder, _) = (over or map)(work, configs)
    curves = {"analytic": analytic} | dict(
        zip(TRAINED[1:], (trained for trained, _ in others), strict=True)
    )
    return EstimatorComparison(config, draws, moments, noise, curves, autoencoder)


@dataclass(frozen=True)
class Work:
    """A training of the comparison, called with its settings, and gradients along the first.

    ``device``: the name of the backend, whether in TF32, and whether with compiled loops.
    """

    dataset: Dataset
    device: tuple[str, bool, bool]
    draws: int
    moments: list[int]
    say: Callable[[str], None]

    def __call__(self, config: TrainConfig) -> tuple[Trained, Noise]:
        """The model trained, and the gradients of all estimators at each moment."""
        name, tf32, compiled = self.device
        bk = get_backend(name, config.dtype, tf32, compiled=compiled)
        noise: Noise = {}

        def measure(epoch: int, model: Model) -> None:
            if epoch in self.moments:
                self.say(f"gradients after epoch {epoch}: {self.draws} draws of each estimator")
                noise[epoch] = gradient_noise(
                    model, first_batch(config, self.dataset), draws=self.draws, seed=config.seed,
                    moment=f"epoch {epoch}", reference_factor=REFERENCE_FACTOR,
                )  # fmt: skip

        with_noise = config.beta and config.estimator == TRAINED[0]
        what = config.estimator if config.beta else "beta = 0"
        self.say(f"training with {what}, {config.epochs} epochs")
        trained = train_once(config, self.dataset, bk, measure if with_noise else None)
        return trained, noise


def first_batch(config: TrainConfig, dataset: Dataset) -> NDArray:
    """The images (B, D) whose gradient is measured: chosen by the seed, the same at all moments."""
    train_split = prepare(config, dataset).train
    chosen = permutation(len(train_split), Stream(config.seed, Purpose.FIGURE))
    split = train_split.take(chosen[: config.batch_size])
    return as_seen_by_model(split, seed=config.seed)


def train_once(
    config: TrainConfig,
    dataset: Dataset,
    bk: Backend,
    measure: Callable[[int, Model], None] | None = None,
) -> Trained:
    """One training, with the test set's ELBO (analytic KL, E2) also before it begins."""
    test = prepare(config, dataset).test
    tests: list[Evaluation] = []

    def after(epoch: int, model: Model) -> None:
        tests.append(evaluate(model, test, seed=config.seed, draw=epoch))
        if measure is not None:
            measure(epoch, model)

    after(0, Model(config.make_vae(test.images.shape[1]), bk, seed=config.seed))
    training = train(config, dataset, backend=bk, on_epoch=after, verbose=False)
    return Trained(training.model, tests)
