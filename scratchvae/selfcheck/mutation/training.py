"""The check that most people rely on: does the loss go down?"""

import numpy as np

from scratchvae.backend import Backend
from scratchvae.backend.cpu import NumpyBackend
from scratchvae.gradcheck.backends import PlainBackend
from scratchvae.gradcheck.subjects.model import ModelSubject
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.optim import Adam
from scratchvae.selfcheck.mutation.judges import BY_NAME

IMAGES, STEPS, RATE = 6, 60, 0.02
FALL = 0.1  # of the loss at the start


class Training:
    """A tiny model of a registry entry, trained on one batch with fixed noise."""

    def __init__(self, name: str, plain: bool = False) -> None:
        subject = BY_NAME[name].make(IMAGES, 0)
        assert isinstance(subject, ModelSubject)
        self.subject, self.plain = subject, plain
        self.vae = subject.vae

    def losses(self) -> tuple[float, float]:
        """E2 before and after."""
        bk: Backend = PlainBackend() if self.plain else NumpyBackend(dtype="float64")
        params, grads = FlatBuffer(bk, self.vae.layout), FlatBuffer(bk, self.vae.layout)
        params.load(self.subject.args)
        bound = self.vae.bind(Workspace(bk, IMAGES), params, grads)
        bk.load(self.subject.constants["x"], bound.x)
        bk.load(self.subject.constants["eps"], bound.eps)
        optimizer = Adam(lr=RATE).bind(bk, params, grads)

        def loss() -> float:
            bound.loss()
            return float(np.sum(bound.objective))

        with bk.ignore_float_errors():
            before = loss()
            for t in range(1, STEPS + 1):
                bound.loss_and_gradient(1.0 / IMAGES)
                optimizer.step(t)
            return before, loss()

    def falls(self) -> bool:
        """Whether the loss falls by more than a tenth."""
        before, after = self.losses()
        return bool(before - after > FALL * abs(before))  # False for NaN
