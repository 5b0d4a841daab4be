"""A run goes on to the bit with other cores and other BLAS threads than it began with."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from resume_helpers import left, run, stopped
from training_helpers import Notes, settings, tiny

import scratchvae.training.step as step_module
from scratchvae.backend import get_backend
from scratchvae.backend.cpu import NumpyBackend
from scratchvae.layers import Dense
from scratchvae.runs import RunFolder
from scratchvae.runs.checkpoint import load_checkpoint
from scratchvae.training import train
from scratchvae.training.state import environment, possible_blas_threads, used_compiled
from scratchvae.versions import kernel, versions

HERE = Path(__file__).parent

PROGRAM = """
import hashlib, sys
sys.path.insert(0, {here!r})
import numpy as np
import pytest
from pathlib import Path
from types import SimpleNamespace
from resume_helpers import Killed, kill_at
from training_helpers import Notes, settings
from scratchvae.backend import get_backend
from scratchvae.data import Dataset, Split
from scratchvae.runs import RunFolder
from scratchvae.training import train

path, stop = Path(sys.argv[1]), int(sys.argv[2])
images = (np.random.default_rng(0).random((300, 784)) < 0.3).astype(np.uint8)
dataset = Dataset("random", Split(images, None, 1), Split(images[:100], None, 1), (28, 28))
config = settings(workers=1, hidden=(400,), batch_size=100, epochs=2)
resume = path.exists()
folder = RunFolder(path) if resume else RunFolder.create(path, {{"config": config.to_json()}})
notes = Notes()
with pytest.MonkeyPatch.context() as patch:
    if stop:
        kill_at(stop, patch)
    try:
        done = train(
            config, dataset, backend=get_backend("cpu"), run=folder, progress=notes, resume=resume
        )
        digest = hashlib.sha256(done.model.params.flat.tobytes()).hexdigest()
        print(digest, done.metrics[1]["test_loss"])
    except Killed:
        pass
print(*notes.seen)
"""


def train_outside(path: Path, threads: int, stop: int = 0) -> list[str]:
    """What a training in a process of its own prints: SHA-256 and loss, then its notes."""
    program = PROGRAM.format(here=str(HERE))
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), str(stop)],
        env=os.environ | {"OPENBLAS_NUM_THREADS": str(threads)},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_run_keeps_its_number_of_blas_threads(before: int, after: int, tmp_path: Path) -> None:
    """In a product of 100 x 784 by 784 x 400 OpenBLAS rounds differently with two threads."""
    whole = train_outside(tmp_path / "whole", before)
    train_outside(tmp_path / "run", before, stop=5)
    assert train_outside(tmp_path / "run", after) == whole
    checkpoint = load_checkpoint(RunFolder(tmp_path / "run").checkpoint_path)
    assert checkpoint.environment["blas_threads"] == before


def test_blas_threads_that_cannot_be_kept_are_told(tmp_path: Path, monkeypatch) -> None:
    bk = get_backend("cpu")
    with bk.limit_blas(3):
        folder = stopped(tmp_path / "run", monkeypatch)
    monkeypatch.setattr(NumpyBackend, "limit_blas", lambda self, count: nullcontext())
    notes = Notes()
    train(folder.config(), tiny(), backend=bk, run=folder, progress=notes, resume=True)
    assert f"blas_threads was 3 and is {bk.blas_threads()}" in notes.seen[0]


def test_blas_is_limited_and_set_back() -> None:
    bk = get_backend("cpu")
    before = bk.blas_threads()
    with bk.limit_blas(before + 1):
        assert bk.blas_threads() == before + 1
        with bk.limit_blas(None):
            assert bk.blas_threads() == before + 1
    assert bk.blas_threads() == before
    assert get_backend("strict").blas_threads() == before


class FourThreads:
    """A backend whose BLAS takes up to four threads, and four unless told otherwise."""

    count = 4

    def blas_threads(self) -> int:
        return self.count

    @contextmanager
    def limit_blas(self, count: int | None) -> Iterator[None]:
        self.count = min(4, count or 4)
        yield
        self.count = 4


@pytest.mark.parametrize(
    ("saved", "threads"),
    [(None, 4), ({}, 4), ({"blas_threads": 3}, 3), ({"blas_threads": 9}, 4)],
)
def test_a_run_takes_the_blas_threads_of_its_checkpoint_as_far_as_there_are_any(
    saved: dict[str, int] | None, threads: int
) -> None:
    checkpoint = None if saved is None else SimpleNamespace(environment=saved)
    assert possible_blas_threads(FourThreads(), checkpoint) == threads


def test_a_run_of_two_workers_goes_on_to_the_bit_on_one_core(
    tmp_path: Path, monkeypatch, whole: Any
) -> None:
    monkeypatch.setattr(step_module, "cores", lambda: 2)
    expected = whole(workers=2)
    folder = stopped(tmp_path / "run", monkeypatch, workers=2)
    assert load_checkpoint(folder.checkpoint_path).environment["workers"] == 2
    monkeypatch.setattr(step_module, "cores", lambda: 1)
    notes = Notes()
    run(folder, resume=True, progress=notes)
    assert left(folder) == expected
    words = "one process computes the parts of 2 workers, because there is one core"
    assert words in notes.seen


def test_between_the_call_of_a_step_and_the_model_there_is_one_frame(monkeypatch) -> None:
    names, forward = [], Dense.forward

    def seen(self: Dense, *args: Any) -> None:
        frame = sys._getframe(1)
        while frame is not None and frame.f_code.co_name != "run_epoch":
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        forward(self, *args)
        monkeypatch.undo()

    monkeypatch.setattr(Dense, "forward", seen)
    train(settings(epochs=1), tiny(), backend=get_backend("cpu"))
    assert names[names.index("loss_and_input_grads") + 1 :] == ["_step", "__call__"]


@dataclass
class Device:
    """What a backend says of the machine it computes on."""

    name: str
    about: dict[str, str]

    def describe(self) -> dict[str, str]:
        return self.about

    def blas_threads(self) -> int:
        return 6


def test_a_checkpoint_says_what_decides_about_the_last_bits() -> None:
    about = {"name": "RTX 4090", "memory": "24 GiB", "cuda": "12.4", "cupy": "13.6"}
    assert environment(Device("cuda", about), workers=1) == {
        "versions": versions() | {"cuda": "12.4", "cupy": "13.6"},
        "kernel": "RTX 4090",
        "workers": 1,
    }
    host = kernel()
    for given, threads in ((None, 6), (2, 2)):
        assert environment(Device("cpu", {"name": "x86", "loops": "1.0"}), 3, given) == {
            "versions": versions() | {"loops": "1.0", "blas": host["blas"], "numba": "not used"},
            "kernel": host["kernel"],
            "workers": 3,
            "blas_threads": threads,
        }


def test_a_record_without_a_version_of_numba_is_of_a_run_without_compiled_loops() -> None:
    for version in ("0.68.1", "unknown"):
        assert used_compiled({"versions": {"numba": version}})
    for recorded in ('{"versions": {"numba": "not used"}}', '{"versions": {"numpy": "2"}}', "{}"):
        assert not used_compiled(json.loads(recorded))
