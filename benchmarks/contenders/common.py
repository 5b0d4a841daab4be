"""What the contenders share: the description of the work, and the order of the images."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.models import Spec
from scratchvae.backend import Backend

LEARNING_RATE, BETA1, BETA2, ADAM_EPS = 1e-3, 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Job:
    """What a contender is told: the model, files that hold its data and weights, threads."""

    spec: Spec
    data: str  # .npy, (N, D) uint8
    max_level: int  # a pixel k means the grey value k / max_level
    weights: str  # .npz, arrays (inputs, outputs) and (outputs,) under scratchvae's names
    threads: int
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)  # of one contender

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return {**vars(self), "spec": self.spec.to_json()}

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> "Job":
        """The inverse of :meth:`to_json`."""
        return cls(**{**settings, "spec": Spec.from_json(settings["spec"])})

    def load_weights(self) -> dict[str, NDArray]:
        """The initial weights by name, float64."""
        with np.load(self.weights) as file:
            return dict(file)

    def load_values(self) -> NDArray[np.float32]:
        """The grey values of all images: (N, D) float32, what the peers keep in memory."""
        values = np.load(self.data).astype(np.float32)
        values /= np.float32(self.max_level)
        return values


@dataclass(frozen=True)
class Checked:
    """What a contender computed in the check, as host arrays under scratchvae's names."""

    loss: float  # of the first batch, in nats per image
    grads: dict[str, NDArray]  # of the first batch
    updated: dict[str, NDArray]  # the weights after as many steps as there are batches


class Order:
    """Which images each step visits: a new permutation at the beginning of every epoch."""

    def __init__(self, images: int, batch: int, seed: int) -> None:
        self.images, self.batch = images, batch
        self.steps_per_epoch = images // batch
        self.rng = np.random.default_rng(seed)
        self.i = 0  # the next step of the epoch

    def shuffled(self) -> NDArray[np.int64]:
        """The order of a new epoch: (images,)."""
        return self.rng.permutation(self.images)

    def spans(self, n: int) -> Iterator[tuple[int, int, NDArray[np.int64] | None]]:
        """The next n steps, epoch by epoch: (start, stop, the new order if one begins)."""
        while n > 0:
            start = self.i
            stop = min(start + n, self.steps_per_epoch)
            yield start, stop, self.shuffled() if start == 0 else None
            self.i = stop % self.steps_per_epoch
            n -= stop - start


def with_loops_if_asked(bk: Backend, job: Job) -> Backend:
    """The backend with compiled loops, if the job's option ``compiled`` says so."""
    if not job.options.get("compiled"):
        return bk
    import numba  # noqa: F401 - where it is missing, so is the contender

    return bk.with_compiled(True, print)
