"""What a model makes of the same images and the same latent plane, after more and more epochs."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scratchvae.errors import CheckpointError
from scratchvae.models import Model
from scratchvae.storage.archive import load_archive, save_archive

FRAMES = 12
SIDE, REACH = 15, 3.0  # of the plane that is decoded: points along an axis, from -REACH to REACH
SCATTERED = 1000  # test images whose place in the plane is kept
KINDS = ("frames", "planes", "means")  # of arrays, one for each epoch
Arrays = list[NDArray]


def frame_epochs(epochs: int) -> set[int]:
    """At most twelve epochs at equal ratios, the first and the last among them."""
    return {round(epochs ** (i / (FRAMES - 1))) for i in range(FRAMES)}


def plane_points() -> NDArray[np.float64]:
    """The z (15 · 15, 2) at which a plane is decoded, evenly spaced, the upper left one first."""
    along = np.linspace(-REACH, REACH, SIDE)
    right, up = np.meshgrid(along, along[::-1])
    return np.stack([right.ravel(), up.ravel()], axis=1)


def is_plane(model: Model) -> bool:
    """Whether a picture belongs to every point of a plane: two latent units, and nothing given."""
    return model.vae.latent_dim == 2 and not model.vae.condition.kind


class Snapshots:
    """Collects the reconstructions of ``originals`` (n, D) while a model trains for ``epochs``.

    Of two latent units also the decoded plane, ``planes`` (225, D) in float16, and μ of the images
    ``scattered`` (M, D), ``means`` (M, 2), where they are given. With a ``path``, each frame is on
    disk as soon as it is there.
    """

    def __init__(
        self,
        originals: NDArray,
        epochs: int,
        path: Path | None = None,
        scattered: NDArray | None = None,
    ) -> None:
        self.originals, self.path, self.scattered = originals, path, scattered
        self.wanted = frame_epochs(epochs)
        self.epochs: list[int] = []
        self.frames: Arrays = []
        self.planes: Arrays = []
        self.means: Arrays = []

    def resume(self) -> None:
        """Continue with the frames on disk; an epoch that is trained again replaces its frame."""
        saved = None if self.path is None else Snapshots.load(self.path)
        if saved is not None:
            self.epochs, self.frames = saved.epochs, saved.frames
            self.planes, self.means = saved.planes, saved.means

    def __call__(self, epoch: int, model: Model) -> None:
        """Keep a frame if this epoch is one of those wanted."""
        before = sum(e < epoch for e in self.epochs)
        for kept in (self.epochs, self.frames, self.planes, self.means):
            del kept[before:]
        if epoch in self.wanted:
            self.epochs.append(epoch)
            self.frames.append(model.reconstruct(self.originals))
            if self.scattered is not None and is_plane(model):
                self.planes.append(model.decode(plane_points()).astype(np.float16))
                self.means.append(model.encode(self.scattered).mu)
            if self.path is not None:
                self.save(self.path)

    def save(self, path: Path) -> None:
        """Write all frames so far."""
        arrays = {"originals": self.originals} | {
            f"{kind}/{i:04}": a for kind in KINDS for i, a in enumerate(getattr(self, kind))
        }
        save_archive(path, {"epochs": self.epochs}, arrays)

    @classmethod
    def load(cls, path: Path) -> "Snapshots | None":
        """Read what was saved; None where there is no file."""
        if not path.exists():
            return None
        manifest, arrays = load_archive(path, {"epochs": list})
        if "originals" not in arrays:
            raise CheckpointError(f"{path} is damaged: missing arrays ['originals']")
        snapshots = cls(arrays.pop("originals"), 1)
        snapshots.epochs = manifest["epochs"]
        for kind in KINDS:
            own = [a for name, a in arrays.items() if name.startswith(f"{kind}/")]
            setattr(snapshots, kind, own)
        count = len(snapshots.epochs)
        planes = {len(snapshots.planes), len(snapshots.means)}
        if len(snapshots.frames) != count or planes not in ({0}, {count}):
            raise CheckpointError(f"{path} is damaged: its frames are not those of its epochs")
        return snapshots
