"""The same images, reconstructed after more and more epochs."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from scratchvae.errors import RunError
from scratchvae.models import Model
from scratchvae.training.atomic import write_atomically

FRAMES = 12


def frame_epochs(epochs: int) -> set[int]:
    """At most twelve epochs at equal ratios, the first and the last among them."""
    return {round(epochs ** (i / (FRAMES - 1))) for i in range(FRAMES)}


class Film:
    """Collects the reconstructions of ``originals`` (n, D) while a model trains for ``epochs``."""

    def __init__(self, originals: NDArray, epochs: int) -> None:
        self.originals = originals
        self.wanted = frame_epochs(epochs)
        self.epochs: list[int] = []
        self.frames: list[NDArray] = []

    def __call__(self, epoch: int, model: Model) -> None:
        """Keep a frame if this epoch is one of those wanted."""
        if epoch in self.wanted:
            self.epochs.append(epoch)
            self.frames.append(model.reconstruct(self.originals))

    def save(self, path: Path) -> None:
        """Write what there is."""

        def write(file: BinaryIO) -> None:
            np.savez(file, originals=self.originals, epochs=self.epochs, frames=self.frames)

        write_atomically(path, write)

    @classmethod
    def load(cls, path: Path) -> "Film | None":
        """What was saved; None if nothing was."""
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                film = cls(file["originals"], 1)
                film.epochs, film.frames = list(file["epochs"]), list(file["frames"])
        except Exception as error:  # damage has many types
            raise RunError(f"{path} cannot be read: {error}") from error
        return film
