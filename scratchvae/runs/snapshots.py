"""The same images, reconstructed after more and more epochs."""

from pathlib import Path

from numpy.typing import NDArray

from scratchvae.errors import CheckpointError
from scratchvae.models import Model
from scratchvae.storage.archive import load_archive, save_archive

FRAMES = 12


def frame_epochs(epochs: int) -> set[int]:
    """At most twelve epochs at equal ratios, the first and the last among them."""
    return {round(epochs ** (i / (FRAMES - 1))) for i in range(FRAMES)}


class Snapshots:
    """Collects the reconstructions of ``originals`` (n, D) while a model trains for ``epochs``.

    With a ``path``, each frame is on disk as soon as it is there.
    """

    def __init__(self, originals: NDArray, epochs: int, path: Path | None = None) -> None:
        self.originals, self.path = originals, path
        self.wanted = frame_epochs(epochs)
        self.epochs: list[int] = []
        self.frames: list[NDArray] = []

    def resume(self) -> None:
        """Continue with the frames on disk; an epoch that is trained again replaces its frame."""
        saved = None if self.path is None else Snapshots.load(self.path)
        if saved is not None:
            self.epochs, self.frames = saved.epochs, saved.frames

    def __call__(self, epoch: int, model: Model) -> None:
        """Keep a frame if this epoch is one of those wanted."""
        before = sum(e < epoch for e in self.epochs)
        del self.epochs[before:], self.frames[before:]
        if epoch in self.wanted:
            self.epochs.append(epoch)
            self.frames.append(model.reconstruct(self.originals))
            if self.path is not None:
                self.save(self.path)

    def save(self, path: Path) -> None:
        """Write all frames so far."""
        arrays = {f"frames/{i:04}": frame for i, frame in enumerate(self.frames)}
        save_archive(path, {"epochs": self.epochs}, arrays | {"originals": self.originals})

    @classmethod
    def load(cls, path: Path) -> "Snapshots | None":
        """Read what was saved; None where there is no file."""
        if not path.exists():
            return None
        manifest, arrays = load_archive(path, {"epochs": list})
        if "originals" not in arrays:
            raise CheckpointError(f"{path} is damaged: missing arrays ['originals']")
        snapshots = cls(arrays.pop("originals"), 1)
        snapshots.epochs, snapshots.frames = manifest["epochs"], list(arrays.values())
        if len(snapshots.epochs) != len(snapshots.frames):
            raise CheckpointError(f"{path} is damaged: its frames are not those of its epochs")
        return snapshots
