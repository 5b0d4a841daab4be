"""The film: its frames are on disk as they are made, and come again after a kill."""

from pathlib import Path

import numpy as np
import pytest
from training_helpers import leftovers, settings, tiny

from scratchvae.backend import get_backend
from scratchvae.errors import CheckpointError
from scratchvae.models import Model
from scratchvae.runs import Snapshots
from scratchvae.runs.snapshots import frame_epochs, plane_points


@pytest.fixture
def model() -> Model:
    return Model(settings().make_vae(12), get_backend("cpu"))


def shot(path: Path, model: Model, epochs: int, upto: int) -> Snapshots:
    snapshots = Snapshots(tiny().test.values()[:3], epochs, path)
    for epoch in sorted(frame_epochs(epochs)):
        if epoch <= upto:
            snapshots(epoch, model)
    return snapshots


@pytest.mark.parametrize("epochs", [1, 5, 12, 150, 5_000_000])
def test_frames_come_back_in_the_order_of_their_epochs(epochs, model, tmp_path: Path) -> None:
    snapshots = Snapshots(tiny().test.values()[:3], epochs, tmp_path / "film.npz")
    for epoch in sorted(frame_epochs(epochs)):
        snapshots(epoch, model)
        model.params["decoder.2.b"][...] += 1
    saved = Snapshots.load(tmp_path / "film.npz")
    assert saved is not None
    assert saved.epochs == sorted(frame_epochs(epochs))
    for ours, its in zip(snapshots.frames, saved.frames, strict=True):
        np.testing.assert_array_equal(ours, its)
    np.testing.assert_array_equal(saved.originals, snapshots.originals)


@pytest.mark.parametrize("latent", [2, 3])
def test_of_two_latent_units_the_plane_and_the_places_of_images_are_kept(latent, tmp_path) -> None:
    plane_model = Model(settings(latent_dim=latent).make_vae(12), get_backend("cpu"))
    images = tiny().test.values()
    snapshots = Snapshots(images[:3], 3, tmp_path / "film.npz", scattered=images)
    for epoch in (1, 2, 3):
        snapshots(epoch, plane_model)
    saved = Snapshots.load(tmp_path / "film.npz")
    assert saved is not None
    assert len(saved.planes) == len(saved.means) == (3 if latent == 2 else 0)
    if latent == 2:
        np.testing.assert_array_equal(saved.means[0], plane_model.encode(images).mu)
        points = plane_points()
        assert points[0].tolist() == [-3, 3]
        assert points[-1].tolist() == [3, -3]
        np.testing.assert_allclose(saved.planes[1], plane_model.decode(points), atol=1e-3)


def test_a_film_without_a_path_is_not_saved_and_one_that_is_not_there_is_none(
    model, tmp_path: Path
) -> None:
    snapshots = Snapshots(tiny().test.values()[:3], 2)
    snapshots.resume()
    snapshots(1, model)
    assert len(snapshots.frames) == 1
    assert Snapshots.load(tmp_path / "film.npz") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("again", [1, 3, 5, 6])
def test_a_film_that_goes_on_is_the_film_that_was_not_stopped(
    again: int, model, tmp_path: Path
) -> None:
    """Epochs whose frames are there may come again: their checkpoint was not."""
    shot(tmp_path / "whole.npz", model, 20, 20)
    shot(tmp_path / "film.npz", model, 20, 5)
    snapshots = Snapshots(tiny().test.values()[:3], 20, tmp_path / "film.npz")
    snapshots.resume()
    for epoch in range(again, 21):
        snapshots(epoch, model)
    assert (tmp_path / "film.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert leftovers(tmp_path) == []


def test_a_damaged_film_is_refused(model, tmp_path: Path) -> None:
    path = tmp_path / "film.npz"
    shot(path, model, 3, 3)
    content = bytearray(path.read_bytes())
    for position in range(0, len(content), 97):
        content[position] ^= 4
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"film\.npz"):
            Snapshots.load(path)
        content[position] ^= 4
    np.savez(path, originals=np.zeros(3), epochs=[1], frames=[np.zeros(3)])
    with pytest.raises(CheckpointError, match="damaged, or no file of scratchvae"):
        Snapshots.load(path)
