"""A replay file: what is saved is loaded, and whatever else lies there is refused in a sentence."""

from pathlib import Path

import numpy as np
import pytest
from training_helpers import settings, tiny

from scratchvae.backend import get_backend
from scratchvae.errors import NonFiniteError, ReplayError
from scratchvae.runs import RunFolder
from scratchvae.storage.archive import save_archive
from scratchvae.training import train
from scratchvae.training.nonfinite.replay import FILE, Replay, load_replay, save_replay


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """Of an update that overflowed: with parameters, gradient and moments."""
    config = settings(optimizer="sgd", lr=3e38, likelihood="gaussian", std=1e-2)
    folder = RunFolder.create(tmp_path_factory.mktemp("replay") / "run", {})
    with pytest.raises(NonFiniteError, match="after the update"):
        train(config, tiny(), backend=get_backend("cpu"), run=folder)
    return folder.path / FILE


def same(a: Replay, b: Replay) -> bool:
    arrays = zip(pieces(a), pieces(b), strict=True)
    facts = ("kind", "where", "config", "pixels", "epoch", "step", "weight", "beta")
    return all(getattr(a, f) == getattr(b, f) for f in facts) and all(
        x.dtype == y.dtype and np.array_equal(x, y) for x, y in arrays
    )


def pieces(replay: Replay) -> list[np.ndarray]:
    groups = [replay.params, replay.gradient or {}, *replay.moments.values()]
    return [replay.x, replay.eps, *(a for views in groups for a in views.values())]


def test_what_is_saved_is_what_is_loaded(good: Path, tmp_path) -> None:
    replay = load_replay(good)
    save_replay(tmp_path / "again.npz", replay)
    assert same(replay, load_replay(tmp_path / "again.npz"))


def test_a_file_cut_off_anywhere_is_refused_in_a_sentence(good: Path, tmp_path) -> None:
    content, path = good.read_bytes(), tmp_path / "cut.npz"
    for size in {0, 1, 3, 4, 30, len(content) - 1, *range(0, len(content), 97)}:
        path.write_bytes(content[:size])
        with pytest.raises(ReplayError, match=r"cut\.npz is damaged, or no file of scratchvae"):
            load_replay(path)


def test_a_changed_byte_is_refused(good: Path, tmp_path) -> None:
    content, path = good.read_bytes(), tmp_path / "changed.npz"
    for at in range(0, len(content), 7):
        changed = bytearray(content)
        changed[at] ^= 0x10
        path.write_bytes(changed)
        with pytest.raises(ReplayError, match=r"changed\.npz"):
            load_replay(path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"kind": "dream"}, "its kind is 'dream'"),
        ({"step": 0}, "its step is 0"),
        ({"weight": float("nan")}, "its weight is nan"),
        ({"beta": -1.0}, "its beta -1.0"),
        ({"where": 7}, "its where is 7"),
        ({"config": [1]}, r"its config is \[1\]"),
        ({"pixels": 11}, "this model has float32 of"),
        ({"pixels": 0}, "at least 1, not 0"),
        ({"config": {"colour": "red"}}, "unknown settings: colour"),
        ({"config": {"hidden": "3"}}, "hidden is '3'"),
        ({"config": {"likelihood": "categorical"}}, "max_level"),
        ({"config": {"optimizer": "adam"}}, r"missing or surplus arrays .*moments\.m/"),
        ({"config": {"dtype": "float64"}}, "this model has float64"),
        ({"config": {"latent_dim": 10**12}}, "this model has"),
        ({"x": np.zeros((3, 11), np.float32)}, r"x is float32 of the shape \(3, 11\)"),
        ({"x": np.float32(1)}, "x is float32 of the shape ()"),
        ({"x": np.zeros((0, 12), np.float32), "eps": np.zeros((0, 1, 2), np.float32)}, "x is"),
        ({"eps": np.zeros((8, 1, 2))}, "eps is float64"),
        ({"params": {}}, "missing or surplus arrays"),
        ({"moments": {}}, "missing or surplus arrays"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(change, complaint, good, tmp_path) -> None:
    replay = load_replay(good)
    if isinstance(change.get("config"), dict):
        change = {"config": replay.config | change["config"]}
    save_replay(tmp_path / "odd.npz", Replay(**(vars(replay) | change)))
    with pytest.raises(ReplayError, match=complaint):
        load_replay(tmp_path / "odd.npz")


def test_files_of_another_kind_are_refused(good: Path, tmp_path) -> None:
    np.savez(tmp_path / "images.npz", x=np.zeros((3, 12)))
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "list.npz", manifest=np.frombuffer(b"[1]", np.uint8))
    save_archive(tmp_path / "other.npz", {"kind": "step"}, {"x": np.zeros((3, 12))})
    np.savez(tmp_path / "objects.npz", manifest=np.array([None, {}], dtype=object))
    (tmp_path / "text.npz").write_text("hello")
    for name, complaint in {
        "images.npz": "is damaged, or no file of scratchvae",
        "one.npy": "is damaged, or no file of scratchvae",
        "list.npz": "is damaged, or no file of scratchvae",
        "objects.npz": "is damaged, or no file of scratchvae",
        "text.npz": "is damaged, or no file of scratchvae",
        "other.npz": "is not a replay file of scratchvae",
        "nothing.npz": "there is no replay file at",
        ".": "cannot be read: Is a directory",
    }.items():
        with pytest.raises(ReplayError, match=complaint):
            load_replay(tmp_path / name)
