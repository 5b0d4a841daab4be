"""What the tests of training need: tiny images, a recorder, and the training written out plainly.

``PlainRun`` computes the same training as the package by the formulas of its reference, for a
model 12-8-Z on a Bernoulli likelihood. It shares the initial weights, the order and the noise with
the training (E25 and E26 are tested elsewhere), and none of its layers, likelihoods or optimizers.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchvae.backend import Backend, get_backend
from scratchvae.backend.noise import Purpose, Stream, normal
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset, Split
from scratchvae.models import Model
from scratchvae.reference import VAE, adam, loss_and_gradient
from scratchvae.runs import Checkpoint
from scratchvae.training import (
    Batches,
    Progress,
    Training,
    TrainingStep,
    Weighting,
    epoch_order,
    train,
)

SHAPE = (3, 4)
PIXELS = 12


def grey(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """``count`` images (N, 12) of levels 0..255."""
    return np.random.default_rng(seed).integers(0, 256, (count, PIXELS), dtype=np.uint8)


def tiny(train: int = 27, test: int = 10, max_level: int | None = 255, seed: int = 0) -> Dataset:
    """A data set of 3 x 4 pixels: uint8 levels, or float32 where ``max_level`` is None."""
    parts = []
    for count, number in ((train, 2 * seed), (test, 2 * seed + 1)):
        images: NDArray[Any] = grey(count, number)
        if max_level is None:
            images = (images / 255).astype(np.float32)
        elif max_level == 1:
            images = (images > 127).astype(np.uint8)
        parts.append(Split(images, np.arange(count) % 10, max_level))
    return Dataset("tiny", parts[0], parts[1], SHAPE)


def settings(**changes: Any) -> TrainConfig:
    """A training of four steps per epoch (8, 8, 8 and 3 images of ``tiny()``)."""
    chosen: dict[str, Any] = {"data": "tiny", "hidden": (8,), "batch_size": 8, "epochs": 2}
    return TrainConfig(**(chosen | changes))


def trained(
    config: TrainConfig,
    dataset: Dataset | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Training:
    """A training without a folder."""
    return train(
        config, dataset or tiny(), backend=get_backend(device, config.dtype), progress=progress
    )


class Notes(Progress):
    """Keeps the notes of a training."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def note(self, text: str) -> None:
        self.seen.append(text)


def numbers(training: Training) -> list[dict[str, Any]]:
    """The metrics without the one that no two runs share."""
    return [{k: v for k, v in line.items() if k != "seconds"} for line in training.metrics]


def leftovers(folder: Path) -> list[str]:
    """Temporary files that were not removed."""
    return [p.name for p in folder.rglob("*") if p.name.startswith(".") or p.suffix == ".tmp"]


def small(step: int = 12) -> Checkpoint:
    """A checkpoint of a model with two parameters."""
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    buffers = {"params": {"W": a, "b": a[0] * 2}, "adam.m": {"W": -a, "b": a[1]}}
    return Checkpoint({"hidden": [3], "seed": 2**64 - 1}, 12, 3, step, buffers)


def same(a: Checkpoint, b: Checkpoint) -> bool:
    if (a.config, a.pixels, a.epoch, a.step) != (b.config, b.pixels, b.epoch, b.step):
        return False
    assert set(a.buffers) == set(b.buffers)
    return all(
        np.array_equal(x, b.buffers[buffer][name]) and x.dtype == b.buffers[buffer][name].dtype
        for buffer, views in a.buffers.items()
        for name, x in views.items()
    )


class Recorder(Progress):
    """Calls what a test wants called after steps and epochs."""

    def __init__(
        self,
        advance: Callable[[int, float], None] = lambda steps, loss: None,
        epoch: Callable[[int], None] = lambda epoch: None,
    ) -> None:
        self.on_advance, self.on_epoch = advance, epoch

    def advance(self, steps: int, loss: float) -> None:
        self.on_advance(steps, loss)

    def epoch(self, metrics: Any) -> None:
        self.on_epoch(metrics["epoch"])


def make_step(
    config: TrainConfig, dataset: Dataset | None = None, bk: Backend | None = None
) -> TrainingStep:
    """The step of a training, its order loaded for epoch 1."""
    bk = bk or get_backend("cpu", config.dtype)
    split = (dataset or tiny()).train
    vae = config.make_vae(split.images.shape[1])
    step = TrainingStep(
        Model(vae, bk, seed=config.seed),
        config.make_optimizer(),
        Batches(
            bk.array(split.images, dtype=split.images.dtype),
            split.max_level,
            config.batch_size,
            config.seed,
            dynamic=config.binarize == "dynamic",
        ),
        weighting=Weighting(config.reduction),
    )
    bk.load(epoch_order(len(split), config.seed, 1, config.shuffle), step.order)
    return step


def pixels_of(dataset: Dataset, dtype: str) -> NDArray:
    """The training images (N, 12) as a step sees them: divided in the model's float type."""
    images, max_level = dataset.train.images.astype(dtype), dataset.train.max_level
    return images if max_level is None else images / max_level


def batches(config: TrainConfig, n: int) -> Iterator[tuple[int, int, int, NDArray[np.int64]]]:
    """(epoch, step of the run, step of the epoch, the images) for ever."""
    t, epoch = 0, 0
    while True:
        epoch += 1
        order = epoch_order(n, config.seed, epoch, config.shuffle)
        for i, start in enumerate(range(0, n, config.batch_size)):
            t += 1
            yield epoch, t, i, order[start : start + config.batch_size]


def after_steps(config: TrainConfig, dataset: Dataset, count: int) -> dict[str, NDArray]:
    """The parameters after ``count`` steps, by the package's step alone: no loop, no files."""
    step = make_step(config, dataset)
    for epoch, t, i, _ in batches(config, len(dataset.train)):
        if t > count:
            break
        step.bk.load(
            epoch_order(len(dataset.train), config.seed, epoch, config.shuffle), step.order
        )
        step(t, i)
    return step.params.to_host()


class PlainRun:
    """The same training by the formulas of ``scratchvae.reference``: ReLU and a Bernoulli."""

    def __init__(self, config: TrainConfig, dataset: Dataset | None = None) -> None:
        self.config = config
        self.x = pixels_of(dataset or tiny(), config.dtype)
        model = Model(config.make_vae(PIXELS), get_backend("cpu", config.dtype), seed=config.seed)
        self.p = model.params.to_host()  # the arrays of the VAE below, by the package's names
        layers = [(p, self.p[name[:-1] + "b"]) for name, p in self.p.items() if name[-1] == "W"]
        self.vae = VAE(layers[: len(layers) // 2], layers[len(layers) // 2 :])

    def batch(self, index: NDArray[np.int64], t: int) -> tuple[NDArray, NDArray]:
        """The images and the noise of step ``t``; K samples per image are K rows of the image."""
        K, Z = self.config.samples, self.config.latent_dim
        eps = normal((len(index), K, Z), Stream(self.config.seed, Purpose.LATENT, t))
        return np.repeat(self.x[index], K, axis=0), eps.reshape(-1, Z).astype(self.config.dtype)

    def losses(self, x: NDArray, eps: NDArray) -> NDArray:
        """E2 of each image."""
        _, nll, kl, _ = loss_and_gradient(self.vae, x, eps)
        return (nll + self.config.beta * kl).reshape(-1, self.config.samples).mean(axis=1)

    def steps(self) -> Iterator[tuple[int, int, NDArray, NDArray]]:
        """(epoch, step of the run, x, eps); the update follows when the next is asked for."""
        m, v = ([np.zeros_like(p) for p in self.vae.arrays()] for _ in range(2))
        for epoch, t, _, index in batches(self.config, len(self.x)):
            x, eps = self.batch(index, t)
            yield epoch, t, x, eps
            gradient = loss_and_gradient(self.vae, x, eps, self.config.beta)[-1]
            for arrays in zip(self.vae.arrays(), gradient.arrays(), m, v, strict=True):
                adam(*arrays, t, self.config.lr)
