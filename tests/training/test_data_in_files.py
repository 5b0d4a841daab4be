"""A training on images that stay in files: the bits of one on the array in memory."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scratchvae
from scratchvae.backend import get_backend
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset
from scratchvae.errors import DataError
from scratchvae.training import Training, train

GREY = np.random.default_rng(0).integers(0, 256, (150, 6, 6), dtype=np.uint8)
LABELS = np.arange(150) % 3
ROOT = Path(scratchvae.__file__).parent.parent


def outcome(config: TrainConfig, data: Dataset, **more: Any) -> tuple[Any, ...]:
    """All that a training leaves: the bytes of every buffer, and the metrics but the time."""
    done: Training = train(config, data, verbose=False, **more)
    assert done.state is not None
    arrays = {(b, k): a.tobytes() for b, of in done.state.buffers.items() for k, a in of.items()}
    return arrays, [{**metrics, "seconds": 0} for metrics in done.metrics]


SETTINGS: dict[str, dict[str, Any]] = {
    "one process": {},
    "two workers": {"workers": 2},
    "pieces": {"pieces": 4, "binarize": "dynamic"},
    "fresh draws": {"binarize": "dynamic"},
    "one draw, a validation split": {"binarize": "static", "validation": 20},
    "a threshold": {"binarize": "threshold"},
    "means of the data": {"output_bias": "mean"},
    "labels": {"condition": "label"},
    "some labels": {"condition": "some-labels", "labels": 9},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_bits_are_those_of_the_array_in_memory(name, tmp_path):
    np.save(tmp_path / "grey.npy", GREY)
    mapped = np.load(tmp_path / "grey.npy", mmap_mode="r")
    config = TrainConfig(epochs=2, batch_size=32, hidden=(8,), **SETTINGS[name])
    here, there = (Dataset.from_arrays(images, labels=LABELS) for images in (GREY, mapped))
    assert outcome(config, there) == outcome(config, here)


@pytest.mark.parametrize("likelihood", ["gaussian", "gaussian-learned"])
def test_the_bits_of_floats_are_those_of_the_array_in_memory(likelihood, tmp_path):
    table = np.random.default_rng(1).normal(size=(150, 5)).astype(np.float32)
    np.save(tmp_path / "table.npy", table)
    config = TrainConfig(
        epochs=2, batch_size=32, hidden=(8,), likelihood=likelihood, start_std=0.5,
        output_bias="mean",
    )  # fmt: skip
    mapped = Dataset.from_arrays(np.load(tmp_path / "table.npy", mmap_mode="r"))
    assert outcome(config, mapped) == outcome(config, Dataset.from_arrays(table))


@pytest.mark.parametrize("device", ["strict", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_device_with_memory_of_its_own_is_given_a_batch_at_a_time(device, tmp_path):
    np.save(tmp_path / "grey.npy", GREY)
    mapped = Dataset.from_arrays(np.load(tmp_path / "grey.npy", mmap_mode="r"))
    config = TrainConfig(epochs=1, batch_size=32, hidden=(8,))
    bk = get_backend(device, config.dtype)
    here = outcome(config, Dataset.from_arrays(GREY), backend=bk)
    assert outcome(config, mapped, backend=bk) == here


def test_a_file_that_changes_during_a_training_ends_it_in_a_sentence(tmp_path):
    np.save(tmp_path / "grey.npy", GREY)
    mapped = Dataset.from_arrays(np.load(tmp_path / "grey.npy", mmap_mode="r"))

    def damage(epoch: int, model: object) -> None:
        os.truncate(tmp_path / "grey.npy", 300)

    with pytest.raises(DataError, match=r"grey\.npy: has changed since it was opened"):
        train(TrainConfig(epochs=2, batch_size=32, hidden=(8,)), mapped, on_epoch=damage)


# ---- the command line ----------------------------------------------------------------------------


def command(folder: Path, *words: object, megabytes: int = 0) -> tuple[int, str]:
    """Exit code and stderr of scratchvae in a folder, perhaps with that much memory of its own."""
    limit = ["prlimit", f"--data={megabytes << 20}"] if megabytes else []
    done = subprocess.run(
        [*limit, sys.executable, "-m", "scratchvae", *map(str, words)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


TRAIN = ("train", "--hidden", "8", "--no-compiled", "--no-figures", "--quiet", "--out", "run")


def test_a_file_larger_than_the_memory_is_trained_on(tmp_path):
    (tmp_path / "shards").mkdir()
    images = np.lib.format.open_memmap(
        tmp_path / "shards" / "large.npy", "w+", np.uint8, (280_000, 28, 28)
    )  # most of it a hole, which takes no place on the disk
    images[::1000] = np.random.default_rng(0).integers(0, 256, (280, 28, 28))
    images.flush()
    size = (tmp_path / "shards" / "large.npy").stat().st_size
    assert size > 200 << 20
    some = (*TRAIN, "--split", "last:1000", "--epochs", "1", "--batch-size", "4000")
    code, err = command(tmp_path, *some, "--data", "shards/large.npy", megabytes=200)
    assert code == 2
    assert "shards/large.npy: does not fit into the memory of this machine" in err
    code, err = command(tmp_path, *some, "--data", "shards/*.npy", megabytes=200)
    assert code == 0, err
    assert (tmp_path / "run" / "checkpoint.npz").exists()


def test_a_run_is_not_resumed_on_files_that_have_changed_or_are_gone(tmp_path):
    (tmp_path / "shards").mkdir()
    for k in range(2):
        np.save(tmp_path / "shards" / f"{k}.npy", GREY[k::2])
    assert command(tmp_path, *TRAIN, "--data", "shards/*.npy", "--epochs", "1")[0] == 0
    again = ("train", "--resume", "run", "--epochs", "2", "--change-settings", "--quiet")
    np.save(tmp_path / "shards" / "1.npy", GREY[::2])
    code, err = command(tmp_path, *again)
    assert code == 2
    assert "is not the one that run was trained on: its fingerprint differs" in err
    (tmp_path / "shards" / "1.npy").unlink()
    assert command(tmp_path, *again)[0] == 2
    (tmp_path / "shards" / "0.npy").unlink()
    code, err = command(tmp_path, *again)
    assert code == 2
    assert "there is no file of such a name; check the pattern" in err
    for k in range(2):
        np.save(tmp_path / "shards" / f"{k}.npy", GREY[k::2])
    (tmp_path / "elsewhere").mkdir()
    assert command(tmp_path / "elsewhere", *again[:2], "../run", *again[3:])[0] == 0
