"""Checkpoints: what is saved comes back, a damaged one says so, and a crash harms nothing."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_helpers import leftovers, same, settings, small, tiny

import scratchvae
from scratchvae.backend import get_backend
from scratchvae.errors import CheckpointError, RunError
from scratchvae.models import Model
from scratchvae.runs import RunFolder
from scratchvae.runs.checkpoint import load_checkpoint, restore, save_checkpoint
from scratchvae.storage.atomic import temporary_files
from scratchvae.training import train

ROOT = str(Path(scratchvae.__file__).parents[1])


def a_run(path: Path, **changes: Any) -> RunFolder:
    config = settings(**changes)
    folder = RunFolder.create(path, {"config": config.to_json()})
    train(config, tiny(), backend=get_backend("cpu"), run=folder)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that no test writes to."""
    return a_run(tmp_path_factory.mktemp("finished") / "run")


# ---- what is saved comes back -----------------------------------------------------------------


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.npz", small())
    assert same(load_checkpoint(tmp_path / "c.npz"), small())
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_comes_back_to_the_bit_in_its_own_float_type(tmp_path: Path, dtype: str) -> None:
    config = settings(dtype=dtype, likelihood="gaussian-per-pixel")
    folder = RunFolder.create(tmp_path / "run", {"config": config.to_json()})
    result = train(config, tiny(), backend=get_backend("cpu", dtype), run=folder)
    model, checkpoint = folder.load(get_backend("cpu", dtype))
    assert model.params.flat.tobytes() == result.model.params.flat.tobytes()
    assert {a.dtype.name for a in checkpoint.buffers["params"].values()} == {dtype}
    assert set(checkpoint.buffers) == {"params", "adam.m", "adam.v"}
    assert checkpoint.config == config.to_json()
    assert (checkpoint.pixels, checkpoint.epoch, checkpoint.step) == (12, 2, 8)


def test_a_run_of_the_strict_device_loads_on_the_cpu(tmp_path: Path) -> None:
    config = settings()
    folder = RunFolder.create(tmp_path / "run", {"config": config.to_json()})
    train(config, tiny(), backend=get_backend("strict"), run=folder)
    first = a_run(tmp_path / "cpu")
    assert folder.checkpoint_path.read_bytes() == first.checkpoint_path.read_bytes()


def test_identical_runs_leave_identical_bytes(tmp_path: Path) -> None:
    runs = [a_run(tmp_path / str(i), validation=5) for i in range(2)]
    runs.append(a_run(tmp_path / "other", validation=5, seed=1))
    for path in ("checkpoint_path", "best_path", "config_path"):
        first, again, other = (getattr(run, path).read_bytes() for run in runs)
        assert first == again
        assert first != other


def test_the_arrays_are_uncompressed_and_readable_by_numpy_alone(finished: RunFolder) -> None:
    with zipfile.ZipFile(finished.checkpoint_path) as file:
        assert {item.compress_type for item in file.infolist()} == {zipfile.ZIP_STORED}
    with np.load(finished.checkpoint_path) as file:
        assert file["params/encoder.0.W"].shape == (12, 8)
        manifest = json.loads(bytes(file["manifest"]))
    assert manifest["arrays"]["adam.v/decoder.2.b"]["shape"] == [12]


# ---- a crash harms nothing --------------------------------------------------------------------


def fail(error: BaseException) -> Callable[..., None]:
    def failing(*args: Any, **kwargs: Any) -> None:
        raise error

    return failing


def half_a_file(file: io.BufferedWriter, arrays: Any) -> None:
    file.write(b"PK half a file")
    file.flush()
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("target", "substitute", "error"),
    [
        ("scratchvae.storage.atomic.os.replace", fail(PermissionError(13, "No")), CheckpointError),
        ("scratchvae.storage.atomic.os.fsync", fail(OSError(5, "I/O error")), CheckpointError),
        ("scratchvae.storage.archive.write_npz", half_a_file, CheckpointError),
        ("scratchvae.storage.archive.write_npz", fail(KeyboardInterrupt()), KeyboardInterrupt),
        ("scratchvae.storage.atomic.os.open", fail(OSError(28, "Full")), CheckpointError),
    ],
)
@pytest.mark.parametrize("there_before", [True, False])
def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(
    target: str, substitute: Any, error: Any, there_before: bool, tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "c.npz"
    if there_before:
        save_checkpoint(path, small(step=1))
    with monkeypatch.context() as patch:
        patch.setattr(target, substitute)
        with pytest.raises(error):
            save_checkpoint(path, small(step=2))
    assert [p.name for p in tmp_path.iterdir()] == ["c.npz"] * there_before
    if there_before:
        assert same(load_checkpoint(path), small(step=1))


def test_a_disk_that_is_full_is_said_so(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "c.npz"
    with monkeypatch.context() as patch:
        patch.setattr("scratchvae.storage.archive.write_npz", half_a_file)
        with pytest.raises(
            CheckpointError, match=r"c\.npz cannot be written: No space left.*device$"
        ):
            save_checkpoint(path, small())
    save_checkpoint(path, small())
    monkeypatch.setattr("scratchvae.storage.archive.write_npz", half_a_file)
    with pytest.raises(CheckpointError, match="No space left on device; the one before it stays"):
        save_checkpoint(path, small())


def limited(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Python code in a process of its own that may write files of 60,000 bytes and no more."""
    limit = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", limit + code], cwd=folder, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": ROOT}, timeout=60,
    )  # fmt: skip


def test_a_limit_that_a_save_runs_into_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    done = limited(
        "import numpy as np; from pathlib import Path\n"
        "from scratchvae.runs.checkpoint import Checkpoint, save_checkpoint\n"
        "for step, size in ((1, 1_000), (2, 10_000), (3, 20_000)):\n"
        "    a = np.full(size, step, np.float32)\n"
        "    save_checkpoint(Path('c.npz'), Checkpoint({}, 1, 0, step, {'params': {'W': a}}))\n"
        "    print(step, flush=True)\n",
        tmp_path,
    )
    assert done.stdout == "1\n2\n"
    assert "c.npz cannot be written: File too large; the one before it stays" in done.stderr
    assert load_checkpoint(tmp_path / "c.npz").step == 2
    assert leftovers(tmp_path) == []


# ---- the one before, and what a killed process leaves -----------------------------------------


def test_the_one_before_stays_under_its_name(tmp_path: Path) -> None:
    path, previous = tmp_path / "c.npz", tmp_path / "p.npz"
    for step in range(1, 4):
        save_checkpoint(path, small(step), previous)
        assert load_checkpoint(path).step == step
        assert previous.exists() == (step > 1)
    assert load_checkpoint(previous).step == 2
    assert {p.name for p in tmp_path.iterdir()} == {"c.npz", "p.npz"}


def test_a_kill_between_the_two_renames_leaves_nothing_behind_after_the_next_save(
    tmp_path: Path,
) -> None:
    """Then both names are of one file, and a rename between them does nothing."""
    path, previous = tmp_path / "c.npz", tmp_path / "p.npz"
    save_checkpoint(path, small(1), previous)
    os.link(path, previous)
    save_checkpoint(path, small(2), previous)
    assert (load_checkpoint(path).step, load_checkpoint(previous).step) == (2, 1)
    assert {p.name for p in tmp_path.iterdir()} == {"c.npz", "p.npz"}


def test_where_a_file_can_have_one_name_only_the_one_before_is_a_copy(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("scratchvae.storage.atomic.os.link", fail(OSError(1, "Not permitted")))
    path, previous = tmp_path / "c.npz", tmp_path / "p.npz"
    for step in (1, 2):
        save_checkpoint(path, small(step), previous)
    assert (load_checkpoint(path).step, load_checkpoint(previous).step) == (2, 1)
    assert leftovers(tmp_path) == []


def test_what_killed_processes_left_is_found_and_nothing_else(tmp_path: Path) -> None:
    ours = [".c.npz.a1b2_3d4.tmp", ".c.npz.a1b2_3d4.previous.tmp"]
    others = [".c.npz.tmp", "c.npz.a1b2_3d4.tmp", ".d.npz.a1b2_3d4.tmp", "c.npz", ".hidden"]
    for name in (*ours, *others):
        (tmp_path / name).write_text("")
    assert {p.name for p in temporary_files(tmp_path / "c.npz")} == set(ours)
    assert temporary_files(tmp_path / "nowhere" / "c.npz") == []


def test_a_file_that_is_replaced_keeps_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save_checkpoint(tmp_path / "c.npz", small())
    finally:
        os.umask(before)
    assert (tmp_path / "c.npz").stat().st_mode & 0o777 == 0o640


def test_a_process_killed_while_it_saves_over_and_over_leaves_a_whole_file(tmp_path: Path) -> None:
    code = (
        "import sys, itertools, numpy as np; from pathlib import Path\n"
        "from scratchvae.runs.checkpoint import Checkpoint, save_checkpoint\n"
        "path = Path(sys.argv[1])\n"
        "for step in itertools.count():\n"
        "    a = np.full((300, 300), step, np.float32)\n"
        "    save_checkpoint(path, Checkpoint({}, 1, 0, step, {'params': {'W': a}}))\n"
    )
    for i in range(3):
        path = tmp_path / f"{i}.npz"
        process = subprocess.Popen([sys.executable, "-c", code, str(path)])
        while not path.exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.05 + 0.013 * i)
        process.send_signal(signal.SIGKILL)
        process.wait()
        checkpoint = load_checkpoint(path)
        assert (checkpoint.buffers["params"]["W"] == checkpoint.step).all()


# ---- a checkpoint of something else -----------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"hidden": (9,)}, {"hidden": (8, 8)}, {"latent_dim": 3}, {"likelihood": "gaussian-learned"}],
)
def test_a_checkpoint_of_another_model_is_refused_and_the_model_unchanged(
    changes: dict[str, Any], finished: RunFolder
) -> None:
    bk = get_backend("cpu")
    model = Model(settings(**changes).make_vae(12), bk)
    before = model.params.flat.copy()
    checkpoint = load_checkpoint(finished.checkpoint_path)
    with pytest.raises(CheckpointError, match=r"belongs to another model: it holds .*\(12, 8\)"):
        restore(finished.checkpoint_path, checkpoint, "params", model.params)
    with pytest.raises(CheckpointError, match="it holds no parameters"):
        restore(finished.checkpoint_path, replace(checkpoint, buffers={}), "params", model.params)
    np.testing.assert_array_equal(model.params.flat, before)


def test_a_checkpoint_in_the_folder_of_another_run_is_refused(
    finished: RunFolder, tmp_path: Path
) -> None:
    other = RunFolder.create(tmp_path / "other", {"config": settings(seed=1).to_json()})
    other.checkpoint_path.write_bytes(finished.checkpoint_path.read_bytes())
    with pytest.raises(CheckpointError, match="belongs to another run than"):
        other.load(get_backend("cpu"))


def test_every_error_of_a_checkpoint_is_an_error_of_the_run() -> None:
    assert issubclass(CheckpointError, RunError)
